"""Words: what the rarer records and `run.json` say, as JSON.

`json` begins with regular expressions, which take longer to load than all else that an agent needs
for its hello. Its parts that are written in C do without, and do the work here; `json` itself gets
whatever they do not take, and says what is wrong with it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SPACE = " \t\n\r"


class _AsUsual:
    """How the scanner reads: as `json.loads` does if it is told nothing."""

    strict = True
    object_hook = object_pairs_hook = array_hook = None
    parse_int = int
    parse_float = float
    parse_constant = {
        "-Infinity": float("-inf"),
        "Infinity": float("inf"),
        "NaN": float("nan"),
    }.__getitem__


def _refuse(value: object) -> None:
    raise TypeError(type(value).__name__)


def _parts() -> tuple[Any, Any]:
    """The scanner and the encoder; None, if this interpreter has none that are made like that."""
    how: Any = _AsUsual
    try:
        from _json import encode_basestring_ascii, make_encoder, make_scanner

        ascii_only = encode_basestring_ascii
        encode = make_encoder(None, _refuse, ascii_only, None, ":", ",", False, False, True)
        return make_scanner(how), encode
    except (ImportError, AttributeError, TypeError):
        return None, None


_scan, _encode = _parts()


def pack(words: Any) -> bytes:
    """The payload of a record that is not written often.

    Raises
    ------
    TypeError, ValueError, RecursionError
        As `json.dumps` does.
    """
    if _encode is not None:
        try:
            return "".join(_encode(words, 0)).encode()
        except (TypeError, ValueError, RecursionError):
            pass  # `json` knows why
    import json

    return json.dumps(words, separators=(",", ":")).encode()


def unpack(payload: bytes) -> Any:
    """What `payload` says.

    Raises
    ------
    ValueError, RecursionError
        As `json.loads` does.
    """
    if _scan is not None and payload.isascii():
        text = payload.decode("ascii").strip(_SPACE)
        try:
            words, end = _scan(text, 0)
        except (StopIteration, ValueError):
            end = -1
        if end == len(text):
            return words
    import json

    return json.loads(payload)
