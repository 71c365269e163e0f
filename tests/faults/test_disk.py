"""The disk is full, or what is on it is removed."""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import pypool

from . import tasks
from .clusters import Cluster, finish, headline, message, until
from .conftest import Noticed
from .places import on_site, takes_long
from .rows import failure
from .tasks import PATIENCE

MEBIBYTE = 1 << 20
RAISED_WITHIN = 60.0  # seconds


@pytest.fixture
def small_disk(cluster: Cluster) -> Iterator[Path]:
    """A directory on a disk of a few MiB; it is emptied afterwards."""
    place = os.environ.get("PYPOOL_TEST_SMALL_DISK")
    if not place:
        pytest.skip("PYPOOL_TEST_SMALL_DISK names no small disk: `sudo make clusters` makes one")
    with Path(place, "turn").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # it is too small for two tests at once
        directory = Path(place, cluster.mark)
        directory.mkdir(mode=0o700)
        yield directory
        for pool in cluster.pools:
            pool.terminate()
        shutil.rmtree(directory)


@failure("The disk is full")
@takes_long(500)
@on_site("slurm", "sge")
def test_full(cluster: Cluster, small_disk: Path, noticed: Noticed) -> None:
    """Path and numbers are told; with room made, the named run goes on where it was."""
    count, room = 10, 4
    filler = small_disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - room * MEBIBYTE))
    options = {"work_dir": small_disk / "work", "name": "survey"}
    call = (count, tasks.zeros, str(cluster.place), MEBIBYTE)

    pool = cluster.pool(2, **options)
    handle = cluster.starts(pool, *call)
    with pytest.raises(pypool.RunDirectoryError) as caught:
        handle.get(PATIENCE)
    raised_at = time.monotonic()
    said = message(caught.value)
    assert str(small_disk / "work" / "survey") in said
    assert "No space left" in said
    assert re.search(r"\d+ (bytes|KiB|MiB)", said), said
    pool.terminate()
    pool.join()
    before = cluster.executions()
    seconds = raised_at - cluster.begun()[-1].at

    filler.unlink()
    pool = cluster.pool(2, **options)
    results = cluster.starts(pool, *call).get(PATIENCE)
    assert results == [tasks.zeros_of(MEBIBYTE, index) for index in range(count)]
    safe = [index for index in before if cluster.executions()[index] == before[index]]
    assert safe, "what was safe has been done again"
    finish(pool)
    cluster.nothing_is_left()
    line = headline(said)
    noticed(f"{count} MiB of results, {room} MiB of room", line, seconds)


@failure("The directory of the run is removed")
@on_site("slurm", "sge")
def test_removed(cluster: Cluster, noticed: Noticed) -> None:
    """The call raises, and nobody is left to work for nothing."""
    pool = cluster.pool(2)
    handle = cluster.starts(pool, 8)
    cluster.wait_for_begun(2)
    hit_at = time.monotonic()
    shutil.rmtree(cluster.work_dir)
    with pytest.raises(pypool.RunDirectoryError) as caught:
        handle.get(RAISED_WITHIN)
    seconds = time.monotonic() - hit_at
    assert str(cluster.work_dir) in message(caught.value)
    until(lambda: not (cluster.processes() or cluster.jobs_left()), 30, "not all is gone")
    pool.terminate()
    noticed("rm -r work_dir", headline(message(caught.value)), seconds)
