"""What CPython's tests get in place of `multiprocessing`: the same, but for the pool.

Tests that run a program of their own get it with the import line changed, as a user would.
"""

import importlib
import multiprocessing
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE = 30.0  # seconds

made: weakref.WeakSet[Any] = weakref.WeakSet()  # pools; weakly, for a test waits for one to go


def maker(kind: str) -> Callable[..., Any]:
    """What makes pools of this kind, as the class `Pool` or the function of that name does."""

    def make_pool(*args: Any, **options: Any) -> Any:
        module = importlib.import_module(module_of(kind))
        pool = module.Pool(*args, **options)
        made.add(pool)
        return pool

    return make_pool


def module_of(kind: str) -> str:
    return "multiprocessing" if kind == "stdlib" else f"pypool.{kind}"


class Multiprocessing:
    """The package, with our `Pool`, and processes that know of it and must end well."""

    def __init__(self, kind: str) -> None:
        self.Pool = maker(kind)
        self.processes: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(multiprocessing, name)

    def Process(self, *args: Any, **options: Any) -> Any:
        # A fork: a child that imports the test afresh would find the standard library's pool.
        process = multiprocessing.get_context("fork").Process(*args, **options)
        self.processes.append(process)
        return process

    def check_processes(self) -> None:
        """CPython's test that has a pool in a child does not look how the child ended."""
        for process in self.processes:
            process.join(PATIENCE)
            assert process.exitcode == 0
        self.processes.clear()


def return_a_lock() -> Any:
    return threading.Lock()


def runner(kind: str, run: Callable[..., Any]) -> Callable[..., Any]:
    """Of CPython's helper `run`, one whose programs use this kind of pool."""

    def run_with_our_pool(*args: str, **environment: Any) -> Any:
        if args[0] == "-c":
            args = ("-c", with_pool(kind, args[1]), *args[2:])
        else:
            path = Path(args[0])
            path.write_text(with_pool(kind, path.read_text()))
        return run(*args, **environment)

    return run_with_our_pool


def with_pool(kind: str, program: str) -> str:
    module = module_of(kind)
    changed = program.replace("from multiprocessing import Pool", f"from {module} import Pool")
    if changed == program:
        changed = program.replace(
            "import multiprocessing\n", f"import {module} as multiprocessing\n"
        )
    assert f"import {module} as" in changed or f"from {module} import Pool" in changed
    return changed
