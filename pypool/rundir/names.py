"""Every name that pypool gives to a file or a directory on the shared disk.

Names are relative to the run directory. Nothing else in the package spells one out.
"""

FORMAT = 2
"""Version of the layout and of the records; another one is refused."""

RUN_INFO = "run.json"
JOB_SCRIPT = "job.sh"
DRIVER = "driver"
JOURNAL = "journal"
LOCK = "lock"
FUNCTIONS = "functions"
BATCHES = "batches"
ELEMENTS = "elements"
SCHEDULER = "scheduler"

PART_LIMIT = 64 << 20
"""Bytes after which an outbox or a data file goes on in a next part."""

BATCHES_LIMIT = 8 << 20
"""Bytes after which small batches go on in another file. It goes when all in it are over: a task
that takes long, or is lost, keeps no more than that of other calls."""

NO_DISK = b"\nno disk\n"
DISK_AGAIN = b"\ndisk again\n"
"""How the file of the owner ends if its agent left because it could not write to the disk."""

OWN_PART = 4 << 20
"""Results of so many bytes and more have a data part of their own, which goes when it is read."""

INLINE_LIMIT = 64 << 10
"""Results of this many bytes and more go to a data file."""

PIPED_LIMIT = 16 << 10
"""Or of so many, if the mailboxes are pipes: what goes through those is copied again and again."""

OWN_BATCH = 1 << 20
"""Batches of so many bytes and more have a file of their own, which goes when nobody needs it. It
costs more to make and remove a file than to keep the bytes of a smaller one for a while."""


def job_script(need: tuple[int, int] = (0, 0), life: int = 1) -> str:
    """The job script; with a need, that of elements with more time and memory than asked for."""
    time, memory = need
    stem = "job" if life == 1 else f"job-{life}"
    return f"{stem}.{time}.{memory}.sh" if time or memory else f"{stem}.sh"


def run_info(life: int) -> str:
    """What the driver of this life says of itself: nobody writes again what others may read."""
    return RUN_INFO if life == 1 else f"run.{life}.json"


def token(life: int, number: str) -> str:
    """The token of a submission of this life; `number` is random."""
    return number if life == 1 else f"{life}-{number}"


def life_of(element: str) -> int:
    """In which life an element was asked for."""
    life, dash, _ = element.split("/")[1].partition("-")
    return int(life) if dash else 1


def function(digest: str) -> str:
    """The pickled function with this SHA-256 digest (hexadecimal)."""
    return f"{FUNCTIONS}/{digest}"


def batches(number: int) -> str:
    """The file with this number: one large batch, or small ones, one behind the other."""
    return f"{BATCHES}/{number}"


def element(token: str, index: int) -> str:
    """The directory of one array element of the submission `token`."""
    return f"{ELEMENTS}/{token}/{index}"


def owner(element: str) -> str:
    """Made by the first agent that starts in the element; whoever finds it leaves."""
    return f"{element}/owner"


def inbox(element: str) -> str:
    """What the dispatcher writes to the agent."""
    return f"{element}/inbox"


def outbox(element: str, part: int) -> str:
    """What the agent writes to the dispatcher; parts count from 1."""
    return f"{element}/outbox.{part}"


def data(element: str, slot: int, part: int) -> str:
    """Results of INLINE_LIMIT bytes and more, written by the worker in this slot."""
    return f"{element}/data.{slot}.{part}"


def output(element: str, slot: int) -> str:
    """What the tasks of this slot print."""
    return f"{element}/output.{slot}"
