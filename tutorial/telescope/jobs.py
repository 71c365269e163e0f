"""The work, cut into jobs for a pool.

A job holds references, not data: it says where a run is, what to skip in it, and what to look
for. `run_job` does the rest wherever it happens to be called. It leaves its result beside the
data and returns a small code only.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from .catalogue import write_catalogue
from .detection import detect_sources
from .logbook import read_logbook
from .observation import read_run
from .stacking import stack

THRESHOLD_SIZE = 12
"""Smallest number of pixels of a source."""

SUCCESS = 0
NO_GOOD_EVENTS = 1


class Job(TypedDict):
    """One run to look at.

    Attributes
    ----------
    work_dir : str
        Absolute path of the folder which holds the run, the same on all machines.
    basename : str
        File of the run in the work_dir.
    broken_events_to_be_skipped : array of int64, shape (number of broken events,)
        Indices of events in the run.
    threshold_size : int
        Smallest number of pixels of a source.
    """

    work_dir: str
    basename: str
    broken_events_to_be_skipped: npt.NDArray[np.int64]
    threshold_size: int


def make_jobs(work_dir: str | os.PathLike[str]) -> list[Job]:
    """Return a job for each run in the logbook of the work_dir."""
    return [
        Job(
            work_dir=str(Path(work_dir).absolute()),
            basename=run.basename,
            broken_events_to_be_skipped=np.array(run.broken_events, dtype=np.int64),
            threshold_size=THRESHOLD_SIZE,
        )
        for run in read_logbook(work_dir)
    ]


def catalogue_path(work_dir: str | os.PathLike[str], basename: str) -> Path:
    """Return where the catalogue of a run is: '000086.npz' has '000086.catalogue.txt'."""
    return Path(work_dir) / f"{Path(basename).stem}.catalogue.txt"


def run_job(job: Job) -> int:
    """Find the sources in one run and write its catalogue beside the data.

    The result depends on the job alone, and the catalogue appears at once or not at all. Hence
    it does no harm when a job is run twice, even at the same time.

    Returns
    -------
    return_code : int
        0 if all went well, 1 if the run has no good event (its catalogue is empty then).
    """
    run = read_run(Path(job["work_dir"]) / job["basename"])
    image = stack(run.events, job["broken_events_to_be_skipped"])
    path = catalogue_path(job["work_dir"], job["basename"])
    if image is None:
        write_catalogue(path, [])
        return NO_GOOD_EVENTS
    sources = detect_sources(
        image,
        threshold_size=job["threshold_size"],
        run=int(Path(job["basename"]).stem),
        origin=run.origin,
        field_shape=run.field_shape,
    )
    write_catalogue(path, sources)
    return SUCCESS
