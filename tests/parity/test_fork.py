"""A pool that a fork has inherited is dead and does no harm.

Only pypool promises this: the standard library's pool has no threads in the child, so that calls
there wait for ever.
"""

import os
import signal
import warnings
from collections.abc import Callable

from . import tasks
from .kinds import AnyPool, MakePool, on_pypool

TELLS_WITHIN = 30  # seconds


def in_a_fork(call: Callable[[], str]) -> str:
    """What the call returns in a child; the child ends without any cleaning up."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that threads run here is the point
        child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(TELLS_WITHIN)
        try:
            os.write(writing, call().encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        told = file.read()
    os.waitpid(child, 0)
    return told.decode()


def outcome(call: Callable[[], object]) -> str:
    try:
        return f"{call()}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@on_pypool
def test_it_takes_no_call(pool: AnyPool) -> None:
    """The child is told so; the parent's pool goes on."""
    assert pool.map(tasks.square, [3]) == [9]
    told = in_a_fork(
        lambda: " / ".join(
            [
                outcome(lambda: pool.map(tasks.square, [3])),
                outcome(lambda: pool.apply_async(tasks.square, (3,))),
                outcome(lambda: pool.imap(tasks.square, [3])),
            ]
        )
    )
    assert told == " / ".join(["ValueError: Pool not running"] * 3)
    assert pool.map(tasks.square, range(20)) == [number**2 for number in range(20)]


@on_pypool
def test_its_end_ends_nothing(pool: AnyPool) -> None:
    """`close`, `terminate` and `join` in the child return; the parent's pool goes on."""
    handle = pool.map_async(tasks.square, range(200), 1)

    def end() -> str:
        return " / ".join(outcome(call) for call in (pool.close, pool.terminate, pool.join))

    assert in_a_fork(end) == "None / None / None"
    assert handle.get(tasks.PATIENCE) == [number**2 for number in range(200)]
    assert pool.map(tasks.square, range(20)) == [number**2 for number in range(20)]


@on_pypool
def test_a_child_may_have_its_own(make_pool: MakePool, pool: AnyPool) -> None:
    """A pool that the child makes works beside the one that it inherited."""
    assert pool.map(tasks.square, [3]) == [9]

    def use() -> str:
        with make_pool(processes=1) as own:
            return outcome(lambda: own.map(tasks.square, [4]))

    assert in_a_fork(use) == "[16]"
    assert pool.map(tasks.square, [3]) == [9]
