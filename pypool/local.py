"""`pypool.local.Pool`: a pool of workers on this machine, without a scheduler."""

from multiprocessing import TimeoutError as TimeoutError  # for who imports both
from typing import ClassVar

from pypool import pool


class Pool(pool.Pool):
    """As `pypool.Pool`, on this machine: with as many workers as it has CPUs, unless told."""

    _scheduler: ClassVar[str | None] = "local"
