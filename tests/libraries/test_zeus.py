"""zeus: generators of few points, one at times, several of them a step."""

import random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pypool import Pool

from .problems import DIMENSIONS, log_likelihood

zeus = pytest.importorskip("zeus")

pytestmark = pytest.mark.slow

WALKERS = 16
STEPS = 50


def chain(pool: Any) -> NDArray[np.float64]:
    """Where all walkers have been. zeus draws from the global generators."""
    random.seed(7)
    np.random.seed(7)
    start = np.random.normal(size=(WALKERS, DIMENSIONS))
    sampler = zeus.EnsembleSampler(WALKERS, DIMENSIONS, log_likelihood, pool=pool, verbose=False)
    sampler.run_mcmc(start, STEPS, progress=False)
    walked: NDArray[np.float64] = sampler.get_chain()
    return walked


def test_a_chain_is_that_of_the_loop(pool: Pool) -> None:
    """Each bit of all positions."""
    assert np.array_equal(chain(pool), chain(None))
