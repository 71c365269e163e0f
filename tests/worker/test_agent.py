"""One agent: what it is told, what it answers, and how it ends."""

import errno
import os
import re
import resource
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pypool import pickling
from pypool.packing import MAPPED
from pypool.rundir import batch, names, records
from pypool.rundir.messages import ERROR, UNPICKLABLE, VALUE, Share
from pypool.rundir.records import Record
from pypool.version import VERSION
from pypool.worker import agent
from pypool.worker.arrival import Arrival
from pypool.worker.slots import LAID_BY_SECONDS, Held, Piece, Slot

from . import jobs
from .conftest import Play
from .player import ELEMENT, Player, all_gone, is_gone

# ---- hello, and shares


def test_the_first_word_says_who_and_where(play: Play) -> None:
    """Host, process, number of slots, Python and pypool."""
    player = play(slots=2)
    hello = player.words(records.HELLO)
    assert hello["host"] == os.uname().nodename
    assert hello["pid"] == player.agent.pid
    assert hello["slots"] == 2
    assert hello["python"] == sys.version.split()[0]
    assert hello["pypool"] == VERSION


def test_a_share_is_answered_task_by_task(play: Play) -> None:
    """Each index once, with its value, the attempt and times."""
    player = play(slots=2)
    number = player.write(jobs.double, range(20))
    before = time.time()
    player.share(number, 5, 15, attempt=3)
    assert player.values(number, 10) == [2 * x for x in range(5, 15)]
    entries = player.answers(number, 10)
    assert [entry.index for entry in entries] == list(range(5, 15))
    assert {entry.attempt for entry in entries} == {3}
    assert {entry.outcome for entry in entries} == {VALUE}
    assert all(before - 1 < entry.start < time.time() + 1 for entry in entries)
    assert all(0 <= entry.seconds < 5 for entry in entries)
    assert all(1000 < entry.memory < 10_000_000 for entry in entries)


def test_that_a_function_is_loaded_is_no_part_of_the_first_task(play: Play) -> None:
    """Or the others would be thought to take as long."""
    player = play()
    number = player.deal(jobs.SlowToLoad(0.5), range(3))
    assert player.values(number, 3) == [0, 1, 2]
    assert all(entry.seconds < 0.5 for entry in player.answers(number, 3))


def test_a_function_is_called_with_several_arguments_if_asked(play: Play) -> None:
    """As `starmap` does."""
    player = play()
    number = player.write(jobs.add, [(1, 2), (3, 4)], batch.STARMAP)
    player.share(number, 0, 2)
    assert player.values(number, 2) == [3, 7]


def test_batches_and_functions_alternate(play: Play) -> None:
    """More functions than a worker keeps, each used twice."""
    player = play()
    functions = [lambda x, k=k: x + k for k in range(10)]
    for k, function in enumerate(functions * 2):
        number = player.deal(function, [100])
        assert player.values(number, 1) == [100 + k % 10]


def test_all_slots_work_at_once(play: Play) -> None:
    """Two tasks that wait are held by two processes."""
    player = play(slots=2)
    fifos = [player.fifo("a"), player.fifo("b")]
    number = player.deal(jobs.hold, fifos)
    pids = {player.begun(fifo) for fifo in fifos}
    assert len(pids) == 2
    for fifo in fifos:
        player.release(fifo)
    assert player.values(number, 2) == fifos


def test_short_tasks_are_shared_out_evenly(play: Play) -> None:
    """What few there are: nobody is to be given the work of others later."""
    player = play(slots=3)
    fifos = [player.fifo(str(index)) for index in range(16)]
    number = player.write(jobs.hold, fifos, chunk=0)
    player.share(number, 0, 16, each=1e-4)
    for first in (0, 6, 11):
        player.begun(fifos[first])
    with ThreadPoolExecutor(len(fifos)) as threads:
        list(threads.map(player.release, fifos))  # in whatever order they are begun
    player.until(lambda: told(player, number) == dict(enumerate(fifos)))


@pytest.mark.parametrize(("chunk", "each"), [(0, 0.0), (1, 0.0), (1, 1e-5)])
def test_a_long_task_holds_up_no_other(play: Play, chunk: int, each: float) -> None:
    """All others are run by the idle slot meanwhile, though they seemed to be quick."""
    player = play(slots=2)
    fifo = player.fifo()
    items = [fifo] + [None] * 30
    number = player.write(jobs.hold, items, chunk=chunk)
    player.share(number, 0, len(items), each=each)
    player.begun(fifo)
    assert [entry.index for entry in player.answers(number, 30)] == list(range(1, 31))
    player.release(fifo)
    assert player.values(number, 31) == items


def test_a_chunk_is_for_one_worker(play: Play) -> None:
    """Shares are cut where chunks end, whatever their tasks take."""
    player = play(slots=3)
    number = player.write(jobs.worker_pid, range(50), chunk=7)
    player.share(number, 0, 21, each=1e-5)
    player.share(number, 21, 50)
    pids = player.values(number, 50)
    for first in range(0, 50, 7):
        assert len(set(pids[first : first + 7])) == 1


def test_an_error_is_an_answer(play: Play) -> None:
    """With the traceback of the user's own code, and the worker goes on."""
    player = play()
    number = player.deal(jobs.fail, [1, 2])
    entries = player.answers(number, 2)
    assert {entry.outcome for entry in entries} == {ERROR}
    error, traceback, told = pickling.loads_error(entries[0].body)
    assert repr(error) == "LookupError('no 1')"
    assert "in fail" in traceback
    assert "worker.py" not in traceback
    assert told == "builtins.LookupError: no 1"


def test_a_task_that_calls_exit_has_raised(play: Play) -> None:
    """SystemExit is an error like any other, and the worker goes on."""
    player = play()
    error, _, _ = pickling.loads_error(player.answers(player.deal(jobs.leave, [3]), 1)[0].body)
    assert repr(error) == "SystemExit(3)"
    assert player.values(player.deal(jobs.double, [1]), 1) == [2]


def test_a_result_that_does_not_pickle_is_told(play: Play) -> None:
    """Why, and what it was."""
    player = play()
    (entry,) = player.answers(player.deal(jobs.unpicklable, [1]), 1)
    assert entry.outcome == UNPICKLABLE
    why, what = pickling.loads(entry.body)
    assert "cannot pickle 'generator' object" in why
    assert what.startswith("<generator object")


def test_an_item_that_does_not_load_is_an_error_of_its_task(play: Play) -> None:
    """The note says that it was the item."""
    player = play()
    number = player.write(jobs.double, [1, 2])
    player.share(number, 0, 2)
    assert player.values(number, 2) == [2, 4]
    number = player.write(jobs.same, [LoadsNowhere(), 1])
    player.share(number, 0, 2)
    first, second = player.answers(number, 2)
    error, _, _ = pickling.loads_error(first.body)
    assert isinstance(error, ZeroDivisionError)
    assert error.__notes__ == ["pypool: the item could not be unpickled in the worker"]
    assert pickling.loads(second.body) == 1


class LoadsNowhere:
    def __reduce__(self) -> tuple[object, tuple[int, int]]:
        return divmod, (1, 0)


def test_a_child_that_comes_back_from_a_task_answers_nothing(play: Play) -> None:
    """A task that forks and returns twice has one result."""
    player = play()
    number = player.deal(jobs.fork, [1, 2, 3])
    assert player.values(number, 3) == [1, 2, 3]


@pytest.mark.parametrize("function", [jobs.close_output, jobs.no_output])
def test_a_task_may_do_without_standard_output(play: Play, function: Callable[[int], int]) -> None:
    """A closed or missing `sys.stdout` costs nobody his result."""
    player = play()
    number = player.deal(function, [1, 2, 3])
    player.until(lambda: deaths(player) or len(player.entries(number)) == 3)
    assert not deaths(player)
    assert player.values(number, 3) == [1, 2, 3]


def deaths(player: Player) -> list[Record]:
    return [record for record in player.news if record.kind == records.DEATH]


def test_tasks_feel_at_home(play: Play) -> None:
    """They run in the driver's directory, with its arguments, in a module `__main__`."""
    player = play()
    (found,) = player.values(player.deal(jobs.surroundings, [0]), 1)
    assert found == (str(player.place), ["script.py", "option"], "__main__")


def test_neither_agent_nor_worker_loads_what_no_task_needs(play_files: Play) -> None:
    """No numpy and no cloudpickle in a worker with a function that can be imported."""
    player = play_files(starts=False)
    player.start("-X", "importtime")
    (loaded,) = player.values(player.deal(jobs.modules, [0]), 1)
    assert not {"numpy", "cloudpickle", "jinja2", "pypool.engine"} & set(loaded)
    player.send(records.STOP)
    player.agent.wait(10)
    by_agent = set(re.findall(r"\| +(\S+)$", player.log(), re.MULTILINE))
    assert "pypool.worker.agent" in by_agent
    assert not {"numpy", "cloudpickle", "jinja2", "pypool.engine"} & by_agent


def test_a_function_that_needs_cloudpickle_is_not_loaded_by_the_agent(play_files: Play) -> None:
    """User's code is never seen by the process that watches over it."""
    player = play_files(starts=False)
    player.start("-X", "importtime")
    assert player.values(player.deal(lambda x: x + 1, [1]), 1) == [2]
    player.send(records.STOP)
    player.agent.wait(10)
    assert "cloudpickle" not in player.log()


# ---- large and many results


@pytest.mark.parametrize(
    "size",
    [
        names.PIPED_LIMIT - 100,
        names.PIPED_LIMIT,
        names.INLINE_LIMIT - 100,
        names.INLINE_LIMIT,
        3 << 20,
    ],
)
def test_large_results_lie_in_data_files(play: Play, size: int) -> None:
    """From 64 KiB on, or 16 with pipes; the answer says where, and the bytes are right."""
    player = play()
    number = player.deal(jobs.repeat, [size, 5, size])
    assert player.values(number, 3) == [b"x" * size, b"x" * 5, b"x" * size]
    elsewhere = [entry.elsewhere is not None for entry in player.entries(number)]
    assert elsewhere == [size >= player.inline_limit, False, size >= player.inline_limit]


def test_the_next_worker_of_a_slot_writes_a_data_file_of_its_own(play: Play) -> None:
    """What the first one wrote stays as it is."""
    player = play()
    number = player.deal(jobs.repeat, [100_000])
    player.deal(jobs.die, ["kill"])
    player.take(records.DEATH)
    later = player.deal(jobs.repeat, [100_001])
    assert player.values(later, 1) == [b"x" * 100_001]
    assert player.values(number, 1) == [b"x" * 100_000]


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="counted by Linux")
def test_what_waits_to_be_told_with_others_keeps_the_agent_asleep(play: Play) -> None:
    """It looks when something comes or is due, not again and again until then."""
    player = play(slots=2)
    number = player.deal(time.sleep, [0.02] * 40)
    assert len(player.values(number, 40)) == 40
    counts = dict(
        line.split(": ") for line in Path(f"/proc/{player.agent.pid}/io").read_text().splitlines()
    )
    assert int(counts["syscr"]) < 2000


def test_a_result_that_looks_like_a_record_does_no_harm(play: Play) -> None:
    """Bytes by which a reader finds its way again after damage."""
    player = play()
    trap = records.frame(player.run.mark, records.GOODBYE, b"{}")
    number = player.deal(jobs.same, [trap, 1])
    assert player.values(number, 2) == [trap, 1]


def test_results_are_put_together(play: Play) -> None:
    """Far fewer records than tasks."""
    player = play(slots=2)
    number = player.deal(jobs.double, range(3000))
    assert player.values(number, 3000) == [2 * x for x in range(3000)]
    assert len([record for record in player.news if record.kind == records.RESULTS]) < 300


def test_no_record_is_larger_than_one_write(play: Play) -> None:
    """However large results are that do not lie in data files."""
    player = play(slots=2)
    size = player.inline_limit - 1000
    number = player.deal(jobs.repeat, [size] * 100)
    assert player.values(number, 100) == [b"x" * size] * 100
    sizes = [len(record.payload) for record in player.news if record.kind == records.RESULTS]
    assert max(sizes) <= records.PAYLOAD_LIMIT


def test_what_a_task_prints_is_found_by_its_range(play_files: Play) -> None:
    """Both outputs, and what its child processes print, and nothing of its neighbours."""
    player = play_files(slots=2)
    number = player.deal(jobs.say, range(12))
    for entry in player.answers(number, 12):
        first, size = entry.output
        printed = player.run.read(names.output(ELEMENT, entry.slot), first, size).decode()
        x = entry.index
        expected = [f"{letter * x} {x}" for letter in "oec"]
        assert sorted(printed.splitlines()) == sorted(expected)


def test_who_prints_nothing_has_an_empty_range(play_files: Play) -> None:
    """Readers need not look."""
    player = play_files()
    assert player.answers(player.deal(jobs.double, [1]), 1)[0].output[1] == 0


# ---- giving back


def test_what_was_not_begun_is_given_back(play: Play) -> None:
    """Behind a long task too: everything but that, and the answer names the question."""
    player = play()
    fifo = player.fifo()
    number = player.deal(jobs.hold, [fifo, *[None] * 20])
    player.begun(fifo)
    player.send(records.RETURN, key=7)
    returned = player.until(player.returned)
    assert returned == [(number, index) for index in range(1, 21)]
    assert player.take(records.RETURNED).key == 7
    player.release(fifo)
    assert player.values(number, 1) == [fifo]


def test_nothing_is_lost_or_done_twice_when_a_share_is_called_back(play: Play) -> None:
    """In the midst of quick tasks every one is either answered or given back."""
    player = play(slots=2)
    for question in range(1, 6):
        number = player.deal(jobs.double, range(3000), each=1e-5)
        player.until(partial(player.entries, number))
        player.send(records.RETURN, key=question)
        found = player.until(partial(at_least, 3000, player, number))
        assert sorted(found) == list(range(3000))


def at_least(count: int, player: Player, number: int) -> list[int]:
    """The tasks of a batch that were answered in one way or the other, if they are so many."""
    found = [entry.index for entry in player.entries(number)]
    found += [index for batch_number, index in player.returned() if batch_number == number]
    return found if len(found) >= count else []


def test_who_has_nothing_answers_so(play: Play) -> None:
    """An empty return: the dispatcher is not kept waiting."""
    player = play()
    player.send(records.RETURN, key=9)
    record = player.take(records.RETURNED)
    assert record.key == 9
    assert player.returned() == []


def test_a_returned_task_can_be_dealt_again(play: Play) -> None:
    """To the same agent, as another share."""
    player = play()
    fifo = player.fifo()
    number = player.deal(jobs.hold, [fifo, None, None])
    player.begun(fifo)
    player.send(records.RETURN, key=1)
    player.take(records.RETURNED)
    player.share(number, 1, 3)
    player.release(fifo)
    assert player.values(number, 3) == [fifo, None, None]


def test_a_damaged_batch_is_given_back_with_a_reason(play: Play) -> None:
    """It is no fault of the tasks, and the worker goes on."""
    player = play()
    number = player.write(jobs.double, range(4))
    path = Path(player.run.path) / names.batches(1)
    whole = path.read_bytes()
    path.write_bytes(b"damaged" + whole[7:])
    player.share(number, 0, 4)
    player.until(lambda: len(player.returned()) == 4)
    assert player.returned() == [(number, index) for index in range(4)]
    why = player.words(records.RETURNED)["why"]
    assert why.startswith(f"{os.uname().nodename}: batch {number} ")
    path.write_bytes(whole)
    player.share(number, 0, 4)
    assert player.values(number, 4) == [0, 2, 4, 6]


def test_a_damaged_item_alone_is_given_back(play: Play) -> None:
    """Each item has a checksum of its own."""
    player = play()
    number = player.write(jobs.double, [[each, []] for each in "abcd"])
    path = Path(player.run.path) / names.batches(1)
    path.write_bytes(path.read_bytes()[:-3])
    player.share(number, 0, 3)
    player.share(number, 3, 4)
    player.until(player.returned)
    assert player.values(number, 3) == [[each, [], each, []] for each in "abc"]
    assert player.returned() == [(number, 3)]


@pytest.mark.parametrize("folder", [names.BATCHES, names.FUNCTIONS])
def test_a_missing_file_is_given_back_with_a_reason(play: Play, folder: str) -> None:
    """A batch or a function that cannot be opened on this node."""
    player = play()
    number = player.write(jobs.double, range(2))
    (path,) = (Path(player.run.path) / folder).iterdir()
    path.unlink()
    player.share(number, 0, 2)
    player.until(lambda: len(player.returned()) == 2)
    assert "No such file or directory" in player.words(records.RETURNED)["why"]


def test_a_function_that_is_not_whole_yet_is_given_back(play: Play) -> None:
    """On a network file system a file may be seen with zeros in it for a while."""
    player = play()
    number = player.write(jobs.double, [1])
    (path,) = (Path(player.run.path) / names.FUNCTIONS).iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-5] + bytes(5))
    player.share(number, 0, 1)
    player.until(lambda: player.returned() or player.entries(number))
    assert player.returned() == [(number, 0)]
    path.write_bytes(whole)
    player.share(number, 0, 1)
    assert player.values(number, 1) == [2]


# ---- deaths


@pytest.mark.parametrize(
    ("how", "code"), [("exit", 7), ("kill", -signal.SIGKILL), ("segfault", -signal.SIGSEGV)]
)
def test_the_death_of_a_worker_has_a_name(play: Play, how: str, code: int) -> None:
    """Task, attempt and signal or exit code; all others are done by the next worker."""
    player = play()
    items = ["a", "b", how, "d", "e"]
    number = player.write(jobs.die, items)
    player.share(number, 0, 5, attempt=2)
    death = player.words(records.DEATH)
    assert (death["batch"], death["index"], death["attempt"]) == (number, 2, 2)
    assert death["code"] == code
    assert death["host"] == os.uname().nodename
    assert player.values(number, 4) == ["a", "b", "d", "e"]


def test_many_workers_may_die(play: Play) -> None:
    """Every second task kills: each death is reported once, each result is there."""
    player = play(slots=2)
    number = player.deal(jobs.die, ["exit", "fine"] * 15)
    assert player.values(number, 15) == ["fine"] * 15
    deaths = {player.words(records.DEATH)["index"] for _ in range(15)}
    assert deaths == set(range(0, 30, 2))


def test_a_worker_that_is_killed_between_tasks_costs_none(play: Play) -> None:
    """There is nobody to blame; another one takes its place."""
    player = play()
    (pid,) = player.values(player.deal(jobs.worker_pid, [0]), 1)
    os.kill(pid, signal.SIGKILL)
    assert all_gone(pid)
    (other,) = player.values(player.deal(jobs.worker_pid, [0]), 1)
    assert other != pid
    assert not deaths(player)


def test_a_killed_worker_takes_along_what_it_had_started(play: Play) -> None:
    """Child processes of the task."""
    player = play()
    place = str(player.place / "x")
    player.deal(jobs.die_with_a_child, [place])
    player.take(records.DEATH)
    assert all_gone(player.number_in(f"{place}.child"))


def test_a_worker_for_which_there_is_no_room_comes_later(play_pipes: Play) -> None:
    """Meanwhile the others go on with what they were at; the log has one line of it."""
    player = play_pipes(slots=2)
    fifos = [player.fifo("a"), player.fifo("b")]
    number = player.deal(jobs.hold, fifos)
    victim, _ = [player.begun(fifo) for fifo in fifos]
    usual = resource.prlimit(player.agent.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(player.agent.pid, resource.RLIMIT_NOFILE, (3, usual[1]))  # none for a pipe
    os.kill(victim, signal.SIGKILL)
    assert player.words(records.DEATH)["index"] == 0
    player.until(lambda: "tries again" in player.log())
    player.release(fifos[1])
    assert player.values(number, 1) == [fifos[1]]
    more = [player.fifo("c"), player.fifo("d")]
    number = player.deal(jobs.hold, more)
    player.begun(more[0])
    resource.prlimit(player.agent.pid, resource.RLIMIT_NOFILE, usual)
    player.begun(more[1])  # by the worker that has come
    for fifo in more:
        player.release(fifo)
    assert player.values(number, 2) == more
    assert player.log().count("no worker can be started") == 1


def test_where_no_worker_can_be_started_for_long_the_agent_refuses(
    play_files: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason; while one of them lives, it does not."""
    player = play_files(starts=False, slots=2)
    refusing = agent.Agent(Arrival(player.run, ELEMENT, None))
    first, second = refusing._slots
    clock = iter([0.0, agent.FORK_PATIENCE + 1, *[2 * agent.FORK_PATIENCE + 2] * 100])
    monkeypatch.setattr(agent.time, "monotonic", lambda: next(clock))
    no_room = OSError(errno.EAGAIN, "Resource temporarily unavailable")
    second.pid = os.getpid()
    refusing._stays_empty(first, no_room)
    assert refusing._reason is None
    second.pid = 0
    refusing._stays_empty(second, no_room)
    assert refusing._reason is None
    refusing._stays_empty(first, no_room)
    assert refusing._reason == "refused"
    monkeypatch.undo()
    assert "Resource temporarily unavailable" in player.words(records.REFUSED)["why"]


# ---- the end


def test_a_driver_that_is_gone_takes_everything_along(play_pipes: Play) -> None:
    """At the end of the pipe agent, workers and their children are gone within a second."""
    player = play_pipes(slots=2)
    fifos = [player.fifo("a"), player.fifo("b")]
    player.deal(jobs.hold_with_a_child, fifos)
    pids = [player.begun(fifo) for fifo in fifos]
    pids += [player.number_in(f"{fifo}.child") for fifo in fifos]
    player.close_inbox()
    assert all_gone(player.agent.pid, *pids)
    assert player.agent.wait(5) == 0


def test_a_beat_tells_of_any_number_of_shares(play_files: Play) -> None:
    """Every second one of 100,000, which would not fit into a record: some too many are told."""
    player = play_files(starts=False)
    rich = agent.Agent(Arrival(player.run, ELEMENT, None))
    share = Share(1, 1, 0, 0, 1)
    rich._held = {number: Held(number, share) for number in range(1, 200_001, 2)}
    rich._beat(time.monotonic())
    rich._mail.flush(time.monotonic())
    told = player.words(records.BEAT)["held"]
    assert told[:2] == [[1, 2], [3, 4]]
    assert told[-1][1] == 200_000
    assert len(told) == agent.MOST_TOLD


def test_the_last_one_removes_the_directory_of_a_pool_on_this_machine(play_pipes: Play) -> None:
    """Nobody else would, if the driver has died."""
    player = play_pipes()
    player.take(records.HELLO)
    player.close_inbox()
    player.agent.wait(5)
    assert not Path(player.run.path).exists()


@pytest.mark.parametrize("how", ["inbox", "driver"])
def test_an_agent_that_is_told_to_stop_says_goodbye(play_files: Play, how: str) -> None:
    """In its inbox; or, if it starts after the end of the run, in the driver's file."""
    player = play_files(starts=False)
    if how == "driver":
        player.say_as_driver(records.STOP)
    else:
        player.send(records.STOP)
    player.start()
    assert player.words(records.GOODBYE)["reason"] == "stop"
    assert player.agent.wait(5) == 0


def test_a_goodbye_names_what_was_cut_off(play: Play) -> None:
    """The tasks at work with their run times, and how far the inbox was read."""
    player = play(slots=2)
    fifo = player.fifo()
    number = player.deal(jobs.hold, [None, fifo])
    player.begun(fifo)
    player.answers(number, 1)
    player.send(records.STOP)
    goodbye = player.words(records.GOODBYE)
    assert goodbye["reason"] == "stop"
    assert goodbye["read"] == 1
    ((batch_cut, index, seconds),) = goodbye["cut"]
    assert (batch_cut, index) == (number, 1)
    assert 0 < seconds < 20
    assert player.agent.wait(5) == 0


def test_at_a_signal_the_agent_says_goodbye(play: Play) -> None:
    """As schedulers send it before they kill; results that are there are brought home."""
    player = play(slots=2)
    fifo = player.fifo()
    number = player.deal(jobs.hold, [fifo, None])
    pid = player.begun(fifo)
    player.answers(number, 1)
    player.agent.send_signal(signal.SIGTERM)
    goodbye = player.words(records.GOODBYE)
    assert goodbye["reason"] == "signal"
    assert [index for _, index, _ in goodbye["cut"]] == [0]
    assert player.agent.wait(5) == 0
    assert is_gone(pid)


def test_workers_die_with_a_killed_agent(play: Play) -> None:
    """Without a chance to say a word, within a second, in the midst of a task too."""
    player = play(slots=2)
    fifos = [player.fifo("a"), player.fifo("b")]
    player.deal(jobs.hold, fifos)
    pids = [player.begun(fifo) for fifo in fifos]
    player.agent.kill()
    assert all_gone(*pids)


def test_without_work_the_agent_leaves(play_files: Play) -> None:
    """When it has lingered as long as it was told to."""
    player = play_files()
    player.send(records.WELCOME, {"linger": 0.1})
    assert player.words(records.GOODBYE)["reason"] == "idle"
    assert player.agent.wait(5) == 0


def test_an_agent_with_work_does_not_leave(play_files: Play) -> None:
    """A long task is no idleness."""
    player = play_files()
    fifo = player.fifo()
    number = player.deal(jobs.hold, [fifo])
    player.begun(fifo)
    player.send(records.WELCOME, {"linger": 0.1})
    time.sleep(0.3)
    player.release(fifo)
    assert player.values(number, 1) == [fifo]
    assert player.words(records.GOODBYE)["reason"] == "idle"


def test_an_agent_waits_for_a_driver_that_is_writing(play_files: Play) -> None:
    """A large batch takes a while; the driver's file says that one comes."""
    player = play_files(starts=False)
    player.say_as_driver(records.DRIVER_BEAT, records.WRITING)
    player.start()
    player.send(records.WELCOME, {"linger": 0.1})
    time.sleep(0.4)
    assert player.values(player.deal(jobs.double, [1]), 1) == [2]
    player.say_as_driver(records.DRIVER_BEAT, b"")
    assert player.words(records.GOODBYE)["reason"] == "idle"


def test_an_agent_without_work_does_nothing_but_look(play_files: Play) -> None:
    """Again and again before it does its rounds, and what comes is taken at once."""
    player = play_files(starts=False)
    arrival = Arrival(player.run, ELEMENT, None)
    arrival.wake, arrival.wakeup = os.pipe()
    idle = agent.Agent(arrival)
    looks = 0

    def read(now: float, enough: bool, read: Any = arrival.mail.read) -> list[Record]:
        nonlocal looks
        looks += now >= arrival.mail.looking.due
        found: list[Record] = read(now, enough)
        return found

    arrival.mail.read = read  # type: ignore[method-assign]
    assert idle._wait(time.monotonic()) == ([], ())
    assert looks > 1
    player.send(records.WELCOME, {"linger": 5.0})
    (came,), _ = idle._wait(time.monotonic())
    assert came.kind == records.WELCOME
    os.close(arrival.wake)
    os.close(arrival.wakeup)


def test_a_silent_driver_is_left(play_files: Play) -> None:
    """After `orphan_timeout`, though there is work at hand."""
    player = play_files(orphan_timeout=0.3)
    player.deal(jobs.hold, [player.fifo()])
    goodbye = player.words(records.GOODBYE)
    assert goodbye["reason"] == "orphan"
    assert player.agent.wait(5) == 0


def test_a_driver_that_spoke_since_the_last_beat_is_not_left(play_files: Play) -> None:
    """What it said is read before the agent leaves."""
    player = play_files(starts=False, orphan_timeout=30.0)
    loyal = agent.Agent(Arrival(player.run, ELEMENT, None))
    loyal._linger = 1000.0
    start = time.monotonic()
    player.say_as_driver(records.DRIVER_BEAT)
    loyal._check_leaving(start + 31)
    assert loyal._reason is None
    loyal._check_leaving(start + 60)
    assert loyal._reason is None
    loyal._check_leaving(start + 62)
    assert loyal._reason == "orphan"


def test_an_agent_that_nears_its_end_begins_one_task_and_no_other(play_files: Play) -> None:
    """What is left of its time would not do for another one like the first."""
    player = play_files(time=20.0)
    number = player.deal(jobs.double, range(5))
    assert player.words(records.GOODBYE)["reason"] == "time"
    done = {(number, entry.index) for entry in player.entries(number)}
    assert (number, 0) in done
    assert len(done) < 5
    assert sorted([*done, *player.returned()]) == [(number, index) for index in range(5)]


# ---- who may not serve


def test_the_second_in_an_element_leaves(play_files: Play) -> None:
    """A site that requeues jobs starts it again; the first goes on undisturbed."""
    player = play_files()
    player.take(records.HELLO)
    second = player.start()
    assert second.wait(10) == 5
    assert f"{ELEMENT} has an owner already" in player.log(1)
    assert player.values(player.deal(jobs.double, [1]), 1) == [2]
    assert not [record for record in player.news if record.kind == records.HELLO]


def refusal(player: Player) -> str:
    """Why the agent refused; it has left with its own exit code."""
    why: str = player.words(records.REFUSED)["why"]
    assert player.agent.wait(5) == 3
    assert why in player.log()
    return why


def test_another_python_is_refused(play: Play) -> None:
    """Both versions are named, with the interpreter and the host."""
    why = refusal(play(python_version=[3, 99]))
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert f"Python {here} ({sys.executable}) runs on {os.uname().nodename}" in why
    assert "the driver runs Python 3.99" in why


def test_another_pypool_is_refused(play: Play) -> None:
    """Both versions are named."""
    why = refusal(play(pypool="0.0.0"))
    assert f"pypool {VERSION} (" in why
    assert "the driver runs pypool 0.0.0" in why


def test_a_missing_directory_is_refused(play: Play, tmp_path: Path) -> None:
    """The driver's working directory is needed by relative paths of the user's."""
    why = refusal(play(directory=str(tmp_path / "missing")))
    assert f"{tmp_path}/missing cannot be entered" in why
    assert "No such file or directory" in why


def test_a_run_that_is_not_there_ends_the_agent(play_files: Play) -> None:
    """With a line on the scheduler's log and its own exit code."""
    player = play_files(starts=False)
    (Path(player.run.path) / names.RUN_INFO).unlink()
    agent = player.start()
    assert agent.wait(10) == 3
    assert names.RUN_INFO in player.log()


# ---- short tasks


def short(play: Play, function: Callable[..., Any], items: Sequence[Any]) -> tuple[Player, int]:
    """A player that deals tasks of which it is known that they take next to nothing."""
    player = play()
    number = player.write(function, items, chunk=0)
    player.share(number, 0, len(items), each=5e-6)
    return player, number


def told(player: Player, number: int) -> dict[int, Any]:
    """The values that have come so far."""
    return {
        entry.index: pickling.loads(player.body(entry))
        for entry in player.entries(number)
        if entry.outcome == VALUE
    }


def test_short_tasks_are_told_of_together(play: Play) -> None:
    """In far fewer entries than there are tasks; all values are right."""
    player, number = short(play, jobs.double, range(5000))
    player.until(lambda: len(told(player, number)) == 5000)
    assert told(player, number) == {index: 2 * index for index in range(5000)}
    assert len(player.written(number)) < 1000


def test_what_is_out_of_the_ordinary_comes_by_itself(play: Play) -> None:
    """An exception, a large value, one that cannot be pickled: those around it are values."""
    items = [1, "x", 2, 100_000, 3]
    player, number = short(play, jobs.odd, items)
    player.until(lambda: len(player.entries(number)) == 5)
    values = told(player, number)
    assert [values[index] for index in (0, 2, 4)] == [1, 2, 3]
    assert len(values[3]) == 100_000
    (error,) = [entry for entry in player.entries(number) if entry.outcome == ERROR]
    assert error.index == 1


def test_a_long_task_does_not_keep_the_values_of_short_ones(play: Play) -> None:
    """They are taken from where they were laid by, though its worker says nothing.

    Nor do they wait until the agent has something else to do: it beats.
    """
    player = play()
    fifo = player.fifo()
    items = [None] * 20 + [fifo] + [None] * 3
    number = player.write(jobs.hold, items, chunk=0)
    player.share(number, 0, len(items), each=5e-6)
    player.begun(fifo)
    player.until(lambda: len(told(player, number)) >= 20)
    assert not [record for record in player.news if record.kind == records.BEAT]
    time.sleep(0.2)
    player.release(fifo)
    player.until(lambda: len(told(player, number)) == 24)
    assert next(e.seconds for e in player.entries(number) if e.index == 20) > 0.2


@pytest.mark.parametrize("each", [1e-4, 1e-3])
def test_what_stands_behind_a_long_task_that_was_thought_short_is_taken_back(
    play: Play, each: float
) -> None:
    """Out of its message, though the worker has read that."""
    player = play(slots=2)
    fifos = [player.fifo(name) for name in ("one", "other")]
    items = [fifos[0], fifos[0], fifos[1], *[0.0] * 20]
    items[1] = 0.0
    number = player.write(jobs.sleep_or_hold, items, chunk=0)
    player.share(number, 0, len(items), each=each)
    player.begun(fifos[0])
    player.until(lambda: set(told(player, number)) >= {1})
    player.begun(fifos[1])
    player.release(fifos[1])
    player.until(lambda: len(told(player, number)) == len(items) - 1)
    player.release(fifos[0])
    player.until(lambda: told(player, number) == dict(enumerate(items)))


def test_who_has_the_rest_of_a_message_taken_away_goes_on(play: Play) -> None:
    """With what comes next. Nothing is done twice."""
    player = play()
    fifo = player.fifo()
    items = [fifo, *[0.0] * 30]
    number = player.write(jobs.sleep_or_hold, items, chunk=0)
    player.share(number, 0, len(items), each=1e-4)
    player.begun(fifo)
    player.send(records.RETURN, key=7)
    assert player.words(records.RETURNED)["ranges"] == [[number, 1, 31]]
    player.release(fifo)
    player.share(number, 5, 20, each=1e-4)
    player.until(lambda: set(told(player, number)) == {0, *range(5, 20)})
    later = player.deal(jobs.double, [4])
    assert player.values(later, 1) == [8]
    assert set(told(player, number)) == {0, *range(5, 20)}


def test_what_was_taken_away_is_not_begun_though_the_function_does_not_load(play: Play) -> None:
    """Each task says by itself what is wrong with the function: those that are left."""
    player = play()
    fifo = player.fifo()
    number = player.write(jobs.UnloadableLater(fifo), [0.0] * 31, chunk=0)
    player.share(number, 0, 31, each=1e-4)
    player.begun(fifo)
    player.send(records.RETURN, key=7)
    assert player.words(records.RETURNED)["ranges"] == [[number, 1, 31]]
    player.release(fifo)
    later = player.deal(jobs.double, [4])
    assert player.values(later, 1) == [8]
    assert [(entry.index, entry.outcome) for entry in player.entries(number)] == [(0, ERROR)]


class Place(Slot):
    """A slot without a worker; it says what it is given."""

    def __init__(self, ready: bool = True, work: float = 0.0) -> None:
        self.pid, self.ready = 1, ready
        self._most_messages, self._by_chunks = 14, False
        held = Held(9, Share(9, 1, 0, 0, 1, seconds=work))
        self.outstanding = deque([Piece(held, 0, 1)] if work else [])
        self.given = 0

    def send(self, piece: Piece) -> bool:
        self.outstanding.append(piece)
        self.given += piece.last - piece.first
        return True


@pytest.mark.parametrize(
    ("places", "given"),
    [
        ([Place(), Place()], [8, 8]),
        ([Place(), Place(ready=False), Place()], [8, 0, 8]),
        ([Place(), Place(work=0.007)], [16, 0]),
        ([Place(work=0.001), Place(), Place()], [0, 8, 8]),
        ([Place(work=0.001), Place(work=0.001)], [8, 8]),
    ],
)
def test_those_who_can_begin_at_once_share_what_there_is(
    places: list[Place], given: list[int]
) -> None:
    """Evenly. Others get something if more is there."""
    feeding: Any = SimpleNamespace(
        _slots=places,
        _todo=deque(),
        _mail=SimpleNamespace(trouble_since=None),
        _ending=SimpleNamespace(begins_nothing=lambda _: False),
    )
    feeding._takers = partial(agent.Agent._takers, feeding)
    feeding._feed_one = partial(agent.Agent._feed_one, feeding)
    held = Held(1, Share(1, 1, 0, 0, 16, seconds=3e-4))
    feeding._todo.append(Piece(held, 0, 16))
    agent.Agent._feed(feeding, 0.0)
    assert [place.given for place in places] == given


def test_a_short_task_that_prints_is_told_of_by_itself(play_files: Play) -> None:
    """With its own range; those around it have printed nothing. It may fail."""
    player = play_files()
    items: list[Any] = [0] * 12 + [5] + [0] * 3 + [7, "x", 0, 0]
    number = player.write(jobs.say_if, items, chunk=0)
    player.share(number, 0, len(items), each=5e-4)
    player.until(lambda: len(told(player, number)) == len(items) - 1)
    assert len(player.written(number)) < len(items)
    ranges = {entry.index: entry.output for entry in player.entries(number)}
    (slot,) = {entry.slot for entry in player.entries(number)}
    printed = {
        index: player.run.read(names.output(ELEMENT, slot), *place).decode()
        for index, place in ranges.items()
    }
    assert printed == {
        index: f"{item} is printed\n" if item else "" for index, item in enumerate(items)
    }


def test_short_tasks_may_return_what_looks_like_a_record(play: Play) -> None:
    """The agent leaves it to the worker, who tells of it by itself."""
    player = play()
    fifo = player.fifo()
    items = [b"a", player.run.mark + b"b", fifo, b"c"]
    number = player.write(jobs.give_or_hold, items, chunk=0)
    player.share(number, 0, len(items), each=5e-6)
    player.begun(fifo)
    for _ in range(3):  # meanwhile the agent looks at what was laid by
        player.send(records.RETURN)
        player.take(records.RETURNED)
        time.sleep(2 * LAID_BY_SECONDS)
    player.release(fifo)
    player.until(lambda: len(told(player, number)) == 3)
    assert told(player, number) == dict(enumerate(items[:3]))  # the last one was taken back


def test_short_tasks_give_back_what_they_have_mapped(play: Play) -> None:
    """One after the other, not with the next exception or large value."""
    array = np.zeros(MAPPED // 8)
    items = [[[[[[array]]]]] for _ in range(100)]
    player, number = short(play, jobs.mappings, items)
    player.until(lambda: len(told(player, number)) == 100)
    assert 0 < max(told(player, number).values()) < 50


@pytest.mark.parametrize("how", ["exit", "kill", "segfault"])
def test_the_values_of_short_tasks_outlive_their_worker(play: Play, how: str) -> None:
    """The death has the name of the task at work; none of those before is run again."""
    items = [f"fine{index}" for index in range(30)]
    items[20] = how
    player, number = short(play, jobs.die, items)
    assert player.words(records.DEATH)["index"] == 20
    player.until(lambda: len(told(player, number)) == 29)
    assert told(player, number) == {index: items[index] for index in range(30) if index != 20}


@pytest.mark.parametrize("kind", [0, 1000, 2000])
def test_the_column_of_short_tasks_outlives_their_worker(play: Play, kind: int) -> None:
    """Numbers of Python or numpy, arrays; the agent needs no numpy for that."""
    items = range(kind, kind + 30)
    player, number = short(play, jobs.die_behind_others, items)
    assert player.words(records.DEATH)["index"] == 20
    player.until(lambda: len(told(player, number)) == 29)
    found = {index: np.max(value) for index, value in told(player, number).items()}
    assert found == {index: items[index] for index in range(30) if index != 20}


def test_what_lies_before_a_task_that_takes_long_is_told(play: Play) -> None:
    """Though the worker does not look at the clock before it is done with more of them."""
    player, number = short(play, jobs.long_behind_others, range(24))
    seen: list[int] = []

    def all_told() -> bool:
        seen.append(len(told(player, number)))
        return seen[-1] == 24

    player.until(all_told)
    assert {20, 21, 22, 23} <= set(seen)
    assert told(player, number) == {index: index for index in range(24)}


def test_short_tasks_know_themselves(play: Play) -> None:
    """Each its own index and attempt."""
    player, number = short(play, jobs.who, range(50))
    player.until(lambda: len(told(player, number)) == 50)
    assert told(player, number) == {index: (index, 1) for index in range(50)}


def test_a_function_that_cannot_be_loaded_is_told_by_each_short_task(play: Play) -> None:
    """No worker dies of it."""
    player, number = short(play, jobs.NotThere(), range(20))
    player.until(lambda: len(player.entries(number)) == 20)
    assert {entry.outcome for entry in player.entries(number)} == {ERROR}
    assert "cannot be loaded here" in str(
        pickling.loads_error(player.body(player.entries(number)[0]))
    )
