"""The pools that are compared, by name, and which of them a test is about."""

import multiprocessing.pool
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pypool

PATIENCE = 60.0  # seconds after which something is taken to hang

SIZES = {"multiprocessing": 2, "threads": 2, "local": 2, "shell": 2, "slurm": 4, "sge": 4}
STDLIB = ("multiprocessing", "threads")
PYPOOL = ("local", "shell", "slurm", "sge")
PROCESSES = ("multiprocessing", *PYPOOL)
CLUSTERS = ("slurm", "sge")

AnyPool = multiprocessing.pool.Pool | pypool.Pool
MakePool = Callable[..., AnyPool]


def parameter(kind: str, *values: object) -> Any:
    """A parameter for a kind of pool; with `values` behind it, if there are any."""
    marks = [getattr(pytest.mark, kind)] if kind in CLUSTERS else []
    return pytest.param(kind, *values, marks=marks)


def on(*kinds: str) -> pytest.MarkDecorator:
    """The test is about these pools only."""
    return pytest.mark.parametrize("kind", [parameter(kind) for kind in kinds], indirect=True)


on_processes = on(*PROCESSES)
"""About workers that are processes of their own: not threads."""

by_value = on("threads", *PYPOOL)
"""Functions without a name to import them by: multiprocessing cannot pickle them."""

on_pypool = on(*PYPOOL)
"""About what the standard library's pools leave undefined, or hang on."""


def new_pool(kind: str, place: Path, *arguments: Any, **options: Any) -> AnyPool:
    """A pool of the size that suits the kind, unless told otherwise."""
    if not arguments:
        options.setdefault("processes", SIZES[kind])
    if kind == "multiprocessing":
        return multiprocessing.Pool(*arguments, **options)
    if kind == "threads":
        return multiprocessing.pool.ThreadPool(*arguments, **options)
    if kind != "local":
        options.setdefault("work_dir", os.fspath(place))
    pool: pypool.Pool = getattr(pypool, kind).Pool(*arguments, **options)
    return pool
