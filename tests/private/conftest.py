"""Clusters of a test's own."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .sge import PrivateSge, missing_sge
from .slurm import PATH, PrivateSlurm, missing_daemons

StartSlurm = Callable[..., PrivateSlurm]
StartSge = Callable[..., PrivateSge]


@pytest.fixture
def start_slurm(monkeypatch: pytest.MonkeyPatch) -> Iterator[StartSlurm]:
    """Starts a Slurm, see `PrivateSlurm`, and makes it the one that commands reach."""
    missing = missing_daemons()
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    made: list[PrivateSlurm] = []
    places: list[Path] = []

    def start(nodes: int = 1, cpus: int = 8, **settings: object) -> PrivateSlurm:
        places.append(_new_place("pypool-slurm-"))
        made.append(PrivateSlurm(places[-1], nodes, cpus, **settings))
        monkeypatch.setenv("SLURM_CONF", str(made[-1].conf))
        monkeypatch.setenv("PATH", PATH)
        return made[-1]

    yield start
    for slurm in made:
        slurm.end()
    for place in places:
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def start_sge(monkeypatch: pytest.MonkeyPatch) -> Iterator[StartSge]:
    """Starts a Grid Engine, see `PrivateSge`, and makes it the one that commands reach."""
    missing = missing_sge()
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    made: list[PrivateSge] = []
    places: list[Path] = []

    def start(slots: int = 8, **settings: object) -> PrivateSge:
        places.append(_new_place("pypool-sge-"))
        made.append(PrivateSge(places[-1], slots, **settings))
        for name, value in made[-1].environment.items():
            monkeypatch.setenv(name, value)
        return made[-1]

    yield start
    for sge in made:
        sge.end()
    for place in places:
        shutil.rmtree(place, ignore_errors=True)


def _new_place(prefix: str) -> Path:
    """Not below `tmp_path`, whose name is too long for a socket."""
    place = Path(tempfile.mkdtemp(prefix=prefix))
    place.chmod(0o755)
    return place
