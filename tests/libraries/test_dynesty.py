"""dynesty: a proposal carries the likelihood, and the pool's size is a number of the algorithm."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pool.conftest import MakePool
from pool.scripts import Driver

from pypool import Pool

from .problems import (
    DIMENSIONS,
    InOrder,
    log_likelihood,
    log_likelihood_of_data,
    log_likelihood_of_table,
    prior_transform,
    set_table,
)

dynesty = pytest.importorskip("dynesty")

pytestmark = pytest.mark.slow

LIVE_POINTS = 50
ENOUGH = 0.5
"""What may still be missing of log(evidence) at the end."""

DATA = np.linspace(-1.0, 1.0, 30).reshape(10, DIMENSIONS)


def sampler_of(likelihood: Any, pool: Any, **options: Any) -> Any:
    """A sampler that will draw the same random numbers each time."""
    return dynesty.NestedSampler(
        likelihood,
        prior_transform,
        DIMENSIONS,
        nlive=LIVE_POINTS,
        pool=pool,
        rstate=np.random.default_rng(9),
        **options,
    )


def results(likelihood: Any, pool: Any, **options: Any) -> dict[str, Any]:
    """What a whole run finds."""
    sampler = sampler_of(likelihood, pool, **options)
    sampler.run_nested(dlogz=ENOUGH, print_progress=False)
    found: dict[str, Any] = sampler.results.asdict()
    return found


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each bit of samples, weights, evidence, and the number of calls."""
    for name in ("samples", "logl", "logwt", "logz", "logzerr", "ncall", "samples_id"):
        assert np.array_equal(found[name], expected[name]), name
    assert len(found["samples"]) > LIVE_POINTS


def test_a_run_with_a_queue_size(pool: Pool) -> None:
    """With `queue_size` given the result does not depend on how many workers there are."""
    expected = results(log_likelihood, InOrder(1), queue_size=3)
    assert_same(results(log_likelihood, pool, queue_size=3), expected)


def test_a_run_that_reads_the_size_of_the_pool(pool: Pool) -> None:
    """Without `queue_size` it is the pool's size."""
    sampler = sampler_of(log_likelihood, pool)
    assert sampler.queue_size == pool.size
    assert_same(results(log_likelihood, pool), results(log_likelihood, InOrder(pool.size)))


def test_a_run_that_bootstraps_its_bounds(pool: Pool) -> None:
    """dynesty maps functions of its own, too."""
    options = {"queue_size": 4, "bound": "multi", "bootstrap": 4, "sample": "unif"}
    expected = results(log_likelihood, InOrder(4), **options)
    assert_same(results(log_likelihood, pool, **options), expected)


def test_a_dynamic_run(pool: Pool) -> None:
    """A sampler that adds live points where they are needed."""

    def evidence(pool: Any) -> dict[str, Any]:
        sampler = dynesty.DynamicNestedSampler(
            log_likelihood,
            prior_transform,
            DIMENSIONS,
            nlive=LIVE_POINTS,
            pool=pool,
            queue_size=4,
            rstate=np.random.default_rng(9),
        )
        sampler.run_nested(
            nlive_init=LIVE_POINTS, nlive_batch=LIVE_POINTS, maxbatch=1, print_progress=False
        )
        found: dict[str, Any] = sampler.results.asdict()
        return found

    assert_same(evidence(pool), evidence(InOrder(4)))


def test_data_as_arguments(pool: Pool) -> None:
    """What stands in `logl_args` travels with each proposal."""
    options = {"queue_size": 4, "logl_args": (DATA,)}
    expected = results(log_likelihood_of_data, InOrder(4), **options)
    assert_same(results(log_likelihood_of_data, pool, **options), expected)


def test_data_of_an_initializer(make_pool: MakePool) -> None:
    """A global that the pool's initializer has set in each worker."""
    pool = make_pool(initializer=set_table, initargs=(DATA,))
    found = results(log_likelihood_of_table, pool, queue_size=4)
    expected = results(log_likelihood_of_data, InOrder(4), queue_size=4, logl_args=(DATA,))
    assert_same(found, expected)


@pytest.mark.filterwarnings("ignore:The sampling was stopped short", "ignore:Restoring the sampler")
def test_a_run_that_was_saved_goes_on(pool: Pool, tmp_path: Path) -> None:
    """A sampler that holds a pool can be saved; it is given a pool when it is restored."""

    def in_two_parts(pool: Any, file: Path) -> dict[str, Any]:
        first = sampler_of(log_likelihood, pool, queue_size=4)
        first.run_nested(maxiter=100, add_live=False, print_progress=False)
        first.save(str(file))
        second = dynesty.NestedSampler.restore(str(file), pool=pool)
        assert second.pool is pool
        second.run_nested(dlogz=ENOUGH, resume=True, print_progress=False)
        found: dict[str, Any] = second.results.asdict()
        return found

    found = in_two_parts(pool, tmp_path / "saved")
    assert_same(found, in_two_parts(InOrder(4), tmp_path / "in-order"))


# ---- programs

PROGRAM = """
    import dynesty
    import numpy as np

    class InOrder:
        size = 1
        def map(self, function, items):
            return [function(item) for item in items]

    def log_likelihood(point):
        return -0.5 * np.sum((point - offset) ** 2)

    def prior_transform(unit):
        return WIDTH * unit - 5

    def samples(pool):
        sampler = dynesty.NestedSampler(
            log_likelihood, prior_transform, 3, nlive=50, pool=pool, queue_size=4,
            rstate=np.random.default_rng(9),
        )
        sampler.run_nested(dlogz=0.5, print_progress=False)
        return sampler.results.samples

    def set_offset(value):
        global offset
        offset = value

    WIDTH = 10
    """

BY_VALUE = """
    set_offset(0.5)
    with POOL as pool:
        print(np.array_equal(samples(pool), samples(InOrder())))
    """

BY_INITIALIZER = """
    with POOL as pool:
        found = samples(pool)
    set_offset(0.5)
    print(np.array_equal(found, samples(InOrder())))
    """


@pytest.mark.parametrize("arguments", [(), ("-",)], ids=["file", "no file"])
def test_functions_of_the_program(driver: Driver, arguments: tuple[str, ...]) -> None:
    """Likelihood and prior of a script or a notebook, inside of each item."""
    said = driver.run(PROGRAM + BY_VALUE, *arguments, stdin=bool(arguments))
    assert said == "True\n"


def test_an_initializer_of_the_program(driver: Driver) -> None:
    """Initializer and likelihood of a script meet in one global."""
    pool = driver.text("POOL").removesuffix(")") + ", initializer=set_offset, initargs=(0.5,))"
    assert driver.run(PROGRAM + BY_INITIALIZER.replace("POOL", pool)) == "True\n"
