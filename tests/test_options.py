"""Options: what is accepted, what it is taken for, and what is said of the rest."""

import enum
import os
import re
import sys
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy
import pytest

from pypool import options as module
from pypool.engine.variables import THREADS, variables
from pypool.options import NAMES, Options, check, from_text, make_options, nearest

HALF_A_LETTER = "\ud800"


class Queue(str, enum.Enum):  # noqa: UP042 - the kind that prints as its name
    """How a program may name its queues."""

    LONG = "long"


def options(**given: Any) -> Options:
    """What becomes of these, all others not given."""
    return make_options(given, lambda cpus: 60 // cpus)


# ---- every option

RIGHT: list[tuple[str, Any, Any]] = [
    ("processes", 3, 3),
    ("processes", numpy.uint8(3), 3),
    ("work_dir", "/w/a b", "/w/a b"),
    ("work_dir", Path("/w"), "/w"),
    ("workers_per_element", 28, 28),
    ("workers_per_element", numpy.int64(28), 28),
    ("name", "fit.2-b_c", "fit.2-b_c"),
    ("queue", "long and wide", "long and wide"),
    ("queue", Queue.LONG, "long"),
    ("time", "1h30m", 5400.0),
    ("time", timedelta(minutes=1), 60.0),
    ("max_time", "2h", 7200.0),
    ("memory", "4G", 4 << 30),
    ("memory", numpy.int64(5 << 20), 5 << 20),
    ("max_memory", "8G", 8 << 30),
    ("cpus", 4, 4),
    ("cpus", numpy.int32(4), 4),
    ("gpus", 2, 2),
    ("account", "a'b", "a'b"),
    ("parallel_environment", "smp", "smp"),
    ("directives", "--exclusive", ("--exclusive",)),
    ("directives", "\n  --exclusive\n\n--nodelist=n1 \n", ("--exclusive", "--nodelist=n1")),
    ("directives", ["-l gpu=1", "-R y\n-p -5"], ("-l gpu=1", "-R y", "-p -5")),
    ("directives", (), ()),
    ("setup", "module load x", ("module load x",)),
    ("setup", "\nif true; then\n\techo é 漢\nfi\n", ("if true; then", "\techo é 漢", "fi")),
    ("setup", ["cat <<E", " x ", "E"], ("cat <<E", " x ", "E")),
    ("setup", "echo a\r\necho b\r\n", ("echo a", "echo b")),
    ("setup", "echo a\\ ", ("echo a\\ ",)),
    ("setup", " \n\t\n", ()),
    ("teardown", "", ()),
    ("teardown", ["echo a", "", "echo b"], ("echo a", "", "echo b")),
    ("python", Path("/opt/bin/python"), "/opt/bin/python"),
    ("python", "python3.11", "python3.11"),
    ("env", {"A": "1\n2", "_b": ""}, {"A": "1\n2", "_b": ""}),
    ("env", ["HOME"], {"HOME": "/home/somebody"}),
    ("template", "mine.j2", "mine.j2"),
    ("template", Path("/t/mine.j2"), "/t/mine.j2"),
    ("linger", 0, 0.0),
    ("linger", "5m", 300.0),
    ("start_timeout", "1:30", 90.0),
    ("orphan_timeout", 20, 20.0),
    ("retries", 0, 0),
    ("scheduler_interval", 2, 2.0),
    ("scheduler_interval", numpy.float32(2.5), 2.5),
    ("keep", "all", "all"),
    ("on_change", "refuse", "refuse"),
    ("progress", True, True),
    ("progress", 0, False),
]

WRONG_TYPE: list[tuple[str, Any]] = [
    *[("processes", value) for value in ("3", 3.0, True, numpy.True_, Fraction(3), [3])],
    ("processes", numpy.array([1, 2])),
    *[("work_dir", value) for value in (b"/w", 3, ["/w"])],
    ("workers_per_element", "2"),
    *[("name", value) for value in (3, b"a")],
    *[("queue", value) for value in (3, b"long", ["long"], Path("long"))],
    *[("time", value) for value in (True, b"1h", ["1h"], 1j, numpy.array([1.5]))],
    ("max_time", b"1h"),
    *[("memory", value) for value in (True, b"4G", timedelta(1))],
    ("max_memory", None),
    *[("cpus", value) for value in ("2", 2.0, numpy.False_)],
    ("gpus", "1"),
    ("account", 7),
    ("parallel_environment", 7),
    *[("directives", value) for value in (3, [3], b"-x", {"-x"}, {"-x": 1})],
    *[("setup", value) for value in (3, ["a", None], b"a")],
    ("teardown", 3),
    *[("python", value) for value in (3, b"/python")],
    *[("env", value) for value in ("HOME", {"A": 1}, {1: "a"}, [1], 3, {b"A": b"1"})],
    *[("template", value) for value in (3, b"a.j2")],
    ("linger", True),
    ("start_timeout", [1]),
    ("orphan_timeout", b"1"),
    ("retries", 1.0),
    ("scheduler_interval", False),
    ("keep", True),
    ("on_change", 1),
    *[("progress", value) for value in ("yes", 2, 1.0, [])],
]

WRONG_VALUE: list[tuple[str, Any, str]] = [
    ("processes", 0, "Number of processes must be at least 1, and processes=0"),
    ("processes", numpy.int64(-1), "processes=np.int64(-1)"),
    ("work_dir", "", "work_dir='' must not be empty"),
    ("work_dir", "/a\nb", "nor hold control characters"),
    ("work_dir", f"/{HALF_A_LETTER}", "nor hold control characters"),
    ("work_dir", "~nobody-of-this-name/x", "give a path without '~'"),
    ("workers_per_element", 0, "workers_per_element=0 must be at least 1"),
    ("name", "", "names jobs: give a letter"),
    ("name", "7a", "names jobs: give a letter"),
    ("name", "a b", "names jobs: give a letter"),
    ("name", "a" * 64, "63 characters at most"),
    ("queue", "", "queue='' must not be empty"),
    ("queue", " ", "queue=' ' must not be empty"),
    ("queue", "a\nb", "nor hold unprintable characters"),
    ("queue", "a\x7f", "nor hold unprintable characters"),
    ("queue", HALF_A_LETTER, "nor hold unprintable characters"),
    ("time", "soon", 'is not understood: give seconds, "1h30m"'),
    ("memory", "4X", 'is not understood: give bytes, "500M" or "4G" per worker'),
    ("memory", 4, 'is 4 bytes, too little for any worker: give bytes, "500M" or "4G"'),
    ("cpus", 0, "cpus=0 must be at least 1"),
    ("gpus", 0, "gpus=0 must be at least 1"),
    ("account", "a\tb", "nor hold unprintable characters"),
    ("parallel_environment", "", "must not be empty"),
    ("directives", "#SBATCH --x", "has a # too much: give '--x'"),
    ("directives", ["#$ -l x"], "has a # too much: give '-l x'"),
    ("directives", "exclusive", "is no option of a scheduler: give '--exclusive'?"),
    ("directives", "= 3", "'= 3' is no option of a scheduler"),
    ("directives", ["--a\x00"], "holds control characters"),
    ("setup", "echo 'a", "setup is no shell that bash can read: line 1: "),
    ("setup", "cat <<EOF", "setup is no shell that bash can read: line 1: warning: here-document"),
    ("setup", "f()", "setup is no shell that bash can read"),
    ("setup", "a\rb", "holds control characters"),
    ("setup", f"echo {HALF_A_LETTER}", "holds control characters"),
    ("setup", "#SBATCH --x", "for an option: give directives='--x'"),
    ("setup", "true\n#$ -q all.q", "for an option: give directives='-q all.q'"),
    ("teardown", "if true", "teardown is no shell that bash can read"),
    ("python", "", "python='' must not be empty"),
    ("python", "-c", "must be a path or a command, not an option"),
    ("python", "py\nthon", "nor hold control characters"),
    ("env", ["NOT_SET_HERE"], "env names 'NOT_SET_HERE', which is not set here"),
    ("env", [HALF_A_LETTER], "env names '\\ud800', which is not set here"),
    ("env", {"A B": "1"}, "'A B' is no variable's name"),
    ("env", {"": "1"}, "'' is no variable's name"),
    ("env", {"A": "\0"}, "the value '\\x00' of A cannot be handed on"),
    ("env", {"A": HALF_A_LETTER}, "of A cannot be handed on"),
    ("template", "", "template='' must not be empty"),
    ("linger", -1, "linger=-1 is no span of time"),
    ("start_timeout", 0, "start_timeout=0 is no span of time"),
    ("max_time", 0, "max_time=0 is no span of time"),
    ("max_memory", 4, "max_memory=4 is 4 bytes, too little for any worker"),
    ("orphan_timeout", float("nan"), "orphan_timeout=nan is no span of time"),
    ("orphan_timeout", "8s", "orphan_timeout='8s' is too short: workers hear every 15 s"),
    ("retries", -1, "retries=-1 must be at least 0"),
    ("scheduler_interval", 0, "scheduler_interval=0 is no span of time"),
    ("keep", "al", 'keep=\'al\' must be "failed" or "all" or "none". Did you mean \'all\'?'),
    ("on_change", "no", 'on_change=\'no\' must be "say" or "refuse".'),
]


@pytest.mark.parametrize("table", [RIGHT, WRONG_TYPE, WRONG_VALUE], ids=["right", "type", "value"])
def test_every_option_stands_in_these_tables(table: list[tuple[str, Any]]) -> None:
    """A new option needs its own lines; whatever is no truth value is of the wrong type."""
    missing = set(NAMES) - {row[0] for row in table}
    assert missing <= ({"progress"} if table is WRONG_VALUE else set())


@pytest.mark.parametrize(("option", "given", "held"), RIGHT)
def test_right_values_are_accepted(
    option: str, given: Any, held: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever their make, they are plain values afterwards."""
    monkeypatch.setenv("HOME", "/home/somebody")
    found = check(option, given)
    assert found == held
    assert type(found) is type(held)
    assert str(found) == str(held)


@pytest.mark.parametrize(("option", "given"), WRONG_TYPE)
def test_values_of_a_wrong_type_are_refused(option: str, given: Any) -> None:
    """The message names the option, its value, and what would do."""
    with pytest.raises(TypeError) as caught:
        check(option, given)
    assert str(caught.value).startswith(option)
    assert re.search("must be|give ", str(caught.value))


@pytest.mark.parametrize(("option", "given", "message"), WRONG_VALUE)
def test_wrong_values_are_refused(option: str, given: Any, message: str) -> None:
    """The message names the option, its value, and what would do."""
    with pytest.raises(ValueError) as caught:
        check(option, given)
    assert option in str(caught.value)
    assert message in str(caught.value)


TIMES = 'seconds, "1h30m", "1:30:00", "2d" or a timedelta'


@pytest.mark.parametrize(
    ("option", "given", "message"),
    [
        ("time", "tomorrow", f"time='tomorrow' is not understood: give {TIMES}"),
        (
            "memory",
            "4 gigs",
            'memory=\'4 gigs\' is not understood: give bytes, "500M" or "4G" per worker',
        ),
        ("processes", 0, "Number of processes must be at least 1, and processes=0"),
        ("cpus", 2.5, "cpus=2.5 must be an integer, at least 1"),
        (
            "keep",
            "fialed",
            'keep=\'fialed\' must be "failed" or "all" or "none". Did you mean \'failed\'?',
        ),
        ("queue", "a\nb", "queue='a\\nb' must not be empty nor hold unprintable characters"),
        (
            "directives",
            "#SBATCH --exclusive",
            "directives: '#SBATCH --exclusive' has a # too much: give '--exclusive'",
        ),
        (
            "setup",
            "if true; then module load x",
            "setup is no shell that bash can read: line 2: syntax error: unexpected end of file",
        ),
        (
            "env",
            "HOME",
            (
                'env=\'HOME\' must be a dictionary like {"NAME": "value"}, '
                "or a list of names that are set here"
            ),
        ),
        (
            "name",
            "my fit",
            (
                "name='my fit' names jobs: give a letter, then letters, digits, '_', '.', '-', "
                "63 characters at most"
            ),
        ),
    ],
)
def test_ten_mistakes_and_what_is_said_of_them(option: str, given: Any, message: str) -> None:
    """Option, value, what is accepted, and the nearest word that is right."""
    with pytest.raises((TypeError, ValueError)) as caught:
        options(**{option: given})
    assert str(caught.value).startswith(message)  # bash may add words of its own


# ---- what is not given


def test_what_is_not_given_is_not_asked_for() -> None:
    """The scheduler's own defaults hold."""
    found = options()
    unset = (found.queue, found.time, found.memory, found.cpus, found.gpus, found.account)
    assert unset == (None,) * 6
    assert (found.directives, found.setup, found.teardown, found.env) == ((), (), (), {})
    assert found.python == sys.executable


def test_without_a_number_of_processes_it_is_the_default() -> None:
    """Which depends on the kind of pool, and on the CPUs of each worker."""
    assert options().processes == 60
    assert options(cpus=3).processes == 20


def test_options_are_taken_as_they_are_given() -> None:
    """Each option arrives under its name, parsed."""
    found = options(processes=2, work_dir="/w", queue="long", time="1h", memory="1G", cpus=3)
    assert found == Options(2, "/w", queue="long", time=3600.0, memory=1 << 30, cpus=3)


# ---- packing


@pytest.mark.parametrize(
    ("processes", "at_most", "elements", "workers"),
    [
        *[(100, 1, 100, 1), (100, 28, 4, 25), (7, 4, 2, 3), (4, 28, 1, 4), (56, 28, 2, 28)],
        *[(100, 3, 33, 3), (64, 3, 21, 3), (64, 28, 3, 21), (3, 2, 3, 1), (6, 4, 2, 3)],
    ],
)
def test_elements_are_large_but_few_workers_are_left_over(
    processes: int, at_most: int, elements: int, workers: int
) -> None:
    """No element is asked for more than it will use, and nobody loses a third of the workers."""
    found = options(processes=processes, workers_per_element=at_most)
    assert (found.elements, found.workers) == (elements, workers)


def test_threads_are_as_many_as_cpus() -> None:
    """Of each worker, not of the element; and only if CPUs were asked for."""
    found = variables(options(cpus=3, workers_per_element=4, env={"A": "b"}), {})
    assert found.pop("PYTHONHASHSEED").isdigit()
    assert found == dict.fromkeys(THREADS, "3") | {"A": "b"}
    assert variables(options(), {"PYTHONHASHSEED": "7"}) == {}


def test_threads_that_the_user_has_set_stay() -> None:
    """In the program's environment, or by `env`."""
    found = variables(
        options(cpus=3, env={"MKL_NUM_THREADS": "9"}),
        {"OMP_NUM_THREADS": "1", "NUMEXPR_NUM_THREADS": ""},
    )
    assert "OMP_NUM_THREADS" not in found
    assert found["MKL_NUM_THREADS"] == "9"
    assert found["NUMEXPR_NUM_THREADS"] == "3"


# ---- paths


def test_paths_are_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A relative path is meant from where the driver is, and `~` is the user's home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert options(work_dir="runs").work_dir == str(tmp_path / "runs")
    assert options(work_dir=Path("~/runs")).work_dir == "/home/somebody/runs"
    assert options().work_dir == "/home/somebody/.pypool"
    assert options(python="env/bin/python").python == str(tmp_path / "env/bin/python")
    assert options(template="./mine.j2").template == str(tmp_path / "mine.j2")


def test_a_path_that_is_not_in_utf_8_is_a_path() -> None:
    """File systems hold what they are given."""
    name = os.fsdecode(b"/w/\xff")
    assert options(work_dir=name).work_dir == name


def test_without_a_working_directory_paths_must_be_absolute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The message says so."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert options(work_dir="/w").work_dir == "/w"
    with pytest.raises(ValueError, match="work_dir='runs' is relative, and the working directory"):
        options(work_dir="runs")


def test_without_any_home_the_work_directory_must_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users of containers may have no name and no home."""
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert options(work_dir="/w").work_dir == "/w"
    with pytest.raises(ValueError, match=r"work_dir='~/.pypool'.*give a path without '~'"):
        options()


# ---- shell


def test_a_locale_that_is_missing_is_no_fault_of_the_shell_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """bash complains of it on the same channel."""
    monkeypatch.setenv("LC_ALL", "xx_XX.UTF-8")
    monkeypatch.setenv("BASH_ENV", "/nowhere")
    assert options(setup="echo é").setup == ("echo é",)


def test_without_bash_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program for a cluster can be tried out where there is none."""

    def no_bash(*args: Any, **more: Any) -> None:
        raise FileNotFoundError("/bin/bash")

    monkeypatch.setattr(module.subprocess, "run", no_bash)
    assert options(setup="echo 'a").setup == ("echo 'a",)


# ---- words


@pytest.mark.parametrize(
    ("word", "told"),
    [("tiem", "time"), ("QUEUE", "queue"), ("bigmme", "BigMem"), ("xyz", None), ("", None)],
)
def test_the_nearest_word_is_found(word: str, told: str | None) -> None:
    """Whatever letters are capital ones."""
    assert nearest(word, ["time", "queue", "BigMem"]) == (f" Did you mean {told!r}?" * bool(told))


FROM_TEXT: list[tuple[str, str, Any]] = [
    ("processes", " 4 ", 4),
    ("work_dir", "/w", "/w"),
    ("workers_per_element", "28", 28),
    ("name", "fit", "fit"),
    ("queue", "long", "long"),
    ("time", "90", 90.0),
    ("memory", "4G", 4 << 30),
    ("cpus", "2", 2),
    ("gpus", "1", 1),
    ("account", "a b", "a b"),
    ("parallel_environment", "smp", "smp"),
    ("directives", "--exclusive\n--nodelist=n1", ("--exclusive", "--nodelist=n1")),
    ("setup", "module load x\nmodule load y", ("module load x", "module load y")),
    ("teardown", "date", ("date",)),
    ("python", "python3", "python3"),
    ("env", " HOME , ", {"HOME": "/home/somebody"}),
    ("template", "mine.j2", "mine.j2"),
    ("linger", "0", 0.0),
    ("start_timeout", "1h", 3600.0),
    ("max_time", "6h", 21600.0),
    ("max_memory", "32G", 32 << 30),
    ("orphan_timeout", "1h", 3600.0),
    ("retries", "0", 0),
    ("scheduler_interval", "2.5", 2.5),
    ("keep", "none", "none"),
    ("on_change", "refuse", "refuse"),
    ("progress", "YES", True),
]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_time": 60}, "max_time says .* at most .* give time as well"),
        ({"max_memory": "4G"}, "max_memory says .* at most .* give memory as well"),
        ({"time": 120, "max_time": 60}, "max_time must not be less than time: 60.0 < 120.0"),
        ({"memory": "4G", "max_memory": "3G"}, "max_memory must not be less than memory"),
    ],
)
def test_most_goes_with_what_is_asked_for_at_first(given: dict[str, Any], message: str) -> None:
    """Doubling needs something to begin with, and does not make less of it."""
    with pytest.raises(ValueError, match=message):
        options(**given)


def test_most_may_be_what_is_asked_for() -> None:
    """Then nothing is ever raised."""
    assert options(time=60, max_time=60).max_time == 60


def test_every_option_can_be_given_as_text() -> None:
    """All of them stand in the table."""
    assert {option for option, _, _ in FROM_TEXT} == set(NAMES)


@pytest.mark.parametrize(("option", "text", "held"), FROM_TEXT)
def test_options_are_read_from_text(
    option: str, text: str, held: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As variables of the environment give them."""
    monkeypatch.setenv("HOME", "/home/somebody")
    assert check(option, from_text(option, text)) == held


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("processes", "four", "processes='four' must be an integer"),
        ("cpus", "2.5", "cpus='2.5' must be an integer"),
        ("progress", "maybe", "progress='maybe' must be one of 1, true, yes, 0, false, no"),
    ],
)
def test_text_that_cannot_be_read_is_refused(option: str, text: str, message: str) -> None:
    """With option, value, and what would do."""
    with pytest.raises(ValueError, match=re.escape(message)):
        from_text(option, text)
