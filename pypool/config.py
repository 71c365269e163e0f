"""Options of a pool: what they mean, what is accepted, and which scheduler is picked."""

import operator
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import SupportsFloat, SupportsIndex

DEFAULT_PROCESSES = 64
DEFAULT_WORK_DIR = "~/.pypool"
SCHEDULERS = ("local", "shell", "slurm")

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_TIME = re.compile(
    r"(?:(?P<days>\d+(?:\.\d+)?)d)?\s*(?:(?P<hours>\d+(?:\.\d+)?)h)?\s*"
    r"(?:(?P<minutes>\d+(?:\.\d+)?)m)?\s*(?:(?P<seconds>\d+(?:\.\d+)?)s?)?"
)
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGT])(?:I?B)?|B)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Options:
    """What a pool was asked for.

    Attributes
    ----------
    processes : int
        Workers at most.
    work_dir : str
        Absolute; compute nodes see it under the same name.
    queue : str or None
        The scheduler's queue or partition.
    time : float or None
        Seconds that an array element lives.
    memory : int or None
        Bytes per worker.
    cpus : int or None
        CPUs per worker.
    workers_per_element : int
        Workers in one array element.
    retries : int
        How often a task that was lost at its own expense is started again.
    linger : float or None
        Seconds that an agent stays without work; None: by the time it waited in the queue.
    start_timeout, orphan_timeout : float
        Seconds until an element must have said hello; until agents leave a silent driver.
    scheduler_interval : float
        Seconds between two looks at the queue; grows to six times that.
    """

    processes: int
    work_dir: str
    queue: str | None = None
    time: float | None = None
    memory: int | None = None
    cpus: int | None = None
    workers_per_element: int = 1
    retries: int = 2
    linger: float | None = None
    start_timeout: float = 600.0
    orphan_timeout: float = 600.0
    scheduler_interval: float = 10.0


def make_options(
    processes: int | None,
    default_processes: int,
    work_dir: str | os.PathLike[str] | None,
    queue: str | None,
    time: float | str | timedelta | None,
    memory: int | str | None,
    cpus: int | None,
) -> Options:
    """Checks what the user gave.

    Raises
    ------
    ValueError, TypeError
        If something is not accepted; the message names option, value and what is.
    """
    if processes is None:
        processes = default_processes
    return Options(
        processes=_at_least_one("processes", processes, "Number of processes must be at least 1"),
        work_dir=str(Path(work_dir or DEFAULT_WORK_DIR).expanduser().absolute()),
        queue=_word("queue", queue),
        time=None if time is None else parse_time(time),
        memory=None if memory is None else parse_memory(memory),
        cpus=None if cpus is None else _at_least_one("cpus", cpus, "cpus must be at least 1"),
    )


def parse_time(value: float | str | timedelta) -> float:
    """Seconds of `90`, `"90"`, `"1h30m"`, `"2d"`, `"1:30:00"`, `"1-12:00:00"` or a timedelta.

    With colons it is what Slurm reads, so "1:30" is a minute and a half, "1-12:00" a day and a
    half.

    Raises
    ------
    ValueError, TypeError
        If the value is none of these, or not more than nothing.
    """
    accepted = 'seconds, "1h30m", "1:30:00", "2d" or a timedelta'
    try:
        if isinstance(value, timedelta):
            seconds = value.total_seconds()
        elif isinstance(value, str):
            seconds = _seconds_of(value, accepted)
        else:
            seconds = float(_number("time", value, accepted))
    except OverflowError:
        seconds = float("inf")
    if not 0 < seconds < float("inf"):
        raise ValueError(f"time={value!r} is no time to live: give {accepted}")
    return seconds


def _seconds_of(text: str, accepted: str) -> float:
    days, dash, clock = text.strip().rpartition("-")
    parts = clock.split(":")
    if dash or len(parts) > 1:
        padded = [days, *parts, "0", "0"][:4] if dash else ["0", "0", *parts][-4:]
        if len(parts) > 3 or not all(part.isdecimal() for part in padded):
            raise ValueError(f"time={text!r} is not understood: give {accepted}")
        day, hour, minute, second = map(int, padded)
        return float(((day * 24 + hour) * 60 + minute) * 60 + second)
    found = _TIME.fullmatch(text.strip())
    if not text.strip() or found is None:
        raise ValueError(f"time={text!r} is not understood: give {accepted}")
    given = {unit: float(number or 0) for unit, number in found.groupdict().items()}
    return timedelta(**given).total_seconds()


def parse_memory(value: int | str) -> int:
    """Bytes of `4_000_000_000`, `"4G"`, `"500M"`, `"1.5GB"`; K, M, G, T are powers of 1024.

    Raises
    ------
    ValueError, TypeError
        If the value is none of these, or not more than nothing.
    """
    accepted = 'bytes, "500M" or "4G" per worker'
    if isinstance(value, str):
        found = _MEMORY.fullmatch(value.strip())
        if found is None:
            raise ValueError(f"memory={value!r} is not understood: give {accepted}")
        size = float(found[1]) * _UNITS[(found[2] or "").upper()]
    else:
        size = _number("memory", value, accepted)
    if not 1 <= size < float("inf"):
        raise ValueError(f"memory={value!r} is no amount of memory: give {accepted}")
    return int(size)


def _number(name: str, value: SupportsFloat, accepted: str) -> int | float:
    """The value as it is, if it is an integer, or else as a float."""
    if isinstance(value, bool) or not hasattr(type(value), "__float__"):
        raise TypeError(f"{name}={value!r} is of the wrong type: give {accepted}")
    return operator.index(value) if isinstance(value, SupportsIndex) else float(value)


def _at_least_one(name: str, value: int, message: str) -> int:
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        raise TypeError(f"{name}={value!r} must be an integer")
    if value < 1:
        raise ValueError(message)
    return int(value)


def _word(name: str, value: str | None) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{name}={value!r} must be a string")
    if not value or not value.isprintable():
        raise ValueError(f"{name}={value!r} must not be empty nor hold control characters")
    return value


def pick_scheduler(environment: Mapping[str, str] | None = None) -> str:
    """The scheduler that `pypool.Pool` uses: PYPOOL_SCHEDULER, else Slurm if it is here, else none.

    Raises
    ------
    ValueError
        If PYPOOL_SCHEDULER names one that pypool does not know.
    """
    given = os.environ if environment is None else environment
    named = given.get("PYPOOL_SCHEDULER", "")
    if named:
        if named not in SCHEDULERS:
            raise ValueError(
                f"PYPOOL_SCHEDULER={named!r} is no scheduler that pypool knows: "
                f"give one of {', '.join(SCHEDULERS)}"
            )
        return named
    commands = ("sbatch", "squeue", "scancel")
    here = all(shutil.which(command, path=given.get("PATH")) for command in commands)
    return "slurm" if here else "local"


def usable_cpus() -> int:
    """How many CPUs this process may use: its affinity, and what a container allows it."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return max(1, min(count, _cgroup_limit() or count))


def _cgroup_limit() -> int | None:
    """CPUs that the control group of this process allows, rounded up."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").read_text()
            period = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us").read_text()
        except OSError:
            return None
    if not quota.strip().isdigit():
        return None  # "max", or -1
    return -(-int(quota) // int(period))
