"""The pools of `tests/pool`, on each backend: a warm one for each module, and fresh ones."""

from pool.conftest import (
    _queues_are_left_empty,
    backend,
    driver,
    make_pool,
    pool,
    shared_dir,
    warm_directories,
    warm_pools,
)

__all__ = [
    "_queues_are_left_empty",
    "backend",
    "driver",
    "make_pool",
    "pool",
    "shared_dir",
    "warm_directories",
    "warm_pools",
]
