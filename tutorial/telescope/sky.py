"""The sky the pretend telescope looks at.

It is a real one: the picture of the Hubble eXtreme Deep Field (NASA, public domain) which is part
of the scikit-image wheel. It lies on the disk of every machine scikit-image is installed on, so
nothing is downloaded.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import skimage.data


def load_picture() -> npt.NDArray[np.uint8]:
    """Return the colour picture of the field.

    Returns
    -------
    picture : array of uint8, shape (872, 1000, 3)
        Red, green and blue, 0 to 255.
    """
    return np.asarray(skimage.data.hubble_deep_field(), dtype=np.uint8)


def load_sky() -> npt.NDArray[np.float64]:
    """Return the brightness of the field.

    Returns
    -------
    sky : array of float64, shape (872, 1000)
        Mean of the three colours in counts, 0 to 255. Rows are y, columns are x.
    """
    return np.asarray(load_picture().mean(axis=2), dtype=np.float64)
