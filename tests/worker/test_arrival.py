"""From the start of an agent to its hello, and what may come right behind that."""

import signal
import sys

import pytest

from pypool.rundir import names, records

from . import jobs
from .conftest import Play
from .player import ELEMENT

LOADING = """
import os, sys
from pypool.worker import admission

def loaded(arrival, load=admission.loaded):
{}
    return load(arrival)

admission.loaded = loaded
sys.exit(admission.main(sys.argv[2:]))
"""
"""An agent to which something happens while it loads what its hello did not need."""


def test_the_hello_loads_nothing_of_its_own(play_files: Play) -> None:
    """When it has been said, no more is loaded than before it began."""
    player = play_files(starts=False)
    before = "\nbefore = set(sys.modules)\nadmission.loaded = loaded"
    code = LOADING.format("    print('more:', *sorted(set(sys.modules) - before), flush=True)")
    player.start("-c", code.replace("\nadmission.loaded = loaded", before))
    player.take(records.HELLO)
    player.send(records.STOP)
    assert player.agent.wait(10) == 0
    assert player.log().splitlines() == ["more:"]


def test_the_hello_needs_little(play_files: Play) -> None:
    """Each module is one more to be read from a disk that is busy."""
    player = play_files(starts=False)
    player.start("-c", LOADING.format("    print(*sys.modules, flush=True)"))
    player.take(records.HELLO)
    player.send(records.STOP)
    assert player.agent.wait(10) == 0
    unneeded = {
        "json",
        "re",
        "struct",
        "signal",
        "pickle",
        "pypool.errors",
        "pypool.rundir.messages",
    }
    assert not unneeded & set(player.log().split())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGXCPU])
def test_a_signal_right_after_the_hello_is_heeded(play: Play, number: signal.Signals) -> None:
    """The agent says goodbye, as at any other time."""
    player = play(starts=False)
    player.start("-c", LOADING.format(f"    os.kill(os.getpid(), {number:d})"))
    player.take(records.HELLO)
    assert player.words(records.GOODBYE)["reason"] == "signal"
    assert player.agent.wait(10) == 0


def test_an_interrupt_right_after_the_hello_is_not_for_the_agent(play: Play) -> None:
    """It goes to the program."""
    player = play(starts=False)
    player.start("-c", LOADING.format(f"    os.kill(os.getpid(), {signal.SIGINT:d})"))
    player.take(records.HELLO)
    assert player.values(player.deal(jobs.double, [1]), 1) == [2]


def test_an_agent_that_cannot_be_loaded_refuses(play: Play) -> None:
    """Though it has said hello: the driver is told why, and so is the log."""
    player = play(starts=False)
    player.start("-c", LOADING.format("    sys.modules['pypool.worker.slots'] = None"))
    player.take(records.HELLO)
    refusal = player.words(records.REFUSED)
    assert "the agent cannot begin on" in refusal["why"]
    assert "pypool.worker.slots" in refusal["why"]
    assert refusal["why"] in player.log()
    assert not refusal["mismatch"]
    assert player.agent.wait(10) == 3


def test_no_module_of_the_users_takes_the_place_of_a_standard_one(play_files: Play) -> None:
    """The agent has loaded its own before it looks where tasks import from."""
    player = play_files(starts=False)
    shadows = player.place / "shadows"
    shadows.mkdir()
    for name in ("pickle", "select", "mmap", "signal", "contextlib"):
        (shadows / f"{name}.py").write_text("raise ImportError('the wrong one')\n")
    player.run.info["sys_path"] = [str(shadows), *sys.path]
    player.run.begin_life(1, player.run.info)
    player.start()
    assert player.values(player.deal(jobs.double, [1]), 1) == [2]
    assert player.run.read(names.owner(ELEMENT))
