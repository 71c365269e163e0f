"""From an entry in an outbox to what the caller gets."""

import threading
from dataclasses import dataclass
from multiprocessing.pool import MaybeEncodingError, RemoteTraceback  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from pypool import pickling
from pypool.engine import outcomes
from pypool.engine.calls import Call
from pypool.engine.dealing.books import Loss
from pypool.engine.links import FileLink
from pypool.engine.outcomes import Outcomes, how_it_died, lost, short_of
from pypool.errors import (
    OutOfMemoryError,
    PoolError,
    RemoteError,
    RunDirectoryError,
    TimeLimitError,
    WorkerLostError,
)
from pypool.rundir import batch, names
from pypool.rundir.messages import ERROR, UNPICKLABLE, VALUE, Entry, pack_entry
from pypool.rundir.run import RunDirectory

ELEMENT = names.element("token", 0)
SLOT = 3
WHAT = "task 7 of call 1 (module.function)"


class Nobody:
    """Waits for nothing."""

    def set_item(self, index: int, success: bool, value: Any) -> None: ...

    def fail(self, error: BaseException, quietly: bool = False) -> None: ...


CALL = Call(batch.MAP, b"", b"", "module.function", 1, Nobody(), number=1)


class Reader:
    """Decodes entries of an agent on the host n1."""

    def __init__(self, place: Path) -> None:
        self.run = RunDirectory.create(str(place), {})
        self.run.make_directory(str(Path(ELEMENT).parent))
        self.run.make_directory(ELEMENT)
        self.link = FileLink(self.run, "token/0", 1, 0.0)
        self.link.host = "n1"
        self.outcomes = Outcomes(self.run)

    def decode(
        self,
        outcome: int,
        body: bytes,
        elsewhere: tuple[int, int, int, int] | None = None,
        output: tuple[int, int] = (0, 0),
    ) -> tuple[bool, Any]:
        packed = pack_entry(7, 1, outcome, SLOT, 0.0, 1.0, 0, output, body, elsewhere)
        return self.outcomes.decode(self.link, Entry(packed), CALL, Entry(packed).index)

    def part(self, number: int, content: bytes) -> str:
        """Part of the slot's data file."""
        name = names.data(ELEMENT, SLOT, number)
        self.run.write(name, [content])
        return f"{self.run.path}/{name}"

    def large(self, part: int, offset: int, body: bytes) -> tuple[bool, Any]:
        return self.decode(VALUE, b"", (part, offset, len(body), crc32(body)))


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def test_a_value_is_unpickled(reader: Reader) -> None:
    """As it stands in the outbox."""
    assert reader.decode(VALUE, pickling.dumps_result([1, "a"])) == (True, [1, "a"])


def test_a_large_value_is_read_from_its_data_file(reader: Reader) -> None:
    """By part, offset and size."""
    body = pickling.dumps_result("large")
    reader.part(1, b"other" + body + b"other")
    assert reader.large(1, 5, body) == (True, "large")


# ---- parts of data files, with limits of a few bytes

LARGE = pickling.dumps_result("large")


@pytest.fixture
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part is full with two results; none is so large that it has one of its own."""
    monkeypatch.setattr(names, "PART_LIMIT", 2 * len(LARGE))


@pytest.mark.usefixtures("short_parts")
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_full_part_goes_when_all_of_it_was_read(reader: Reader, order: tuple[int, int]) -> None:
    """In whatever order its results were told of."""
    path = Path(reader.part(1, 2 * LARGE))
    for position in order:
        assert path.exists()
        assert reader.large(1, position * len(LARGE), LARGE) == (True, "large")
    assert not path.exists()


@pytest.mark.usefixtures("short_parts")
def test_a_part_waits_for_what_is_told_after_later_ones(reader: Reader) -> None:
    """Answers to two calls come in groups: one in part 3 of a call before one in part 1."""
    for part in (1, 2, 3):
        reader.part(part, 2 * LARGE)
    for part, position in [(1, 0), (2, 0), (2, 1), (3, 0), (1, 1)]:
        assert reader.large(part, position * len(LARGE), LARGE) == (True, "large")
    left = Path(f"{reader.run.path}/{ELEMENT}").iterdir()
    assert [path.name for path in left if path.name.startswith("data")] == [f"data.{SLOT}.3"]


def test_a_result_with_a_part_of_its_own_takes_it_along(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody will write to that part again."""
    monkeypatch.setattr(outcomes.names, "OWN_PART", len(LARGE))
    path = Path(reader.part(1, LARGE))
    assert reader.large(1, 0, LARGE) == (True, "large")
    assert not path.exists()


@pytest.mark.usefixtures("short_parts")
def test_a_part_that_a_dead_worker_began_goes_at_the_next_beat(reader: Reader) -> None:
    """Once a later one is in use; that one stays."""
    first, second = Path(reader.part(1, LARGE)), Path(reader.part(2, LARGE))
    reader.large(1, 0, LARGE)
    reader.outcomes.settle(reader.link)
    assert first.exists()
    reader.large(2, 0, LARGE)
    assert first.exists()
    reader.outcomes.settle(reader.link)
    assert not first.exists()
    assert second.exists()


def test_a_result_counts_although_its_part_stays(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that does not remove a file is no reason to lose what was in it."""

    def refuse(name: str) -> None:
        raise PermissionError(name)

    monkeypatch.setattr(outcomes.names, "OWN_PART", len(LARGE))
    monkeypatch.setattr(reader.run, "remove", refuse)
    reader.part(1, LARGE)
    assert reader.large(1, 0, LARGE) == (True, "large")


# ---- data files that are gone or damaged


@pytest.mark.parametrize("damage", ["missing", "short", "changed"])
def test_a_data_file_that_does_not_read_back_is_named(reader: Reader, damage: str) -> None:
    """The caller learns which result is lost and where it should have been."""
    body = pickling.dumps_result("large")
    path = f"{reader.run.path}/{names.data(ELEMENT, SLOT, 1)}"
    if damage != "missing":
        reader.part(1, body[:-1] + (b"" if damage == "short" else b"?"))
    success, error = reader.large(1, 0, body)
    assert not success
    assert isinstance(error, RunDirectoryError)
    assert path in str(error)


def test_an_error_is_the_users_own(reader: Reader) -> None:
    """Type and arguments, the remote traceback as its cause, a note of task and host."""
    body = pickling.dumps_error(KeyError("x"), "Traceback of the worker")
    success, error = reader.decode(ERROR, body)
    assert not success
    assert repr(error) == "KeyError('x')"
    assert isinstance(error.__cause__, RemoteTraceback)
    assert str(error.__cause__) == "Traceback of the worker"
    assert error.__notes__ == [f"pypool: {WHAT} on n1"]


def test_an_error_says_where_the_output_is(reader: Reader) -> None:
    """File, first byte and number of bytes."""
    body = pickling.dumps_error(KeyError("x"), "")
    _, error = reader.decode(ERROR, body, output=(100, 20))
    path = f"{reader.run.path}/{names.output(ELEMENT, SLOT)}"
    assert f"20 bytes from byte 100 of {path}" in error.__notes__[0]


def test_an_error_that_cannot_be_rebuilt_is_told(reader: Reader) -> None:
    """By an error of pypool's with its class, its words and its traceback."""
    error = ValueError(iter(()), threading.Lock())
    success, told = reader.decode(ERROR, pickling.dumps_error(error, "Traceback of the worker"))
    assert not success
    assert isinstance(told, RemoteError)
    assert f"{WHAT} raised builtins.ValueError: (<tuple_iterator object" in str(told)
    assert str(told.__cause__) == "Traceback of the worker"


def test_what_did_not_pickle_is_the_standard_librarys_error(reader: Reader) -> None:
    """Users of `multiprocessing` know it."""
    body = pickling.dumps_result(("TypeError('no')", "<generator>"))
    success, error = reader.decode(UNPICKLABLE, body)
    assert not success
    assert isinstance(error, MaybeEncodingError)
    assert "<generator>" in str(error)
    assert "TypeError('no')" in str(error)
    assert error.__notes__ == [f"pypool: {WHAT} on n1"]


def test_a_value_that_does_not_load_here_is_told(reader: Reader) -> None:
    """With what the unpickling raised as the cause."""
    success, error = reader.decode(VALUE, b"cno_such_module\nname\n.")
    assert not success
    assert isinstance(error, RemoteError)
    assert "ModuleNotFoundError: No module named 'no_such_module'" in str(error)
    assert isinstance(error.__cause__, ModuleNotFoundError)


class Leaves:
    """Ends the process that unpickles it, if that lets it."""

    def __init__(self, how: type[BaseException]) -> None:
        self.how = how

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return throw, (self.how,)


def throw(how: type[BaseException]) -> None:
    raise how("thrown")


class Mute(Exception):
    def __str__(self) -> str:
        raise LookupError


@pytest.mark.parametrize("how", [SystemExit, KeyboardInterrupt, GeneratorExit, Mute])
def test_a_value_that_raises_anything_when_it_loads_is_told(
    reader: Reader, how: type[BaseException]
) -> None:
    """It is an error of that one task, not the end of who reads it."""
    success, error = reader.decode(VALUE, pickling.dumps_result(Leaves(how)))
    assert not success
    assert isinstance(error, RemoteError)
    assert isinstance(error.__cause__, how)


@dataclass(frozen=True)
class Frozen(Exception):
    code: int


@dataclass(frozen=True, slots=True)
class FrozenSlots(Exception):
    code: int


class Stubborn(Exception):
    """Refuses everything."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)

    @property
    def __notes__(self) -> list[str]:
        raise LookupError


@pytest.mark.parametrize("error", [Frozen(5), Frozen(code=5), FrozenSlots(5), FrozenSlots(code=5)])
def test_an_error_that_cannot_be_changed_keeps_its_type(
    reader: Reader, error: Frozen | FrozenSlots
) -> None:
    """It gets cause and note all the same, and another note from whoever adds one."""
    success, raised = reader.decode(ERROR, pickling.dumps_error(error, "Traceback of the worker"))
    assert not success
    assert type(raised) is type(error)
    assert raised.code == 5
    assert str(raised.__cause__) == "Traceback of the worker"
    raised.add_note("more")
    assert raised.__notes__ == [f"pypool: {WHAT} on n1", "more"]


def test_an_error_that_takes_no_note_goes_without(reader: Reader) -> None:
    """Its type and its cause are worth more."""
    success, raised = reader.decode(ERROR, pickling.dumps_error(Stubborn("x"), "Traceback"))
    assert not success
    assert type(raised) is Stubborn
    assert str(raised.__cause__) == "Traceback"


def test_errors_of_pypool_are_never_type_or_value_errors(reader: Reader) -> None:
    """Libraries that are handed a pool catch those for reasons of their own."""
    _, unpicklable = reader.decode(UNPICKLABLE, pickling.dumps_result(("a", "b")))
    _, unloadable = reader.decode(VALUE, b"cno_such_module\nname\n.")
    for error in (unpicklable, unloadable, lost(Loss(told=["x"]), WHAT)):
        assert not isinstance(error, (TypeError, ValueError))


def test_a_lost_task_tells_each_of_its_deaths() -> None:
    """In order, and what can be done."""
    error = lost(Loss(told=["on n1: signal 9", "on n2: signal 11"]), WHAT)
    assert isinstance(error, PoolError)
    lines = str(error).splitlines()
    assert lines[0] == f"{WHAT} was lost 2 times and is not started again:"
    assert lines[1:3] == ["  1. on n1: signal 9", "  2. on n2: signal 11"]
    assert "memory=" in lines[3]


@pytest.mark.parametrize(
    ("lack", "kind", "advice"),
    [
        ("", WorkerLostError, "memory="),
        ("memory", OutOfMemoryError, "max_memory="),
        ("time", TimeLimitError, "max_time="),
    ],
)
def test_what_a_task_was_short_of_is_an_error_of_its_own(
    lack: str, kind: type[WorkerLostError], advice: str
) -> None:
    """Which says what to give more of."""
    error = lost(Loss(charged=1, told=["x"], short_of=lack), WHAT)
    assert type(error) is kind
    assert advice in str(error)


MIB = 1 << 20


@pytest.mark.parametrize(
    ("code", "oom", "used", "asked", "told"),
    [
        (-9, True, 50, 100, "having used 50 MiB of 100 MiB asked for: out of memory"),
        (-9, False, 95, 100, "having used 95 MiB of 100 MiB asked for: probably out of memory"),
        (-9, True, 50, None, "having used 50 MiB: out of memory"),
        (-9, False, 50, 100, "having used 50 MiB of 100 MiB asked for"),
        (-11, False, 95, 100, "having used 95 MiB of 100 MiB asked for"),
        (1, True, 95, 100, "having used 95 MiB of 100 MiB asked for"),
    ],
)
def test_a_death_for_want_of_memory_is_recognized(
    code: int, oom: bool, used: int, asked: int | None, told: str
) -> None:
    """The kernel has said so, or it was killed when it had nearly all it may have."""
    words = {"code": code, "host": "n1", "seconds": 2.0, "memory": used << 10, "oom": oom}
    memory = None if asked is None else asked * MIB
    assert how_it_died(words, memory).endswith(told)
    assert short_of(words, memory) == ("memory" if told.endswith("out of memory") else "")


@pytest.mark.parametrize(
    ("code", "how"),
    [(7, "ended with exit code 7"), (-11, "was killed by SIGSEGV"), (-63, "was killed by signal")],
)
def test_a_death_is_told_in_words(code: int, how: str) -> None:
    """By the signal's name if it has one, with host and run time."""
    told = how_it_died({"code": code, "host": "n1", "seconds": 2.04})
    assert told.startswith(f"its worker on n1 {how}")
    assert told.endswith("after 2.0 s")
