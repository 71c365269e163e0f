"""Finding the sources in an image: galaxies and stars above a threshold of brightness.

The image is smoothed a little, cut at a fixed threshold, and what hangs together is one source,
unless it has several marked peaks: those are parted along the valleys between them. All of this
depends on a source's own neighbourhood only, so a source looks the same in each tile that sees it
whole.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from skimage.filters import gaussian
from skimage.measure import label, regionprops
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

from .catalogue import Source

SMOOTHING = 1.0
"""Standard deviation of the smoothing in pixels."""

THRESHOLD = 30.0
"""Counts above the background in the smoothed image."""

PEAK_PROMINENCE = 25
"""Sources are parted if the lower peak rises above the valley by so many counts."""


def segment(image: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    """Tell which pixel belongs to which source.

    Parameters
    ----------
    image : array of float64, shape (rows, columns)
        Counts above the background.

    Returns
    -------
    labels : array of int32, shape (rows, columns)
        Positive numbers for the sources, 0 for the empty sky.
    """
    smooth = gaussian(image, sigma=SMOOTHING, preserve_range=True)
    above = smooth > THRESHOLD
    terrain = np.where(above, np.rint(smooth), 0).astype(np.int32)
    peaks = label(h_maxima(terrain, PEAK_PROMINENCE))
    return np.asarray(watershed(-smooth, markers=peaks, mask=above), dtype=np.int32)


def detect_sources(
    image: npt.NDArray[np.float64],
    *,
    threshold_size: int,
    run: int,
    origin: tuple[int, int],
    field_shape: tuple[int, int],
) -> list[Source]:
    """Find the sources which lie in the image as a whole.

    Sources which touch an edge of the image are left out, because what is beyond is unknown and
    a neighbouring tile sees them whole. Only at the edges of the field, where there is no
    neighbour, they are kept.

    Parameters
    ----------
    image : array of float64, shape (rows, columns)
        Counts above the background.
    threshold_size : int
        Smallest number of pixels of a source.
    run : int
        Number of the run, handed on to the sources.
    origin : (int, int)
        Row and column in the field of the image's first pixel, in pixels.
    field_shape : (int, int)
        Rows and columns of the field in pixels.

    Returns
    -------
    sources : list of Source
        From top to bottom, and from left to right where equal.
    """
    sources = []
    for region in regionprops(segment(image), intensity_image=image):
        size = int(region.area)
        top, left, bottom, right = region.bbox
        is_cut = (
            (top == 0 and origin[0] > 0)
            or (left == 0 and origin[1] > 0)
            or (bottom == image.shape[0] and origin[0] + bottom < field_shape[0])
            or (right == image.shape[1] and origin[1] + right < field_shape[1])
        )
        if size < threshold_size or is_cut:
            continue
        y, x = region.centroid_weighted
        # scikit-image measures the angle from the rows' axis.
        angle = (90.0 - np.rad2deg(region.orientation)) % 180.0
        sources.append(
            Source(
                run=run,
                x=float(x) + origin[1],
                y=float(y) + origin[0],
                flux=float(region.intensity_mean) * size,
                peak=float(region.intensity_max),
                size=size,
                major=float(region.axis_major_length),
                minor=float(region.axis_minor_length),
                angle=float(angle),
            )
        )
    return sorted(sources, key=lambda source: (source.y, source.x))
