"""An environment of its own for each peer, made when it is first needed and kept.

Peers want different versions of the same libraries, and none of them shall find its way into the
environment that pypool is measured in.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.known import Known

ALL_NEED = ("cloudpickle", "numpy")
STAMP = "installed"


class NotInstalled(Exception):
    """A peer that there is no environment for; says why."""


def default_cache() -> Path:
    """In the user's home unless told: the nodes of a cluster must see it too."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pypool-bench"


def python_of(peer: Known, cache: Path) -> str:
    """The interpreter that runs this peer's adapter.

    Raises
    ------
    NotInstalled
        If pip could not install what it needs.
    """
    if not peer.packages:
        return sys.executable
    place = cache / peer.name
    stamp = place / STAMP
    wanted = " ".join((sys.version.split()[0], *ALL_NEED, *peer.packages))
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"Installing {peer.name} into {place} ...", file=sys.stderr, flush=True)
        install(place, [*ALL_NEED, *peer.packages])
        stamp.write_text(wanted)
    return str(place / "bin" / "python")


def install(place: Path, packages: list[str]) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    run([sys.executable, "-m", "venv", str(place)])
    run([str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", *packages])


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it says nothing"]
        raise NotInstalled(f"{' '.join(command[:5])} ended with {done.returncode}: {lines[-1]}")
