"""Whether an agent may serve a run: one agent per element, the driver's Python and pypool."""

import os
import sys

from pypool.rundir import names
from pypool.rundir.run import RunDirectory
from pypool.version import VERSION


def own(run: RunDirectory, element: str) -> bool:
    """Whether this agent is the first one in its element."""
    try:
        fd = run.open_file(names.owner(element), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return False
    os.write(fd, f"{os.uname().nodename} {os.getpid()}\n".encode())
    os.close(fd)
    return True


def unfit(run: RunDirectory) -> str | None:
    """Why this process cannot serve the run; None if it can, and then it is where the driver is."""
    info = run.info
    host = os.uname().nodename
    here, there = sys.version_info[:2], tuple(info["python_version"])
    if here != there:
        return (
            f"Python {here[0]}.{here[1]} ({sys.executable}) runs on {host}, the driver runs "
            f"Python {there[0]}.{there[1]}: what one pickles the other may not read"
        )
    if info["pypool"] != VERSION:
        return (
            f"pypool {VERSION} ({os.path.dirname(names.__file__)}) runs on {host}, "
            f"the driver runs pypool {info['pypool']}"
        )
    try:
        os.chdir(info["directory"])
    except OSError as error:
        return (
            f"the driver's working directory {info['directory']} cannot be entered on {host}: "
            f"{error.strerror}"
        )
    return None
