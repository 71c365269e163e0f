"""Counting from outside what a pool does: files, commands of the scheduler, calls to the system."""

import os
import re
import shutil
import stat
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMMANDS = ("sbatch", "srun", "squeue", "scancel", "sacct", "scontrol", "sinfo")
LOOKS_EVERY = 0.005  # seconds

CALLS = {
    "opens": ("open", "openat", "openat2", "creat"),
    "renames": ("rename", "renameat", "renameat2"),
    "closes": ("close",),
    "unlinks": ("unlink", "unlinkat"),
}


def files_below(directory: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(directory))


class Peak:
    """The largest number seen so far."""

    def __init__(self) -> None:
        self.value = 0

    def see(self, value: int) -> None:
        self.value = max(self.value, value)


@contextmanager
def peak_of_files(directory: Path) -> Iterator[Peak]:
    """Looks often while the block runs, and once at its end."""
    peak = Peak()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(LOOKS_EVERY):
            peak.see(files_below(directory))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()
        peak.see(files_below(directory))


class CountedCommands:
    """Wrappers of the scheduler's commands in a folder; each call adds a line to a file."""

    def __init__(self, directory: Path) -> None:
        self.calls = directory / "calls"
        self.calls.touch()
        for name in COMMANDS:
            real = shutil.which(name)
            if real is not None:
                wrapper = directory / name
                wrapper.write_text(f'#!/bin/sh\necho {name} >> "{self.calls}"\nexec {real} "$@"\n')
                wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)

    def so_far(self) -> Counter[str]:
        return Counter(self.calls.read_text().split())


def strace(output: Path) -> list[str]:
    """What is put before a command so that its calls are told, and its children's, with times.

    `strace -c` would count those of start and end as well, which are a hundred times as many.
    """
    names = ",".join(name for group in CALLS.values() for name in group)
    return ["strace", "-f", "-ttt", "-e", f"trace={names}", "-e", "signal=none", "-o", str(output)]


def has_strace() -> bool:
    return shutil.which("strace") is not None


def calls_in(told: str, first: float, last: float) -> dict[str, int]:
    """Calls by kind between two moments, in what strace has told."""
    counts: Counter[str] = Counter()
    for when, name in CALL.findall(told):
        if first <= float(when) <= last:
            counts[name] += 1
    return {kind: sum(counts[name] for name in names) for kind, names in CALLS.items()}


CALL = re.compile(r"^(?:\d+ +)?(\d+\.\d+) (\w+)\(", re.MULTILINE)
"""Process, seconds since 1970, name. A call that another line resumes is counted once."""
