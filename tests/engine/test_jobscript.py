"""Job scripts: what stands in them, and that no value of the user's is ever more than a value."""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pypool.config import Options
from pypool.engine import jobscript
from pypool.errors import SubmitError
from pypool.schedulers.base import wait
from pypool.schedulers.slurm import Slurm

GOLDEN = Path(__file__).parent / "golden"
RUN = "/shared/run"
PYTHON = "/python"

NOTHING_ASKED = Options(processes=4, work_dir="/work")
EVERYTHING_ASKED = Options(
    processes=4,
    work_dir="/work",
    queue="long and wide",
    time=131_400.0,
    memory=3 << 29,
    cpus=2,
    workers_per_element=4,
)

HOSTILE = [
    "a b",
    "a  b ",
    "a'b",
    'a"b',
    "$(touch marker)",
    "`touch marker`",
    "100%",
    "%A %j %%",
    "a\\b",
    "a\\",
    "#a",
    "a #b",
    "a;touch marker",
    "&&touch marker",
    "$HOME ${HOME} $1",
    "*",
    "~",
    "!!",
    "{{ queue }} {% raw %}",
    "-x",
    "é 漢",
]


def render(
    scheduler: str = "slurm",
    queue: str | None = None,
    run: str = RUN,
    python: str = PYTHON,
) -> str:
    options = Options(processes=1, work_dir="/work", queue=queue)
    return jobscript.render(scheduler, options, run, python)


@pytest.mark.parametrize(
    ("golden", "scheduler", "options"),
    [
        ("slurm.sh", "slurm", NOTHING_ASKED),
        ("slurm-everything.sh", "slurm", EVERYTHING_ASKED),
        ("shell.sh", "shell", NOTHING_ASKED),
    ],
)
def test_scripts_are_as_in_git(golden: str, scheduler: str, options: Options) -> None:
    """A change of a template shows as a change of a script that a person can read."""
    script = jobscript.render(scheduler, options, "/shared/run of 100%", PYTHON)
    assert script.replace(str(jobscript.START), "/start.py") == (GOLDEN / golden).read_text()


@pytest.mark.parametrize("golden", sorted(GOLDEN.glob("*.sh")), ids=lambda path: path.name)
def test_the_last_thing_a_script_does_is_to_become_the_agent(golden: Path) -> None:
    """`exec` makes the agent's exit code the element's, and lets signals reach it."""
    assert golden.read_text().rstrip().splitlines()[-1].startswith("exec ")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (1, "0-00:01:00"),
        (61, "0-00:01:01"),
        (90.5, "0-00:01:31"),
        (86399, "0-23:59:59"),
        (86400 * 400, "400-00:00:00"),
    ],
)
def test_times_are_as_slurm_takes_them(seconds: float, told: str) -> None:
    """Days, hours, minutes, seconds; a minute at least, and nothing is cut off."""
    assert jobscript.days_and_time(seconds) == told


# ---- templates


@pytest.fixture
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the templates, to be spoilt."""
    copy = tmp_path / "templates"
    copy.mkdir()
    for path in jobscript.TEMPLATES.glob("*.j2"):
        (copy / path.name).write_text(path.read_text())
    monkeypatch.setattr(jobscript, "TEMPLATES", copy)
    return copy


def test_a_variable_that_nobody_defines_is_named_with_its_place(templates: Path) -> None:
    """Who mistypes a name in a template is not given a script with a hole in it."""
    path = templates / "slurm.sh.j2"
    path.write_text(path.read_text().replace("queue | directive", "quue | directive"))
    with pytest.raises(SubmitError, match="'quue' is undefined") as caught:
        render(queue="q")
    assert f"of {path}" in str(caught.value)


def test_a_mistake_in_the_base_is_looked_for_there(templates: Path) -> None:
    """The file that is named is the one to correct."""
    path = templates / "_base.sh.j2"
    path.write_text(path.read_text().replace("{{ run |", "{{ rum |"))
    with pytest.raises(SubmitError, match=r"'rum' is undefined") as caught:
        render()
    assert f"of {path}" in str(caught.value)


def test_a_template_that_cannot_be_read_is_named(templates: Path) -> None:
    """A block without an end is an error of the template, not of pypool."""
    (templates / "slurm.sh.j2").write_text("{% block directives %}")
    with pytest.raises(SubmitError, match=r"slurm\.sh\.j2"):
        render()


def test_a_template_that_is_not_there_is_named(templates: Path) -> None:
    """The message says where it was looked for."""
    (templates / "slurm.sh.j2").unlink()
    with pytest.raises(SubmitError, match=r"slurm\.sh\.j2"):
        render()


# ---- values


@pytest.mark.parametrize("character", ["\n", "\r", "\0", "\x1b", "\x7f"])
@pytest.mark.parametrize("option", ["queue", "run", "python"])
def test_control_characters_are_refused(option: str, character: str) -> None:
    """A newline would begin a line of its own."""
    with pytest.raises(SubmitError, match="control characters"):
        render(**{option: f"/a{character}#SBATCH --uid=0"})


def argv_of(script: str, python: Path, place: Path) -> list[str]:
    """Runs a script whose interpreter takes down its arguments; gives these."""
    note = place / "argv"
    stub = f"""#!/bin/bash\nprintf '%s\\0' "$0" "$@" >{shlex.quote(str(note))}\n"""
    if not python.exists():
        python.write_text(stub)
        python.chmod(0o700)
    subprocess.run(
        ["/bin/bash", "-s", "0a1b"],
        input=script.encode(),
        env={"PATH": "/usr/bin:/bin", "SLURM_ARRAY_TASK_ID": "7", "PYPOOL_ELEMENT": "7"},
        cwd=place,
        check=True,
        timeout=20,
    )
    found = note.read_text().split("\0")[:-1]
    note.unlink()
    return found


def check_arrival(place: Path, scheduler: str, queue: str, run: str, python: str) -> None:
    """All three values arrive as they are, and nothing else is run or made."""
    interpreter = place / python.replace("/", "_")
    script = render(scheduler, queue, f"/{run}", str(interpreter))
    subprocess.run(["/bin/bash", "-n"], input=script.encode(), check=True, timeout=20)
    assert argv_of(script, interpreter, place) == [
        str(interpreter),
        str(jobscript.START),
        f"/{run}",
        "elements/0a1b/7",
    ]
    assert list(place.iterdir()) == [interpreter]
    interpreter.unlink()


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_arrive_as_they_are(tmp_path: Path, value: str) -> None:
    """Whatever a shell might see in queue, run directory or interpreter."""
    check_arrival(tmp_path, "shell", value, value, f"python{value}")


words = st.text(
    st.one_of(
        st.sampled_from("'\"\\$`(){}[]<>|&;*?~!#% =-/:\u00a0"),
        st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cs", "Cc"]),
    ),
    min_size=1,
    max_size=30,
)


@settings(
    max_examples=200,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(queue=words, run=words.map(lambda text: text.replace("\\", "/")), python=words)
def test_any_values_arrive_as_they_are(tmp_path: Path, queue: str, run: str, python: str) -> None:
    """Strings that nobody thought of are values as well."""
    check_arrival(tmp_path, "slurm", queue, run, f"p{python}")


def as_sbatch_reads(line: str) -> list[str]:
    """The words of a line of directives by the rules that a real sbatch was seen to follow."""
    found: list[str] = []
    word, quote, escaped, open_word = "", "", False, False
    for character in line:
        if escaped:
            word, escaped, open_word = word + character, False, True
        elif character == "\\":
            escaped = True
        elif quote and character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote, open_word = character, True
        elif not quote and character == "#":
            break
        elif not quote and character.isspace():
            if open_word:
                found.append(word)
            word, open_word = "", False
        else:
            word, open_word = word + character, True
    return [*found, word] if open_word else found


@settings(max_examples=300, deadline=None, database=None)
@given(words)
def test_a_directive_is_one_word_to_sbatch(value: str) -> None:
    """Blanks, quotes, backslashes and `#` do not end it, nor change it."""
    assert as_sbatch_reads(f"--x={jobscript.directive(value)}") == [f"--x={value}"]


def test_slurm_cannot_write_logs_below_a_backslash() -> None:
    """It fills in no pattern that holds one, so all elements would write to one file, or none."""
    with pytest.raises(SubmitError, match="Choose another work_dir"):
        render("slurm", run="/work/a\\b")


# ---- a real sbatch


@pytest.mark.slurm
@pytest.mark.parametrize("name", ["a  b", "a'b", 'a"b', "#a", "a #b", "100%A", "$(x)`y`", "é 漢"])
def test_slurm_runs_and_logs_whatever_the_directory_is_called(
    slurm_work_dir: Path, name: str
) -> None:
    """The agent gets the run directory as it is, and the log is where it belongs."""
    run = slurm_work_dir / name
    (run / "scheduler").mkdir(parents=True)
    interpreter = slurm_work_dir / f"python {name}"
    interpreter.write_text('#!/bin/bash\nprintf "%s\\n" "$2"\n')
    interpreter.chmod(0o700)
    script = run / "job.sh"
    script.write_text(render("slurm", None, str(run), str(interpreter)))
    slurm = Slurm()
    job = wait(slurm.submit(str(script), "t", 1))
    assert job is not None
    log = run / "scheduler" / slurm.log_file(job, 0)
    deadline = time.monotonic() + 20
    while not (log.exists() and log.read_text()):
        assert time.monotonic() < deadline, list(slurm_work_dir.rglob("*"))
        time.sleep(0.05)
    assert log.read_text() == f"{run}\n"


@pytest.mark.slurm
@pytest.mark.parametrize("queue", ["a b", "a'b", 'a"b', "a\\b", "a\\", "a#b", "#a", "$(x)", "%A"])
def test_sbatch_reads_the_queue_as_it_was_given(slurm_work_dir: Path, queue: str) -> None:
    """A partition that is not there is refused under the very name that the user gave."""
    script = slurm_work_dir / "job.sh"
    script.write_text(render("slurm", queue, str(slurm_work_dir), sys.executable))
    with pytest.raises(SubmitError) as caught:
        wait(Slurm().submit(str(script), "t", 1))
    assert f"invalid partition specified: {queue}{os.linesep}" in str(caught.value)
