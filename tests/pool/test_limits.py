"""Time and memory of elements: what is short of them is told, and may have more."""

import time

import pytest

from pypool import OutOfMemoryError, TimeLimitError

from .conftest import MakePool

pytestmark = pytest.mark.parametrize(
    "backend", [pytest.param("slurm", marks=pytest.mark.slurm)], indirect=True
)
MIB = 1 << 20


def use(mebibytes: int) -> int:
    """Touches so much memory, page by page."""
    memory = bytearray(mebibytes * MIB)
    memory[:: 4 << 10] = bytes(len(range(0, len(memory), 4 << 10)))
    return mebibytes


def rest(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def test_a_task_out_of_memory_says_so(make_pool: MakePool) -> None:
    """With what it has used and what was asked for, and it is not given more unasked."""
    pool = make_pool(processes=1, memory="100M", retries=1)
    with pytest.raises(OutOfMemoryError) as caught:
        pool.map(use, [10, 250, 20])
    told = str(caught.value)
    assert "task 1 of call 1" in told
    assert told.count("MiB of 100 MiB asked for: out of memory") == 2
    assert "max_memory=" in told


def test_a_task_out_of_memory_may_have_more(make_pool: MakePool) -> None:
    """Twice as much, and twice again; the others stay where they are."""
    pool = make_pool(processes=1, memory="100M", max_memory="1G")
    assert pool.map(use, [10, 250, 20]) == [10, 250, 20]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_is_left_at_the_end_of_time_is_handed_back(make_pool: MakePool) -> None:
    """Short tasks are run to the last, each once at its own expense; the long one is named."""
    pool = make_pool(processes=2, time="1m", retries=0)
    results = pool.map(rest, [5.0] * 4 + [300.0] + [5.0] * 30, chunksize=1, return_exceptions=True)
    (error,) = [each for each in results if each != 5.0]
    assert results.index(error) == 4
    assert isinstance(error, TimeLimitError)
    assert "of 60 s that its element lives: its element left (time)" in str(error)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_task_out_of_time_may_have_more(make_pool: MakePool) -> None:
    """In an element that lives twice as long."""
    pool = make_pool(processes=2, time="1m", max_time="4m")
    assert pool.map(rest, [0.0, 130.0], chunksize=1) == [0.0, 130.0]
