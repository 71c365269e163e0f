"""`pypool.sge.Pool`: a pool of workers in Grid Engine's array jobs."""

from typing import ClassVar

from pypool import pool


class Pool(pool.Pool):
    """As `pypool.Pool`, on Grid Engine."""

    _scheduler: ClassVar[str | None] = "sge"
