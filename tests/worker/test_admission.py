"""Where tasks import from, if the nodes have an interpreter of their own."""

import sys
from typing import Any

import pytest

from pypool.worker.admission import import_path

DRIVERS = [
    "/home/me/project",
    "/usr/lib/python3.11",
    "/venv/lib/site-packages",
    "/home/me/.local/l",
]
ITS_OWN = ["/opt/pypool", "/nodes/lib/python3.11", "/nodes/lib/site-packages"]


def info(own_python: bool, **words: Any) -> dict[str, Any]:
    libraries = ["/usr", "/venv", "/home/me/.local/l"]
    return {"sys_path": DRIVERS, "own_python": own_python, "libraries": libraries} | words


@pytest.fixture(autouse=True)
def _its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ITS_OWN[:])


def test_with_the_drivers_interpreter_it_is_the_drivers() -> None:
    """Entry by entry."""
    assert import_path(info(own_python=False)) == DRIVERS


def test_its_own_libraries_come_before_the_drivers() -> None:
    """What the driver brought along comes first, what only its interpreter has comes last."""
    assert import_path(info(own_python=True)) == [
        "/home/me/project",
        "/nodes/lib/python3.11",
        "/nodes/lib/site-packages",
        "/usr/lib/python3.11",
        "/venv/lib/site-packages",
        "/home/me/.local/l",
    ]


def test_a_similar_name_is_no_library() -> None:
    """/venv-of-mine does not lie in /venv."""
    found = import_path(info(own_python=True, sys_path=["/venv", "/venv-of-mine"]))
    assert found == ["/venv-of-mine", *ITS_OWN[1:], "/venv"]


def test_what_both_have_stands_there_once() -> None:
    """Where its own interpreter has it."""
    both = "/nodes/lib/python3.11"
    found = import_path(info(own_python=True, sys_path=[both, "/home/me"], libraries=["/nodes"]))
    assert found == ["/home/me", *ITS_OWN[1:]]
