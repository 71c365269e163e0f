"""The documents: what they show runs, what they point to exists, what they list is all there is.

The Python blocks of a page are one script, in order. Where a page speaks of Slurm the script is
run twice: with `pypool.shell` in its place, which takes the same options, and on a real Slurm. An
HTML comment before a block says if it is left out (`not executed: reason`) or runs only if a
library is there (`executed if scipy is installed`).
"""

import ast
import importlib.util
import inspect
import os
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pypool
from pypool import errors
from pypool.config import make_options
from pypool.engine.jobscript import render
from pypool.rundir import batch, messages, names, records

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "tutorial" / "README.md", *sorted(DOCS.rglob("*.md"))]
LINKING = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "tests" / "clusters" / "README.md"]

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
REMARK = re.compile(r"<!-- (.*) -->\n\Z")
LINK = re.compile(r"\]\(([^)\s]+)\)")

STAND_IN = "import pypool.shell, sys; sys.modules['pypool.slurm'] = pypool.shell; "
FORK = "import multiprocessing; multiprocessing.set_start_method('fork'); "
BEFORE = {"tutorial/README.md": "from numpy import array; "}
"""What a page takes for granted: here, how numpy prints an array."""

TIMEOUT = 90.0  # seconds
ENDS_WITHIN = 15.0


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def is_wanted(remark: str | None) -> bool:
    """What the comment before a block says."""
    if remark is None:
        return True
    if remark.startswith("not executed: "):
        return False
    found = re.fullmatch(r"executed if (\w+) is installed", remark)
    assert found, f"<!-- {remark} --> before a block is not understood"
    return importlib.util.find_spec(found[1]) is not None


def script(page: Path) -> str:
    """The page's blocks, each at its own lines, so that a traceback leads to the page."""
    text = page.read_text()
    lines = [""] * text.count("\n")
    for block in BLOCK.finditer(text):
        remark = REMARK.search(text[: block.start()])
        if is_wanted(remark[1] if remark else None):
            first = text.count("\n", 0, block.start(1))
            code = block[1].splitlines()
            lines[first : first + len(code)] = code
    return "\n".join(lines)


def run(page: Path, directory: Path, before: str) -> None:
    """Runs the page as a program in a directory that is its home, too."""
    code = script(page)
    before = FORK + BEFORE.get(name_of(page), "") + before
    program = directory / f"{page.stem}.py"
    program.write_text(before + code)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tutorial")])
    settings = {"HOME": str(directory), "PYTHONPATH": paths, "PYPOOL_SCHEDULER": "local"}
    process = subprocess.Popen(
        [sys.executable, program.name],
        cwd=directory,
        env=os.environ | settings | {"MPLBACKEND": "agg"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        output = interrupted(process)
    assert process.returncode == 0, f"{name_of(page)}:\n{output}"


def interrupted(process: subprocess.Popen[str]) -> str:
    """What the program says when it is asked to end, so that its pools end, too."""
    process.send_signal(signal.SIGINT)
    try:
        return process.communicate(timeout=ENDS_WITHIN)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0]


WITH_BLOCKS = [page for page in PAGES if BLOCK.search(page.read_text())]
ON_SLURM = [
    page
    for page in WITH_BLOCKS
    if "pypool.slurm" in script(page) and page.parent.name != "tutorial"  # tests/tutorial does
]


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=name_of)
def test_blocks_run_on_this_machine(page: Path, tmp_path: Path) -> None:
    """All Python blocks of a page run as one program, in order."""
    if page.parent.name == "tutorial":
        pytest.importorskip("skimage")
        pytest.importorskip("matplotlib")
    run(page, tmp_path, STAND_IN)


@pytest.mark.slurm
@pytest.mark.parametrize("page", ON_SLURM, ids=name_of)
def test_blocks_run_on_slurm(page: Path, slurm_work_dir: Path) -> None:
    """A page that shows `pypool.slurm` runs on a real Slurm, too."""
    run(page, slurm_work_dir, "")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_are_python(page: Path) -> None:
    """Blocks that are left out, or wait for a library that is not there, are Python at least."""
    for block in BLOCK.finditer(page.read_text()):
        ast.parse(block[1])


# ---- links


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links call them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading).lower() for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", LINKING, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link leads to a file of the project, and to a heading if it names one."""
    for link in LINK.findall(page.read_text()):
        if "://" in link:
            continue
        path, _, heading = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), f"{link} leads out of the project"
        assert target.exists(), f"{link} leads nowhere"
        assert not heading or heading in anchors(target), f"{link} names no heading"


def test_index_leads_to_every_page() -> None:
    """The index of the documentation has a link to each page in it."""
    index = DOCS / "README.md"
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in LINK.findall(index.read_text())}
    assert set(DOCS.rglob("*.md")) - linked == {index}


# ---- lists


def section(page: Path, heading: str) -> str:
    """What stands below a heading, up to the next one."""
    text = page.read_text().split(f"\n{heading}\n", 1)[1]
    return re.split(r"^#+ ", text, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of all tables, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    heads = {number - 1 for number, line in enumerate(lines) if line.startswith("|---")}
    return [
        re.split(r"\s*\|\s*", line.strip("| "))
        for number, line in enumerate(lines)
        if number not in heads and number - 1 not in heads
    ]


def code_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def classes_of(module: Any) -> set[str]:
    return {
        name for name, value in vars(module).items() if inspect.isclass(value) and name[0] != "_"
    }


def test_errors_page_names_all_errors() -> None:
    """The page of errors has a section for each class of `pypool.errors`, and no other."""
    headings = re.findall(r"^## `(\w+)`$", (DOCS / "reference" / "errors.md").read_text(), re.M)
    assert sorted(headings) == sorted(classes_of(errors))


def test_errors_page_draws_the_tree() -> None:
    """The tree on the page of errors is that of the classes."""
    drawn = (DOCS / "reference" / "errors.md").read_text().split("\n\n")[2]
    depths: list[tuple[int, str]] = []
    for line in drawn.splitlines():
        found = re.search(r"\w+", line)
        assert found is not None
        parents = [name for column, name in depths if column < found.start()]
        if parents:
            assert getattr(errors, found[0]).__base__.__name__ == parents[-1]
        depths.append((found.start(), found[0]))
    assert {name for _, name in depths} == classes_of(errors)


def test_readme_lists_all_options() -> None:
    """The table of options in the README names the parameters of `pypool.Pool`, in order."""
    named = [code_in(row[0]) for row in rows(section(ROOT / "README.md", "## Options"))]
    assert named == [[name] for name in inspect.signature(pypool.Pool).parameters]


def test_readme_says_what_slurm_gets() -> None:
    """What the table of options calls an option of `sbatch` stands in the job script."""
    options = make_options(4, 4, "/work", "short", "10m", "2G", 2)
    job_script = render("slurm", options, "/shared/run", sys.executable)
    told = re.findall(r"`(--[\w-]+)`", section(ROOT / "README.md", "## Options"))
    assert [option for option in told if option not in job_script] == ["--array"]


# ---- the run directory

RUN_DIRECTORY = DOCS / "reference" / "run-directory.md"


def test_run_directory_page_lists_all_names() -> None:
    """The page of the run directory lists every name that `rundir.names` can give."""
    element = names.element("<token>", "<index>")
    given = {
        names.RUN_INFO,
        names.JOB_SCRIPT,
        names.DRIVER,
        names.JOURNAL,
        f"{names.SCHEDULER}/",
        names.function("<sha256>"),
        names.batches("<n>"),
        names.owner(element),
        names.inbox(element),
        names.outbox(element, "<part>"),
        names.data(element, "<slot>", "<part>"),
        names.output(element, "<slot>"),
    }
    listed = {code_in(row[0])[0] for row in rows(section(RUN_DIRECTORY, "## Names"))}
    assert listed == given
    functions = {name for name, value in vars(names).items() if inspect.isfunction(value)}
    assert functions == {"function", "batches", "element", "owner", "inbox", "outbox"} | {
        "data",
        "output",
    }


def test_run_directory_page_lists_all_kinds() -> None:
    """The page of the run directory lists every kind of record with its number."""
    kinds = {
        name: value
        for name, value in vars(records).items()
        if name.isupper() and isinstance(value, int) and not name.endswith(("SIZE", "LIMIT"))
    }
    table = [row for row in rows(section(RUN_DIRECTORY, "## Records")) if len(row) == 5]
    assert {code_in(row[1])[0]: int(row[0]) for row in table} == kinds


def fields(form: str) -> list[tuple[int, int]]:
    """Offset and size of each field of a packed struct."""
    found = []
    offset = 0
    for code in re.findall(r"\d*[a-zA-Z]", form):
        size = struct.calcsize("<" + code)
        found.append((offset, size))
        offset += size
    return found


@pytest.mark.parametrize(
    ("layout", "form"),
    [
        ("record", records.HEADER.format + "I"),
        ("share", messages._SHARE.format),
        ("entry", messages._ENTRY.format),
        ("elsewhere", messages._ELSEWHERE.format),
        ("batch", batch.META.format),
    ],
)
def test_run_directory_page_tells_each_byte(layout: str, form: str) -> None:
    """Offsets and sizes in the tables of bytes are those that the code packs."""
    text = RUN_DIRECTORY.read_text().split(f"<!-- bytes: {layout} -->\n")[1]
    table = rows(text.split("\n\n")[0])
    assert [(int(row[0]), int(row[1])) for row in table] == fields(form)


def test_run_directory_page_tells_the_sizes() -> None:
    """Header, entry and largest record have the sizes that the page tells."""
    text = RUN_DIRECTORY.read_text()
    assert f"a header of {records.HEADER_SIZE} bytes" in text
    assert f"a head of {messages.ENTRY_SIZE} bytes" in text
    assert f"at most {records.PAYLOAD_LIMIT + records.HEADER_SIZE} bytes" in text
    assert f"these {messages._ELSEWHERE.size} bytes" in text
    assert f"{names.INLINE_LIMIT >> 10} KiB" in text
    assert f"{names.PART_LIMIT >> 20} MiB" in text
