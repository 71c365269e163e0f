"""The logbook of the observation: which runs there are, where they point to, what went wrong.

The telescope keeps it in its work_dir next to the runs. Making the jobs and merging the
catalogues both start from it, so neither has to open a single run.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .atomic_files import open_atomic
from .pointings import Box, Pointing

LOGBOOK_NAME = "logbook.json"


@dataclass(frozen=True)
class Run:
    """One line of the logbook.

    Attributes
    ----------
    basename : str
        File of the run in the work_dir.
    pointing : Pointing
        What the telescope looked at.
    broken_events : tuple of int
        Events in the run whose read-out failed.
    """

    basename: str
    pointing: Pointing
    broken_events: tuple[int, ...]


def write_logbook(work_dir: str | os.PathLike[str], runs: list[Run]) -> None:
    """Write the logbook of all runs into the work_dir."""
    lines = ",\n".join(json.dumps(dataclasses.asdict(run)) for run in runs)
    with open_atomic(Path(work_dir) / LOGBOOK_NAME) as file:
        file.write(f"[\n{lines}\n]\n".encode())


def read_logbook(work_dir: str | os.PathLike[str]) -> list[Run]:
    """Return the runs in the order they were taken."""
    entries: list[dict[str, Any]] = json.loads((Path(work_dir) / LOGBOOK_NAME).read_text())
    return [
        Run(
            basename=entry["basename"],
            pointing=Pointing(
                frame=Box(**entry["pointing"]["frame"]), patch=Box(**entry["pointing"]["patch"])
            ),
            broken_events=tuple(entry["broken_events"]),
        )
        for entry in entries
    ]
