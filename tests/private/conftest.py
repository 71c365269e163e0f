"""Clusters of a test's own."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .slurm import PATH, PrivateSlurm, missing_daemons

StartSlurm = Callable[..., PrivateSlurm]


@pytest.fixture
def start_slurm(monkeypatch: pytest.MonkeyPatch) -> Iterator[StartSlurm]:
    """Starts a Slurm, see `PrivateSlurm`, and makes it the one that commands reach."""
    missing = missing_daemons()
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    made: list[PrivateSlurm] = []
    places: list[Path] = []

    def start(nodes: int = 1, cpus: int = 8, **settings: object) -> PrivateSlurm:
        places.append(Path(tempfile.mkdtemp(prefix="pypool-slurm-")))  # tmp_path is too long
        places[-1].chmod(0o755)
        made.append(PrivateSlurm(places[-1], nodes, cpus, **settings))
        monkeypatch.setenv("SLURM_CONF", str(made[-1].conf))
        monkeypatch.setenv("PATH", PATH)
        return made[-1]

    yield start
    for slurm in made:
        slurm.end()
    for place in places:
        shutil.rmtree(place, ignore_errors=True)
