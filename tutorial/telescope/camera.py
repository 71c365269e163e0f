"""The camera of the pretend telescope: from a piece of sky to a series of raw exposures.

An exposure is the sky on top of an electronic offset and a glow of the night which differs from
exposure to exposure, with the noise of the read-out. Now and then the read-out fails and the
exposure is garbage. All randomness comes from the generator passed in, so the same seed makes
the same exposures.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

OFFSET = 1000.0
"""Electronic offset in counts."""

NIGHT_GLOW = 60.0
"""Largest additional brightness of the whole exposure in counts."""

READ_NOISE = 25.0
"""Standard deviation of the noise in one pixel of one exposure in counts."""


def expose(
    sky: npt.NDArray[np.float64],
    num_events: int,
    broken_events: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> npt.NDArray[np.uint16]:
    """Take a series of exposures of the same piece of sky.

    Parameters
    ----------
    sky : array of float64, shape (rows, columns)
        Brightness in counts.
    num_events : int
        Number of exposures.
    broken_events : array of int64, shape (number of broken events,)
        The read-out of these exposures fails.
    rng : numpy.random.Generator
        Source of the noise.

    Returns
    -------
    events : array of uint16, shape (num_events, rows, columns)
        Raw exposures in counts.
    """
    events = np.empty((num_events, *sky.shape), dtype=np.uint16)
    for event in range(num_events):
        if event in broken_events:
            events[event] = rng.integers(0, 2**16, size=sky.shape, dtype=np.uint16)
            continue
        glow = rng.uniform(0.0, NIGHT_GLOW)
        noise = rng.normal(0.0, READ_NOISE, size=sky.shape)
        events[event] = np.rint(OFFSET + glow + sky + noise).clip(0, 2**16 - 1)
    return events


def choose_broken_events(
    num_events: int, num_broken: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Draw which exposures of a run are broken.

    Returns
    -------
    broken_events : array of int64, shape (num_broken,)
        Indices of the events, ascending.
    """
    chosen = rng.choice(num_events, size=num_broken, replace=False)
    return np.sort(chosen).astype(np.int64)
