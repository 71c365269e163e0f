"""Setup and teardown as the job script runs them, with something else in the agent's place.

What is promised: teardown is run when the agent has ended, whatever its end, and at a SIGTERM,
which is handed on to the agent; a shell that is killed runs nothing any more. The element's exit
code is the agent's.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from pypool.engine.jobscript import render
from pypool.options import make_options
from pypool.schedulers.shell import Shell

PATIENCE = 20.0
AGENT = """#!/bin/bash
echo "agent $3" >>"{place}/said"
{body}
"""


class Element:
    """A job script that is run as an element of the shell backend.

    Parameters
    ----------
    place : Path
        Where the script is, and the file in which everybody says what he does.
    agent : str
        What the agent does, in shell.
    """

    def __init__(self, place: Path, agent: str = "", **options: object) -> None:
        self.place = place
        interpreter = place / "python"
        interpreter.write_text(AGENT.format(place=place, body=agent))
        interpreter.chmod(0o700)
        given = {"work_dir": str(place), "python": str(interpreter)} | options
        self.script = place / "job.sh"
        self.script.write_text(render(Shell(), make_options(given, lambda _: 1), str(place)))

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["/bin/bash", str(self.script), "token"],
            env={"PATH": os.environ["PATH"], "PYPOOL_ELEMENT": "5", "SAID": f"{self.place}/said"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self) -> int:
        """The exit code; the shell itself has nothing to say."""
        process = self.start()
        _, self.errors = process.communicate(timeout=PATIENCE)
        return process.returncode

    @property
    def said(self) -> list[str]:
        path = self.place / "said"
        return path.read_text().splitlines() if path.exists() else []

    def until_said(self, word: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while word not in self.said:
            assert time.monotonic() < deadline, self.said
            time.sleep(0.01)


def say(word: str) -> str:
    return f'echo "{word}" >>"$SAID"'


AT_WORK = f"""trap over=yes TERM
{say("at work")}
until [ "$over" ]; do sleep 0.02; done
sleep 0.1 # as long as it takes to say goodbye
{say("term")}
exit 7"""
BOTH = ["setup", "agent elements/token/5", "teardown"]


# ---- order


def test_first_setup_then_the_agent_then_teardown(tmp_path: Path) -> None:
    """The agent gets the element's name."""
    element = Element(tmp_path, setup=say("setup"), teardown=[say("teardown")])
    assert element.run() == 0
    assert element.said == BOTH
    assert element.errors == ""


def test_setup_alone_needs_no_shell_that_waits(tmp_path: Path) -> None:
    """The agent takes the shell's place."""
    element = Element(tmp_path, agent=say("$$"), setup=say("$$"))
    assert element.run() == 0
    first, _, last = element.said
    assert first == last


def test_teardown_knows_what_setup_has_set(tmp_path: Path) -> None:
    """Variables, functions, and processes that it has started."""
    setup = ["mine=5", "tell() { " + say("$1") + "; }", "sleep 100 &", "server=$!"]
    teardown = ["kill $server", 'wait $server || tell "$mine $?"']
    element = Element(tmp_path, setup=setup, teardown=teardown)
    assert element.run() == 0
    assert element.said[1:] == ["5 143"]


# ---- what setup cannot do


@pytest.mark.parametrize(
    "setup",
    [
        "mine=5 \\",
        "echo >/dev/null \\",
        "# nothing \\",
        "# it's",
        "cat >/dev/null <<EOF\ntext\nEOF",
        "set -- a b c",
        "shift 0; element=no; index=no; agent=no",
        "set -eu",
        "set -euo pipefail",
        "unset PYPOOL_ELEMENT",
        "cd /",
        "exec 3>&1",
    ],
)
@pytest.mark.parametrize("teardown", [None, say("teardown")])
def test_setup_cannot_swallow_the_agent(tmp_path: Path, setup: str, teardown: str | None) -> None:
    """Whatever its last line is, and whatever it sets."""
    options = {"teardown": teardown} if teardown else {}
    element = Element(tmp_path, setup=f"{say('setup')}\n{setup}", **options)
    assert element.run() == 0
    assert element.said == (BOTH if teardown else BOTH[:2])


@pytest.mark.parametrize(
    "open_end", ["cat <<EOF", "cat <<EOF\ntext", "'", "if true; then", "f() {"]
)
@pytest.mark.parametrize("option", ["setup", "teardown"])
def test_lines_that_do_not_end_are_refused(tmp_path: Path, option: str, open_end: str) -> None:
    """They would take in what comes behind them."""
    with pytest.raises(ValueError, match=f"^{option}"):
        Element(tmp_path, **{option: open_end})


def test_setup_sees_no_argument_of_ours(tmp_path: Path) -> None:
    """What it reads in (`source`) would take our arguments for its own."""
    (tmp_path / "vars.sh").write_text(say("$# arguments") + "\n")
    element = Element(tmp_path, setup=f"source {tmp_path}/vars.sh")
    element.run()
    assert element.said == ["0 arguments", "agent elements/token/5"]


# ---- the exit code


@pytest.mark.parametrize("code", [0, 3, 5, 137])
@pytest.mark.parametrize("teardown", ["true", "false", "(exit 99)", "no-such-command", "# nothing"])
def test_the_exit_code_is_the_agents(tmp_path: Path, code: int, teardown: str) -> None:
    """Whatever becomes of teardown: schedulers read a meaning into some codes."""
    element = Element(tmp_path, agent=f"exit {code}", teardown=teardown)
    assert element.run() == code


@pytest.mark.parametrize("setup", ["set -e", "set -eu -o pipefail", "trap 'exit 9' ERR"])
def test_teardown_is_run_to_its_end(tmp_path: Path, setup: str) -> None:
    """Also if the agent ended badly, or one of its lines does, in a shell that stops at errors."""
    teardown = ["false", "no-such-command", say("teardown")]
    element = Element(tmp_path, agent="exit 3", setup=setup, teardown=teardown)
    assert element.run() == 3
    assert element.said[-1] == "teardown"


def test_teardown_is_run_after_an_agent_that_was_killed(tmp_path: Path) -> None:
    """By the memory limit, for example."""
    element = Element(tmp_path, agent="kill -KILL $$", teardown=say("teardown"))
    assert element.run() == 128 + signal.SIGKILL
    assert element.said[-1] == "teardown"


@pytest.mark.parametrize("teardown", ["echo >/dev/null \\", "cat >/dev/null <<EOF\ntext\nEOF", ""])
def test_teardown_may_end_in_anything(tmp_path: Path, teardown: str) -> None:
    """What comes behind it is still read."""
    assert Element(tmp_path, agent="exit 3", teardown=teardown).run() == 3


# ---- signals


@pytest.mark.parametrize("to_all", [True, False])
def test_a_sigterm_is_handed_on_and_waited_for(tmp_path: Path, to_all: bool) -> None:
    """Schedulers send it to the shell alone, or to all processes; the agent has the last word."""
    element = Element(tmp_path, agent=AT_WORK, teardown=say("teardown"))
    process = element.start()
    element.until_said("at work")
    if to_all:
        os.killpg(process.pid, signal.SIGTERM)
    else:
        process.terminate()
    assert process.wait(PATIENCE) == 7
    assert element.said[1:] == ["at work", "term", "teardown"]


def test_a_signal_that_setup_takes_does_not_end_the_wait(tmp_path: Path) -> None:
    """Teardown is not run beside an agent at work."""
    setup = f"trap '{say('alarm')}' ALRM"
    element = Element(tmp_path, agent=AT_WORK, setup=setup, teardown=say("teardown"))
    process = element.start()
    element.until_said("at work")
    process.send_signal(signal.SIGALRM)
    element.until_said("alarm")
    assert process.poll() is None
    process.terminate()
    assert process.wait(PATIENCE) == 7
    assert element.said[-2:] == ["term", "teardown"]


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU])
def test_other_words_of_the_end_are_handed_on(tmp_path: Path, number: signal.Signals) -> None:
    """Of Slurm before the end, of Grid Engine at a soft limit and before it kills."""
    agent = AT_WORK.replace("TERM", number.name.removeprefix("SIG"))
    element = Element(tmp_path, agent=agent, teardown=say("teardown"))
    process = element.start()
    element.until_said("at work")
    process.send_signal(number)
    assert process.wait(PATIENCE) == 7
    assert element.said[1:] == ["at work", "term", "teardown"]


def test_many_sigterms_are_as_good_as_one(tmp_path: Path) -> None:
    """Teardown is run once. With one in the moment of the agent's end, that is told instead."""
    agent = f"trap '' TERM; {say('at work')}; sleep 0.3; exit 7"
    element = Element(tmp_path, agent=agent, teardown=say("teardown"))
    process = element.start()
    element.until_said("at work")
    while process.poll() is None:
        process.terminate()
        time.sleep(0.001)
    assert process.returncode in (7, 128 + signal.SIGTERM)
    assert element.said.count("teardown") == 1


def test_a_killed_shell_runs_no_teardown(tmp_path: Path) -> None:
    """Nobody can promise that."""
    element = Element(tmp_path, agent=AT_WORK, teardown=say("teardown"))
    process = element.start()
    element.until_said("at work")
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(PATIENCE) == -signal.SIGKILL
    assert "teardown" not in element.said
