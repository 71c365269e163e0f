"""Several threads do the same thing with many things, for one that waits."""

import threading

import pytest

from pypool.engine.hands import Hands


def test_results_come_in_the_order_of_the_things() -> None:
    """Whoever is done first."""
    hands = Hands(4)
    first_may_end = threading.Event()

    def do(number: int) -> int:
        if number == 0:
            assert first_may_end.wait(30)
        if number == 9:
            first_may_end.set()
        return number * number

    assert hands.all(do, range(10)) == [number * number for number in range(10)]
    hands.close()


def test_an_error_is_raised_when_all_is_done() -> None:
    """The first thing's error; nobody is still at work then."""
    hands = Hands(2)
    done = []

    def do(number: int) -> None:
        done.append(number)
        if number in (1, 2):
            raise ValueError(number)

    with pytest.raises(ValueError, match="1"):
        hands.all(do, range(5))
    assert sorted(done) == list(range(5))
    hands.close()


def test_without_threads_it_is_done_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of a program no thread can be started."""

    def fail(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    assert Hands(2).all(abs, [-1, 2]) == [1, 2]


def test_threads_end() -> None:
    """Once nothing is to be done any more."""
    before = set(threading.enumerate())
    hands = Hands(3)
    hands.all(abs, [1, 2, 3])
    threads = set(threading.enumerate()) - before
    assert len(threads) == 3
    hands.close()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
