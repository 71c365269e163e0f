"""The dispatcher's beginning: nobody waits in vain; if it is interrupted, nothing stays behind."""

import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from pypool import engine, local
from pypool.engine import endings
from pypool.engine.backend import ClusterBackend, WorkerRules
from pypool.engine.dispatcher import Dispatcher
from pypool.engine.runs import lock
from pypool.engine.sender import Sender
from pypool.options import make_options
from pypool.schedulers.shell import Shell

HERE = str(Path(engine.__file__).parent)


@pytest.fixture
def backend(tmp_path: Path) -> ClusterBackend:
    """Of a named run."""
    given = {"work_dir": str(tmp_path / "work"), "name": "survey", "processes": 1}
    return ClusterBackend(Shell(), make_options(given, lambda _: 1))


@pytest.fixture(autouse=True)
def _nobody_lives_on() -> Iterator[None]:
    yield
    assert not endings._living


def end(dispatcher: Dispatcher) -> None:
    dispatcher.stop("terminate")
    dispatcher.join()


def interrupted(step: Callable[[], object], after: int) -> bool:
    """Calls it, and presses Ctrl-C at so many-th line of the engine; whether there is one."""
    lines = itertools.count(1)
    line = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal line
        code = frame.f_code
        if not code.co_filename.startswith(HERE) or code.co_name == "<genexpr>":
            return None  # what is raised in a generator that is being closed is lost
        if event != "call" and (line := next(lines)) == after:
            sys.settrace(None)
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with suppress(KeyboardInterrupt):
            step()
    finally:
        sys.settrace(before)
    return line == after


@pytest.mark.timeout(600)
@pytest.mark.parametrize("step", [20, pytest.param(1, marks=pytest.mark.slow)])
def test_ctrl_c_at_any_line_of_its_beginning(
    backend: ClusterBackend, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The run of that name can be begun at once by the same program."""
    monkeypatch.setattr(endings, "SIGNALS", ())
    monkeypatch.setattr(lock, "PATIENCE", 0.5)  # for a lock that says nothing yet
    for line in itertools.count(step, step):
        sender = Sender(backend, WorkerRules())
        was_interrupted = interrupted(sender._running, line)
        end(sender._running())
        if not was_interrupted:
            break
    assert line > 100


def test_there_is_no_thread_left(backend: ClusterBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is told so once has more luck the next time."""
    start = threading.Thread.start

    def fail(self: threading.Thread) -> None:
        if self.name == "pypool-dispatcher":
            raise RuntimeError("can't start new thread")
        start(self)

    sender = Sender(backend, WorkerRules())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            sender._running()
    assert not endings._living
    end(sender._running())


def test_one_that_has_failed_is_waited_for(backend: ClusterBackend) -> None:
    """It tells its callers first and lets go of its run last: the next call needs both."""
    sender = Sender(backend, WorkerRules())
    first = sender._running()
    told, may_end = threading.Event(), threading.Event()

    def linger() -> None:
        told.set()
        may_end.wait(30)

    first._say_stop = linger  # type: ignore[method-assign]
    first._watch_disk = fail  # type: ignore[method-assign]
    assert told.wait(30)
    assert first.over
    threading.Timer(0.05, may_end.set).start()
    second = sender._running()
    assert second is not first
    end(second)


def fail(now: float) -> None:
    raise OSError(28, "No space left on device")


def test_the_first_call_asks_for_elements_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is dealt, as others are, before anything is decided; but there is nobody yet."""
    monkeypatch.setattr("pypool.engine.dispatcher.LONGEST_SLEEP", 60.0)
    for _ in range(4):
        with local.Pool(1) as pool:
            assert pool.apply_async(abs, (-1,)).get(30) == 1
