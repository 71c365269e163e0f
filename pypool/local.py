"""`pypool.local.Pool`: a pool of workers on this machine, without a scheduler."""

from typing import ClassVar

from pypool import pool


class Pool(pool.Pool):
    """As `pypool.Pool`, on this machine.

    Parameters
    ----------
    processes : int, optional
        Workers; the CPUs that this process may use, unless given.
    """

    _scheduler: ClassVar[str | None] = "local"

    def __init__(self, processes: int | None = None) -> None:
        super().__init__(processes)
