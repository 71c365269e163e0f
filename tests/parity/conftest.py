"""One warm pool for all tests of a kind, fresh ones for some, and the table at the end.

Tests are run kind by kind, whatever file they are in, so that each kind's pool is made once and
the seconds of the kinds can be told apart. The table of methods and kinds stands in pytest's own
summary: `pytest tests/parity`.
"""

import os
import shutil
import tempfile
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pool.queues import await_empty_queue, jobs_in_queue, schedulers_of
from pool.scripts import Driver

from . import tasks
from .kinds import CLUSTERS, PATIENCE, SIZES, AnyPool, MakePool, new_pool, parameter

HERE = Path(__file__).parent
KINDS = list(SIZES)


@pytest.fixture(params=[parameter(kind) for kind in KINDS])
def kind(request: pytest.FixtureRequest) -> str:
    """Each pool's name in turn."""
    name: str = request.param
    return name


# ---- pools


WARM: dict[str, dict[str, Any]] = {kind: {"linger": "10m"} for kind in CLUSTERS}
"""Workers stay though many tests in a row use pools of their own."""


def gather(pool: AnyPool, count: int, place: Path) -> None:
    """All workers are there from the first test on: nothing is submitted between two tests."""
    place.mkdir()
    rows = [(str(place), number, count) for number in range(count)]
    pool.map_async(tasks.meet, rows, 1).get(PATIENCE)


class WarmPool:
    """The pool of the kind that is at test; it is closed when another kind's turn has come."""

    def __init__(self) -> None:
        self._kind = ""
        self._pool: AnyPool | None = None
        self._place: Path | None = None

    def of(self, kind: str) -> AnyPool:
        if self._pool is None or self._kind != kind:
            self.end()
            self._kind = kind
            self._place = Path(tempfile.mkdtemp(prefix="pypool-test-", dir=Path.home()))
            self._pool = new_pool(kind, self._place, **WARM.get(kind, {}))
            if kind in CLUSTERS:
                gather(self._pool, SIZES[kind], self._place / "meeting")
        return self._pool

    def end(self) -> None:
        if self._pool is not None:
            pool, self._pool = self._pool, None
            pool.close()
            pool.join()
        if self._place is not None:
            shutil.rmtree(self._place)
            self._place = None
        if self._kind in CLUSTERS:
            await_empty_queue(self._kind)


@pytest.fixture(scope="package")
def warm_pool() -> Iterator[WarmPool]:
    """Holds one pool at a time."""
    warm = WarmPool()
    yield warm
    warm.end()


@pytest.fixture
def pool(kind: str, warm_pool: WarmPool, _queues_are_left_empty: None) -> AnyPool:
    """This kind's warm pool. Who uses it leaves it running."""
    return warm_pool.of(kind)


@pytest.fixture
def shared_dir(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An empty directory which driver and workers see."""
    if kind not in CLUSTERS:
        return tmp_path
    directory: Path = request.getfixturevalue("shared_home")
    return directory


@pytest.fixture
def make_pool(kind: str, shared_dir: Path) -> Iterator[MakePool]:
    """Makes pools of this test alone; they are terminated at its end."""
    made: list[AnyPool] = []

    def make(*arguments: Any, **options: Any) -> AnyPool:
        made.append(new_pool(kind, shared_dir / "work", *arguments, **options))
        return made[-1]

    yield make
    for pool in made:
        pool.terminate()


@pytest.fixture
def driver(kind: str, shared_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    """Runs programs that know nothing of where they run: a pool's options come from outside."""
    monkeypatch.setenv("PYPOOL_WORK_DIR", os.fspath(shared_dir / "work"))
    driver = Driver(kind, SIZES[kind], shared_dir, mark=uuid.uuid4().hex)
    yield driver
    driver.end()


@pytest.fixture(autouse=True)
def _queues_are_left_empty(request: pytest.FixtureRequest) -> Iterator[None]:
    """As for all other tests, but for the jobs of the warm pool."""
    schedulers = schedulers_of(request)
    warm = "pool" in request.fixturenames
    before = {name: jobs_in_queue(name) for name in schedulers if not warm}
    yield
    for scheduler, jobs in before.items():
        await_empty_queue(scheduler, but=jobs)


# ---- kind by kind


def _parameters(item: pytest.Item) -> dict[str, Any]:
    return (
        item.callspec.params
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        else {}
    )


def _turn(item: pytest.Item) -> int:
    kind = _parameters(item).get("kind")
    return KINDS.index(kind) if kind in KINDS else -1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts the tests of this folder, in the places that they have among all others."""
    places = [number for number, item in enumerate(items) if HERE in item.path.parents]
    tests = sorted((items[number] for number in places), key=_turn)
    for number, item in zip(places, tests, strict=True):
        items[number] = item


# ---- the table: what passed, method by kind


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Notes with each report in which cell of the table it counts."""
    outcome: Any = yield
    parameters = _parameters(item)
    method = parameters.get("method", item.path.stem.removeprefix("test_"))
    cell = (method, parameters.get("kind", "all"))
    outcome.get_result().user_properties.append(("parity", cell))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints passed/run of each method on each kind, and the seconds of each kind."""
    passed: Counter[tuple[str, str]] = Counter()
    failed: dict[tuple[str, str], set[str]] = defaultdict(set)
    seconds: Counter[str] = Counter()
    for outcome, reports in terminalreporter.stats.items():
        for report in reports:
            properties = dict(getattr(report, "user_properties", ()))
            if "parity" not in properties:
                continue
            cell = tuple(properties["parity"])
            seconds[cell[1]] += report.duration
            if outcome == "passed":
                passed[cell] += 1
            elif outcome in ("failed", "error"):
                failed[cell].add(report.nodeid)
    if seconds:
        terminalreporter.section("parity: passed of run")
        for line in _table(passed, failed, seconds):
            terminalreporter.write_line(line)


def _table(
    passed: Counter[tuple[str, str]],
    failed: dict[tuple[str, str], set[str]],
    seconds: Counter[str],
) -> Iterator[str]:
    cells = passed.keys() | failed.keys()
    kinds = [kind for kind in ("all", *KINDS) if any(kind == cell[1] for cell in cells)]
    yield f"{'':<16}" + "".join(f"{kind:>16}" for kind in kinds)
    for method in sorted({method for method, _ in cells}):
        row = [(passed[method, kind], len(failed[method, kind])) for kind in kinds]
        counts = [f"{good}/{good + bad}" if good + bad else "-" for good, bad in row]
        yield f"{method:<16}" + "".join(f"{count:>16}" for count in counts)
    yield f"{'seconds':<16}" + "".join(f"{seconds[kind]:>16.1f}" for kind in kinds)
