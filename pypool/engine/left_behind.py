"""What local pools have left behind: private directories whose program was killed with its agent.

Who of the two outlives the other removes the directory; after the end of a container or of a job
nobody is left who could, and where it lies in memory it takes room until the next boot. Only what
is ours beyond doubt is removed, and only if its program was one of this boot and is gone.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import Any

from pypool.engine.runs.lock import machine, start_of
from pypool.errors import RunDirectoryError
from pypool.rundir.run import RunDirectory

PREFIX = "pypool-"
_NAME = re.compile(rf"{PREFIX}\d{{8}}-\d{{6}}-[0-9a-f]{{8}}")


def owner() -> dict[str, Any]:
    """How `run.json` names the process whose directory it is, for `remove_left_behind`."""
    return {"machine": machine(), "started": start_of(os.getpid())}


def remove_left_behind(place: str) -> None:
    """Removes the private directories there whose owners are gone."""
    try:
        with os.scandir(place) as entries:
            found = [entry.path for entry in entries if _NAME.fullmatch(entry.name)]
    except OSError:
        return
    for path in found:
        with suppress(OSError, RunDirectoryError):  # another user's, or no run, or gone by now
            run = RunDirectory.open(path)
            try:
                if _is_orphaned(run.info):
                    run.remove_tree("")
            finally:
                run.close()


def _is_orphaned(info: dict[str, Any]) -> bool:
    """Whether its owner is gone; false where that cannot be known."""
    here, started = info.get("machine"), info.get("started")
    if info.get("scheduler") != "local" or not here or started is None or here != machine():
        return False
    try:
        os.kill(info["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # another user's by now
    now = start_of(info["pid"])
    return now is not None and now != started
