"""The `multiprocessing.Pool` of a cluster.

The public names are loaded on first use: a worker on a compute node imports this package too,
and must not read from a busy shared disk what it never needs.
"""

from __future__ import annotations

from pypool.version import VERSION as __version__

TYPE_CHECKING = False  # the standard library's own would load all of `typing`
if TYPE_CHECKING:
    from typing import Any

    from pypool import local, serial, sge, shell, slurm
    from pypool.attached import attach
    from pypool.errors import (
        AgentStartError,
        CodeChangedError,
        InitializerError,
        NoResultError,
        PoolError,
        RemoteError,
        RunDirectoryError,
        SubmitError,
        VersionMismatchError,
        WorkerLostError,
    )
    from pypool.pool import Pool
    from pypool.results import AsyncResult
    from pypool.task import Task, current_task, division, rng

_HOMES = {
    "attach": "pypool.attached",
    "Pool": "pypool.pool",
    "AsyncResult": "pypool.results",
    "Task": "pypool.task",
    "current_task": "pypool.task",
    "division": "pypool.task",
    "rng": "pypool.task",
    "AgentStartError": "pypool.errors",
    "CodeChangedError": "pypool.errors",
    "InitializerError": "pypool.errors",
    "NoResultError": "pypool.errors",
    "OutOfMemoryError": "pypool.errors",
    "PoolError": "pypool.errors",
    "RemoteError": "pypool.errors",
    "RunDirectoryError": "pypool.errors",
    "SubmitError": "pypool.errors",
    "TimeLimitError": "pypool.errors",
    "VersionMismatchError": "pypool.errors",
    "WorkerLostError": "pypool.errors",
}
_MODULES = ("local", "serial", "sge", "shell", "slurm")

__all__ = [
    "AgentStartError",
    "AsyncResult",
    "CodeChangedError",
    "InitializerError",
    "NoResultError",
    "OutOfMemoryError",
    "Pool",
    "PoolError",
    "RemoteError",
    "RunDirectoryError",
    "SubmitError",
    "Task",
    "TimeLimitError",
    "VersionMismatchError",
    "WorkerLostError",
    "__version__",
    "attach",
    "current_task",
    "division",
    "local",
    "rng",
    "serial",
    "sge",
    "shell",
    "slurm",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES and name not in _HOMES:  # any other module is first asked for here
        raise AttributeError(f"module 'pypool' has no attribute {name!r}")
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"pypool.{name}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
