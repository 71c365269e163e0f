"""What becomes known of elements, as the dispatcher hears it."""

from dataclasses import dataclass

from pypool.errors import PoolError


@dataclass(frozen=True, slots=True)
class Refused:
    """The scheduler did not take a submission."""

    keys: list[str]
    error: PoolError


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The scheduler takes fewer elements: these will not come.

    Attributes
    ----------
    in_one_array : bool
        It takes no more in one array, and may take another array at once.
    """

    keys: list[str]
    in_one_array: bool = False


@dataclass(frozen=True, slots=True)
class Listed:
    """A good answer of the scheduler, by element."""

    states: dict[str, str]


@dataclass(frozen=True, slots=True)
class Ended:
    """The scheduler, or the system, says that an element is over.

    Attributes
    ----------
    how : str
        In our words.
    words : str
        What a person should read: the scheduler's words, and the likely cause.
    """

    key: str
    how: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Grace:
    """Seconds between the signal that announces the end of an element and its end."""

    seconds: float


News = Refused | Shrunk | Listed | Ended | Grace
