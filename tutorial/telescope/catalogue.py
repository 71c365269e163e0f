"""Catalogues of sources as text tables: one line per source, columns with fixed decimals.

The tables open in an editor as well as with `numpy.genfromtxt(path, names=True)`, and the same
sources always make the same bytes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from .atomic_files import open_atomic


class Source(NamedTuple):
    """One source in the sky, a galaxy or a star.

    Attributes
    ----------
    run : int
        Number of the run the source was found in.
    x, y : float
        Centre (weighted with the brightness) in the field: column and row in pixels.
    flux : float
        Sum of all the source's pixels in counts above the background.
    peak : float
        Brightest pixel in counts above the background.
    size : int
        Number of pixels.
    major, minor : float
        Lengths of the axes of the ellipse with the same second moments in pixels.
    angle : float
        Angle of the major axis to the x-axis in degrees, turning from x to y.
    """

    run: int
    x: float
    y: float
    flux: float
    peak: float
    size: int
    major: float
    minor: float
    angle: float


_LINE = "{:>6d} {:>9.3f} {:>9.3f} {:>11.2f} {:>9.2f} {:>6d} {:>8.3f} {:>8.3f} {:>8.2f}\n"
_HEADER = "{:>6} {:>9} {:>9} {:>11} {:>9} {:>6} {:>8} {:>8} {:>8}\n".format(*Source._fields)


def write_catalogue(path: str | os.PathLike[str], sources: list[Source]) -> None:
    """Write the sources as a text table, in the given order."""
    with open_atomic(path) as file:
        file.write((_HEADER + "".join(_LINE.format(*source) for source in sources)).encode())


def read_catalogue(path: str | os.PathLike[str]) -> list[Source]:
    """Read the sources from a text table."""
    sources = []
    for line in Path(path).read_text().splitlines()[1:]:
        run, x, y, flux, peak, size, major, minor, angle = line.split()
        sources.append(
            Source(
                run=int(run),
                x=float(x),
                y=float(y),
                flux=float(flux),
                peak=float(peak),
                size=int(size),
                major=float(major),
                minor=float(minor),
                angle=float(angle),
            )
        )
    return sources
