"""The failures that are shown, by the name that the page of the documentation gives them."""

from collections.abc import Callable
from typing import NamedTuple

SHOWN: dict[str, list[str]] = {}
"""The tests of each failure, by name."""


class Row(NamedTuple):
    """What one test has to say in the table at the end.

    Attributes
    ----------
    seconds : float
        From the failure to the first thing that pypool did about it, or said.
    """

    failure: str
    where: str
    by: str
    saw: str
    seconds: float


def failure(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The test shows this one."""

    def note(test: Callable[..., None]) -> Callable[..., None]:
        SHOWN.setdefault(name, []).append(test.__name__)
        test.failure = name  # type: ignore[attr-defined]
        return test

    return note
