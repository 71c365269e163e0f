"""Each difference that the page of differences tells is one.

What a test shows is named as on the page. It runs on a local pool; and on CPython's, where that
does not hang: a later Python that behaves as pypool does is noticed here.
"""

import asyncio
import logging
import multiprocessing
import multiprocessing.pool
import os
import re
import string
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pypool
import pypool.local
import pypool.serial
from pypool.machine import usable_cpus

from . import tasks
from .pages import DOCS
from .tasks import PATIENCE
from .test_blocks import FORK, run

PAGE = DOCS / "explanation" / "differences.md"
TITLES = re.findall(r"^\* \*\*(.+?)\*\*", PAGE.read_text(), re.MULTILINE)

NOT_SHOWN = {
    "What tasks print on a cluster goes to files.": "tests/pool has it, with a cluster",
    "[Options](../reference/options.md)": "they have a page and tests of their own",
}

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

Make = Callable[..., Any]

shown: list[str] = []


def shows(*titles: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The test shows these differences."""
    shown.extend(titles)
    return lambda test: test


def cpython(
    processes: int | None = 2, *arguments: Any, **options: Any
) -> multiprocessing.pool.Pool:
    """A pool of the standard library with workers that are forks."""
    return multiprocessing.get_context("fork").Pool(processes, *arguments, **options)


def ours(processes: int | None = 2, *arguments: Any, **options: Any) -> pypool.Pool:
    return pypool.local.Pool(processes, *arguments, **options)


BOTH = [cpython, ours]


@pytest.fixture(scope="module")
def theirs() -> Iterator[multiprocessing.pool.Pool]:
    """CPython's pool, for tests that leave it as it is."""
    with cpython() as pool:
        yield pool


@pytest.fixture(scope="module")
def pool() -> Iterator[pypool.Pool]:
    """Ours."""
    with ours() as pool:
        yield pool


def on_both(body: str, directory: Path) -> list[list[str]]:
    """What a script prints with CPython's pool, and what with ours."""
    modules = ("multiprocessing", "pypool.local")
    return [
        run(module, f"{FORK}\nfrom {module} import Pool\n{body}", directory).splitlines()
        for module in modules
    ]


def outcomes(results: Iterator[Any]) -> list[Any]:
    """What an iterator gives: results, types of exceptions; up to its end."""
    found: list[Any] = []
    while True:
        try:
            found.append(next(results))
        except StopIteration:
            return found
        except Exception as error:
            found.append(type(error))


# ---- what travels


@pytest.fixture
def changed_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(string, "answer", 42, raising=False)


@shows("Arrays that are read-only arrive so")
def test_read_only_arrays(pool: pypool.Pool, theirs: multiprocessing.pool.Pool) -> None:
    array = np.zeros(3)
    array.flags.writeable = False
    assert pool.map(tasks.is_writable, [array]) == [False]
    if sys.version_info < (3, 14):
        assert theirs.map(tasks.is_writable, [array]) == [True]


@shows("Changes of imported modules do not travel.")
@pytest.mark.usefixtures("changed_module")
def test_modules() -> None:
    with cpython(1) as forks, ours(1) as plain, ours(1, tasks.set_answer, (42,)) as told:
        assert forks.map(tasks.answer, [0]) == [42]
        assert plain.map(tasks.answer, [0]) == [None]
        assert told.map(tasks.answer, [0]) == [42]


@shows("Settings of libraries do not travel either")
def test_settings() -> None:
    logging.getLogger("differences").setLevel(logging.DEBUG)
    with cpython(1) as forks, ours(1) as pool:
        assert forks.map(tasks.level, ["differences"]) == [logging.DEBUG]
        assert pool.map(tasks.level, ["differences"]) == [logging.NOTSET]


@shows("Globals of your script travel as they are at the call")
def test_globals_of_the_script(tmp_path: Path) -> None:
    script = """
factor = 1

def scale(number):
    return factor * number

with Pool(1) as pool:
    print(pool.map(scale, [10]))
    factor = 3
    print(pool.map(scale, [10]))
"""
    assert on_both(script, tmp_path) == [["[10]", "[10]"], ["[10]", "[30]"]]


@shows("Strings have other hashes in workers than in your program")
def test_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    with cpython(2) as forks:
        assert set(forks.map(hash, ["text"] * 4, 1)) == {hash("text")}
    with ours(2, maxtasksperchild=1) as pool:
        (found,) = set(pool.map(hash, ["text"] * 4, 1))
        assert found != hash("text")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    with ours(1) as one, ours(1) as other:
        assert one.map(hash, ["text"]) == other.map(hash, ["text"])


@shows("A global that a task has set stays set in its worker")
def test_globals_that_tasks_set(tmp_path: Path) -> None:
    script = """
last = 0

def remember(number):
    global last
    before, last = last, number
    return before

with Pool(1) as pool:
    print(pool.map(remember, [1, 2]), pool.map(remember, [3]), last)
"""
    assert on_both(script, tmp_path) == [["[0, 1] [2] 0"]] * 2


@shows("Random numbers differ from worker to worker.")
def test_random_numbers(tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    np.random.random()  # CPython's workers inherit a generator that is there
    found = []
    for number, make in enumerate(BOTH):
        meeting = tmp_path / str(number)
        meeting.mkdir()
        with make(2) as pool:
            rows = [(str(meeting), worker, 2) for worker in range(2)]
            found.append(len(set(pool.starmap(tasks.random_number, rows, 1))))
    assert found == [1, 2]


@shows("Globals are sent, not shared.")
def test_globals_are_sent(tmp_path: Path) -> None:
    script = """
class Catalogue:
    def __reduce__(self):
        print("pickled", flush=True)
        return Catalogue, ()

catalogue = Catalogue()

def is_there(_):
    return catalogue is not None

with Pool(1) as pool:
    print(pool.map(is_there, [1]))
"""
    theirs, ours = on_both(script, tmp_path)
    assert theirs == ["[True]"]
    assert set(ours) == {"pickled", "[True]"}


@shows("Locks, queues and shared values of `multiprocessing` reach no worker.")
@pytest.mark.parametrize("name", ["Lock", "Queue", "Event", "SimpleQueue"])
def test_locks(name: str, pool: pypool.Pool, theirs: multiprocessing.pool.Pool) -> None:
    """Nor can they be items, in both."""
    shared = getattr(multiprocessing.get_context("fork"), name)()
    with cpython(1, tasks.set_unset, (shared,)) as forks:
        assert forks.map(tasks.is_set, [0]) == [True]
    with pytest.raises(RuntimeError, match="through inheritance"):
        ours(1, tasks.set_unset, (shared,))
    for either in (pool, theirs):
        with pytest.raises(RuntimeError, match="through inheritance"):
            either.map(tasks.is_set, [shared])


def test_locks_of_the_script(tmp_path: Path) -> None:
    script = """
lock = multiprocessing.Lock()

def hold(_):
    with lock:
        return "held"

with Pool(1) as pool:
    try:
        print(pool.map(hold, [1]))
    except RuntimeError as error:
        print(error)
"""
    theirs, ours = on_both(script, tmp_path)
    assert theirs == ["['held']"]
    assert "through inheritance" in ours[0]


@shows("A `multiprocessing.Manager` is for local pools.")
def test_managers(tmp_path: Path) -> None:
    elsewhere = pypool.shell.Pool(1, work_dir=tmp_path)
    with multiprocessing.get_context("fork").Manager() as manager:
        queue = manager.Queue()
        with cpython(1) as forks, ours(1) as local, elsewhere:
            forks.map(tasks.put, [queue])
            local.map(tasks.put, [queue])
            with pytest.raises(multiprocessing.AuthenticationError):
                elsewhere.map(tasks.put, [queue])
        assert queue.qsize() == 2


@shows("The initializer and its arguments are pickled when the pool is made.")
def test_initializers_are_pickled() -> None:
    argument = threading.Lock()
    with cpython(1, tasks.set_unset, (argument,)) as forks:
        assert forks.map(tasks.is_set, [0]) == [True]
    with pytest.raises(TypeError, match="pickle"):
        ours(1, tasks.set_unset, (argument,))


@shows("Items are pickled at the call.", "An iterable that takes long keeps nobody else waiting.")
def test_items_are_pickled_at_the_call() -> None:
    """While an iterable keeps CPython's only feeding thread, an item of another call changes."""
    found = []
    for make in BOTH:
        more = threading.Event()

        def wait(more: threading.Event = more) -> Iterator[int]:
            more.wait(PATIENCE)
            yield 1

        with make(1) as pool:
            waiting = pool.imap(abs, wait())
            item = [1]
            handle = pool.map_async(str, [item])
            if make is ours:
                handle.wait(PATIENCE)
            item.append(2)
            found.append(handle.ready())
            more.set()
            assert list(waiting) == [1]
            found += handle.get(PATIENCE)
    assert found == [False, "[1, 2]", True, "[1]"]


@shows("Items are pickled one by one.")
def test_items_are_pickled_one_by_one(pool: pypool.Pool, theirs: multiprocessing.pool.Pool) -> None:
    item: list[int] = []
    assert theirs.map(tasks.grow, [item, item], 2) == [1, 2]
    assert pool.map(tasks.grow, [item, item], 2) == [1, 1]


@shows("A function is loaded once in each worker.")
def test_functions_stay() -> None:
    function = tasks.Counter()
    with cpython(1) as forks, ours(1) as pool:
        assert forks.map(function, "ab", 1) + forks.map(function, "c") == [1, 1, 1]
        assert pool.map(function, "ab", 1) + pool.map(function, "c") == [1, 2, 3]
    assert function.calls == 0


@shows("Lambdas and nested functions can be sent")
def test_lambdas(pool: pypool.Pool, theirs: multiprocessing.pool.Pool) -> None:
    assert pool.map(lambda number: number + 1, [1]) == [2]
    assert pool.apply(tasks.add_one, (0,))(1) == 2
    with pytest.raises(Exception, match="pickle"):
        theirs.map(lambda number: number + 1, [1])
    with pytest.raises(multiprocessing.pool.MaybeEncodingError):
        theirs.apply(tasks.add_one, (0,))


@shows('No `if __name__ == "__main__":` is needed')
def test_unguarded_scripts(tmp_path: Path) -> None:
    script = "print('once')\nwith Pool(1) as pool:\n    print(pool.map(abs, [-1]))\n"
    assert on_both(script, tmp_path)[1] == ["once", "[1]"]
    again = "import multiprocessing\nmultiprocessing.set_start_method('spawn')\n"
    unguarded = f"{again}from pypool.local import Pool\n{script}"
    assert run("unguarded", unguarded, tmp_path).splitlines() == ["once", "[1]"]


@shows("Environment, working directory and `sys.path` are those of the first call")
def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with cpython(1) as forks, ours(1) as pool:
        monkeypatch.setenv("DIFFERENCE", "set")
        assert forks.map(tasks.variable, ["DIFFERENCE"]) == [None]
        assert pool.map(tasks.variable, ["DIFFERENCE"]) == ["set"]
        monkeypatch.setenv("DIFFERENCE", "changed")
        assert pool.map(tasks.variable, ["DIFFERENCE"]) == ["set"]


# ---- errors


@shows("The rest of a failing chunk does run.")
def test_failing_chunks(
    pool: pypool.Pool, theirs: multiprocessing.pool.Pool, tmp_path: Path
) -> None:
    touched = []
    for either in (theirs, pool):
        place = tmp_path / str(len(touched))
        place.mkdir()
        with pytest.raises(ValueError):
            either.map(tasks.touch_or_fail, [str(place / f"{n}") for n in range(4)], 4)
        touched.append(len(list(place.iterdir())))
    assert touched == [1, 4]


@shows("`map` raises the error of the lowest index", "Exceptions have a note")
def test_lowest_index(pool: pypool.Pool, theirs: multiprocessing.pool.Pool, tmp_path: Path) -> None:
    raised = []
    for number, either in enumerate((theirs, pool)):
        rows = [(str(tmp_path / f"{number}"), index) for index in range(2)]
        with pytest.raises(ValueError) as caught:
            either.starmap(tasks.fail_late, rows, 1)
        raised.append(caught.value)
    assert [error.args for error in raised] == [(1,), (0,)]
    assert not hasattr(raised[0], "__notes__")
    where, others = raised[1].__notes__
    assert where.startswith("pypool: task 0 of call ")
    assert "1 other task raised" in others


@shows("`imap` goes on behind an error, whatever the `chunksize`.")
@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_imap_goes_on(method: str, pool: pypool.Pool, theirs: multiprocessing.pool.Pool) -> None:
    items = [1, 2, 3]
    lazily = [getattr(either, method)(tasks.fail_even, items, 3) for either in (theirs, pool)]
    assert [outcomes(results) for results in lazily] == [[ValueError], [1, ValueError, 3]]


@shows("A map with an item that cannot be pickled runs nothing")
def test_items_that_do_not_pickle(
    pool: pypool.Pool, theirs: multiprocessing.pool.Pool, tmp_path: Path
) -> None:
    touched = []
    for either in (theirs, pool):
        path = tmp_path / str(len(touched))
        handle = either.map_async(tasks.touch, [str(path), threading.Lock()], 1)
        with pytest.raises(TypeError, match="pickle"):
            handle.get(PATIENCE)
        touched.append(path.exists())
    assert touched == [True, False]
    items = [1, threading.Lock(), 3]
    lazily = [outcomes(either.imap(tasks.negative, items, 3)) for either in (theirs, pool)]
    assert lazily == [[TypeError], [-1, TypeError, -3]]


@shows("A function that cannot be pickled is told once by `imap`")
def test_functions_that_do_not_pickle(pool: pypool.Pool, theirs: multiprocessing.pool.Pool) -> None:
    function = threading.Lock().acquire
    assert outcomes(theirs.imap(function, "abc")) == [TypeError] * 3
    assert outcomes(pool.imap(function, "abc")) == [TypeError]


@shows("A `chunksize` below 1 is a `ValueError`")
def test_chunksize(pool: pypool.Pool, theirs: multiprocessing.pool.Pool) -> None:
    assert theirs.map(tasks.negative, [1, 2], 0) == [None, None]
    for method in (pool.map, pool.map_async, pool.starmap, pool.imap, pool.imap_unordered):
        with pytest.raises(ValueError, match="chunksize=0"):
            method(tasks.negative, [1, 2], 0)


@shows("A terminated pool tells who waits")
def test_ended_pools(tmp_path: Path) -> None:
    pool = ours(1)
    handle = pool.apply_async(tasks.await_file, (tmp_path / "never",))
    lazily = pool.imap(tasks.await_file, [tmp_path / "never"])
    pool.terminate()
    with pytest.raises(pypool.PoolError, match="terminated"):
        handle.get()
    with pytest.raises(pypool.PoolError, match="terminated"):
        next(lazily)


# ---- where CPython hangs


@shows("A worker that dies does not hang the call.")
def test_deaths(pool: pypool.Pool, tmp_path: Path) -> None:
    assert pool.apply(tasks.die_once, (str(tmp_path / "died"),)) > 0
    with pytest.raises(pypool.WorkerLostError, match="lost 3 times"):
        pool.apply(os._exit, (1,))


@shows("`SystemExit` and `KeyboardInterrupt` in a task come back as exceptions.")
def test_exits(pool: pypool.Pool) -> None:
    with pytest.raises(SystemExit, match="number 1"):
        pool.map(tasks.leave, [1])


@shows("Exceptions that cannot be unpickled come back all the same")
def test_exceptions_that_do_not_unpickle(pool: pypool.Pool) -> None:
    with pytest.raises(tasks.TwoArguments, match=r"^a hole in the wall"):
        pool.apply(tasks.raise_by_name, ("TwoArguments",))
    with pytest.raises(pypool.RemoteError, match="a hole in the wall"):
        pool.apply(tasks.raise_by_name, ("Stubborn",))


@shows("A result that cannot be unpickled is a `RemoteError`.")
def test_results_that_do_not_unpickle(pool: pypool.Pool) -> None:
    with pytest.raises(pypool.RemoteError, match="cannot be loaded"):
        pool.map(tasks.not_loadable, [1])


@shows("An item that cannot be unpickled is an error of its task.")
def test_items_that_do_not_unpickle(pool: pypool.Pool) -> None:
    results = pool.imap(str, [1, tasks.NotLoadable(), 3])
    assert outcomes(results) == ["1", OSError, "3"]


@shows("Functions and classes may be defined after the pool.")
def test_later_functions(tmp_path: Path) -> None:
    script = """
from pypool.local import Pool

with Pool(1) as pool:
    pool.map(abs, [1])

    class Number(int):
        pass

    def one_more(number):
        return Number(number + 1)

    print(pool.map(one_more, [Number(1)]))
"""
    assert run("later", script, tmp_path) == "[2]\n"


@shows("An initializer that raises is an `InitializerError`")
def test_initializers() -> None:
    with ours(1, tasks.fail_to_begin) as pool, pytest.raises(pypool.InitializerError) as caught:
        pool.map(abs, [1])
    assert str(caught.value.__cause__) == "no catalogue"
    with pytest.raises(TypeError, match="not iterable"):
        ours(1, abs, 5)


@shows("A callback that raises harms nobody.")
def test_callbacks_that_raise(pool: pypool.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", told.append)

    def fail(result: int) -> None:
        raise OSError(result)

    assert pool.apply_async(abs, (-1,), callback=fail).get(PATIENCE) == 1
    assert pool.map(abs, [-2]) == [2]
    assert [repr(each.exc_value) for each in told] == ["OSError(1)"]


@shows("A callback that takes long keeps only callbacks waiting.")
def test_callbacks_that_take_long(pool: pypool.Pool) -> None:
    go_on = threading.Event()
    handle = pool.apply_async(abs, (-1,), callback=lambda _: go_on.wait(PATIENCE))
    assert pool.map(abs, [-2]) == [2]
    assert not handle.ready()
    go_on.set()
    assert handle.get(PATIENCE) == 1


@shows("A module that makes a pool when it is imported")
def test_modules_that_make_pools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "makes_a_pool.py").write_text(
        "import pypool\n\n\ndef same(item):\n    return item\n\n\n"
        "with pypool.local.Pool(1) as pool:\n    pool.map(same, [1])\n"
    )
    with pytest.raises(pypool.PoolError, match="Guard what the module runs"):
        import makes_a_pool  # noqa: F401


@shows("What an iterable raises is raised")
def test_iterables_that_raise(pool: pypool.Pool) -> None:
    def interrupted() -> Iterator[int]:
        yield -1
        raise KeyboardInterrupt

    results = pool.imap(abs, interrupted())
    assert next(results) == 1
    with pytest.raises(KeyboardInterrupt):
        next(results)
    with pytest.raises(OSError, match="no more"):
        pool.map_async(abs, tasks.Broken())


@shows("An iterable has as many items as it gives")
def test_lengths(pool: pypool.Pool) -> None:
    assert pool.map(tasks.negative, tasks.Short(), 1) == [-1, -2]


@shows("In a fork of your program the pool takes no calls")
def test_forks(pool: pypool.Pool) -> None:
    assert pool.map(abs, [-1]) == [1]
    child = os.fork()
    if not child:
        try:
            pool.map(abs, [-1])
        except ValueError as error:
            os._exit(7 if str(error) == "Pool not running" else 1)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert pool.map(abs, [-1]) == [1]


# ---- imap


@shows("Items are taken only somewhat ahead of the results that you take", "`buffersize=`")
def test_look_ahead(pool: pypool.Pool, theirs: multiprocessing.pool.Pool) -> None:
    taken = {"all": 0, "default": 0, "given": 0}

    def items(name: str, up_to: int) -> Iterator[int]:
        for number in range(up_to):
            taken[name] += 1
            yield number

    all_at_once = theirs.imap(abs, items("all", 1000))
    assert next(all_at_once) == 0
    theirs.apply(abs, (1,))  # whose turn is after all items
    assert taken["all"] == 1000
    default = pool.imap(abs, items("default", 10**9))
    given = pool.imap(abs, items("given", 10**9), buffersize=20)
    assert next(default) == next(given) == 0
    assert 1 <= taken["default"] <= 1 + 4 * 2
    assert [next(default) for _ in range(100)] == [next(given) for _ in range(100)]
    assert 101 <= taken["default"] <= 101 + 100 * 2
    assert 101 <= taken["given"] <= 101 + 20


@shows("`next(timeout)` is there with every `chunksize`.")
def test_next(pool: pypool.Pool, theirs: multiprocessing.pool.Pool) -> None:
    assert pool.imap(abs, [-1], 2).next(PATIENCE) == 1
    assert not hasattr(theirs.imap(abs, [-1], 2), "next")


# ---- workers


@shows("They start with the first call that has an item")
def test_start_of_workers(tmp_path: Path) -> None:
    with cpython(1, tasks.touch, (str(tmp_path / "theirs"),)):
        tasks.await_file(tmp_path / "theirs")
    mark = tmp_path / "ours"
    pool = ours(1, tasks.touch, (str(mark),))
    assert pool.map(abs, []) == []
    pool.close()
    pool.join()
    assert not mark.exists()
    with ours(1, tasks.touch, (str(mark),)) as pool:
        assert pool.map(abs, [-1]) == [1]
        assert mark.exists()


@shows("They are not children of your program.")
def test_family(tmp_path: Path) -> None:
    with cpython(2) as forks:
        (name, numbers, has_parent) = forks.apply(tasks.family, (0,))
        assert "PoolWorker" in name
        assert (len(numbers), has_parent) == (1, True)
        children = {process.pid for process in multiprocessing.active_children()}
        assert forks.apply(tasks.process) in children
    with ours(2) as pool:
        assert pool.apply(tasks.family, (0,)) == ("MainProcess", (), False)
        children = {process.pid for process in multiprocessing.active_children()}
        assert pool.apply(tasks.process) not in children
        rows = [(str(tmp_path), number, 2) for number in range(2)]
        assert sorted(pool.starmap(tasks.meet, rows, 1)) == [0, 1]


@shows("They are not daemons")
def test_children_of_workers(pool: pypool.Pool, theirs: multiprocessing.pool.Pool) -> None:
    assert pool.map(tasks.use_a_pool, [[-1, -2]]) == [[1, 2]]
    with pytest.raises(AssertionError, match="daemonic"):
        theirs.map(tasks.use_a_pool, [[-1, -2]])


@shows("`context` has no effect")
def test_context() -> None:
    with ours(1, context="none at all") as pool:
        assert pool.map(abs, [-1]) == [1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pytest.PytestUnraisableExceptionWarning)
        with pytest.raises(AttributeError):
            multiprocessing.pool.Pool(1, context="none at all")


@shows("`maxtasksperchild` counts tasks")
@pytest.mark.parametrize(
    ("chunksize", "of_theirs", "of_ours"), [(None, 4, 8), (4, 2, 2)], ids=["none", "given"]
)
def test_maxtasksperchild(chunksize: int | None, of_theirs: int, of_ours: int) -> None:
    used = []
    for make in BOTH:
        with make(1, maxtasksperchild=1) as pool:
            used.append(len(set(pool.map(tasks.process, range(8), chunksize))))
    assert used == [of_theirs, of_ours]


@shows("What tasks register with `atexit` is called")
def test_atexit(tmp_path: Path) -> None:
    done = []
    for number, make in enumerate(BOTH):
        path = tmp_path / str(number)
        pool = make(1)
        pool.apply(tasks.touch_at_exit, (str(path),))
        pool.close()
        pool.join()
        done.append(path.exists())
    assert done[1]
    if sys.version_info < (3, 14):
        assert not done[0]


@shows("Ctrl-C at the terminal reaches your program only")
def test_process_groups(pool: pypool.Pool, theirs: multiprocessing.pool.Pool) -> None:
    """A terminal sends it to the process group of the program."""
    assert theirs.apply(tasks.process_group) == os.getpgrp()
    assert pool.apply(tasks.process_group) != os.getpgrp()


@shows("Chunks may travel together.")
def test_chunks(pool: pypool.Pool) -> None:
    workers = pool.map(tasks.process, range(60), 5)
    assert [len(set(workers[first : first + 5])) for first in range(0, 60, 5)] == [1] * 12


@shows("How many there are")
def test_number_of_workers() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        with ours(None) as pool:
            assert pool.size == usable_cpus() == 1
        if sys.version_info < (3, 13):
            with cpython(None) as forks:
                assert forks._processes == os.cpu_count()  # type: ignore[attr-defined]
    finally:
        os.sched_setaffinity(0, allowed)


# ---- what is not there


@shows("A pool is no instance of `multiprocessing.pool.Pool`")
def test_classes(pool: pypool.Pool, theirs: multiprocessing.pool.Pool) -> None:
    assert isinstance(theirs, multiprocessing.pool.Pool)
    assert not isinstance(pool, multiprocessing.pool.Pool)
    handle = pool.apply_async(abs, (-1,))
    assert handle.get(PATIENCE) == 1
    assert not isinstance(handle, multiprocessing.pool.AsyncResult)
    assert pool._processes == theirs._processes  # type: ignore[attr-defined]
    for name in ("_pool", "_cache"):
        assert hasattr(theirs, name)
        assert not hasattr(pool, name)


@shows("There is no `ThreadPool`")
def test_threads() -> None:
    assert not [name for name in dir(pypool) if "thread" in name.lower()]


# ---- what is added


@shows("`return_exceptions=True`")
def test_return_exceptions(pool: pypool.Pool) -> None:
    first, *others = pool.map(tasks.fail_even, range(2), return_exceptions=True)
    assert isinstance(first, ValueError)
    assert others == [1]


@shows("`seed=`")
def test_seed(pool: pypool.Pool) -> None:
    pytest.importorskip("numpy")
    numbers = pool.map(tasks.draw, range(20), seed=1)
    assert len(set(numbers)) == 20
    assert numbers == pool.map(tasks.draw, range(20), 7, seed=1)
    assert numbers != pool.map(tasks.draw, range(20), seed=2)


@shows("`map(callback=)`")
def test_callback_of_map(pool: pypool.Pool) -> None:
    results: list[int] = []
    assert pool.map(abs, range(-9, 0), callback=results.append) == [*range(9, 0, -1)]
    assert sorted(results) == [*range(1, 10)]


@shows("`await`")
def test_await(pool: pypool.Pool) -> None:
    async def both() -> tuple[int, list[int]]:
        return await pool.apply_async(abs, (-1,)), await pool.map_async(abs, [-2])

    assert asyncio.run(both()) == (1, [2])


@shows("`current_task()`")
def test_current_task(pool: pypool.Pool) -> None:
    assert pool.map(tasks.index, "abc") == [0, 1, 2]
    assert pypool.current_task() is None


@shows("`division(n)`")
def test_division() -> None:
    assert pypool.division(2) == [{"idx": 0, "N": 2}, {"idx": 1, "N": 2}]


@shows("`pool(func, items)`")
def test_as_libraries_use_it(pool: pypool.Pool, theirs: multiprocessing.pool.Pool) -> None:
    assert pool(abs, [-1]) == [1]
    assert (pool.size, pool.rank, pool.is_master(), pool.is_worker()) == (2, 0, True, False)
    pool.wait()
    assert not callable(theirs)


@shows("Added arguments are given by keyword")
def test_added_arguments(pool: pypool.Pool) -> None:
    with pytest.raises(TypeError, match="positional"):
        pool.map(abs, [1], 1, print)  # type: ignore[misc]


# ---- the page and the tests


def test_each_difference_is_shown() -> None:
    """By a test, or it is listed with a reason; and nothing else is shown."""
    assert sorted(TITLES) == sorted([*shown, *NOT_SHOWN])
