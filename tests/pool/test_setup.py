"""Setup and teardown around real agents. What bash makes of them is tested by the job script."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import pypool

from . import tasks
from .conftest import MakePool
from .scripts import wait_until

pytestmark = pytest.mark.parametrize(
    "backend",
    [pytest.param("shell"), pytest.param("slurm", marks=pytest.mark.slurm)],
    indirect=True,
)


@pytest.fixture
def torn_down(shared_dir: Path) -> Path:
    """Where teardown says whether the agent was gone by then."""
    return shared_dir / "torn down"


@pytest.fixture
def pool(make_pool: MakePool, shared_dir: Path, torn_down: Path) -> Iterator[pypool.Pool]:
    """One element, whose agent's process id is written down; in the end teardown is waited for."""
    alive = f"kill -0 $(cat '{shared_dir}/agent') 2>/dev/null && echo alive || echo gone"
    pool = make_pool(
        processes=1,
        setup=["export FROM_SETUP='so and so'", "export AND=$((6 * 7))", "umask 022"],
        teardown=f"({alive}) >'{torn_down}.new'; mv '{torn_down}.new' '{torn_down}'",
    )
    (agent,) = pool.map(tasks.agent, [0])
    (shared_dir / "agent").write_text(str(agent))
    yield pool
    pool.terminate()
    assert wait_until(torn_down.exists, 20)


def at_work(pool: pypool.Pool, shared_dir: Path) -> None:
    """It is in the middle of a task."""
    pool.map_async(tasks.begin_and_sleep, [str(shared_dir / "begun")])
    assert wait_until((shared_dir / "begun").exists)


def says_gone(torn_down: Path) -> bool:
    return wait_until(torn_down.exists, 20) and torn_down.read_text() == "gone\n"


def test_tasks_see_what_setup_has_set(pool: pypool.Pool) -> None:
    """The environment of the agent is that of its script."""
    assert pool.map(tasks.environment, ["FROM_SETUP", "AND"]) == ["so and so", "42"]


def test_teardown_comes_at_the_end(pool: pypool.Pool, torn_down: Path) -> None:
    """When the agent has left."""
    assert not torn_down.exists()
    pool.close()
    pool.join()
    assert says_gone(torn_down)


def test_teardown_comes_after_terminate(
    pool: pypool.Pool, shared_dir: Path, torn_down: Path
) -> None:
    """With a task at work the element is cancelled: that is a SIGTERM, and then some seconds."""
    at_work(pool, shared_dir)
    pool.terminate()
    assert says_gone(torn_down)


def test_teardown_comes_when_an_agent_was_killed(
    pool: pypool.Pool, shared_dir: Path, torn_down: Path
) -> None:
    """Its script has survived it."""
    os.kill(int((shared_dir / "agent").read_text()), signal.SIGKILL)
    assert says_gone(torn_down)


def test_teardown_comes_when_somebody_cancels_the_job(
    backend: str, pool: pypool.Pool, shared_dir: Path, torn_down: Path
) -> None:
    """By Slurm's own command; Grid Engine's kills without a warning."""
    if backend != "slurm":
        pytest.skip("this is about Slurm's own command")
    at_work(pool, shared_dir)
    (job,) = {path.name.split("_")[0] for path in shared_dir.glob("work/*/scheduler/*")}
    subprocess.run(["scancel", job], check=True)
    assert says_gone(torn_down)
