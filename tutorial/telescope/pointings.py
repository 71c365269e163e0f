"""Where the telescope points to: the field is covered by overlapping tiles.

One pointing is one tile. Next to its frame (all the pixels it sees) each pointing has a patch:
the part of the field it answers for. The patches are bounded by the middles of the overlaps. They
do not overlap and leave no gap, so each position in the field belongs to exactly one pointing.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

TILE_SIZE = 224
"""Side of a tile in pixels."""

OVERLAP = 80
"""Smallest overlap of neighbouring tiles in pixels. The largest source measures less than this."""


@dataclass(frozen=True)
class Box:
    """A rectangle in the field in pixels: rows top to bottom, columns left to right.

    `bottom` and `right` are the first row and column outside the box.
    """

    top: float
    left: float
    bottom: float
    right: float

    def depth(self, x: float, y: float) -> float:
        """Return how far inside the box the position is, in pixels (negative: outside)."""
        # Pixel centres have integer coordinates, hence pixel edges lie half a pixel off.
        return min(
            y - (self.top - 0.5),
            x - (self.left - 0.5),
            (self.bottom - 0.5) - y,
            (self.right - 0.5) - x,
        )


@dataclass(frozen=True)
class Pointing:
    """What the telescope sees in one run, and the part of it this run answers for."""

    frame: Box
    patch: Box


class _Span(NamedTuple):
    """Extent of a tile and of its patch along one axis of the field in pixels."""

    start: int
    stop: int
    patch_start: float
    patch_stop: float


def _starts(length: int, tile_size: int, overlap: int) -> list[int]:
    """Return the first pixels of evenly spread tiles which cover one axis of the field."""
    if length <= tile_size:
        return [0]
    count = math.ceil((length - tile_size) / (tile_size - overlap)) + 1
    return [round(i * (length - tile_size) / (count - 1)) for i in range(count)]


def _spans(length: int, tile_size: int, overlap: int) -> list[_Span]:
    """Return the spans of the tiles along one axis of the field."""
    starts = _starts(length, tile_size, overlap)
    stops = [min(start + tile_size, length) for start in starts]
    middles = [(stop + start) / 2 for stop, start in zip(stops[:-1], starts[1:], strict=True)]
    return [
        _Span(*span) for span in zip(starts, stops, [0, *middles], [*middles, length], strict=True)
    ]


def cover_field(
    field_shape: tuple[int, int], tile_size: int = TILE_SIZE, overlap: int = OVERLAP
) -> list[Pointing]:
    """Return the pointings which cover the field, row by row.

    Parameters
    ----------
    field_shape : (int, int)
        Rows and columns of the field in pixels.
    tile_size : int
        Side of a tile in pixels.
    overlap : int
        Neighbouring tiles share at least so many pixels.
    """
    rows = _spans(field_shape[0], tile_size, overlap)
    columns = _spans(field_shape[1], tile_size, overlap)
    return [
        Pointing(
            frame=Box(top=row.start, left=column.start, bottom=row.stop, right=column.stop),
            patch=Box(
                top=row.patch_start,
                left=column.patch_start,
                bottom=row.patch_stop,
                right=column.patch_stop,
            ),
        )
        for row, column in itertools.product(rows, columns)
    ]
