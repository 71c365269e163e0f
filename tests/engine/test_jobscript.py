"""Job scripts: what stands in them, and that no value of the user's is ever more than a value."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pypool.engine import jobscript
from pypool.engine.templates import TEMPLATES
from pypool.errors import SubmitError
from pypool.options import Options, make_options
from pypool.picking import SCHEDULERS
from pypool.schedulers.base import wait
from pypool.schedulers.slurm import Slurm

GOLDEN = Path(__file__).parent / "golden"
RUN = "/shared/run"
PYTHON = "/python"

NOTHING_ASKED: dict[str, Any] = {"processes": 4}
EVERYTHING_ASKED: dict[str, Any] = {
    "processes": 4,
    "queue": "long and wide",
    "account": "physics 101",
    "time": 131_400,
    "memory": "1.5G",
    "cpus": 2,
    "gpus": 1,
    "workers_per_element": 4,
    "setup": ["module load gcc", 'export CACHE="$TMPDIR"'],
    "teardown": "cp -r results /shared",
}

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
    "A=1",
    "é 漢",
]


def render(
    scheduler: str = "slurm", run: str = RUN, python: str | Path = PYTHON, **asked: Any
) -> str:
    """The script of a pool with these options."""
    options = make_options({"work_dir": "/work", "python": python} | asked, lambda cpus: 1)
    return jobscript.render(SCHEDULERS[scheduler](), options, run, "smp")


@pytest.mark.parametrize(
    ("golden", "scheduler", "asked"),
    [
        ("slurm.sh", "slurm", NOTHING_ASKED),
        (
            "slurm-everything.sh",
            "slurm",
            EVERYTHING_ASKED | {"directives": ["--exclusive", "--constraint='a&b'"]},
        ),
        ("sge.sh", "sge", NOTHING_ASKED),
        (
            "sge-everything.sh",
            "sge",
            EVERYTHING_ASKED | {"directives": "-R y\n-p -5"},
        ),
        ("shell.sh", "shell", NOTHING_ASKED),
        ("shell-everything.sh", "shell", EVERYTHING_ASKED),
    ],
)
def test_scripts_are_as_in_git(golden: str, scheduler: str, asked: dict[str, Any]) -> None:
    """A change of a template shows as a change of a script that a person can read."""
    given = {option: value for option, value in asked.items() if value is not None}
    script = render(scheduler, "/shared/run of 100%", **given)
    assert script.replace(str(jobscript.START), "/start.py") == (GOLDEN / golden).read_text()


@pytest.mark.parametrize("golden", sorted(GOLDEN.glob("*.sh")), ids=lambda path: path.name)
def test_bash_can_read_the_scripts_in_git(golden: Path) -> None:
    """All of them, without a word."""
    done = subprocess.run(["/bin/bash", "-n", golden], capture_output=True, text=True, check=True)
    assert done.stderr == ""


@pytest.mark.parametrize("golden", sorted(GOLDEN.glob("*.sh")), ids=lambda path: path.name)
def test_the_last_thing_a_script_does_is_to_become_the_agent(golden: Path) -> None:
    """`exec` makes the agent's exit code the element's, and lets signals reach it."""
    last = golden.read_text().rstrip().splitlines()[-1]
    told = last.startswith("exec "), last.endswith('exit "$ended"')
    assert told == ("everything" not in golden.name, "everything" in golden.name)


def test_what_is_not_asked_for_is_not_written() -> None:
    """Not even as a default of ours: the scheduler's own hold."""
    script = render("slurm", queue="q")
    for option in ("account", "time", "mem", "cpus-per-task", "gres"):
        assert f"--{option}" not in script
    for option in ("-q", "-P", "-pe", "-l"):
        assert f"#$ {option}" not in render("sge")


def test_amounts_are_those_of_an_element() -> None:
    """Users think in workers, schedulers in elements."""
    script = render(processes=6, workers_per_element=3, memory="2G", cpus=4, gpus=1)
    assert "--mem=6144M" in script
    assert "--cpus-per-task=12" in script
    assert "--gres=gpu:3" in script
    assert "#SBATCH --cpus-per-task=3\n" in render(processes=3, workers_per_element=3)
    script = render("sge", processes=3, workers_per_element=3, memory="1G", cpus=2)
    assert "#$ -pe smp 6\n#$ -l h_vmem=512M\n" in script


def test_grid_engine_needs_a_parallel_environment_for_several_cpus() -> None:
    """Without one the request cannot be made, and that is said."""
    options = Options(processes=1, work_dir="/work", cpus=4)
    with pytest.raises(SubmitError, match=r"needs 4 CPUs.*give parallel_environment=\.\.\."):
        jobscript.render(SCHEDULERS["sge"](), options, RUN)
    jobscript.render(SCHEDULERS["sge"](), Options(processes=1, work_dir="/work"), RUN)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (1, "0-00:00:01"),
        (61, "0-00:01:01"),
        (90.5, "0-00:01:31"),
        (86399, "0-23:59:59"),
        (86400 * 400, "400-00:00:00"),
    ],
)
def test_times_are_as_slurm_takes_them(seconds: float, told: str) -> None:
    """Days, hours, minutes, seconds; nothing is cut off."""
    assert jobscript.days_and_time(seconds) == told


def test_a_minute_is_the_least_that_is_asked_for() -> None:
    """Slurm counts in minutes, and would end an element at once."""
    assert "--time=0-00:01:00\n" in render(time=1)
    assert "h_rt=60\n" in render("sge", time=1)


# ---- values


@pytest.mark.parametrize("character", ["\n", "\r", "\0", "\x1b", "\x7f", "\ud800"])
@pytest.mark.parametrize("option", ["queue", "run", "python"])
def test_control_characters_are_refused(option: str, character: str) -> None:
    """A newline would begin a line of its own. Options refuse them too; this is the last door."""
    text = f"/a{character}#SBATCH --uid=0"
    given = {"run": RUN, "queue": None, "python": PYTHON} | {option: text}
    run = given.pop("run")
    options = Options(processes=1, work_dir="/work", **given)
    with pytest.raises(SubmitError, match="control characters"):
        jobscript.render(Slurm(), options, run)


def argv_of(script: str, python: Path, place: Path) -> list[str]:
    """Runs a script whose interpreter takes down its arguments; gives these."""
    note = place / "argv"
    stub = f"""#!/bin/bash\nprintf '%s\\0' "$0" "$@" >{shlex.quote(str(note))}\n"""
    if not python.exists():
        python.write_text(stub)
        python.chmod(0o700)
    (place / "job.sh").write_text(script)
    numbers = {"SLURM_ARRAY_TASK_ID": "7", "PYPOOL_ELEMENT": "7", "SGE_TASK_ID": "8"}
    subprocess.run(
        ["/bin/bash", place / "job.sh", "0a1b"],
        env={"PATH": "/usr/bin:/bin"} | numbers,
        cwd=place,
        check=True,
        timeout=20,
    )
    (place / "job.sh").unlink()
    found = note.read_text().split("\0")[:-1]
    note.unlink()
    return found


@pytest.mark.parametrize("teardown", ["", "true"])
@pytest.mark.parametrize("scheduler", sorted(SCHEDULERS))
@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_arrive_as_they_are(
    tmp_path: Path, scheduler: str, value: str, teardown: str
) -> None:
    """Whatever a shell might see in queue, run directory or interpreter."""
    interpreter = tmp_path / f"python{value}"
    asked = {"queue": value, "account": value} if scheduler == "slurm" else {}
    run = {"slurm": "/" + value.replace("\\", "/"), "shell": "/" + value, "sge": "/r"}[scheduler]
    script = render(scheduler, run, interpreter, teardown=teardown, **asked)
    assert argv_of(script, interpreter, tmp_path) == [
        str(interpreter),
        str(jobscript.START),
        run,
        "elements/0a1b/7",
    ]
    assert list(tmp_path.iterdir()) == [interpreter]


# ---- what surrounds the agent


def run_script(place: Path, agent: str, **asked: Any) -> subprocess.CompletedProcess[str]:
    """Runs a script whose agent is this program of bash; gives its end."""
    interpreter = place / "agent"
    interpreter.write_text(f"#!/bin/bash\n{agent}\n")
    interpreter.chmod(0o700)
    script = place / "job.sh"
    script.write_text(render("shell", python=interpreter, **asked))
    return subprocess.run(
        ["/bin/bash", script, "0a1b"], capture_output=True, text=True, timeout=20, check=False
    )


def test_setup_and_teardown_surround_the_agent(tmp_path: Path) -> None:
    """In this order, in one shell; and the agent's end is the element's."""
    done = run_script(
        tmp_path, 'echo "agent $A"; exit 7', setup="export A=1\necho setup", teardown="echo end $A"
    )
    assert done.stdout.split("\n") == ["setup", "agent 1", "end 1", ""]
    assert done.returncode == 7


@pytest.mark.parametrize("setup", ["", "set -e", "set -eu\nset -o pipefail"])
@pytest.mark.parametrize("end", ["exit 3", "kill -KILL $$"])
def test_teardown_runs_however_the_agent_ends(tmp_path: Path, setup: str, end: str) -> None:
    """Even if the setup has said that the shell is to leave on errors."""
    done = run_script(tmp_path, end, setup=setup, teardown="echo end")
    assert done.stdout == "end\n"
    assert done.returncode in (3, 128 + signal.SIGKILL)


def test_teardown_runs_if_the_interpreter_is_missing(tmp_path: Path) -> None:
    """The exit code tells of it."""
    script = tmp_path / "job.sh"
    script.write_text(render("shell", python="no-such-python", teardown="echo end"))
    done = subprocess.run(["/bin/bash", script, "0"], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("end\n", 127)


def test_the_shell_hands_sigterm_to_the_agent(tmp_path: Path) -> None:
    """It waits until the agent has left, and then does the teardown."""
    agent = "trap 'echo leaves; exit 5' TERM; kill -TERM $PPID; while :; do sleep 0.1; done"
    done = run_script(tmp_path, agent, teardown="echo end")
    assert done.stdout == "leaves\nend\n"
    assert done.returncode == 5


def test_the_last_line_of_setup_cannot_go_on(tmp_path: Path) -> None:
    """A backslash at its end would join it with the line that starts the agent."""
    for setup in ("echo a\\", ["echo a", "echo b\\"]):
        done = run_script(tmp_path, "echo agent", setup=setup, teardown="echo end\\")
        assert done.stdout.split()[-2:] == ["agent", "end"]


# ---- directives


words = st.text(
    st.one_of(
        st.sampled_from("'\"\\$`(){}[]<>|&;*?~!#% =-/:\u00a0"),
        st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cs", "Cc"]),
    ),
    min_size=1,
    max_size=30,
)


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
    assert as_sbatch_reads(f"--x={Slurm().directive(value)}") == [f"--x={value}"]


def test_slurm_cannot_write_logs_below_a_backslash() -> None:
    """It fills in no pattern that holds one, so all elements would write to one file, or none."""
    with pytest.raises(SubmitError, match="Choose another work_dir"):
        render("slurm", run="/work/a\\b")


# ---- a real sbatch


@pytest.mark.slurm
@pytest.mark.parametrize("name", ["a  b", "a'b", 'a"b', "#a", "a #b", "100%A", "$(x)`y`", "é 漢"])
def test_slurm_runs_and_logs_whatever_the_directory_is_called(shared_home: Path, name: str) -> None:
    """The agent gets the run directory as it is, and the log is where it belongs."""
    run = shared_home / name
    (run / "scheduler").mkdir(parents=True)
    interpreter = shared_home / f"python {name}"
    interpreter.write_text('#!/bin/bash\nprintf "%s\\n" "$2"\n')
    interpreter.chmod(0o700)
    script = run / "job.sh"
    script.write_text(render("slurm", str(run), interpreter))
    slurm = Slurm()
    job = wait(slurm.submit(str(script), "t", 1))
    assert job is not None
    log = run / "scheduler" / slurm.log_file(job, 0)
    deadline = time.monotonic() + 20
    while not (log.exists() and log.read_text()):
        assert time.monotonic() < deadline, list(shared_home.rglob("*"))
        time.sleep(0.05)
    assert log.read_text() == f"{run}\n"


@pytest.mark.slurm
@pytest.mark.parametrize("queue", ["a b", "a'b", 'a"b', "a\\b", "a\\", "a#b", "#a", "$(x)", "%A"])
def test_sbatch_reads_the_queue_as_it_was_given(shared_home: Path, queue: str) -> None:
    """A partition that is not there is refused under the very name that the user gave."""
    script = shared_home / "job.sh"
    script.write_text(render("slurm", str(shared_home), sys.executable, queue=queue))
    with pytest.raises(SubmitError) as caught:
        wait(Slurm().submit(str(script), "t", 1))
    assert f"invalid partition specified: {queue}{os.linesep}" in str(caught.value)


@pytest.mark.slurm
def test_slurm_keeps_account_and_directives_as_they_were_given(shared_home: Path) -> None:
    """Whatever stands in them, Slurm tells the same of the job; a directive goes as it is."""
    texts = ["a b", "a'b", 'a"b', "a\\b", "a\\", "a#b", "#a", "$(x)`y`", "%A", "é 漢", "--hold"]
    script = shared_home / "job.sh"
    slurm = Slurm()
    told = {}
    for text in texts:
        directives = ["--hold", f"--comment={slurm.directive(text)}"]
        asked = {"account": text, "directives": directives}
        script.write_text(render("slurm", str(shared_home), "/bin/true", **asked))
        job = wait(slurm.submit(str(script), "t", 1))
        assert job is not None
        show = ["squeue", "--noheader", f"--jobs={job}", "--format=%a|%k"]
        told[text] = subprocess.run(show, capture_output=True, text=True, check=True).stdout
        subprocess.run(["scancel", job], check=True)
    # Slurm writes all accounts in small letters
    assert told == {text: f"{text.lower()}|{text}\n" for text in texts}


# ---- templates that come with pypool

SHIPPED = sorted(TEMPLATES.glob("*.j2"))
NAME = re.compile(r"^      (\w+) +(?:str|int|list of str)\b", re.MULTILINE)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_template_is_short(path: Path) -> None:
    """A person reads it at a glance."""
    assert len(path.read_text().splitlines()) <= 30


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_the_head_of_a_template_names_the_variables_that_it_uses(path: Path) -> None:
    """Exactly these, with their types; those of the base are named there."""
    head, _, body = path.read_text().partition("-#}\n")
    named = set(NAME.findall(head))
    body = re.sub(r"\{% block \w+ %\}", "", body)
    code = " ".join(re.findall(r"\{[{%](.*?)[%}]\}", body))
    known = set(jobscript.variables(Slurm(), Options(1, "/w"), RUN, None))
    assert set(re.findall(r"\w+", code)) & known == named


def test_all_variables_stand_in_some_head() -> None:
    """None is secret."""
    named = {name for path in SHIPPED for name in NAME.findall(path.read_text())}
    assert named == set(jobscript.variables(Slurm(), Options(1, "/w"), RUN, None))


def code_of(place: Path, **asked: str) -> int:
    """What Grid Engine gets from an element whose agent ends with 7."""
    python = place / "python"
    python.write_text("#!/bin/sh\nexit 7\n")
    python.chmod(0o755)
    script = render("sge", str(place), python=str(python), **asked)
    argv = ["/bin/bash", "-s", "token"]
    env = {"SGE_TASK_ID": "1"}
    return subprocess.run(argv, input=script, env=env, text=True, check=False).returncode


@pytest.mark.parametrize("code", [99, 100])
@pytest.mark.parametrize("place", ["setup", "teardown"])
def test_grid_engine_does_not_get_the_codes_on_which_it_starts_again(
    tmp_path: Path, code: int, place: str
) -> None:
    """It would start the element for ever, or keep it in the queue."""
    assert code_of(tmp_path, **{place: f"exit {code}"}) == 1


def test_the_agents_code_is_the_elements(tmp_path: Path) -> None:
    """With setup and teardown around it, too."""
    assert code_of(tmp_path) == 7
    assert code_of(tmp_path, setup=":", teardown=":") == 7


def test_the_template_of_another_scheduler_is_refused() -> None:
    """Its options would be passed over, and logs and results go astray."""
    with pytest.raises(SubmitError, match=r"sge\.sh\.j2 is for sge, and this pool for slurm: take"):
        render("slurm", template="pypool/sge.sh.j2")
