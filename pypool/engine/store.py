"""What the dispatcher writes for workers to read: functions and batches; and their removal.

What the items of a batch have in common lies in the batch. If it comes again, in another batch, it
gets a file of its own, like a function, and later batches name it: a sampler gives the same
likelihood along a thousand times.
"""

import json
import os
from collections import Counter, OrderedDict

from pypool import code
from pypool.engine.calls import Batch
from pypool.packing import Packed, digest
from pypool.rundir import names, objects
from pypool.rundir.batch import Place, encode
from pypool.rundir.messages import Share
from pypool.rundir.run import RunDirectory

IDLE_FUNCTIONS = 16
"""Functions that no open batch needs and that are kept for the next call nevertheless."""


REMEMBERED = 64
"""So many common objects are known again if they come in another batch."""

LARGE = 1 << 20
"""Of a common object of more bytes it is not looked whether its content has been there before: to
write it costs less. It is known by its number then."""


class Store:
    """Functions by content, batches by number."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._sync = run.named
        self._functions: OrderedDict[bytes, int] = OrderedDict()
        self._objects_of: dict[int, list[bytes]] = {}
        self._remembered: OrderedDict[int | bytes, bytes] = OrderedDict()
        self._places: dict[int, Place] = {}
        self._chunks: dict[int, int] = {}
        self._file = 0
        self._shared_file = 0
        self._shared_size = names.BATCHES_LIMIT
        self._users: Counter[int] = Counter()

    def adopt(self, number: int, place: Place, chunk: int, digest: bytes) -> None:
        """A batch of an earlier life, of which agents have tasks. New ones go into new files."""
        self._places[number] = place
        self._chunks[number] = chunk
        self._users[place.file] += 1
        self._objects_of[number] = [digest]
        self._functions[digest] = self._functions.get(digest, 0) + 1
        self.pass_over(place.file)

    def pass_over(self, file: int) -> None:
        """Files up to this number belong to earlier lives."""
        self._file = max(self._file, file)

    def keep(self, function: bytes | Packed) -> None:
        """Writes a function that is needed to the end of the run."""
        name = digest(function)
        self._write_object(name, function, self._code())
        self._functions[name] += 1

    def add(self, batch: Batch) -> None:
        """Writes a batch, and its function unless it is there already.

        Raises
        ------
        OSError
            If the disk does not take them; nothing refers to what was written.
        """
        number, call = batch.number, batch.call
        if call.digest in self._functions:
            self._functions.move_to_end(call.digest)
        else:
            self._write_object(call.digest, call.function, self._code())
        needed = [call.digest]
        common = {
            serial: self._place_common(serial, packed, needed)
            for serial, packed in batch.common.items()
        }
        parts = [(part.start, part.first) for part in batch.parts]
        pieces = encode(
            self._run.mark, number, call.kind, call.digest, batch.items, parts, call.seed, common
        )
        size = sum(map(len, pieces))
        if size < names.OWN_BATCH:
            file, offset = self._room_for(size)
        else:
            file, offset = self._next_file(), 0
        self._run.write(names.batches(file), pieces, offset, sync=self._sync)
        if file == self._shared_file:
            self._shared_size += size
        self._users[file] += 1
        self._places[number] = Place(number, file, offset)
        for each in needed:
            self._functions[each] += 1
        self._objects_of[number] = needed
        self._chunks[number] = call.chunk

    def share(self, number: int, first: int, last: int, attempt: int, seconds: float) -> Share:
        """The share as it goes into an inbox."""
        place, chunk = self._places[number], self._chunks[number]
        return Share(number, place.file, place.offset, first, last, attempt, seconds, chunk)

    def remove(self, number: int) -> None:
        """Nobody will read this batch again: its file goes when that holds for all in it."""
        place = self._places.pop(number)
        del self._chunks[number]
        self._users[place.file] -= 1
        if not self._users[place.file] and place.file != self._shared_file:
            del self._users[place.file]
            self._run.remove(names.batches(place.file))
        for each in self._objects_of.pop(number):
            self._release_object(each)

    def _place_common(
        self, serial: int, packed: bytes | Packed, needed: list[bytes]
    ) -> bytes | Packed:
        """What stands for it in the batch: itself, or the name of its file, which is needed."""
        key = serial if len(packed) > LARGE else digest(packed)
        comes_again = key in self._remembered
        name = self._remembered.pop(key, b"")
        if comes_again:
            name = name or (digest(packed) if isinstance(key, int) else key)
            if name not in self._functions:
                self._write_object(name, packed, None)
            self._functions.move_to_end(name)
            needed.append(name)
        self._remembered[key] = name
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)
        return objects.ELSEWHERE + name if comes_again else packed

    def _write_object(self, name: bytes, packed: bytes | Packed, code: bytes | None) -> None:
        pieces = objects.encode(self._run.mark, packed, code)
        self._run.write(names.function(name.hex()), pieces, sync=self._sync)
        self._functions[name] = 0

    def _code(self) -> bytes:
        """What this program has loaded of the user's own modules."""
        return json.dumps(code.user_modules(self._run.info.get("libraries", []))).encode()

    def _release_object(self, name: bytes) -> None:
        self._functions[name] -= 1
        idle = [each for each, users in self._functions.items() if not users]
        for each in idle[: max(0, len(idle) - IDLE_FUNCTIONS)]:
            del self._functions[each]
            self._run.remove(names.function(each.hex()))

    def _room_for(self, size: int) -> tuple[int, int]:
        """File and offset for a small batch."""
        if self._shared_size + size > names.BATCHES_LIMIT:
            old = self._shared_file
            self._shared_file = self._next_file()
            self._shared_size = 0
            if old and not self._users[old]:
                del self._users[old]
                self._run.remove(names.batches(old))
        return self._shared_file, self._shared_size

    def _next_file(self) -> int:
        self._file += 1
        os.close(self._run.open_file(names.batches(self._file), os.O_WRONLY | os.O_CREAT))
        return self._file
