"""scipy: `workers` takes what maps, the pool's `map` or a pool that can be called."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pool.conftest import MakePool
from pool.scripts import Driver

from pypool import Pool

from .problems import (
    BOUNDS,
    log_likelihood_of_data,
    minus_log_likelihood_of_table,
    raise_type_error,
    rosenbrock,
    set_table,
)

optimize = pytest.importorskip("scipy.optimize")

pytestmark = pytest.mark.slow

DATA = np.linspace(-1.0, 1.0, 30).reshape(10, len(BOUNDS))


def evolve(function: Callable[..., Any], workers: Any = 1) -> Any:
    return optimize.differential_evolution(
        function, BOUNDS, rng=5, updating="deferred", workers=workers, maxiter=30, tol=1e-9
    )


def grid(workers: Any = 1) -> Any:
    return optimize.brute(
        rosenbrock, [(0, 2, 0.5)] * 3, workers=workers, full_output=True, finish=None
    )


def simplices(workers: Any = 1) -> Any:
    found = optimize.shgo(rosenbrock, BOUNDS, n=32, sampling_method="sobol", workers=workers)
    return found.x, found.nfev, found.xl


def gradients(workers: Any = 1) -> Any:
    options = {"workers": workers}
    found = optimize.minimize(rosenbrock, [1.5, 0.5, 1.2], method="L-BFGS-B", options=options)
    return found.x, found.nfev, found.fun


def jacobians(workers: Any = 1) -> Any:
    found = optimize.least_squares(residuals, [1.5, 0.5, 1.2], workers=workers)
    return found.x, found.nfev, found.jac


def residuals(point: Any) -> Any:
    return np.concatenate([10 * (point[1:] - point[:-1] ** 2), 1 - point[:-1]])


MINIMIZERS = {
    "brute": grid,
    "shgo": simplices,
    "minimize": gradients,
    "least_squares": jacobians,
}


@pytest.mark.parametrize("how", ["the pool", "its map"])
def test_differential_evolution_finds_what_the_loop_finds(pool: Pool, how: str) -> None:
    """Each bit of the best point, of the population, and the number of calls."""
    found = evolve(rosenbrock, pool if how == "the pool" else pool.map)
    expected = evolve(rosenbrock)
    assert np.array_equal(found.x, expected.x)
    assert np.array_equal(found.population, expected.population)
    assert (found.fun, found.nfev, found.nit) == (expected.fun, expected.nfev, expected.nit)
    assert found.fun < rosenbrock(np.zeros(3))


@pytest.mark.parametrize("name", MINIMIZERS)
def test_others_find_what_the_loop_finds(pool: Pool, name: str) -> None:
    """All that take `workers`: grids, simplices, gradients and Jacobians in parallel."""
    for found, expected in zip(MINIMIZERS[name](pool.map), MINIMIZERS[name](), strict=True):
        assert np.array_equal(found, expected)


def test_data_of_an_initializer(make_pool: MakePool) -> None:
    """A global that the pool's initializer has set in each worker."""
    pool = make_pool(initializer=set_table, initargs=(DATA,))
    found = evolve(minus_log_likelihood_of_table, pool.map)
    expected = evolve(lambda point: -log_likelihood_of_data(point, DATA))
    assert np.array_equal(found.population, expected.population)


def test_a_type_error_is_a_cause(pool: Pool) -> None:
    """scipy takes a TypeError for one of the mapping itself; the user's own is behind it."""
    with pytest.raises(RuntimeError, match="map-like callable") as caught:
        evolve(raise_type_error, pool.map)
    assert any("a point of 3 numbers" in str(cause) for cause in causes(caught.value))


def causes(error: BaseException) -> list[BaseException]:
    """What has led to an error, the last first."""
    found = []
    while error.__cause__ is not None:
        error = error.__cause__
        found.append(error)
    return found


# ---- programs

PROGRAM = """
    import numpy as np
    from scipy.optimize import differential_evolution

    def distance(point):
        return np.sum((point - center) ** 2)

    def population(workers):
        return differential_evolution(
            distance, [(0, 2)] * 3, rng=5, updating="deferred", maxiter=20, workers=workers
        ).population

    def set_center(value):
        global center
        center = value
    """

BY_VALUE = """
    set_center(0.5)
    with POOL as pool:
        print(np.array_equal(population(pool.map), population(map)))
    """

BY_INITIALIZER = """
    with POOL as pool:
        found = population(pool.map)
    set_center(0.5)
    print(np.array_equal(found, population(map)))
    """


@pytest.mark.parametrize("arguments", [(), ("-",)], ids=["file", "no file"])
def test_a_function_of_the_program(driver: Driver, arguments: tuple[str, ...]) -> None:
    """A function of a script or a notebook, with the global it reads."""
    said = driver.run(PROGRAM + BY_VALUE, *arguments, stdin=bool(arguments))
    assert said == "True\n"


def test_an_initializer_of_the_program(driver: Driver) -> None:
    """Initializer and function of a script meet in one global."""
    pool = driver.text("POOL").removesuffix(")") + ", initializer=set_center, initargs=(0.5,))"
    assert driver.run(PROGRAM + BY_INITIALIZER.replace("POOL", pool)) == "True\n"
