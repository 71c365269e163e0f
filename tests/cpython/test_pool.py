"""CPython's own tests of pools: a class for each of CPython's and each kind of pool.

The classes are made here and not in a function of a test, since workers look them up by name.
"""

import unittest
from typing import Any

import pytest

from . import suite
from .standins import maker

cpython, missing = suite.load()
if cpython is None:
    pytest.skip(missing, allow_module_level=True)


def class_for(kind: str, name: str, tests: list[str]) -> type:
    """CPython's class with our pool, and without tests that are about something else."""
    base = getattr(cpython, name)
    of_it: dict[str, Any] = {"__module__": __name__, "KIND": kind}
    bases = (base,)
    if not issubclass(base, unittest.TestCase):
        bases = (base, cpython.ProcessesMixin, unittest.TestCase)
        of_it["Pool"] = staticmethod(maker(kind))
    for test in suite.all_tests(base):
        if test not in tests:
            of_it[test] = None
        elif kind != "stdlib" and f"{name}.{test}" in suite.NOT_APPLICABLE:
            of_it[test] = unittest.skip(suite.NOT_APPLICABLE[f"{name}.{test}"])(getattr(base, test))
    made = type(f"{name.lstrip('_')}On{kind.capitalize()}", bases, of_it)
    if kind in suite.CLUSTERS:
        made = getattr(pytest.mark, kind)(made)
    return made


globals().update(
    {
        made.__name__: made
        for kind in suite.KINDS
        for name, tests in suite.tests_of(cpython).items()
        for made in [class_for(kind, name, tests)]
    }
)
