"""What an agent makes of signals and of the time that is left: to the last task, and in time."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from pypool.engine.links import FileLink
from pypool.rundir import names, records
from pypool.worker.ending import Ending, limit, seconds_so_far
from pypool.worker.mail import Mail

from . import jobs
from .conftest import Play
from .player import ELEMENT, Player, is_gone

GRACE = {"linger": 60, "time": None, "grace": 60.0}


def an_ending(scheduler: str = "slurm", seconds: float | None = None, **variables: str) -> Ending:
    return Ending({"scheduler": scheduler, "time": seconds}, 100.0, variables)


def at_work(player: Player, **welcome: float | None) -> tuple[str, int]:
    """One task is held, two more wait for it; gives its place and the batch's number."""
    player.take(records.HELLO)
    player.send(records.WELCOME, GRACE | welcome)
    fifo = player.fifo()
    number = player.deal(jobs.hold, [fifo, None, None], each=5.0)
    player.begun(fifo)
    return fifo, number


# ---- what is known of the end


def test_slurm_says_how_long_it_gives() -> None:
    """By the difference of two of its own times; not if the user has said it."""
    times = {"SLURM_JOB_START_TIME": "1000", "SLURM_JOB_END_TIME": "4600"}
    assert limit(times) == 3600
    assert an_ending(**times).lives == 3600
    assert an_ending(**times).from_scheduler
    assert an_ending(seconds=60, **times).lives == 60


@pytest.mark.parametrize("end", ["", "Unknown", "10"])
def test_what_slurm_does_not_say_is_not_known(end: str) -> None:
    """An old one does not say it at all."""
    assert limit({}) is None
    assert limit({"SLURM_JOB_START_TIME": "1000", "SLURM_JOB_END_TIME": end}) is None


def test_an_element_with_more_time_is_told() -> None:
    """What the welcome says counts from the start."""
    ending = an_ending(seconds=60)
    ending.longest_task = 1.0
    assert ending.begins_nothing(150.0)
    ending.is_given(600.0, 30.0)
    assert not ending.begins_nothing(150.0)


def test_setup_takes_some_of_the_time() -> None:
    """The time of an element begins with its job script."""
    assert 0 <= seconds_so_far() < 24 * 3600
    program = "from pypool.worker.ending import seconds_so_far; print(seconds_so_far())"
    argv = ["bash", "-c", f"sleep 0.3; exec {sys.executable} -c '{program}'"]
    done = subprocess.run(argv, capture_output=True, check=True, start_new_session=True)
    assert 0.28 <= float(done.stdout) < 60


# ---- agents


def test_what_is_at_work_goes_on_after_the_signal(play_files: Play) -> None:
    """With time enough until the kill; the rest comes back at once, and the agent leaves."""
    player = play_files()
    fifo, number = at_work(player)
    player.agent.send_signal(signal.SIGTERM)
    player.until(lambda: player.returned() == [(number, 1), (number, 2)])
    assert player.words(records.RETURNED)["late"]
    player.release(fifo)
    assert [entry.index for entry in player.answers(number, 1)] == [0]
    goodbye = player.words(records.GOODBYE)
    assert (goodbye["reason"], goodbye["cut"]) == ("signal", [])
    assert player.agent.wait(5) == 0


def test_what_is_dealt_after_the_signal_comes_back(play_files: Play) -> None:
    """It was on its way."""
    player = play_files()
    fifo, number = at_work(player)
    player.agent.send_signal(signal.SIGTERM)
    player.until(lambda: len(player.returned()) == 2)
    player.share(number, 1, 3)
    player.until(lambda: len(player.returned()) == 4)
    player.release(fifo)
    assert player.words(records.GOODBYE)["cut"] == []


def test_five_seconds_before_the_kill_the_agent_leaves(play_files: Play) -> None:
    """It names what it cuts off, and what that had run."""
    player = play_files()
    _, number = at_work(player, grace=5.5)
    before = time.monotonic()
    player.agent.send_signal(signal.SIGTERM)
    goodbye = player.words(records.GOODBYE)
    assert time.monotonic() - before >= 0.5
    assert [cut[:2] for cut in goodbye["cut"]] == [[number, 0]]
    assert player.agent.wait(5) == 0


def test_after_stop_nothing_is_waited_for(play_files: Play) -> None:
    """The driver has cancelled the element, whatever the scheduler would allow it."""
    player = play_files()
    at_work(player)
    player.say_as_driver(records.STOP)
    player.agent.send_signal(signal.SIGTERM)
    assert player.words(records.GOODBYE)["reason"] == "stop"


def test_without_a_grace_the_agent_leaves_at_once(play_files: Play) -> None:
    """Nobody knows how soon it would be killed."""
    player = play_files()
    _, number = at_work(player, grace=0)
    player.agent.send_signal(signal.SIGTERM)
    assert [cut[:2] for cut in player.words(records.GOODBYE)["cut"]] == [[number, 0]]


def test_slurm_tells_that_the_end_is_near(play_files: Play) -> None:
    """Nothing more is begun, and what is at work goes on: there are seconds left."""
    player = play_files(scheduler="slurm")
    fifo, number = at_work(player)
    player.agent.send_signal(signal.SIGUSR1)
    player.until(lambda: player.returned() == [(number, 1), (number, 2)])
    player.release(fifo)
    goodbye = player.words(records.GOODBYE)
    assert (goodbye["reason"], goodbye["cut"]) == ("time", [])
    assert player.agent.wait(5) == 0


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU])
def test_signals_of_grid_engine_reach_workers_and_harm_none(
    play_files: Play, number: signal.Signals
) -> None:
    """It sends them to every process of the job, in whatever group; the task goes on."""
    player = play_files(scheduler="sge")
    fifo, batch = at_work(player)
    os.kill(player.begun(fifo), number)
    player.agent.send_signal(number)
    player.until(lambda: len(player.returned()) == 2)
    player.release(fifo)
    assert [entry.index for entry in player.answers(batch, 1)] == [0]
    assert player.words(records.GOODBYE)["cut"] == []


def test_a_worker_that_gets_the_signal_too_is_cut_off(play_files: Play) -> None:
    """Where Slurm sends it to all processes, nothing is charged as a death of its own."""
    player = play_files(slots=2)
    _, number = at_work(player)
    worker = player.begun(str(player.place / "fifo"))
    os.kill(worker, signal.SIGTERM)
    player.agent.send_signal(signal.SIGTERM)
    goodbye = player.words(records.GOODBYE)
    assert [cut[:2] for cut in goodbye["cut"]] == [[number, 0]]
    assert not [record for record in player.news if record.kind == records.DEATH]


def test_grid_engine_is_not_waited_for(play_files: Play) -> None:
    """It kills without a warning; five seconds before, what is at work is named."""
    player = play_files(scheduler="sge", time=7.0)
    player.take(records.HELLO)
    number = player.deal(jobs.hold, [player.fifo()])
    goodbye = player.words(records.GOODBYE)
    assert goodbye["reason"] == "time"
    assert [cut[:2] for cut in goodbye["cut"]] == [[number, 0]]


# ---- lives of a named run


def test_agents_of_a_named_run_go_on_without_a_driver(play_files: Play) -> None:
    """They finish what they hold, and leave when nothing is left."""
    player = play_files(orphan_timeout=0.2, name="survey")
    player.take(records.HELLO)
    fifo = player.fifo()
    number = player.deal(jobs.hold, [fifo, None])
    player.begun(fifo)
    player.send(records.WELCOME, GRACE | {"linger": 0.1})
    time.sleep(0.5)
    player.release(fifo)
    assert len(player.answers(number, 2)) == 2
    assert player.words(records.GOODBYE)["reason"] == "idle"


def test_a_driver_that_died_while_it_wrote_is_not_waited_for(play_files: Play) -> None:
    """Its last word was that a batch comes."""
    player = play_files(starts=False, orphan_timeout=0.5, name="survey")
    player.say_as_driver(records.DRIVER_BEAT, b"writing")
    player.start()
    player.take(records.HELLO)
    player.send(records.WELCOME, GRACE | {"linger": 0.1})
    assert player.words(records.GOODBYE)["reason"] == "idle"


def test_a_new_life_is_answered_at_once(play_files: Play) -> None:
    """A beat tells the resumed driver who is there and what it holds."""
    player = play_files(name="survey")
    at_work(player)
    player.send(records.LIFE, key=2)
    assert player.words(records.BEAT)["held"] == [[1, 2]]


# ---- disk


def test_a_run_directory_that_is_gone_ends_the_agent(play_files: Play) -> None:
    """With its workers, and with an exit code of its own."""
    player = play_files()
    fifo, _ = at_work(player)
    worker = player.begun(fifo)
    shutil.rmtree(player.run.path)
    assert player.agent.wait(30) == 4
    assert is_gone(worker)


def test_memory_of_workers_is_told(play_files: Play) -> None:
    """By beats as long as they live, and by the record of their death."""
    player = play_files()
    player.take(records.HELLO)
    player.send(records.LIFE, key=2)
    (peak,) = player.words(records.BEAT)["memory"]
    assert 1 << 10 < peak < 1 << 20
    player.deal(jobs.die, ["kill"])
    death = player.words(records.DEATH)
    assert 1 << 10 < death["memory"] < 1 << 20
    assert death["oom"] is False


def test_on_a_full_disk_the_last_word_stands_beside_the_owner(play_files: Play) -> None:
    """Where there is room, because the file is there."""
    player = play_files()
    player.take(records.HELLO)
    link = FileLink(player.run, ELEMENT.removeprefix(f"{names.ELEMENTS}/"), 1, 0.0)
    assert not link.had_no_disk()
    Mail(player.run, ELEMENT, None, 0.0).say_disk(errno.ENOSPC)
    assert link.had_no_disk()
