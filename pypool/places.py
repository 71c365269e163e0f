"""Where settings and templates are looked for, and from whom they are taken."""

import logging
import os
import stat
from collections.abc import Mapping
from pathlib import Path

log = logging.getLogger("pypool")

_said: set[Path] = set()


def user_and_site(environment: Mapping[str, str]) -> list[Path]:
    """The directories of the user's and of the site's settings.

    By the XDG Base Directory Specification, version 0.8: `pypool` in $XDG_CONFIG_HOME, else in
    ~/.config; in the parts of $XDG_CONFIG_DIRS, else in /etc/xdg.
    """
    own = environment.get("XDG_CONFIG_HOME") or _home(environment) + "/.config"
    sites = (environment.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
    return [Path(folder) / "pypool" for folder in [own, *sites] if folder.startswith("/")]


def _home(environment: Mapping[str, str]) -> str:
    """$HOME, else what the system knows; if it knows nothing, no absolute path."""
    return environment.get("HOME") or os.path.expanduser("~")  # noqa: PTH111 - it never fails


def is_trusted(path: Path) -> bool:
    """Whether a file is there, and nobody else can have put it there.

    Settings and templates hold shell: one that is found beside the program or above it, and was
    not named, must be our own or root's, as git demands of a repository's settings.
    """
    try:
        link, file = path.lstat(), path.stat()
    except OSError:
        return False
    if not stat.S_ISREG(file.st_mode):
        return False
    ours = {link.st_uid, file.st_uid} <= {os.getuid(), 0}
    if ours and not file.st_mode & stat.S_IWOTH:
        return True
    if path not in _said:
        _said.add(path)
        why = "it belongs to somebody else" if not ours else "everybody can write to it"
        log.warning("%s is left alone: %s", path, why)
    return False
