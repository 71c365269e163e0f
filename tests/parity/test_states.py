"""Running, closed, terminated: what a pool does in each state, and how it gets there."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from . import tasks
from .kinds import AnyPool, MakePool, on_processes
from .methods import by

BEGIN: dict[str, Callable[[AnyPool], Any]] = {
    "apply": lambda pool: pool.apply(tasks.square, (1,)),
    "apply_async": lambda pool: pool.apply_async(tasks.square, (1,)),
    "map": lambda pool: pool.map(tasks.square, [1]),
    "map_async": lambda pool: pool.map_async(tasks.square, [1]),
    "starmap": lambda pool: pool.starmap(tasks.square, [(1,)]),
    "starmap_async": lambda pool: pool.starmap_async(tasks.square, [(1,)]),
    "imap": lambda pool: pool.imap(tasks.square, [1]),
    "imap_unordered": lambda pool: pool.imap_unordered(tasks.square, [1]),
}


@by()
@pytest.mark.parametrize("end", ["close", "terminate"])
def test_an_ended_pool_takes_no_call(make_pool: MakePool, method: str, end: str) -> None:
    """Each method refuses, at the call."""
    pool = make_pool()
    getattr(pool, end)()
    with pytest.raises(ValueError, match=r"^Pool not running$"):
        BEGIN[method](pool)


@by("map", "map_async", "imap")
def test_not_even_an_empty_one(make_pool: MakePool, method: str) -> None:
    """Also if there is nothing to do."""
    pool = make_pool()
    pool.close()
    with pytest.raises(ValueError, match=r"^Pool not running$"):
        getattr(pool, method)(tasks.square, [])


@by("imap", "imap_unordered")
def test_not_even_with_a_bad_chunksize(make_pool: MakePool, method: str) -> None:
    """The state is looked at first."""
    pool = make_pool()
    pool.close()
    with pytest.raises(ValueError, match=r"^Pool not running$"):
        getattr(pool, method)(tasks.square, [1], 0)


def test_join_before_close(pool: AnyPool) -> None:
    """Nobody can wait for the end of a pool that runs; it goes on running."""
    with pytest.raises(ValueError, match=r"^Pool is still running$"):
        pool.join()
    assert pool.map(tasks.square, [3]) == [9]


def test_close_lets_all_be_done(make_pool: MakePool) -> None:
    """What was begun before `close` is done when `join` returns."""
    pool = make_pool()
    handles = [pool.map_async(tasks.square, range(50)), pool.apply_async(tasks.square, (3,))]
    pool.close()
    pool.join()
    assert [handle.get(0) for handle in handles] == [[number**2 for number in range(50)], 9]


def test_close_calls_callbacks(make_pool: MakePool) -> None:
    """After `join` each callback has been called."""
    pool = make_pool()
    results: list[int] = []
    for number in range(20):
        pool.apply_async(tasks.square, (number,), callback=results.append)
    pool.close()
    pool.join()
    assert sorted(results) == [number**2 for number in range(20)]


def test_ending_twice(make_pool: MakePool) -> None:
    """Each end may be repeated, and `terminate` may follow."""
    pool = make_pool()
    assert pool.map(tasks.square, [3]) == [9]
    pool.close()
    pool.close()
    pool.join()
    pool.join()
    pool.terminate()
    pool.terminate()
    pool.join()


def test_ends_of_a_pool_that_was_not_used(make_pool: MakePool) -> None:
    """They return nothing, and raise nothing."""
    for ends in (["close", "join"], ["terminate", "join"], ["terminate", "close", "join"]):
        pool = make_pool()
        assert [getattr(pool, end)() for end in ends] == [None] * len(ends)


def test_with_gives_the_pool(make_pool: MakePool) -> None:
    """`with ... as` names the pool itself; afterwards it takes no call."""
    pool = make_pool()
    with pool as same:
        assert same is pool
        assert same.map(tasks.square, [3]) == [9]
    with pytest.raises(ValueError, match=r"^Pool not running$"):
        pool.map(tasks.square, [3])
    pool.join()


def test_with_terminates(make_pool: MakePool, shared_dir: Path) -> None:
    """Leaving the block does not wait for what is at work."""
    begun, path = shared_dir / "begun", shared_dir / "file"
    with make_pool() as pool:
        pool.apply_async(tasks.begin_and_wait_for, (str(begun), str(path)))
        assert tasks.wait_for(str(begun))
    given_up = Path(f"{path}, given up").exists()
    path.touch()
    assert not given_up


@on_processes
def test_terminate_ends_what_is_at_work(make_pool: MakePool, shared_dir: Path) -> None:
    """A task that was at work does not go on afterwards: its process has been killed."""
    begun = shared_dir / "begun"
    pool = make_pool()
    pool.apply_async(tasks.note_and_wait_for, (str(begun), str(shared_dir / "file")))
    tasks.wait_for(str(begun))
    pool.terminate()
    pool.join()
    assert tasks.ends(*tasks.noted(str(begun)))


def test_an_error_leaves_with(make_pool: MakePool) -> None:
    """What is raised in the block is not hidden, and the pool is ended."""
    pool = make_pool()

    def use() -> None:
        with pool:
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        use()
    with pytest.raises(ValueError, match=r"^Pool not running$"):
        pool.map(tasks.square, [3])


def test_with_after_close(make_pool: MakePool) -> None:
    """A pool that was closed before cannot be entered; one that is closed inside can be left."""
    pool = make_pool()
    with pool:
        pool.close()
        pool.join()
    with pytest.raises(ValueError, match=r"^Pool not running$"):
        pool.__enter__()


def test_a_pool_cannot_be_pickled(pool: AnyPool) -> None:
    """Pools are not passed between processes."""
    with pytest.raises(NotImplementedError, match="cannot be passed between processes or pickled"):
        pickle.dumps(pool)


def test_a_pool_is_its_own(make_pool: MakePool) -> None:
    """Pools are compared by identity, can be keys, and are true though nothing runs."""
    one, other = make_pool(), make_pool()
    assert one == one
    assert one != other
    assert len({one, other}) == 2
    assert bool(one)
    assert not hasattr(one, "__len__")
    assert not hasattr(one, "__iter__")


def test_the_representation_tells_the_state(make_pool: MakePool) -> None:
    """RUN, CLOSE, TERMINATE."""
    pool = make_pool()
    assert "state=RUN" in repr(pool)
    pool.close()
    assert "state=CLOSE" in repr(pool)
    pool.terminate()
    assert "state=TERMINATE" in repr(pool)
