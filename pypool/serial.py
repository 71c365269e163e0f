"""`pypool.serial.Pool`: a pool that runs tasks in this process, one task after the other."""

from multiprocessing import TimeoutError as TimeoutError  # for who imports both
from typing import ClassVar

from pypool import pool


class Pool(pool.Pool):
    """As `pypool.Pool`, without any other process: for debuggers and profilers."""

    _scheduler: ClassVar[str | None] = "serial"
