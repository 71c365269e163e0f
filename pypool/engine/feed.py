"""The feed of a lazy call: takes items from its iterable, in a thread of its own.

It goes ahead of the consumer, but not farther than the stream allows. The iterable may be endless,
or wait for something: nobody else waits with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pypool import pickling
from pypool.columns import Column
from pypool.engine.calls import GROUP_BYTES, LIGHT, Call, Portion
from pypool.engine.dispatcher import Dispatcher
from pypool.items import ItemPickler, pack_plain
from pypool.packing import HEAVY, Packed
from pypool.results import Stream
from pypool.rundir.waiting import wake_as_usual

if TYPE_CHECKING:
    from pypool.sharing import Common, Sharing

SOME_MORE = 3
"""By so many a few items may be heavier than is light."""

AT_ONCE = 4000
"""So many items of a list are sent at once, if there is room: to send one costs more than to pack
it."""

HELD_BYTES = 16 << 20
"""Up to so much of what a generator has yielded is held until its next chunk is packed: items of
both may have something in common."""


class Feed:
    """One lazy call.

    Parameters
    ----------
    dispatcher : Dispatcher
        Gets the tasks.
    call : Call
        To which they belong.
    stream : Stream
        Its handle.
    """

    def __init__(
        self, dispatcher: Dispatcher, call: Call, stream: Stream, iterable: Iterable[Any]
    ) -> None:
        self._dispatcher = dispatcher
        self._call = call
        self._stream = stream
        self._iterable = iterable
        self._sent = 0
        self._pickler: ItemPickler
        self._sharing: Sharing | None
        self._steady = type(iterable) in (list, tuple, range)
        self._chunk_bytes = 0
        self._are_plain = True
        self._rest: list[Any] = []
        self._range = iterable if isinstance(iterable, range) else range(0)

    def start(self) -> None:
        """From now on the call is open: a pool that is closed still does all of it.

        The dispatcher starts the thread. Its caller should not: a signal handler that interrupts
        `Thread.start` and waits for the pool would wait for ever.
        """
        thread = threading.Thread(target=self._live, name="pypool-feed", daemon=True)
        self._call.begin = thread.start
        self._send([])

    def _live(self) -> None:
        wake_as_usual()
        self._pickler = ItemPickler(copies=True)
        self._sharing = self._pickler.sharing()
        error = self._feed()
        if self._stream.over:
            return
        self._stream.set_length(self._sent, error)
        self._send([], final=True)

    def _feed(self) -> BaseException | None:
        """All items, a chunk at a time. Gives what the iterable raised.

        A chunk that it does not complete, because it raises, is not begun, as in CPython.
        """
        try:
            next_items: Callable[[int], Sequence[Any]]
            if type(self._iterable) is range:  # any part of it is sent as such
                next_items = self._next_of_range
            else:
                next_items = partial(_next_of, iter(self._iterable))
            del self._iterable
            while chunk := self._next_chunk(next_items):
                if not self._send_items(chunk):
                    return None
        except BaseException as error:  # whatever it is: there is nobody here to be interrupted
            return error
        return None

    def _next_chunk(self, next_items: Callable[[int], Sequence[Any]]) -> Sequence[Any]:
        has_changed = self._stream.await_room(self._call.chunk)
        if self._sharing is not None and (has_changed or not self._steady):
            # who consumes results may change what comes next, and so may a generator
            self._sharing.renew()
            if not self._steady:
                self._sharing.forget(latest=self._chunk_bytes > HELD_BYTES)
        if self._stream.over:
            return []
        count = self._count()
        if not self._rest:
            return next_items(count)
        chunk, self._rest = self._rest[:count], self._rest[count:]
        return [*chunk, *next_items(count - len(chunk))]

    def _count(self) -> int:
        """A chunk; more if neither the iterable can let us wait, nor its consumer has to."""
        chunk = self._call.chunk
        if not self._steady:
            return chunk
        return chunk * max(1, int(min(AT_ONCE, self._stream.room)) // chunk)

    def _next_of_range(self, count: int) -> range:
        numbers, self._range = self._range[:count], self._range[count:]
        return numbers

    def _send_items(self, chunk: Sequence[Any]) -> bool:
        """The items that can be pickled; of the others the caller is told.

        When some chunks are large enough to be sent, the others have to wait for room again.
        """
        self._chunk_bytes = 0
        if (column := Column.of(chunk)) is not None:
            self._stream.begin_items(len(chunk))
            return self._send(column, self._call.digests(chunk))
        if self._are_plain and (plain := pack_plain(chunk)) is not None:
            self._stream.begin_items(len(chunk))
            return self._send(plain, self._call.digests(chunk))
        self._are_plain = False
        ready: list[bytes | Packed] = []
        common: dict[int, Common] = {}
        digests: list[bytes] = []
        done = 0
        for done, item in enumerate(chunk, 1):
            index = self._stream.begin_item()
            try:
                ready.append(self._pack(item, f"item {index}", common))
                digests += self._call.digests([item])
            except pickling.CannotPickle as trouble:
                if ready:
                    self._send(ready, digests, common=common)
                ready, digests, common = [], [], {}
                self._stream.refuse_item(index, trouble.error)
                self._sent = index + 1
            if self._chunk_bytes > GROUP_BYTES and not done % self._call.chunk:
                self._rest[:0] = chunk[done:]
                break
        if self._chunk_bytes > LIGHT * (done + SOME_MORE):
            self._stream.met_heavy_item()
        return not ready or self._send(ready, digests, common=common)

    def _pack(self, item: Any, what: str, common: dict[int, Common]) -> bytes | Packed:
        """The item; adds to `common` what it refers to."""
        sharing = self._sharing
        if sharing is not None and sharing.finds:
            sharing.look(item)
            try:
                packed = sharing.pack(item)
            except Exception as error:
                raise pickling.CannotPickle(error, what) from error
            self._chunk_bytes += len(packed)
            common |= {each.serial: each for each in sharing.common if each.serial in sharing.used}
            return packed
        try:
            packed = self._pickler.pack(item)
        except Exception as error:
            raise pickling.CannotPickle(error, what) from error
        self._chunk_bytes += len(packed)
        if sharing is not None and len(packed) >= HEAVY:
            sharing.look(item)  # the next one may have something in common with it
            if sharing.in_vain:
                self._sharing = None
        return packed

    def _send(
        self,
        items: Sequence[bytes | Packed],
        digests: Sequence[bytes] = (),
        final: bool = False,
        common: Mapping[int, Common] = MappingProxyType({}),
    ) -> bool:
        first, self._sent = self._sent, self._sent + len(items)
        told = (*common.values(), *self._pickler.definitions.common) if items else ()
        return self._dispatcher.take(Portion(self._call, first, items, final, list(digests), told))


def _next_of(iterator: Iterator[Any], count: int) -> list[Any]:
    return list(islice(iterator, count))
