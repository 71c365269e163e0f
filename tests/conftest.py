"""What every test may rely on: no cluster, no cluster tests; and nobody leaves anything behind.

A test marked ``slurm`` or ``sge`` is skipped if no such cluster answers, and fails if a job of this
user is still queued 15 seconds after it. At the end of the session no worker process of pypool may
be left.
"""

import errno
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pool.queues import await_empty_queue, jobs_in_queue, schedulers_of

WORKERS_END_WITHIN = 5.0  # seconds
JOBS_END_WITHIN = 15.0
WORKER = re.compile(r"pypool[/.]worker")
SESSION = "PYPOOL_TEST_SESSION"
os.environ[SESSION] = uuid.uuid4().hex  # every agent and worker inherits it


# ---- several processes of pytest (`-n 4 --dist loadgroup`)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a scheduler are run one after the other, since they look at its queue.

    Those of one file share pools, but for those that only wait: they are spread.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    for item in items:
        schedulers = [name for name in ("slurm", "sge") if item.get_closest_marker(name)]
        waits = item.get_closest_marker("waits") is not None
        group = schedulers[0] if schedulers else item.nodeid if waits else item.path.stem
        item.add_marker(pytest.mark.xdist_group(group))


# ---- clusters


@pytest.fixture(autouse=True)
def _queues_are_left_empty(request: pytest.FixtureRequest) -> Iterator[None]:
    before = {scheduler: jobs_in_queue(scheduler) for scheduler in schedulers_of(request)}
    yield
    for scheduler, jobs in before.items():
        await_empty_queue(scheduler, but=jobs)


@pytest.fixture
def shared_home() -> Iterator[Path]:
    """A directory in the user's home, which every node sees (a node's /tmp is often its own)."""
    directory = Path(tempfile.mkdtemp(prefix="pypool-test-", dir=Path.home()))
    yield directory
    deadline = time.monotonic() + JOBS_END_WITHIN
    while True:
        try:
            return shutil.rmtree(directory)
        except OSError as error:  # a job that has just been cancelled may still make its log
            if error.errno != errno.ENOTEMPTY or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


# ---- processes


def worker_processes() -> dict[int, str]:
    """This session's worker processes, by process id. Zombies have no command line any more."""
    tag = f"{SESSION}={os.environ[SESSION]}".encode()
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.stat().st_uid != os.getuid():
                continue
            if tag not in (entry / "environ").read_bytes():
                continue
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended while we looked
            continue
        if WORKER.search(command) and int(entry.name) != os.getpid():
            found[int(entry.name)] = command.strip()
    return found


def left_processes(before: dict[int, str]) -> dict[int, str]:
    deadline = time.monotonic() + WORKERS_END_WITHIN
    while left := {p: c for p, c in worker_processes().items() if before.get(p) != c}:
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    return left


_workers_before = pytest.StashKey[dict[int, str]]()


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[_workers_before] = worker_processes()


def pytest_sessionfinish(session: pytest.Session) -> None:
    for pid, command in left_processes(session.config.stash[_workers_before]).items():
        _report_error(session, f"worker process {pid} left by this session", command)


def _report_error(session: pytest.Session, name: str, message: str) -> None:
    """Counts and shows as an error of the session what no single test can be blamed for."""
    report = pytest.TestReport(
        nodeid=name,
        location=("", None, name),
        keywords={},
        outcome="failed",
        longrepr=message,
        when="teardown",
    )
    session.config.hook.pytest_runtest_logreport(report=report)
    if session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
