"""`pypool.shell.Pool`: a pool of workers in job scripts run on this machine."""

from multiprocessing import TimeoutError as TimeoutError  # for who imports both
from typing import ClassVar

from pypool import pool


class Pool(pool.Pool):
    """As `pypool.Pool`, with job scripts as child processes: in an allocation, and for tests."""

    _scheduler: ClassVar[str | None] = "shell"
