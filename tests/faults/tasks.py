"""What pools do while something breaks, and the record of it. Imported by workers.

Each start and each end of a task is a line in a file beside the pool's own directory. All clusters
of the tests are on one machine, so that the clock of all lines is the same.
"""

import ctypes
import os
import time
from pathlib import Path
from typing import NamedTuple

PATIENCE = 400.0  # seconds
GO = "go"
RECORDS = "records"


class Record(NamedTuple):
    """One line.

    Attributes
    ----------
    kind : str
        "begin", "end", or "fault" right before a task does itself harm.
    at : float
        By `time.monotonic`.
    element : str
        As the scheduler's own commands want it.
    node : str
        Slurm's name of the node; several are one machine here.
    """

    kind: str
    index: int
    at: float
    worker: int
    agent: int
    element: str
    node: str


def element() -> str:
    """Where we are, as `scancel` or `qdel` take it."""
    slurm = os.environ.get("SLURM_ARRAY_JOB_ID")
    if slurm:
        return f"{slurm}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return f"{os.environ.get('JOB_ID', '-')}.{os.environ.get('SGE_TASK_ID', '-')}"


def note(place: str, kind: str, index: int) -> None:
    """Adds a line, in one write."""
    node = os.environ.get("SLURMD_NODENAME", "-")
    record = Record(kind, index, time.monotonic(), os.getpid(), os.getppid(), element(), node)
    line = " ".join(map(str, record)) + "\n"
    file = os.open(f"{place}/{RECORDS}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


def records(place: str | Path, kind: str = "begin") -> list[Record]:
    """Those of a kind, in the order in which they came."""
    try:
        lines = Path(place, RECORDS).read_text().splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        word, index, at, worker, agent, where, node = line.split()
        if word == kind:
            ids = (int(worker), int(agent))
            found.append(Record(word, int(index), float(at), *ids, where, node))
    return found


# ---- tasks


def wait_for_go(place: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not Path(place, GO).exists():
        if time.monotonic() > deadline:
            raise RuntimeError("nobody said go")
        time.sleep(0.01)


def work(place: str, index: int) -> int:
    """Waits until the test says go."""
    note(place, "begin", index)
    wait_for_go(place)
    note(place, "end", index)
    return index * index


def work_for(seconds: float, place: str, index: int) -> int:
    """Takes its time."""
    note(place, "begin", index)
    time.sleep(seconds)
    note(place, "end", index)
    return index * index


def is_first(place: str, index: int) -> bool:
    """True once for each task."""
    try:
        Path(place, f"harmed {index}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def exit_once(place: str, victim: int, index: int) -> int:
    """The victim leaves by `os._exit`, the first time."""
    note(place, "begin", index)
    if index == victim and is_first(place, index):
        note(place, "fault", index)
        os._exit(3)
    return index * index


def segfault_once(place: str, victim: int, index: int) -> int:
    """The victim reads what nobody may read, the first time."""
    note(place, "begin", index)
    if index == victim and is_first(place, index):
        note(place, "fault", index)
        ctypes.string_at(0)
    return index * index


def eat(place: str, victim: int, size: int, index: int) -> int:
    """The victim takes so many bytes, and uses them."""
    note(place, "begin", index)
    if index == victim:
        take(place, size, index)
    return index * index


def eat_all(place: str, size: int, index: int) -> int:
    """Everybody does."""
    note(place, "begin", index)
    take(place, size, index)
    return index * index


def eat_for(seconds: float, place: str, size: int, index: int) -> int:
    """Takes so many bytes for a while."""
    note(place, "begin", index)
    note(place, "fault", index)
    taken = b"x" * size
    time.sleep(seconds)
    del taken
    note(place, "end", index)
    return index * index


def eat_with_child(place: str, size: int, index: int) -> int:
    """Two processes do."""
    note(place, "begin", index)
    child = os.fork()
    take(place, size, index)
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return index * index


def take(place: str, size: int, index: int) -> None:
    note(place, "fault", index)
    taken = []
    for _ in range(size >> 20):
        taken.append(b"x" * (1 << 20))
    wait_for_go(place)


def zeros(place: str, size: int, index: int) -> bytes:
    """A large result."""
    note(place, "begin", index)
    return zeros_of(size, index)


def zeros_of(size: int, index: int) -> bytes:
    """So many bytes, of which one can see whose they are."""
    return index.to_bytes(4, "little") * (size // 4)
