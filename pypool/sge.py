"""`pypool.sge.Pool`: a pool of workers in Grid Engine's array jobs."""

from multiprocessing import TimeoutError as TimeoutError  # for who imports both
from typing import ClassVar

from pypool import pool


class Pool(pool.Pool):
    """As `pypool.Pool`, on Grid Engine."""

    _scheduler: ClassVar[str | None] = "sge"
