"""Records: how a piece of news is framed, and how frames are found again in bytes that grow.

A frame is a header of 32 bytes and a payload:

    magic (8, holds the run's nonce) | kind (1) | pad (1) | life (2) | key (8) | length (4)
    | CRC-32 of the payload (4) | CRC-32 of the 28 bytes before (4)

A reader takes whole frames only. What does not look like one at the end of a file means "not
yet": on network file systems a file was seen at its full length with zeros still in it. Only when
a valid frame lies behind it is it damage, which is counted and passed over.
"""

from zlib import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    import struct
else:
    import _struct as struct  # all that `struct` has: an agent says hello before that is loaded

HEADER = struct.Struct("<8sBxHQII")
_CHECK = struct.Struct("<I")
HEADER_SIZE = HEADER.size + _CHECK.size
FRAME_LIMIT = 128 << 10
PAYLOAD_LIMIT = FRAME_LIMIT - HEADER_SIZE
"""A frame is never larger than 128 KiB, so that one write takes it whole."""

# what the dispatcher writes
LIFE = 1
SHARE = 2
RETURN = 3
STOP = 4
DRIVER_BEAT = 5
WELCOME = 6
AUTHKEY = 7
# what an agent writes
HELLO = 16
BEAT = 17
RESULTS = 18
RETURNED = 19
DEATH = 20
GOODBYE = 21
CONTINUED = 22
REFUSED = 23
# what heads a batch and a function, and what the journal holds
BATCH = 32
FUNCTION = 37
SUBMITTING = 33
SUBMITTED = 34
TASKS = 35
ENDED = 36
CODE = 40
OPENED = 38
DIGESTS = 39

WRITING = b"writing"
"""What the driver's beat says while a large batch is on its way: agents do not leave."""


def magic(nonce: bytes) -> bytes:
    """The eight bytes that every frame of a run begins with; `nonce` has five."""
    return b"\xabpp" + nonce


class Record:
    """One piece of news."""

    __slots__ = ("key", "kind", "life", "payload")

    def __init__(self, kind: int, key: int, payload: bytes, life: int = 1) -> None:
        self.kind = kind
        self.key = key
        self.payload = payload
        self.life = life

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and self._all() == other._all()

    def __hash__(self) -> int:
        return hash(self._all())

    def __repr__(self) -> str:
        return f"Record(kind={self.kind}, key={self.key}, life={self.life}, {self.payload[:40]!r})"

    def _all(self) -> tuple[int, int, int, bytes]:
        return self.kind, self.key, self.life, bytes(self.payload)


def frame(mark: bytes, kind: int, payload: bytes = b"", key: int = 0, life: int = 1) -> bytes:
    """The bytes of one record, to be appended as they are.

    Raises
    ------
    ValueError
        If the payload is larger than PAYLOAD_LIMIT or holds the run's magic, so that a frame
        within it might be taken for one; such things go into data files.
    """
    if mark in payload:
        raise ValueError("a record's payload does not hold the magic of its run")
    return mailed_header(mark, kind, payload, key, life) + payload


def mailed_header(mark: bytes, kind: int, payload: bytes, key: int, life: int = 1) -> bytes:
    """As `header`, of what goes into a mailbox.

    Raises
    ------
    ValueError
        If the payload is larger than PAYLOAD_LIMIT.
    """
    if len(payload) > PAYLOAD_LIMIT:
        raise ValueError(f"a record takes {PAYLOAD_LIMIT} bytes, not {len(payload)}")
    return header(mark, kind, payload, key, life)


def header(mark: bytes, kind: int, payload: bytes, key: int, life: int = 1) -> bytes:
    """The 32 bytes that precede `payload`."""
    head = HEADER.pack(mark, kind, life, key, len(payload), crc32(payload))
    return head + _CHECK.pack(crc32(head))


class Scanner:
    """Cuts records out of bytes, and counts what it could not read.

    Attributes
    ----------
    life : int
        The highest life seen; records of a lower one behind it are dropped.
    damaged, skipped : int
        Places passed over because something valid lies behind them, and their bytes.
    superseded : int
        Whole records dropped because a later life had begun.
    """

    def __init__(self, mark: bytes) -> None:
        self.mark = mark
        self.life = 0
        self.damaged = 0
        self.skipped = 0
        self.superseded = 0

    def scan(self, data: bytes, from_pipe: bool = False) -> tuple[list[Record], int]:
        """The whole records of `data`, and how many bytes are done with.

        What lies behind that number belongs to a frame that is not whole yet: give it again,
        with what has come since. What comes `from_pipe` is not damaged: the rest of that frame
        will come.
        """
        found: list[Record] = []
        position = 0
        while True:
            record = self.record_at(data, position)
            if record is None:
                if from_pipe and self._breaks_off(data, position):
                    return found, position
                behind = self._next_whole(data, position + 1)
                if behind < 0:
                    return found, position
                self.pass_over(behind - position)
                position = behind
                continue
            position += HEADER_SIZE + len(record.payload)
            if record.life < self.life:
                self.superseded += 1
                continue
            self.life = record.life
            found.append(record)

    def pass_over(self, size: int) -> None:
        """Counts `size` bytes as damage."""
        self.damaged += 1
        self.skipped += size

    def length_at(self, header: bytes) -> int | None:
        """How long the payload behind this header is, if it is one."""
        if len(header) < HEADER_SIZE:
            return None
        mark, _, _, _, length, _ = HEADER.unpack_from(header)
        good = crc32(header[: HEADER.size]) == _CHECK.unpack_from(header, HEADER_SIZE - 4)[0]
        return length if good and mark == self.mark else None

    def _breaks_off(self, data: bytes, position: int) -> bool:
        """Whether a frame begins there of which more is to come."""
        length = self.length_at(data[position : position + HEADER_SIZE])
        return length is not None and position + HEADER_SIZE + length > len(data)

    def record_at(self, data: bytes, position: int) -> Record | None:
        """The record whose frame begins at `position`, if it is whole and unharmed."""
        end = position + HEADER_SIZE
        if len(data) < end:
            return None
        mark, kind, life, key, length, check = HEADER.unpack_from(data, position)
        head = data[position : position + HEADER.size]
        if mark != self.mark or crc32(head) != _CHECK.unpack_from(data, end - 4)[0]:
            return None
        payload = data[end : end + length]
        if len(payload) < length or crc32(payload) != check:
            return None
        return Record(kind, key, payload, life)

    def _next_whole(self, data: bytes, start: int) -> int:
        """Where the next whole frame begins, or -1."""
        while True:
            start = data.find(self.mark, start)
            if start < 0 or self.record_at(data, start) is not None:
                return start
            start += 1
