"""The thread of callbacks."""

import threading
from typing import Any

import pytest

from pypool.engine.callbacks import Callbacks


def test_they_are_called_in_one_thread_in_their_order() -> None:
    """Which is not the one that posts them."""
    callbacks = Callbacks()
    called: list[tuple[int, threading.Thread]] = []
    for number in range(100):
        callbacks.post(lambda n: called.append((n, threading.current_thread())), number)
    callbacks.join()
    assert [number for number, _ in called] == list(range(100))
    assert len({thread for _, thread in called} - {threading.current_thread()}) == 1


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_one_that_raises_harms_nobody(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told as the exceptions of threads are; what comes after it is done."""
    told: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    callbacks = Callbacks()
    done: list[str] = []

    def fail(value: str) -> None:
        raise error(value)

    callbacks.post(fail, "wrong", lambda: done.append("then"))
    callbacks.post(done.append, "next")
    callbacks.join()
    assert done == ["then", "next"]
    assert [(each.exc_type, str(each.exc_value)) for each in told] == [(error, "wrong")]


def test_after_terminate_none_is_called() -> None:
    """Who waits for a result gets it all the same."""
    callbacks = Callbacks()
    go = threading.Event()
    done: list[str] = []
    callbacks.post(lambda _: go.wait(10), None)
    callbacks.post(done.append, "callback", lambda: done.append("then"))
    callbacks.skip()
    go.set()
    callbacks.join()
    assert done == ["then"]


def test_without_a_thread_they_are_called_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be none left, and an interpreter that is about to end starts none."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", start)
    callbacks = Callbacks()
    done: list[str] = []
    callbacks.post(done.append, "callback", lambda: done.append("then"))
    callbacks.post(done.append, "more")
    callbacks.join()
    assert done == ["callback", "then", "more"]


def test_a_hook_that_raises_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program's own, or the usual one with a closed standard error."""

    def hook(_: Any) -> None:
        raise ValueError("in the hook")

    monkeypatch.setattr(threading, "excepthook", hook)
    callbacks = Callbacks()
    done: list[str] = []
    callbacks.post(lambda _: 1 / 0, None, lambda: done.append("then"))
    callbacks.join()
    assert done == ["then"]


def test_many_may_post_at_once() -> None:
    """There is one thread all the same."""
    callbacks = Callbacks()
    called: list[threading.Thread] = []
    threads = [
        threading.Thread(
            target=callbacks.post, args=(lambda _: called.append(threading.current_thread()), 0)
        )
        for _ in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    callbacks.join()
    assert len(called) == 50
    assert len(set(called)) == 1


def test_a_callback_may_wait_for_the_end() -> None:
    """It does not wait for itself; after the end there may be more."""
    callbacks = Callbacks()
    done: list[str] = []
    callbacks.post(lambda _: callbacks.join(), None, lambda: done.append("joined"))
    callbacks.join()
    callbacks.join()
    callbacks.post(done.append, "more")
    callbacks.join()
    assert done == ["joined", "more"]
