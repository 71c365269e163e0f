"""Which of CPython's own tests are about pools, and which of these cannot be about ours.

The tests stay where the interpreter has them and are named here, so each Python brings its own.
Three classes are about nothing but pools. Elsewhere a test counts if it makes a pool, itself or by
a function that it names. Thus a test that a later Python adds is run, unless it is listed below.

They are run as they are, except for the pool they get, and for one whose task gets changed.
"""

import inspect
import re
import sys
import unittest
from collections.abc import Callable
from types import ModuleType
from typing import Any

# "stdlib" is there to tell whether the stand-ins are right: it passes all tests.
KINDS = ("stdlib", "local", "shell", "slurm", "sge")
CLUSTERS = ("slurm", "sge")

WHOLE = ("_TestPool", "_TestPoolWorkerErrors", "_TestPoolWorkerLifetime")

NOT_APPLICABLE = {
    "_TestPool.test_make_pool": "counts p._pool, the standard pool's list of its own children",
    "_TestPoolWorkerLifetime.test_pool_worker_lifetime": (
        "takes process ids from p._pool, and calls p._repopulate_pool()"
    ),
    "TestInitializers.test_pool_initializer": (
        "expects that an initializer runs in a pool without a task; ours has no worker then"
    ),
    "TestPoolNotLeakOnFailure.test_release_unused_processes": (
        "has `context` make processes that do not start; ours starts none through it"
    ),
    "TestSyncManagerTypes.test_pool": (
        "asks a manager for a pool, which is the standard library's, in the manager's process"
    ),
}

CHANGED = {
    "_TestPoolWorkerErrors.test_unpickleable_result": (
        "returns a lambda, which our workers can send; gets a task that returns a lock instead"
    ),
}

MAKES_A_POOL = re.compile(r"\bPool\(")


def load() -> tuple[ModuleType | None, str]:
    """The module with CPython's tests, else why there is none."""
    try:
        from test import _test_multiprocessing
    except ImportError as error:
        python = "{}.{}".format(*sys.version_info)
        return None, (
            f"this Python has come without its own tests ({error}): "
            f"Debian has them in the package libpython{python}-testsuite"
        )
    except unittest.SkipTest as skip:  # multiprocessing itself does not work here
        return None, str(skip)
    return _test_multiprocessing, ""


def tests_of(cpython: ModuleType) -> dict[str, list[str]]:
    """Names of classes, with those of their tests that are about pools."""
    found = {}
    for name, what in vars(cpython).items():
        if isinstance(what, type) and what.__module__ == cpython.__name__:
            tests = [test for test in all_tests(what) if is_about_pools(cpython, what, test)]
            if tests:
                found[name] = tests
    return found


def all_tests(of: type) -> list[str]:
    return [name for name in dir(of) if name.startswith("test") and callable(getattr(of, name))]


def is_about_pools(cpython: ModuleType, of: type, test: str) -> bool:
    if of.__name__ in WHOLE:
        return True
    function = inspect.unwrap(getattr(of, test))
    return any(
        MAKES_A_POOL.search(inspect.getsource(one))
        for one in [function, *helpers(cpython, function)]
    )


def helpers(cpython: ModuleType, function: Callable[..., Any]) -> list[Callable[..., Any]]:
    """Functions of CPython's module that a test names: it may have a process call them."""
    named = [vars(cpython).get(name) for name in inspect.unwrap(function).__code__.co_names]
    return [one for one in named if inspect.isfunction(one) and one.__module__ == cpython.__name__]
