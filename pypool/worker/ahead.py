"""What an agent does ahead, so that none of its workers has to."""

from __future__ import annotations

from contextlib import suppress


def load_ahead() -> None:
    """Imports what workers need for code that comes by value; many of them will be forked."""
    with suppress(ImportError):  # then they say it
        import pypool.by_value  # noqa: F401


def adopt_authkey(key: bytes) -> None:
    """Lets workers speak to managers of the driver's program, as `multiprocessing`'s own do."""
    from multiprocessing import current_process

    current_process().authkey = key
