"""Memory of workers: what they have used, and whether the kernel has ended one for want of it.

Where the kernel does not tell, nothing is known, and that is no error.
"""

from __future__ import annotations

import os
import sys

PROC = "/proc"
CGROUPS = "/sys/fs/cgroup"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource import struct_rusage


def used(usage: struct_rusage) -> int:
    """Peak resident memory of a process that has ended, in KiB."""
    return usage.ru_maxrss // 1024 if sys.platform == "darwin" else usage.ru_maxrss


def peak(pid: int) -> int:
    """Peak resident memory of a process that lives, in KiB; 0 if that is not known."""
    return _count(f"{PROC}/{pid}/status", "VmHWM:") or 0


class OutOfMemory:
    """Counts what the kernel has killed in the memory cgroup of this process.

    Attributes
    ----------
    file : str or None
        Where the kernel tells.
    """

    def __init__(self) -> None:
        self.file = own_counter()
        self._count = self._now()

    def again(self) -> bool:
        """Whether it has killed anything since the last look."""
        before, self._count = self._count, self._now()
        return self._count > before

    def _now(self) -> int:
        return 0 if self.file is None else _count(self.file, "oom_kill") or 0


def own_counter() -> str | None:
    """The file with the kernel's count for this process: of cgroups 1 or 2, as they are here."""
    for line in _lines(f"{PROC}/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        group = path.strip().strip("/")
        if "memory" in controllers.split(","):
            places = [os.path.join(CGROUPS, "memory", group, "memory.oom_control")]
        elif not controllers:
            places = [
                os.path.join(CGROUPS, group, "memory.events"),
                os.path.join(CGROUPS, "unified", group, "memory.events"),
            ]
        else:
            continue
        for place in places:
            if _count(place, "oom_kill") is not None:
                return place
    return None


def _count(file: str, word: str) -> int | None:
    """The number behind the word that a line of the file begins with."""
    for line in _lines(file):
        found = line.split()
        if found and found[0] == word and found[1].isdecimal():
            return int(found[1])
    return None


def _lines(file: str) -> list[str]:
    try:
        with open(file) as lines:
            return list(lines)
    except (OSError, ValueError):
        return []
