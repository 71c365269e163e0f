"""What the documents show runs.

The Python blocks of a page are one script, in order. Where a page speaks of a scheduler the script
is run twice: with `pypool.shell` in its place, which takes the same options, and on the real one.
An HTML comment before a block says if it is left out (`not executed: reason`), runs only if a
library is there (`executed if scipy is installed`), or lies in a file beside the script (`saved as
mine.sh.j2`).
"""

import ast
import importlib.util
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .pages import DOCS, PAGES, ROOT, blocks, name_of

STAND_IN = (
    "import pypool.shell, sys; "
    "sys.modules['pypool.slurm'] = sys.modules['pypool.sge'] = pypool.shell; "
)
FORK = "import multiprocessing; multiprocessing.set_start_method('fork'); "
BEFORE = {"tutorial/README.md": "from numpy import array; "}
"""What a page takes for granted: here, how numpy prints an array."""

TIMEOUT = 90.0  # seconds
ENDS_WITHIN = 15.0


def is_wanted(remark: str) -> bool:
    """What the comment before a block says."""
    if not remark:
        return True
    if remark.startswith("not executed: "):
        return False
    found = re.fullmatch(r"executed if (\w+) is installed", remark)
    assert found, f"<!-- {remark} --> before a block is not understood"
    return importlib.util.find_spec(found[1]) is not None


def script(page: Path) -> str:
    """The page's blocks, each at its own lines, so that a traceback leads to the page."""
    lines = [""] * page.read_text().count("\n")
    for block in blocks(page, "python"):
        if is_wanted(block.remark):
            code = block.text.splitlines()
            lines[block.line : block.line + len(code)] = code
    return "\n".join(lines)


def save_files(page: Path, directory: Path) -> None:
    """The blocks that the page wants to lie beside its script."""
    for language in ("jinja", "toml"):
        for block in blocks(page, language):
            if block.remark.startswith("saved as "):
                (directory / block.remark.removeprefix("saved as ")).write_text(block.text)


def run_page(page: Path, directory: Path, before: str) -> None:
    """Runs the page's blocks as a program."""
    save_files(page, directory)
    run(name_of(page), FORK + BEFORE.get(name_of(page), "") + before + script(page), directory)


def run(name: str, code: str, directory: Path, scheduler: str = "local") -> str:
    """Runs a program in a directory that is its home, too; gives what it says."""
    program = directory / f"{Path(name).stem}_page.py"  # not the name of a library that it shows
    program.write_text(code)
    settings = {
        "HOME": str(directory),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tutorial")]),
        "PYPOOL_SCHEDULER": scheduler,
        "MPLBACKEND": "agg",
    }
    process = subprocess.Popen(
        [sys.executable, program.name],
        cwd=directory,
        env=os.environ | settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        output = interrupted(process)
    assert process.returncode == 0, f"{name}:\n{output}"
    return output


def interrupted(process: subprocess.Popen[str]) -> str:
    """What the program says when it is asked to end, so that its pools end, too."""
    process.send_signal(signal.SIGINT)
    try:
        return process.communicate(timeout=ENDS_WITHIN)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0]


WITH_BLOCKS = [page for page in PAGES if blocks(page, "python")]


LIBRARIES = {"dynesty", "emcee", "scipy"}


def pages_on(scheduler: str) -> list[Any]:
    """Pages that speak of a scheduler; the tutorial has tests of its own.

    Those on libraries take long, and so do the tests of these (`make test-libraries`).
    """
    return [
        pytest.param(page, marks=pytest.mark.slow if page.stem in LIBRARIES else ())
        for page in WITH_BLOCKS
        if f"pypool.{scheduler}" in script(page) and page.parent.name != "tutorial"
    ]


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=name_of)
def test_blocks_run_on_this_machine(page: Path, tmp_path: Path) -> None:
    """All Python blocks of a page run as one program, in order."""
    if page.parent.name == "tutorial":
        pytest.importorskip("skimage")
        pytest.importorskip("matplotlib")
    run_page(page, tmp_path, STAND_IN)


@pytest.mark.slurm
@pytest.mark.parametrize("page", pages_on("slurm"), ids=name_of)
def test_blocks_run_on_slurm(page: Path, shared_home: Path) -> None:
    """A page that shows `pypool.slurm` runs on a real Slurm, too."""
    run_page(page, shared_home, "")


@pytest.mark.sge
@pytest.mark.parametrize("page", pages_on("sge"), ids=name_of)
def test_blocks_run_on_grid_engine(page: Path, shared_home: Path) -> None:
    """A page that shows `pypool.sge` runs on a real Grid Engine, too."""
    run_page(page, shared_home, "")


@pytest.mark.parametrize(
    "scheduler",
    [
        *("serial", "local", "shell"),
        pytest.param("slurm", marks=pytest.mark.slurm),
        pytest.param("sge", marks=pytest.mark.sge),
    ],
)
def test_one_program_runs_everywhere(scheduler: str, shared_home: Path) -> None:
    """The page's program runs unchanged by PYPOOL_SCHEDULER alone, and says the same."""
    page = DOCS / "how-to" / "one-program-everywhere.md"
    program = blocks(page, "python")[0].text
    assert run("collatz", program, shared_home, scheduler) == "178\n"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_are_python(page: Path) -> None:
    """Blocks that are left out, or wait for a library that is not there, are Python at least."""
    for block in blocks(page, "python"):
        ast.parse(block.text)
