"""`pypool.slurm.Pool`: a pool of workers in Slurm's array jobs."""

from multiprocessing import TimeoutError as TimeoutError  # for who imports both
from typing import ClassVar

from pypool import pool


class Pool(pool.Pool):
    """As `pypool.Pool`, on Slurm."""

    _scheduler: ClassVar[str | None] = "slurm"
