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
    """Whether a file is there, and not everybody can have put it there.

    Settings and templates hold shell: one that is found, not named, must not be anybody's.
    """
    try:
        link, file, folder = path.lstat(), path.stat(), path.parent.stat()
    except OSError:
        return False
    if not stat.S_ISREG(file.st_mode):
        return False
    ours = {link.st_uid, file.st_uid} <= {os.getuid(), 0}
    if not (file.st_mode & stat.S_IWOTH or (folder.st_mode & stat.S_IWOTH and not ours)):
        return True
    if path not in _said:
        _said.add(path)
        log.warning("%s is left alone: everybody can write there", path)
    return False
