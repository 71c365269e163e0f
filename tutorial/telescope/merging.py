"""One catalogue of the field from the catalogues of the runs.

Tiles overlap, so a source near a seam stands in two to four catalogues. See
`merge_catalogues` for how it ends up in the merged one exactly once.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

from .catalogue import Source, read_catalogue, write_catalogue
from .jobs import catalogue_path
from .logbook import read_logbook

MERGED_NAME = "catalogue.txt"

MATCH_RADIUS = 3.0
"""Sources of different runs closer than this are the same, in pixels."""


def _is_known(source: Source, known: list[Source]) -> bool:
    return any(
        source.run != other.run
        and math.hypot(source.x - other.x, source.y - other.y) < MATCH_RADIUS
        for other in known
    )


def merge_catalogues(work_dir: str | os.PathLike[str]) -> list[Source]:
    """Merge the catalogues of all runs into `catalogue.txt` in the work_dir.

    Nothing is lost at the seams: each position of the field belongs to the patch of exactly one
    run, and a patch keeps half an overlap (40 pixels or more) away from the edges of its tile.
    A source centred in the patch and reaching no further than that is seen whole by this run.
    What is cut by the edge of a tile is centred in the patch of a neighbour, which sees it whole.

    Nothing is counted twice: a run contributes only what is centred in its patch. As noise moves
    the centres a little, a source right on the border of two patches may be claimed by both
    runs, or by none. So each run also offers what is up to the match radius outside of its
    patch, and from a group closer than the match radius only that source is taken which is
    deepest inside of its own run's patch.

    Parameters
    ----------
    work_dir : path
        Holds the logbook and a catalogue for each run in it.

    Returns
    -------
    sources : list of Source
        From top to bottom, and from left to right where equal.
    """
    offers: list[tuple[float, Source]] = []
    for run in read_logbook(work_dir):
        for source in read_catalogue(catalogue_path(work_dir, run.basename)):
            depth = run.pointing.patch.depth(x=source.x, y=source.y)
            if depth > -MATCH_RADIUS:
                offers.append((depth, source))
    offers.sort(reverse=True)

    merged: list[Source] = []
    for depth, source in offers:
        is_far_from_border = depth >= MATCH_RADIUS
        if is_far_from_border or not _is_known(source, merged):
            merged.append(source)

    merged.sort(key=lambda source: (source.y, source.x))
    write_catalogue(Path(work_dir) / MERGED_NAME, merged)
    return merged
