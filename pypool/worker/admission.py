"""Whether an agent may serve a run: one agent per element, the driver's Python and pypool."""

from __future__ import annotations

import os
import sys

from pypool.rundir import names
from pypool.rundir.mailbox import TakenOver
from pypool.rundir.run import RunDirectory
from pypool.version import VERSION
from pypool.worker.arrival import REFUSED, Arrival
from pypool.worker.log import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from pypool.worker.agent import Agent

OWNED = 5
"""Exit code of an agent whose element belongs to another one."""


def start(argv: list[str]) -> NoReturn:
    """The process of an agent, from here to its end."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:  # what is opened next would be taken for it
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    code = main(argv)
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):  # the disk of the log may be full: the exit code is ours
            pass
    os._exit(code)


def main(argv: list[str]) -> int:
    """Serves the element; see `pypool.worker.start` for the arguments."""
    path, element = argv[:2]
    pipes = (int(argv[2]), int(argv[3])) if len(argv) > 2 else None
    try:
        run = RunDirectory.open(path, names.life_of(element))
        run.check_directory(os.path.dirname(element))
        run.check_directory(element)
        if pipes is None and not own(run, element):
            say(f"pypool: {element} has an owner already, leaving")
            return OWNED
        arrival = Arrival(run, element, pipes)
        why, mismatch = unfit(run)
        if why is not None:
            arrival.refuse(why, mismatch)
            return REFUSED
        arrival.prepare_signals()
        arrival.say_hello()
        agent = loaded(arrival)
        if agent is None:
            return REFUSED
        sys.path[:] = import_path(run.info)  # all of ours has been found without the user's
        code = agent.play()
    except TakenOver as error:
        say(f"pypool: {error}")
        return OWNED
    except Exception as error:
        from pypool.errors import RunDirectoryError  # a hello needs none

        if not isinstance(error, (OSError, RunDirectoryError)):
            raise
        say(f"pypool: {error}")
        return REFUSED
    if pipes is not None and agent.run_is_over:
        run.remove_tree("")
    return code


def loaded(arrival: Arrival) -> Agent | None:
    """The agent with all it needs; None, and the driver knows why, if that cannot be had here."""
    try:
        from pypool.worker.agent import Agent

        return Agent(arrival)
    except Exception as error:
        host = os.uname().nodename
        arrival.refuse(f"the agent cannot begin on {host}: {type(error).__name__}: {error}")
        return None


def import_path(info: dict[str, Any]) -> list[str]:
    """Where tasks import from: where the driver does.

    An interpreter of the nodes' own has libraries of its own: they come before the driver's, of
    which only what is missing is taken, and behind what lies outside of both.
    """
    path: list[str] = info["sys_path"]
    if not info["own_python"]:
        return path
    libraries = tuple(os.path.join(directory, "") for directory in info["libraries"])
    of_driver = [entry for entry in path if f"{entry}/".startswith(libraries)]
    brought = [entry for entry in path if entry not in of_driver]
    return list(dict.fromkeys(brought + sys.path[1:] + of_driver))


def own(run: RunDirectory, element: str) -> bool:
    """Whether this agent is the first one in its element."""
    try:
        fd = run.open_file(names.owner(element), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return False
    os.write(fd, f"{os.uname().nodename} {os.getpid()}\n".encode())
    os.close(fd)
    return True


def unfit(run: RunDirectory) -> tuple[str | None, bool]:
    """Why this process cannot serve the run, and whether that is for a version's sake.

    If it can, it is in the driver's working directory then.
    """
    info = run.info
    host = os.uname().nodename
    here, there = sys.version_info[:2], tuple(info["python_version"])
    if here != there:
        return (
            f"Python {here[0]}.{here[1]} ({sys.executable}) runs on {host}, the driver runs "
            f"Python {there[0]}.{there[1]}: what one pickles the other may not read"
        ), True
    if info["pypool"] != VERSION:
        return (
            f"pypool {VERSION} ({os.path.dirname(names.__file__)}) runs on {host}, "
            f"the driver runs pypool {info['pypool']}"
        ), True
    try:
        os.chdir(info["directory"])
    except OSError as error:
        return (
            f"the driver's working directory {info['directory']} cannot be entered on {host}: "
            f"{error.strerror}"
        ), False
    return None, False
