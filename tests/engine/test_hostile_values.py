"""Ten thousand strings that nobody thought of, in every option that can hold one.

Either a string is refused when the pool is made, or the script does what it would do without it:
it calls the interpreter that was given, with the arguments that were meant, and nothing else.
Scripts are made by the hundred and then run by one shell, or this would take an hour.
"""

import os
import shlex
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pypool.engine import jobscript
from pypool.errors import SubmitError
from pypool.options import Options, make_options
from pypool.picking import SCHEDULERS

TOKEN = "0a1b"
NUMBERS = {"SLURM_ARRAY_TASK_ID": "7", "PYPOOL_ELEMENT": "7", "SGE_TASK_ID": "8"}

# What shells, schedulers, templates and files make something of
BAITS = [
    *("touch marker", "$(touch marker)", "`touch marker`", ";touch marker;", "&touch marker&"),
    *("|touch marker", "\ntouch marker\n", "'\ntouch marker\n'", '"$(touch marker)"', ">marker"),
    *("');touch marker;('", '";touch marker;"', "${x:=$(touch marker)}", "<(touch marker)"),
    *("\\", "'", '"', "`", "$", "#", "\n", "\r", "\t", " ", "\0", "\x1b", "%", "%j", "%A", "!!"),
    *("$1", "$@", "$HOME", "$JOB_ID", "~", "*", "?", "[a]", "{a,b}", "-x", "--", "=", "A=1", ","),
    *("#SBATCH --wrap=x", "#$ -b y", "{{ run }}", "{% raw %}", "{#", "EOF", "<<EOF", "if", "done"),
    *("}", ")", ";;", "é 漢", "\u00a0", "\u2028", "\x85", "\ud800", "\udcff", "/", "..", ":"),
]

strings = st.one_of(
    st.lists(st.sampled_from(BAITS), min_size=1, max_size=5).map("".join),
    st.lists(st.one_of(st.sampled_from(BAITS), st.text(max_size=6)), max_size=4).map("".join),
    st.text(max_size=20),
)
# So that much is accepted, and not all of it refused for one letter
tame = strings.map(lambda text: "".join(letter for letter in text if letter.isprintable()))
either = st.one_of(tame, tame, strings)

TEXTS = ("name", "queue", "account", "parallel_environment", "template", "keep", "on_change")
AMOUNTS = ("processes", "time", "memory", "cpus", "linger", "retries", "scheduler_interval")

asked = st.fixed_dictionaries(
    {
        "queue": either,
        "account": either,
        "parallel_environment": either,
        "python": st.builds(str.__add__, st.sampled_from(["", "/"]), either),
        "work_dir": st.builds(str.__add__, st.sampled_from(["", "/"]), either),
        "name": either,
        "directives": st.one_of(
            st.lists(either, min_size=1, max_size=2),
            st.lists(either.map(lambda text: "--x=" + shlex.quote(text)), min_size=2, max_size=4),
            st.lists(either.map("-x ".__add__), min_size=2, max_size=4),
        ),
        "env": st.one_of(
            st.dictionaries(either, either, min_size=1, max_size=2),
            st.dictionaries(st.sampled_from(["A", "PATH_", "_"]), either, min_size=1, max_size=3),
            st.lists(either, min_size=1, max_size=2),
        ),
    }
)


def texts_in(value: Any) -> Iterator[str]:
    """All strings of an option."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (*value, *value.values())
    elif isinstance(value, list):
        yield from value


def generated(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """Examples, as many as hypothesis finds different ones."""
    found: list[Any] = []

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def take(example: Any) -> None:
        found.append(example)

    take()
    return found


def accepted(given: dict[str, Any]) -> dict[str, Any]:
    """Those options that are accepted, each by itself; the others are refused properly."""
    fine = {}
    for option, value in given.items():
        wrong = ""
        try:
            make_options({"processes": 1, "work_dir": "/w", option: value}, int)
        except (TypeError, ValueError) as error:
            wrong = str(error)
        else:
            fine[option] = value
        assert option in fine or option in wrong
    return fine


def expressible(scheduler: str, given: dict[str, Any]) -> dict[str, Any]:
    """Those options for whose values the scheduler has words; the others are refused properly."""
    language = SCHEDULERS[scheduler]()
    words = {
        "queue": language.directive,
        "account": language.directive,
        "parallel_environment": language.directive,
        "work_dir": lambda path: language.directive(
            language.log_pattern(os.path.abspath(path))  # noqa: PTH100
        ),
    }
    fine = {}
    for option, value in given.items():
        with suppress(SubmitError):
            words.get(option, str)(value)
            fine[option] = value
    return fine


class Scripts:
    """Many scripts, and what each of them is to call."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.expected: dict[str, list[str]] = {}
        (place / "bin").mkdir()
        (place / "python").mkdir()
        self.stub = place / "stub"
        self.stub.write_text('#!/bin/sh\nprintf \'%s\\0\' "$0" "$@" >argv\n')
        self.stub.chmod(0o700)

    def add(self, scheduler: str, wanted: dict[str, Any]) -> int:
        """Makes the script of what is accepted of these options; says how many strings that is."""
        number = str(len(self.expected))
        fine = expressible(scheduler, accepted(wanted))
        fine["python"] = python = self.interpreter(fine.get("python", "/python"), number)
        options = make_options({"processes": 1, "work_dir": "/w"} | fine, int)
        run = f"{options.work_dir}/run"
        script = jobscript.render(SCHEDULERS[scheduler](), options, run, "smp")
        folder = self.place / "scripts" / number
        folder.mkdir(parents=True)
        (folder / "job.sh").write_bytes(script.encode(errors="surrogateescape"))
        (folder / "options").write_text(f"{scheduler} {fine!r}\n")
        found = python if os.sep in python else str(self.place / "bin" / python)
        self.expected[number] = [found, str(jobscript.START), run, f"elements/{TOKEN}/7"]
        return sum(1 for value in fine.values() for _ in texts_in(value))

    def interpreter(self, wanted: str, number: str) -> str:
        """What is called this, in the script's own place: a link to the stub."""
        if os.sep not in wanted:
            path = self.place / "bin" / wanted
            name = wanted
        else:
            path = self.place / "python" / number / ("x" + wanted.replace("/", "_"))
            name = str(path)
        if wanted in (".", "..") or len(os.fsencode(path.name)) > 255:
            return str(self.stub)
        path.parent.mkdir(exist_ok=True)
        if not path.is_symlink():
            path.symlink_to(self.stub)
        return name

    def run(self) -> None:
        """All of them, each where it can leave its traces; and looks at these."""
        loop = f"""
        for folder in {shlex.quote(str(self.place / "scripts"))}/*/; do
            cd "$folder" || exit 1
            /bin/bash -n job.sh >unread 2>&1 || echo "bash cannot read it" >>unread
            [ -s unread ] || rm unread
            (set -- {TOKEN}; . ./job.sh) >said 2>&1 </dev/null || echo "exit code $?" >>said
            [ -s said ] || rm said
        done
        """
        path = f"{self.place}/bin:/usr/bin:/bin"
        subprocess.run(
            ["/bin/bash", "-c", loop], env={"PATH": path} | NUMBERS, check=True, timeout=300
        )
        for number, expected in self.expected.items():
            folder = self.place / "scripts" / number
            left = {path.name for path in folder.iterdir()}
            told = (folder / "options").read_text() + (folder / "job.sh").read_text(
                errors="replace"
            )
            assert left == {"job.sh", "options", "argv"}, told
            found = os.fsdecode((folder / "argv").read_bytes()).split("\0")[:-1]
            assert found == expected, told


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_no_string_is_more_than_a_value(tmp_path: Path, count: int) -> None:
    """No marker appears, nothing is called but the interpreter, nothing is said."""
    scripts = Scripts(tmp_path)
    asked_of: Counter[str] = Counter()
    written: Counter[str] = Counter()
    while asked_of.total() < count:
        for wanted in generated(asked, 100):
            for option, value in wanted.items():
                asked_of[option] += sum(1 for _ in texts_in(value))
            for scheduler in SCHEDULERS:
                written[scheduler] += scripts.add(scheduler, wanted)
    scripts.run()
    print(f"{asked_of.total()} strings {dict(asked_of)}, accepted {dict(written)}")
    assert min(asked_of.values()) > count / 20
    assert min(written.values()) > count / 5


@pytest.mark.parametrize("count", [300, pytest.param(3000, marks=pytest.mark.slow)])
def test_any_value_is_refused_by_name_or_taken(count: int) -> None:
    """Whatever option a string stands in; amounts are no exception."""
    options = [*TEXTS, *AMOUNTS, "work_dir", "python", "directives", "env"]
    for option, text in generated(st.tuples(st.sampled_from(options), strings), count):
        for value in (text, [text], {text: text}, text.encode(errors="replace")):
            accepted({option: value})


def agents_line(script: str) -> int:
    """In which line the agent is started."""
    starts = [n for n, line in enumerate(script.split("\n")) if str(jobscript.START) in line]
    return starts[-1]


def read_by_bash(folder: Path, scripts: list[str]) -> list[bool]:
    """Whether bash can read them, in their order, without a word; by one shell."""
    for number, script in enumerate(scripts):
        (folder / str(number)).write_bytes(script.encode(errors="surrogateescape"))
    loop = (
        f'for n in $(seq 0 {len(scripts) - 1}); do [ -z "$(/bin/bash -n $n 2>&1)" ]; echo $?; done'
    )
    done = subprocess.run(
        ["/bin/bash", "-c", loop], cwd=folder, capture_output=True, text=True, check=True
    )
    return [line == "0" for line in done.stdout.split()]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [150, pytest.param(1500, marks=pytest.mark.slow)])
def test_lines_of_shell_cannot_swallow_the_start_of_the_agent(tmp_path: Path, count: int) -> None:
    """What is accepted of setup and teardown leaves a script that bash can read.

    If a line that cannot be read is put in the place of that which starts the agent, bash must
    see it: it is no part of a string, of a comment or of a here-document.
    """
    lines = st.one_of(either, st.lists(either, min_size=1, max_size=3))
    texts = 0
    scripts: list[str] = []
    for setup, teardown in generated(st.tuples(lines, lines), count // 2):
        texts += sum(1 for value in (setup, teardown) for _ in texts_in(value))
        fine = accepted({"setup": setup, "teardown": teardown})
        if not fine:
            continue
        options = make_options({"processes": 1, "work_dir": "/w"} | fine, int)
        scripts += [render_for(scheduler, options) for scheduler in SCHEDULERS]
    assert texts >= count
    assert len(scripts) > count / 10
    assert all(read_by_bash(tmp_path, scripts))
    spoilt = []
    for script in scripts:
        spoilt_lines = script.split("\n")
        spoilt_lines[agents_line(script)] = ")"
        spoilt.append("\n".join(spoilt_lines))
    assert not any(read_by_bash(tmp_path, spoilt))


def render_for(scheduler: str, options: Options) -> str:
    return jobscript.render(SCHEDULERS[scheduler](), options, "/w/run", "smp")
