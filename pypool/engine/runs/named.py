"""Named runs: `Pool(name="survey")` begins the run `survey` of its work directory, or resumes it.

A run that ended with nothing open is set aside, and the next start begins a new one. Any other one
is taken up where its driver left it, by a driver of its own version and by one only.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from pypool import code
from pypool.engine import endings
from pypool.engine.runs.lock import RunLock
from pypool.engine.runs.recovery import OldRun, modules_of, read_run
from pypool.errors import CodeChangedError, RunDirectoryError, VersionMismatchError
from pypool.rundir import names
from pypool.rundir.run import RunDirectory, stamp, unusable
from pypool.version import VERSION

log = logging.getLogger("pypool")

_completed: Counter[str] = Counter()
"""How often this program has completed a run of that path: there may be several pools of a name."""

COMPLETE = "close"
"""What the journal says at last of a run whose program has ended well."""

DONE = "done"
"""What it says before: the pool has ended with nothing open, its program has not."""


class Opened(NamedTuple):
    """A run directory as a driver gets it.

    Attributes
    ----------
    old : OldRun or None
        What earlier lives have left.
    lock : RunLock or None
        Held for as long as the driver lives; runs without a name have none.
    """

    run: RunDirectory
    old: OldRun | None = None
    lock: RunLock | None = None


def open_named(work_dir: str, name: str, info: Mapping[str, Any]) -> Opened:
    """Begins the run, or takes it up.

    Parameters
    ----------
    info : mapping
        What agents need to know of this driver.

    Raises
    ------
    RunDirectoryError
        If another driver has it, or it cannot be used.
    VersionMismatchError
        If it was begun with another pypool or another Python.
    CodeChangedError
        If it was begun with other code, and the user does not want that.
    """
    path = f"{work_dir}/{name}"
    _completed[path] += endings.finish_now(path)
    info = dict(info) | {"name": name, "earlier": _completed[path]}
    while True:
        mark = None
        if not os.path.lexists(path):
            with suppress(FileExistsError):  # somebody else was faster
                made = RunDirectory.create(work_dir, info, name=name)
                mark = made.mark
                made.close()
        lock = RunLock.acquire(path, lambda: _size_of_beat(path))
        try:
            opened = _take_up(path, info, lock, ours=mark)
        except BaseException:
            lock.release()
            raise
        if opened is not None:
            return opened


def _take_up(path: str, info: dict[str, Any], lock: RunLock, ours: bytes | None) -> Opened | None:
    """The run, locked as it is; None if it was set aside and another one is to be begun."""
    run = RunDirectory.open(path)
    try:
        if run.mark == ours:
            return Opened(run, None, lock)
        _check_version(run)
        old = read_run(run)
        if old.ended != COMPLETE:
            _compare_code(run, old, refuses=info["on_change"] == "refuse")
    except OSError as error:
        run.close()
        raise unusable(path, error) from error
    except BaseException:
        run.close()
        raise
    if old.ended == COMPLETE:
        run.close()
        _set_aside(path)
        return None
    _check_order(run, info)
    _compare_initializer(run, old, info)
    run.begin_life(max(old.lives, 1) + 1, info)
    _say_what_is_there(run, old)
    return Opened(run, old, lock)


def _check_version(run: RunDirectory) -> None:
    here = f"pypool {VERSION} on Python {sys.version_info[0]}.{sys.version_info[1]}"
    python = ".".join(map(str, run.info["python_version"]))
    there = f"pypool {run.info['pypool']} on Python {python}"
    if here != there:
        raise VersionMismatchError(
            f"the run {run.path} was begun with {there}, this is {here}: what one has pickled the "
            "other may not read. Go on with the same, or give the run another name (name=)."
        )


def _check_order(run: RunDirectory, info: Mapping[str, Any]) -> None:
    """The first of two pools of one name would take the run of the second one for its own."""
    begun, now = run.info.get("earlier", 0), info["earlier"]
    is_script = getattr(sys.modules.get("__main__"), "__file__", None) is not None
    if begun != now and is_script and not hasattr(sys, "ps1"):
        raise RunDirectoryError(
            f"the run {run.path} was begun by pool {begun + 1} of that name in its program, this "
            f"is pool {now + 1}. Give each pool of a program a name of its own; to begin anew, "
            "remove the directory."
        )


def _compare_initializer(run: RunDirectory, old: OldRun, info: Mapping[str, Any]) -> None:
    """What workers were made ready with is part of what they have computed."""
    try:
        last = json.loads(run.read(names.run_info(old.lives)))
    except (OSError, ValueError):
        last = run.info
    if last.get("initializer_digest") == info["initializer_digest"]:
        return
    told = f"the run {run.path} was begun with another initializer, or other arguments of it"
    if info["on_change"] == "refuse":
        raise CodeChangedError(f'{told}; and on_change="refuse". To begin anew, give another name.')
    log.warning("%s: all of it is computed again, by new workers", told)
    old.is_others = True


def _compare_code(run: RunDirectory, old: OldRun, refuses: bool) -> None:
    """Results of other code than this may be there: that is said, or refused."""
    changed = {name for modules in modules_of(run, old) for name in code.differing(modules)}
    if not changed:
        return
    told = ", ".join(f"{name} ({code.file_of(name)})" for name in sorted(changed))
    if refuses:
        raise CodeChangedError(
            f"these modules have changed since the run {run.path} was begun: {told}; and "
            'on_change="refuse". To go on with the results that are there, give '
            'on_change="say"; to begin anew, another name.'
        )
    log.warning(
        "the run %s was begun with other code: %s. What is there stays, only what is missing is "
        "computed with the new code",
        run.path,
        told,
    )


def _set_aside(path: str) -> None:
    """It is over: what it has left stays for some days, as that of runs without a name does."""
    aside = f"{path}.{stamp()}"
    Path(path).rename(aside)
    with suppress(FileNotFoundError):
        Path(aside, names.LOCK).unlink()


def _say_what_is_there(run: RunDirectory, old: OldRun) -> None:
    begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(old.begun.get("start", 0)))
    held = sum(len(silent) for each in old.elements.values() for silent in each.silent.values())
    log.warning(
        "resumes the run %s, last begun %s: %d tasks have an answer, %d are with workers",
        run.path,
        begun,
        old.answers,
        held,
    )
    if old.damaged:
        log.warning(
            "%d bytes of its journal and outboxes are damaged and were passed over: what stood "
            "there is computed again",
            old.damaged,
        )


def _size_of_beat(path: str) -> int:
    """Grows with each beat of the driver. It is opened: what `stat` says may be seconds old."""
    try:
        fd = os.open(f"{path}/{names.DRIVER}", os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return 0
    try:
        return os.fstat(fd).st_size
    finally:
        os.close(fd)
