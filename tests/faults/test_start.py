"""Elements that cannot begin: a few of them are enough, and the message says why."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import pypool

from .clusters import Cluster, finish, headline, message, until
from .conftest import Noticed
from .places import on_site, takes_long
from .rows import failure
from .tasks import PATIENCE

SAID_WITHIN = 75.0  # seconds: a minute, and a busy machine
FAILS_WITHIN = 120.0
FEW = 6
"""Elements that may be tried for nothing, with two to a submission."""

Said = Callable[[], list[str]]


def fails(cluster: Cluster, pool: pypool.Pool) -> tuple[str, float]:
    """What the call raises, and after how many seconds."""
    began_at = time.monotonic()
    handle = cluster.starts(pool, 4)
    with pytest.raises(pypool.PoolError) as caught:
        handle.get(FAILS_WITHIN)
    seconds = time.monotonic() - began_at
    assert not cluster.begun()
    return message(caught.value), seconds


def ends(cluster: Cluster, pool: pypool.Pool) -> None:
    finish(pool)
    cluster.nothing_is_left(files=False)


def tried(cluster: Cluster) -> int:
    """Elements that were asked for."""
    return len(list(cluster.work_dir.glob("*/scheduler/*")))


@failure("There is no Python on the node")
@takes_long(200)
@on_site("slurm", "sge")
def test_no_python(cluster: Cluster, noticed: Noticed) -> None:
    """The message has the log of an element, the path and the script."""
    pool = cluster.pool(2, python="/nonexistent/python3")
    said, seconds = fails(cluster, pool)
    assert "/nonexistent/python3" in said
    assert "job.sh" in said
    assert tried(cluster) <= FEW
    ends(cluster, pool)
    noticed('python="/nonexistent/python3"', headline(said), seconds)


@failure("The directory of the logs cannot be written")
@takes_long(200)
@on_site("slurm", "sge")
def test_logs(
    cluster: Cluster, noticed: Noticed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler can open no file there: it fails the element, or holds it in an error state."""
    forbid_logs(cluster, tmp_path, monkeypatch)
    pool = cluster.pool(2)
    try:
        said, seconds = fails(cluster, pool)
    finally:
        for logs in cluster.work_dir.glob("*/scheduler"):
            logs.chmod(0o700)
    assert "scheduler" in said
    ends(cluster, pool)
    noticed("chmod 500 before the submission", headline(said), seconds)


def forbid_logs(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a command of the same name before the scheduler's: it takes the right away first."""
    name = "sbatch" if cluster.name == "slurm" else "qsub"
    real = shutil.which(name)
    script = tmp_path / "bin" / name
    script.parent.mkdir()
    script.write_text(f'#!/bin/bash\nchmod 500 {cluster.work_dir}/*/scheduler\nexec {real} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")


@failure("Elements are held")
@on_site("slurm", "sge")
def test_held(cluster: Cluster, said: Said, noticed: Noticed) -> None:
    """It is said within a minute, with what releases them; then all goes on."""
    hold, release = {
        "slurm": ("--hold", ("scontrol", "release")),
        "sge": ("-h", ("qrls",)),
    }[cluster.name]
    pool = cluster.pool(2, directives=hold)
    began_at = time.monotonic()
    handle = cluster.starts(pool, 4)
    until(lambda: any(" ".join(release) in line for line in said()), SAID_WITHIN, "nothing said")
    said_at = time.monotonic()
    (line,) = [line for line in said() if " ".join(release) in line]
    jobs = {element.split("_")[0].split(".")[0] for element in cluster.elements()}
    cluster.command(*release, *jobs)
    cluster.go()
    cluster.is_right(handle.get(PATIENCE), 4)
    finish(pool)
    cluster.nothing_is_left()
    noticed(f"directives={hold!r}", headline(line), said_at - began_at)


@failure("What is asked for does not exist")
@takes_long(200)
@on_site("slurm", "sge")
def test_impossible(cluster: Cluster, said: Said, noticed: Noticed) -> None:
    """More time than the queue gives, more memory than any host has: said, or raised."""
    options, words = {
        "slurm": ({"queue": "short", "time": "1h"}, "PartitionTimeLimit"),
        "sge": ({"memory": "900G"}, "memory"),
    }[cluster.name]
    pool = cluster.pool(2, **options)
    began_at = time.monotonic()
    handle = cluster.starts(pool, 4)

    def told() -> str:
        if handle.ready():
            with pytest.raises(pypool.PoolError) as caught:
                handle.get(0)
            return message(caught.value)
        return next((line for line in said() if words in line), "")

    line = until(told, SAID_WITHIN, "nothing is said")
    seconds = time.monotonic() - began_at
    assert words in line
    pool.terminate()
    pool.join()
    cluster.nothing_is_left(files=False)
    by = ", ".join(f"{name}={value!r}" for name, value in options.items())
    noticed(by, headline(line), seconds)
