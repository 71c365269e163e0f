"""The page of options agrees with the code: names, defaults, schedulers, variables, files."""

import ast
import inspect
import multiprocessing
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

import pypool
from pypool import config
from pypool.engine.jobscript import render
from pypool.options import (
    AT_MOST,
    DEFAULT_PROCESSES,
    DEFAULT_WORK_DIR,
    Options,
    check,
    make_options,
)
from pypool.picking import COMMANDS, SCHEDULERS
from pypool.pool import _OPTIONS

from .pages import PAGES, REFERENCE, Block, after, blocks, code_in, name_of, rows, section

PAGE = REFERENCE / "options.md"
COLUMNS = ("slurm", "sge", "shell", "local", "serial")
ON_THE_COMMAND_LINE = {"--array", "--job-name", "-t", "-N"}

MEANINGS = rows(PAGE.read_text().split("\n## What they mean\n")[1].split("\n## ")[0])
USES = {
    code_in(row[0])[0]: row[1:]
    for row in rows(section(PAGE, "## What each scheduler makes of them"))
}
FORMS = {
    (code_in(row[0]) or ["scheduler"])[0]: row[1:] for row in rows(section(PAGE, "### Variables"))
}

GIVEN: dict[str, Any] = {
    "processes": 4,
    "work_dir": "/work",
    "queue": "short",
    "time": "10m",
    "memory": "2G",
    "cpus": 2,
    "gpus": 1,
    "account": "physics",
    "parallel_environment": "smp",
    "directives": "--extra",
}


def one(cpus: int) -> int:
    return 1


# ---- meanings and defaults


def test_page_lists_all_options() -> None:
    """The tables name the options that `pypool.Pool` takes, in order."""
    assert [code_in(row[0]) for row in MEANINGS] == [[name] for name in _OPTIONS]


def test_page_lists_all_other_parameters() -> None:
    """Those of the standard pool that are no options stand in a table of their own, in order."""
    parameters = inspect.signature(pypool.Pool).parameters
    ours = [name for name in parameters if name not in (*_OPTIONS, "unknown")]
    standard = list(inspect.signature(multiprocessing.Pool).parameters)
    table = rows(section(PAGE, "## Parameters of the standard pool"))
    assert [code_in(row[0]) for row in table] == [[name] for name in ours]
    assert list(parameters)[: len(standard)] == standard == ["processes", *ours[:-1]]
    assert ours[-1] == "context"  # which the class has, and not the function
    defaults = [parameters[name].default for name in ours]
    assert [row[2] for row in table if row[2] != "none"] == [
        f"`{value}`" for value in defaults if value is not None
    ]


@pytest.mark.parametrize("row", MEANINGS, ids=lambda row: code_in(row[0])[0])
def test_page_tells_the_default(row: list[str]) -> None:
    """A default that is code is the default; where words stand, nothing is the default."""
    (option,), default = code_in(row[0]), row[2]
    special = {"processes": DEFAULT_PROCESSES, "work_dir": DEFAULT_WORK_DIR, "verbose": False}
    value = special.get(option, getattr(make_options({}, one), option, None))
    if default.startswith("`") and option != "name":
        assert ast.literal_eval(code_in(default)[0]) == value
    else:
        assert value in (None, (), {}) or option == "python"


@pytest.mark.parametrize("row", rows(after(PAGE, "workers")), ids=" ".join)
def test_page_spreads_workers_as_the_code_does(row: list[str]) -> None:
    """Elements and workers in each are those that the options compute."""
    processes, at_most, elements, workers = map(int, row)
    options = Options(processes, "/work", workers_per_element=at_most)
    assert (options.elements, options.workers) == (elements, workers)


# ---- schedulers


def test_page_tells_uses_of_all_options() -> None:
    """The table of schedulers has each option that `Options` has, in order."""
    assert list(USES) == [name for name in _OPTIONS if name not in ("verbose", "profile")]


@pytest.mark.parametrize("column", COLUMNS)
def test_page_tells_what_is_of_no_use(column: str) -> None:
    """'no use' stands where the code says so, and nowhere else."""
    number = COLUMNS.index(column)
    told = {option for option, cells in USES.items() if cells[number] == "no use"}
    assert told == set(config.HAS_NO_USE_FOR[column])


def job_script(scheduler: str, given: dict[str, Any]) -> str:
    return render(SCHEDULERS[scheduler](), make_options(given, one), "/run", "smp")


@pytest.mark.parametrize("scheduler", ["slurm", "sge"])
@pytest.mark.parametrize(
    "option", [name for name in USES if name not in ("work_dir", "directives")]
)
def test_page_tells_what_the_scheduler_gets(scheduler: str, option: str) -> None:
    """What is called an option of the scheduler is in the job script, because of this option."""
    flags = set(code_in(USES[option][COLUMNS.index(scheduler)])) - ON_THE_COMMAND_LINE
    without = {name: value for name, value in GIVEN.items() if name != option}
    for flag in flags:
        assert f" {flag}" in job_script(scheduler, GIVEN)
        if option != "parallel_environment":  # one that is found takes its place
            assert f" {flag}" not in job_script(scheduler, without)


def test_page_tells_what_is_no_directive() -> None:
    """What cannot be given as a directive is named, scheduler by scheduler."""
    text = PAGE.read_text().split("\n`directives` cannot hold ")[1].split("\n\n")[0]
    of_slurm, of_grid_engine = text.split("with Grid Engine")
    assert set(code_in(of_slurm)) == set(config.NOT_DIRECTIVES["slurm"])
    assert set(code_in(of_grid_engine)) == set(config.NOT_DIRECTIVES["sge"])


# ---- variables and files


@pytest.fixture
def no_files(tmp_path: Path) -> dict[str, str]:
    """An environment in which no settings of user or site are found."""
    return {"XDG_CONFIG_HOME": f"{tmp_path}/user", "XDG_CONFIG_DIRS": f"{tmp_path}/site"}


def test_page_lists_all_variables_and_keys() -> None:
    """Each option, and `scheduler`, has its variable and its line in a file."""
    assert list(FORMS) == [*_OPTIONS, "scheduler"]
    assert set(FORMS) == set(config.KEYS)
    for option, (variable, key) in FORMS.items():
        assert code_in(variable)[0].startswith(f"PYPOOL_{option.upper()}=")
        assert all(list(tomllib.loads(line)) == [option] for line in code_in(key))


@pytest.mark.parametrize("option", [name for name in FORMS if name not in ("profile", "scheduler")])
def test_variable_and_key_say_the_same(
    option: str, tmp_path: Path, no_files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both forms on the page are accepted and mean the same."""
    monkeypatch.setenv("LANG", "C")
    variable, key = (code_in(cell)[0] for cell in FORMS[option])
    name, _, value = "".join(shlex.split(variable)).partition("=")
    first = {AT_MOST[option]: "1M" if option == "max_memory" else 1} if option in AT_MOST else {}
    by_variable = config.gather(first, no_files | {name: value}, tmp_path)
    (tmp_path / config.FILE).write_text(key)
    by_key = config.gather(first, no_files, tmp_path)
    assert by_variable.options("slurm", one) == by_key.options("slurm", one)
    assert option in {name for layer in by_key.layers for name in layer.settings} | {"verbose"}


def test_page_tells_how_a_scheduler_is_chosen() -> None:
    """All schedulers, and all commands by which one is found, are named."""
    text = section(PAGE, "### Choice of the scheduler")
    assert set(config.SCHEDULERS) <= set(code_in(text))
    assert {command for commands in COMMANDS.values() for command in commands} <= set(code_in(text))


FILES = [(page, block) for page in PAGES for block in blocks(page, "toml")]


def file_id(value: Any) -> str:
    return name_of(value) if isinstance(value, Path) else f"line {value.line}"


@pytest.mark.parametrize(("page", "block"), FILES, ids=file_id)
def test_files_on_the_pages_are_accepted(
    page: Path, block: Block, tmp_path: Path, no_files: dict[str, str]
) -> None:
    """Every pypool.toml that is shown can be used, with each of its profiles.

    The first one on a page is the user's, so that others on it may choose its profiles.
    """
    own = Path(no_files["XDG_CONFIG_HOME"]) / "pypool"
    own.mkdir(parents=True)
    (own / config.FILE).write_text(blocks(page, "toml")[0].text)
    (tmp_path / config.FILE).write_text(block.text)
    profiles = tomllib.loads(block.text).get("profile", {})
    chosen = [{"profile": name} for name in profiles] if isinstance(profiles, dict) else []
    for given in [{}, *chosen]:
        settings = config.gather(given, no_files, tmp_path)
        settings.options(settings.scheduler or "slurm", one)
        for layer in settings.layers:
            for option, value in layer.settings.items():
                assert option in config.SELECTING or check(option, value) is not None
