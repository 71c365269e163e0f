"""What a process has loaded of the user's own code, and whether another one has loaded the same.

The driver says so with each function, workers compare. The source file of a module is read once,
when the module is first seen here after it was loaded: a file that is edited later does not change
what this process runs, and a module that is reloaded is seen anew.
"""

from __future__ import annotations

import io
import os
import sys
import types
from collections.abc import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LIBRARIES = ("/site-packages/", "/dist-packages/")
_STANDARD = f"{os.path.dirname(os.__file__)}/"  # noqa: PTH120

_digests: dict[str, tuple[Any, str | None]] = {}
"""Of each module that was looked at: how it was loaded, and the digest of its source."""

_last: tuple[list[str], int, str, list[str]] = ([], 0, "", [])
"""For which libraries, how many modules, the last of them: and which are the user's."""


def user_modules(libraries: list[str]) -> dict[str, str]:
    """The modules loaded here that lie in none of these directories, but for those of Python.

    Returns
    -------
    dict
        The SHA-256 of the source file of each, by the module's name; of `__main__`, too.
    """
    global _last
    state = len(sys.modules), next(reversed(sys.modules), "")
    if _last[:3] == (libraries, *state):
        names = _last[3]
    else:
        within = (_STANDARD, *(f"{path.rstrip('/')}/" for path in libraries))
        names = [
            name for name, module in list(sys.modules.items()) if _is_users(name, module, within)
        ]
        _last = (libraries, *state, names)
    found = {name: _digest(name) for name in names}
    return {name: digest for name, digest in found.items() if digest is not None}


def differing(modules: Mapping[str, str]) -> list[str]:
    """Those of the modules that this process has loaded from another source.

    Parameters
    ----------
    modules : mapping
        What `user_modules` said elsewhere, or at an earlier start.
    """
    return [name for name, digest in modules.items() if _digest(name) not in (None, digest)]


def file_of(name: str) -> str:
    """Where a loaded module lies."""
    return _file(sys.modules.get(name)) or name


def _is_users(name: str, module: Any, libraries: tuple[str, ...]) -> bool:
    if name in ("pypool", "__mp_main__") or name.startswith("pypool."):
        return False
    file = _file(module)
    if file is None or _origin(module) is None:
        return False
    return not file.startswith(libraries) and not any(part in file for part in _LIBRARIES)


def _digest(name: str) -> str | None:
    """Of the source as it was when the module was first seen; None if there is none."""
    module = sys.modules.get(name)
    origin = _origin(module)
    if origin is None:
        return None
    known = _digests.get(name)
    if known is None or known[0] is not origin:
        known = _digests[name] = origin, _digest_of_file(_file(module))
    return known[1]


def _digest_of_file(file: str | None) -> str | None:
    import hashlib

    if file is None:
        return None
    try:
        with io.FileIO(file) as source:
            return hashlib.sha256(source.readall()).hexdigest()
    except OSError:  # in an archive, or gone
        return None


def _origin(module: Any) -> Any:
    """Another object each time that the module is loaded; None if its code was not loaded here.

    So it is with the `__main__` of a worker, which only bears that name.
    """
    held = _held(module)
    return held.get("__spec__") or (held.get("__loader__") and module)


def _file(module: Any) -> str | None:
    file = _held(module).get("__file__")
    # it is compiled elsewhere, if it is not this
    return os.path.abspath(file) if isinstance(file, str) and file.endswith(".py") else None  # noqa: PTH100


def _held(module: Any) -> dict[str, Any]:
    """A module's dictionary; one that is loaded late is not loaded for that."""
    if not isinstance(module, types.ModuleType):
        return {}
    held: dict[str, Any] = object.__getattribute__(module, "__dict__")
    return held
