"""Words are read and written as `json` does it."""

import json
import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pypool import words

TEXT = st.text() | st.text('\x00"\\/\ud800é')
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
KEYS = st.text() | st.integers() | st.floats() | st.booleans() | st.none()
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner, max_size=4)
    ),
)
NEARLY = st.text('[]{}":, \n\r\t\x0b\x00\\u12eE+-.0trufalsenNaIinity', max_size=12)
"""What is almost JSON, and at times is."""


def outcome(function: Any, *arguments: Any) -> str:
    """What it gave or raised, told so that NaN is NaN and 1 is not 1.0."""
    try:
        return repr(function(*arguments))
    except (TypeError, ValueError, RecursionError) as error:
        return f"{type(error).__name__}: {error}"


@pytest.fixture(params=["in C", "without"], autouse=True)
def _parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without":
        monkeypatch.setattr(words, "_scan", None)
        monkeypatch.setattr(words, "_encode", None)


def dumped(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class TestPacked:
    @given(ANYTHING)
    def test_any_value(self, value: Any) -> None:
        """Byte for byte."""
        assert words.pack(value) == dumped(value)

    @pytest.mark.parametrize("value", [{1, 2}, {(1,): 2}, [b"bytes"], {"deep": [object]}])
    def test_what_is_no_json(self, value: Any) -> None:
        """The same error in the same words."""
        assert outcome(words.pack, value) == outcome(dumped, value)
        assert "Error" in outcome(words.pack, value)

    def test_what_holds_itself(self) -> None:
        """It is named, as `json` does."""
        circle: list[Any] = []
        circle.append(circle)
        with pytest.raises(ValueError, match="Circular"):
            words.pack(circle)


class TestUnpacked:
    @given(ANYTHING, st.sampled_from([None, 1, "\t"]), st.booleans())
    def test_any_value(self, value: Any, indent: Any, ascii_only: bool) -> None:
        """However it was written."""
        text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
        payload = text.encode("utf-8", "surrogatepass")
        assert outcome(words.unpack, payload) == outcome(json.loads, payload)

    @given(NEARLY, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"]))
    def test_any_text(self, text: str, encoding: str) -> None:
        """Read or refused, and in the same words."""
        payload = text.encode(encoding)
        assert outcome(words.unpack, payload) == outcome(json.loads, payload)

    @given(st.binary(max_size=8))
    def test_any_bytes(self, payload: bytes) -> None:
        """Damaged ones, too."""
        assert outcome(words.unpack, payload) == outcome(json.loads, payload)

    @pytest.mark.parametrize(
        "payload", [b"", b"  ", b"1 2", b"[1", b"[1]]", b"\x0b1", b'"\n"', b"9" * 5000]
    )
    def test_what_is_no_json(self, payload: bytes) -> None:
        """The same error in the same words."""
        assert outcome(words.unpack, payload) == outcome(json.loads, payload)
        assert "Error" in outcome(words.unpack, payload)

    def test_not_a_number(self) -> None:
        """As Python writes it."""
        assert math.isnan(words.unpack(b"NaN"))
        assert words.unpack(b"[Infinity, -Infinity]") == [math.inf, -math.inf]


def test_the_usual_words_do_without_json() -> None:
    """For them it is not loaded."""
    usual = """
import sys
from pypool.words import pack, unpack
unpack(b' {"a": [1, 2.5, null, true, "x\\\\u00e9", {}]}\\n')
pack({"host": "h\\u00e9", "pid": 1, "time": 2.5, "job": None, "late": False, "cut": [[1, 2]]})
print({"json", "re"} & set(sys.modules) or "neither")
"""
    done = subprocess.run([sys.executable, "-c", usual], capture_output=True, text=True, check=True)
    assert done.stdout == "neither\n"
