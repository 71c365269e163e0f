"""The page of the run directory tells each name and each byte."""

import inspect
import json
import re
import struct
from pathlib import Path

import pytest

from pypool import columns, kinds, packing
from pypool.engine.backend import WorkerRules, run_info
from pypool.options import Options
from pypool.rundir import batch, messages, names, records
from pypool.rundir.run import RunDirectory

from .pages import REFERENCE, after, code_in, rows, section

RUN_DIRECTORY = REFERENCE / "run-directory.md"


def test_run_directory_page_lists_all_names() -> None:
    """The page of the run directory lists every name that `rundir.names` can give."""
    element = names.element("<token>", "<index>")
    given = {
        names.RUN_INFO,
        names.JOB_SCRIPT,
        names.DRIVER,
        names.JOURNAL,
        names.LOCK,
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
        *("run_info", "job_script", "token", "life_of"),
    }


def test_run_directory_page_lists_all_keys(tmp_path: Path) -> None:
    """The page of the run directory lists every key of run.json."""
    info = run_info(Options(1, str(tmp_path)), 1, "shell") | WorkerRules().info()
    run = RunDirectory.create(str(tmp_path), info)
    listed = [
        key for row in rows(section(RUN_DIRECTORY, "## `run.json`")) for key in code_in(row[0])
    ]
    assert sorted(listed) == sorted(json.loads(Path(run.path, names.RUN_INFO).read_text()))


def test_run_directory_page_lists_all_kinds() -> None:
    """The page of the run directory lists every kind of record with its number."""
    kinds = {
        name: value
        for name, value in vars(records).items()
        if name.isupper() and type(value) is int and not name.endswith(("SIZE", "LIMIT"))
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
        ("part", batch.PART.format),
        ("packed", packing._HEAD.format),
        ("buffer", packing._PLACE.format),
    ],
)
def test_run_directory_page_tells_each_byte(layout: str, form: str) -> None:
    """Offsets and sizes in the tables of bytes are those that the code packs."""
    table = rows(after(RUN_DIRECTORY, f"bytes: {layout}"))
    assert [(int(row[0]), int(row[1])) for row in table] == fields(form)


def test_run_directory_page_tells_the_sizes() -> None:
    """Header, entry and largest record have the sizes that the page tells."""
    text = RUN_DIRECTORY.read_text()
    assert f"a header of {records.HEADER_SIZE} bytes" in text
    assert f"a head of {messages.ENTRY_SIZE} bytes" in text
    assert f"at most {records.PAYLOAD_LIMIT + records.HEADER_SIZE} bytes" in text
    assert f"these {messages._ELSEWHERE.size} bytes" in text
    parts = f"{records.HEADER_SIZE} + {batch.META.size}, {batch.PART.size} for each part"
    assert parts in text
    assert f"{names.INLINE_LIMIT >> 10} KiB" in text
    assert f"version of this layout, {names.FORMAT};" in text
    assert f"{names.PART_LIMIT >> 20} MiB" in text
    assert f"those\nbelow {names.OWN_BATCH >> 20} MiB" in text
    assert f"in another file after {names.BATCHES_LIMIT >> 20} MiB" in text
    assert f"each block of {columns.IN_BLOCK} of them" in text


def test_run_directory_page_lists_all_columns() -> None:
    """Each letter with the bytes of a value."""
    table = rows(section(RUN_DIRECTORY, "## An entry"))
    letters = {code_in(row[0])[0] for row in table if len(row) == 2}
    assert letters == {*kinds.KINDS, kinds.PICKLES, kinds.ARRAYS, kinds.TUPLES}
    text = RUN_DIRECTORY.read_text()
    assert f"| `d` | floats, {kinds.KINDS['d'].width} bytes each |" in text
    assert f"| `q` | integers, {kinds.KINDS['q'].width} bytes each |" in text
    assert f"| `D` | `numpy.float64`, {kinds.KINDS['D'].width} bytes each |" in text
    assert f"| `Q` | `numpy.int64`, {kinds.KINDS['Q'].width} bytes each |" in text
    assert f"tuples of numbers, of {kinds.MOST_IN_TUPLE} at most" in text
    assert f"of {kinds.ARRAY_BYTES} bytes each at most" in text
    assert f"| `0` | None, {kinds.KINDS['0'].width} byte each |" in text
    assert f"| `?` | bools, {kinds.KINDS['?'].width} byte each |" in text
