"""A picture of the field with all that was found in it.

The sources of the merged catalogue are outlined on the colour picture of the sky.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from .atomic_files import open_atomic
from .catalogue import read_catalogue
from .merging import MERGED_NAME
from .sky import load_picture

PICTURE_SIZE = (1720, 1580)
"""Width and height of the picture in pixels."""

_DPI = 100
_SCALE = 1.6
"""Pixels of the picture for one pixel of the sky."""

_EMPTY_SKY = 12.0
"""Counts which are shown black."""


def draw(work_dir: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Draw the merged catalogue in the work_dir over the sky.

    Parameters
    ----------
    work_dir : path
        Holds the merged catalogue.
    path : path
        The picture is written here as a PNG, 1720 pixels wide and 1580 pixels high.
    """
    # Only who draws needs matplotlib, the workers of a pool do without.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import EllipseCollection
    from matplotlib.figure import Figure

    sources = read_catalogue(Path(work_dir) / MERGED_NAME)
    sky = load_picture()
    rows, columns = sky.shape[:2]
    width, height = PICTURE_SIZE

    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="black")
    FigureCanvasAgg(figure)
    axes = figure.add_axes(
        (
            (1 - columns * _SCALE / width) * 0.72,
            (1 - rows * _SCALE / height) * 0.5,
            columns * _SCALE / width,
            rows * _SCALE / height,
        )
    )
    # The empty sky is to be black, and faint galaxies brighter than they are.
    brightened = np.clip((sky - _EMPTY_SKY) / (255 - _EMPTY_SKY), 0, 1) ** 0.75
    axes.imshow(brightened, interpolation="bicubic")
    # Four standard deviations span a uniform ellipse; some air around keeps the source visible.
    outlines = EllipseCollection(
        widths=[1.3 * source.major + 5 for source in sources],
        heights=[1.3 * source.minor + 5 for source in sources],
        angles=[source.angle for source in sources],
        units="xy",
        offsets=[(source.x, source.y) for source in sources],
        offset_transform=axes.transData,
        facecolors="none",
        edgecolors="#7CFC9A",
        linewidths=0.9,
        alpha=0.85,
    )
    axes.add_collection(outlines)
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_title(
        f"Hubble eXtreme Deep Field: {len(sources)} galaxies and stars found",
        color="white",
        fontsize=24,
        pad=16,
    )
    axes.set_xlabel("x / pixel", color="white", fontsize=15)
    axes.set_ylabel("y / pixel", color="white", fontsize=15)
    axes.tick_params(colors="white", labelsize=13)
    for spine in axes.spines.values():
        spine.set_color("white")
    with open_atomic(path) as file:
        figure.savefig(file, format="png", dpi=_DPI)
