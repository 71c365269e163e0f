"""What each class of CPython's tests gets, what it must not leave, and how many tests passed."""

import os
import platform
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from pool.queues import await_empty_queue, jobs_in_queue, schedulers_of

from . import standins, suite


@pytest.fixture(scope="class", autouse=True)
def _our_pools(request: pytest.FixtureRequest) -> Iterator[standins.Multiprocessing | None]:
    """The stand-ins, and a working directory that all nodes see. No job and no thread may stay."""
    kind = getattr(request.cls, "KIND", None)
    if kind is None:
        yield None
        return
    before = {scheduler: jobs_in_queue(scheduler) for scheduler in schedulers_of(request)}
    cpython, _ = suite.load()
    from test import support
    from test.support import script_helper

    place = Path(tempfile.mkdtemp(prefix="pypool-test-", dir=Path.home()))
    stand_in = standins.Multiprocessing(kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("PYPOOL_WORK_DIR", os.fspath(place / "work"))
        patch.setattr(cpython, "multiprocessing", stand_in)
        patch.setattr(
            script_helper,
            "assert_python_ok",
            standins.runner(kind, script_helper.assert_python_ok),
        )
        if kind != "stdlib":  # see suite.CHANGED
            patch.setattr(cpython, "unpickleable_result", standins.return_a_lock)
        patch.setattr(support, "environment_altered", False)
        yield stand_in
        left_threads_or_processes = support.environment_altered
    try:
        for scheduler, jobs in before.items():
            await_empty_queue(scheduler, but=jobs)
    finally:
        shutil.rmtree(place)
    assert not left_threads_or_processes, "CPython's tearDownClass has printed which"


@pytest.fixture(autouse=True)
def _pools_are_ended(_our_pools: standins.Multiprocessing | None) -> Iterator[None]:
    """A test that fails may leave a pool, and would fail those behind it."""
    before = set(standins.made)
    yield
    for pool in set(standins.made) - before:
        pool.terminate()
    if _our_pools is not None:
        _our_pools.check_processes()


@pytest.fixture(autouse=True)
def _queues_are_left_empty() -> None:
    """Looked at when a class ends: its pool stays from test to test."""


# ---- the count


def pytest_itemcollected(item: pytest.Item) -> None:
    kind = getattr(getattr(item, "cls", None), "KIND", None)
    if kind is not None:
        applies = not hasattr(item.obj, "__unittest_skip__")
        of_it = item.cls.__bases__[0].__name__
        changed = kind != "stdlib" and f"{of_it}.{item.name}" in suite.CHANGED
        item.user_properties += [("pool", kind), ("applies", applies), ("changed", changed)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for each kind of pool: how many tests passed, of how many that apply to it."""
    tests: dict[str, dict[str, set[str]]] = {kind: defaultdict(set) for kind in suite.KINDS}
    for outcome, reports in terminalreporter.stats.items():
        for report in reports:
            properties = dict(getattr(report, "user_properties", ()))
            if isinstance(report, pytest.TestReport) and "applies" in properties:
                of_kind = tests[properties["pool"]]
                of_kind[outcome if properties["applies"] else "beside"].add(report.nodeid)
                if properties["changed"]:
                    of_kind["changed"].add(report.nodeid)
    if any(tests.values()):
        python = platform.python_version()
        terminalreporter.write_sep("=", f"CPython's own tests of pools, of Python {python}")
    for kind, of_kind in tests.items():
        if of_kind:
            failed = of_kind["failed"] | of_kind["error"]
            passed = of_kind["passed"] - failed
            applicable = passed | failed | of_kind["skipped"]
            terminalreporter.write_line(
                f"{kind:8}{len(passed)} passed of {len(applicable)} that apply, "
                f"{len(of_kind['changed'])} of them changed; {len(of_kind['skipped'])} skipped; "
                f"{len(of_kind['beside'])} do not apply"
            )
