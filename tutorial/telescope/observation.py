"""The night of the observation: the pretend telescope fills the work_dir with its runs.

A run is one file: a series of exposures (its events) of one pointing, and where this lies in the
field. The logbook lists all runs and their broken events.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .atomic_files import open_atomic
from .camera import choose_broken_events, expose
from .logbook import Run, write_logbook
from .pointings import cover_field
from .sky import load_sky

NUM_EVENTS = 32
"""Exposures in a run."""

NUM_BROKEN_EVENTS = 4
"""Exposures in a run whose read-out fails."""

SEED = 2012
"""Start of all randomness."""


@dataclass(frozen=True)
class RunData:
    """What is in the file of a run.

    Attributes
    ----------
    events : array of uint16, shape (number of events, rows, columns)
        Raw exposures in counts.
    origin : (int, int)
        Row and column in the field of the first pixel, in pixels.
    field_shape : (int, int)
        Rows and columns of the whole field in pixels.
    """

    events: npt.NDArray[np.uint16]
    origin: tuple[int, int]
    field_shape: tuple[int, int]


def write_run(path: str | os.PathLike[str], run: RunData) -> None:
    """Write a run to a .npz file."""
    with open_atomic(path) as file:
        np.savez(file, events=run.events, origin=run.origin, field_shape=run.field_shape)


def read_run(path: str | os.PathLike[str]) -> RunData:
    """Read a run from a .npz file."""
    with np.load(path, allow_pickle=False) as file:
        top, left = (int(i) for i in file["origin"])
        rows, columns = (int(i) for i in file["field_shape"])
        return RunData(events=file["events"], origin=(top, left), field_shape=(rows, columns))


def init(work_dir: str | os.PathLike[str]) -> None:
    """Observe the field: write all the runs and the logbook into the work_dir.

    Observing again writes the same bytes again.

    Parameters
    ----------
    work_dir : path
        Made if it does not exist. The runs take some 140 MB.
    """
    Path(work_dir).mkdir(parents=True, exist_ok=True)
    sky = load_sky()
    rows, columns = sky.shape
    runs = []
    for number, pointing in enumerate(cover_field((rows, columns)), start=1):
        rng = np.random.default_rng([SEED, number])
        broken_events = choose_broken_events(NUM_EVENTS, NUM_BROKEN_EVENTS, rng)
        top, left = int(pointing.frame.top), int(pointing.frame.left)
        tile = sky[top : int(pointing.frame.bottom), left : int(pointing.frame.right)]
        events = expose(tile, NUM_EVENTS, broken_events, rng)
        run = Run(f"{number:06d}.npz", pointing, tuple(int(i) for i in broken_events))
        write_run(
            Path(work_dir) / run.basename,
            RunData(events=events, origin=(top, left), field_shape=(rows, columns)),
        )
        runs.append(run)
    write_logbook(work_dir, runs)
