"""No test of CPython's that makes a pool is left out, but those that are listed with a reason."""

import inspect
import unittest
from pathlib import Path

import pytest

from . import suite, test_pool

assert test_pool.cpython is not None  # else its import has skipped this module too
CPYTHON = test_pool.cpython
FOUND = suite.tests_of(CPYTHON)
ALL = {f"{name}.{test}" for name, tests in FOUND.items() for test in tests}

names_of_tests = unittest.TestLoader().getTestCaseNames


def lines_of(what: type) -> set[int]:
    lines, first = inspect.getsourcelines(what)
    return set(range(first, first + len(lines)))


def test_whole_classes_are_whole() -> None:
    for name in suite.WHOLE:
        assert sorted(FOUND[name]) == sorted(names_of_tests(getattr(CPYTHON, name)))


def test_each_line_that_makes_a_pool_is_in_a_test_that_was_found() -> None:
    """Or in CPython's own stand-in for a pool, or in a function that such a test names."""
    known = lines_of(CPYTHON.ManagerMixin)
    for name, tests in FOUND.items():
        of_it = getattr(CPYTHON, name)
        known |= lines_of(of_it) if name in suite.WHOLE else set()
        for test in tests:
            known |= lines_of(getattr(of_it, test))
            for helper in suite.helpers(CPYTHON, getattr(of_it, test)):
                known |= lines_of(helper)
    source = Path(inspect.getsourcefile(CPYTHON) or "").read_text()
    making = {
        number
        for number, line in enumerate(source.splitlines(), 1)
        if suite.MAKES_A_POOL.search(line)
    }
    assert len(making) > 20
    assert making <= known


def test_what_is_listed_exists() -> None:
    assert suite.NOT_APPLICABLE.keys() <= ALL
    assert suite.CHANGED.keys() <= ALL - suite.NOT_APPLICABLE.keys()


@pytest.mark.parametrize("kind", suite.KINDS)
def test_each_kind_of_pool_gets_all_tests(kind: str) -> None:
    """All but those that are said not to apply; the standard library's pool gets these as well."""
    run = {
        f"{of_it.__bases__[0].__name__}.{test}"
        for of_it in vars(test_pool).values()
        if getattr(of_it, "KIND", None) == kind
        for test in names_of_tests(of_it)
        if not hasattr(getattr(of_it, test), "__unittest_skip__")
    }
    assert run == (ALL if kind == "stdlib" else ALL - suite.NOT_APPLICABLE.keys())
