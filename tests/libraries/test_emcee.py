"""emcee: two maps a step, each of half the walkers."""

import pickle
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pool.conftest import SIZES, MakePool
from pool.scripts import TIMEOUT, Driver

from pypool import Pool

from .problems import (
    DIMENSIONS,
    log_likelihood,
    log_likelihood_by,
    log_likelihood_of_data,
    log_likelihood_of_table,
    raise_type_error,
    set_table,
)

emcee = pytest.importorskip("emcee")

pytestmark = pytest.mark.slow

WALKERS = 16
STEPS = 200
MANY_STEPS = 500
DATA = np.linspace(-1.0, 1.0, 3000).reshape(1000, DIMENSIONS)


def sampler_of(log_probability: Callable[..., Any], pool: Any, **options: Any) -> Any:
    """A sampler that will draw the same random numbers each time."""
    sampler = emcee.EnsembleSampler(WALKERS, DIMENSIONS, log_probability, pool=pool, **options)
    sampler.random_state = np.random.RandomState(7).get_state()
    return sampler


def start() -> NDArray[np.float64]:
    return np.random.default_rng(8).normal(size=(WALKERS, DIMENSIONS))


def chain(
    log_probability: Callable[..., Any], pool: Any, steps: int = STEPS, **options: Any
) -> NDArray[np.float64]:
    """Where all walkers have been."""
    sampler = sampler_of(log_probability, pool, **options)
    sampler.run_mcmc(start(), steps)
    walked: NDArray[np.float64] = sampler.get_chain()
    return walked


def test_a_chain_is_that_of_the_loop(pool: Pool) -> None:
    """Positions and probabilities, each bit of them."""
    sampler, loop = (sampler_of(log_likelihood, each) for each in (pool, None))
    for each in (sampler, loop):
        each.run_mcmc(start(), STEPS)
    assert np.array_equal(sampler.get_chain(), loop.get_chain())
    assert np.array_equal(sampler.get_log_prob(), loop.get_log_prob())
    assert len(np.unique(sampler.get_chain()[-1], axis=0)) > 1


def test_workers_stay_for_a_thousand_maps(make_pool: MakePool, backend: str) -> None:
    """The processes that did the first map do the last one."""
    sampler = sampler_of(log_likelihood_by, make_pool(linger="10m"))
    sampler.run_mcmc(start(), MANY_STEPS)
    processes = np.unique(sampler.get_blobs().astype(int))
    assert 1 <= len(processes) <= SIZES[backend]


def test_data_as_arguments(pool: Pool) -> None:
    """What stands in `args` travels with the function."""
    chains = [chain(log_likelihood_of_data, each, args=[DATA]) for each in (pool, None)]
    assert np.array_equal(*chains)


def test_data_of_an_initializer(make_pool: MakePool) -> None:
    """A global that the pool's initializer has set in each worker."""
    pool = make_pool(initializer=set_table, initargs=(DATA,))
    found = chain(log_likelihood_of_table, pool)
    assert np.array_equal(found, chain(log_likelihood_of_data, None, args=[DATA]))


def test_a_sampler_that_was_pickled_goes_on(pool: Pool) -> None:
    """A sampler that holds a pool can be pickled; it is given the pool again."""
    first = sampler_of(log_likelihood, pool)
    first.run_mcmc(start(), STEPS // 2)
    second = pickle.loads(pickle.dumps(first))
    assert second.pool is None
    second.pool = pool
    second.run_mcmc(None, STEPS // 2)
    assert np.array_equal(second.get_chain(), chain(log_likelihood, None))


def test_an_error_is_the_users_own(pool: Pool) -> None:
    """What the function raises ends the run as it is."""
    with pytest.raises(TypeError, match="a point of 3 numbers"):
        sampler_of(raise_type_error, pool).run_mcmc(start(), 1)
    assert pool.map(abs, [-1]) == [1]


# ---- programs

PROGRAM = """
    import emcee
    import numpy as np

    def log_probability(point):
        return -0.5 * np.sum((point - offset) ** 2)

    def chain(pool):
        sampler = emcee.EnsembleSampler(16, 3, log_probability, pool=pool)
        sampler.random_state = np.random.RandomState(7).get_state()
        sampler.run_mcmc(np.random.default_rng(8).normal(size=(16, 3)), 200)
        return sampler.get_chain()

    def set_offset(value):
        global offset
        offset = value
    """

BY_VALUE = """
    set_offset(0.5)
    with POOL as pool:
        print(np.array_equal(chain(pool), chain(None)))
    """

BY_INITIALIZER = """
    with POOL as pool:
        found = chain(pool)
    set_offset(0.5)
    print(np.array_equal(found, chain(None)))
    """


@pytest.mark.parametrize("arguments", [(), ("-",)], ids=["file", "no file"])
def test_a_function_of_the_program(driver: Driver, arguments: tuple[str, ...]) -> None:
    """A likelihood that no module has, as in scripts and notebooks, with the global it reads."""
    said = driver.run(PROGRAM + BY_VALUE, *arguments, stdin=bool(arguments))
    assert said == "True\n"


def test_an_initializer_of_the_program(driver: Driver) -> None:
    """Initializer and likelihood of a script meet in one global."""
    pool = driver.text("POOL").removesuffix(")") + ", initializer=set_offset, initargs=(0.5,))"
    assert driver.run(PROGRAM + BY_INITIALIZER.replace("POOL", pool)) == "True\n"


INTERRUPTED = """
    import time
    import emcee
    import numpy as np

    def log_probability(point):
        time.sleep(0.02)
        return -0.5 * np.sum(point ** 2)

    with POOL as pool:
        sampler = emcee.EnsembleSampler(16, 3, log_probability, pool=pool)
        try:
            for _ in sampler.sample(np.random.normal(size=(16, 3)), iterations=10_000):
                print("a step", flush=True)
        except KeyboardInterrupt:
            print(len(sampler.get_chain()))
    """


def test_ctrl_c_leaves_the_steps_so_far(driver: Driver) -> None:
    """They are in the sampler; no process is left."""
    process = driver.start(INTERRUPTED)
    assert process.stdout is not None
    assert process.stdout.readline() == "a step\n"
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, errors
    *steps, length = output.splitlines()
    printed = 1 + len(steps)
    assert int(length) in (printed, printed + 1)  # one may be there that is not printed yet
    assert driver.all_end()
