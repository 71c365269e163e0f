"""A worker's functions: loaded once, and again when they may find other globals than their own."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pypool import packing, pickling
from pypool.rundir import names, objects
from pypool.rundir.run import RunDirectory
from pypool.worker.objects import Objects

from .player import run_info

Kept = tuple[Objects, Callable[[Any], bytes]]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    """A worker's objects, and what writes a function for it and gives its name."""
    run = RunDirectory.create(str(tmp_path), run_info(tmp_path, 1))

    def write(function: Any) -> bytes:
        packed = pickling.dumps(function)
        name = packing.digest(packed)
        run.write(names.function(name.hex()), objects.encode(run.mark, packed, b"{}"))
        return name

    yield Objects(run, {}), write
    run.close()


@pytest.mark.parametrize("batch", [1, 2])
def test_globals_that_were_replaced_are_brought_again(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """For another batch, or for the same one that others have interrupted."""
    known, write = kept
    name = write(functools.partial(max, "pypool.by_value"))
    function, _ = known.function(name, 1)
    assert known.function(name, batch) == (function, None)
    monkeypatch.setattr(pickling, "changes_of_main", lambda: 7)
    again, code = known.function(name, batch)
    assert again is not function
    assert code == b"{}"
    assert known.function(name, batch) == (again, None)


def test_what_is_imported_is_loaded_once(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """It brings no globals."""
    known, write = kept
    name = write(functools.partial(max, "word"))
    function, _ = known.function(name, 1)
    monkeypatch.setattr(pickling, "changes_of_main", lambda: 7)
    assert known.function(name, 2) == (function, None)
