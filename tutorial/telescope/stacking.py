"""From the exposures of a run to a single image: the broken ones left out, the others averaged.

Averaging N exposures shrinks their noise by the square root of N, which lifts sources out of the
noise that no single exposure shows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def background_level(image: npt.NDArray[np.float64]) -> float:
    """Return the level of the empty sky between the sources, in counts.

    The median of all pixels would be pulled up by the sources. So pixels further than 3 standard
    deviations from the median are dropped and the median is taken anew, until nothing changes.
    """
    pixels = image.ravel()
    while True:
        median = float(np.median(pixels))
        kept = pixels[np.abs(pixels - median) <= 3.0 * pixels.std()]
        if kept.size == pixels.size:
            return median
        pixels = kept


def stack(
    events: npt.NDArray[np.uint16], broken_events: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64] | None:
    """Average the good exposures, each on top of its own background.

    Parameters
    ----------
    events : array of uint16, shape (number of events, rows, columns)
        Raw exposures in counts.
    broken_events : array of int64, shape (number of broken events,)
        Indices of the exposures to leave out.

    Returns
    -------
    image : array of float64, shape (rows, columns), or None
        Counts above the background. None if no exposure is good.
    """
    total = np.zeros(events.shape[1:], dtype=np.float64)
    num_good = 0
    for event in range(len(events)):
        if event in broken_events:
            continue
        exposure = events[event].astype(np.float64)
        total += exposure - background_level(exposure)
        num_good += 1
    if num_good == 0:
        return None
    image = total / num_good
    # In the stack the noise is low enough to tell fainter sources from the empty sky.
    return image - background_level(image)
