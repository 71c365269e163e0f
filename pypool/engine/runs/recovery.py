"""Recovery: what a run has left on disk, read back.

Whoever resumes a run, or looks at one, learns here which batches there were, what became of their
tasks, which elements were asked for, and what their agents hold. Nothing is written.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pypool.engine.dealing.needs import Need
from pypool.engine.dealing.ranges import Ranges, joined, numbers
from pypool.engine.journal import DIGEST_SIZE
from pypool.rundir import messages, names, objects, records
from pypool.rundir.mailbox import FileReader, OutboxReader
from pypool.rundir.messages import Entry, Share
from pypool.rundir.objects import ObjectDamaged
from pypool.rundir.records import Record
from pypool.rundir.run import RunDirectory

_UNKNOWN = bytes(DIGEST_SIZE)


class Answer(NamedTuple):
    """What came of a task.

    Attributes
    ----------
    element : str
        The directory of the element whose agent says so.
    host : str
        Where that agent ran.
    entry : Entry
        What it says.
    """

    element: str
    host: str
    entry: Entry


@dataclass(slots=True)
class OldBatch:
    """A batch as the journal tells of it.

    Attributes
    ----------
    number, file, offset, count, chunk : int
        Which one it is, where it lies, how many tasks it has, how many go to a worker at a time.
    function : str
        What to call the function.
    digest : str
        SHA-256 of the pickled function, hexadecimal.
    digests : bytearray
        Of each task in turn, what it is known by; nothing in a run without a name.
    answers : dict of int to Answer
        By task.
    """

    number: int
    file: int
    offset: int
    count: int
    chunk: int
    function: str
    digest: str
    digests: bytearray = field(default_factory=bytearray)
    answers: dict[int, Answer] = field(default_factory=dict)

    def digest_of(self, task: int) -> bytes:
        """What the task is known by; nothing if it is not known by anything."""
        found = bytes(self.digests[DIGEST_SIZE * task : DIGEST_SIZE * (task + 1)])
        return b"" if found == _UNKNOWN else found


class Stretch(NamedTuple):
    """Tasks first, ..., first + size - 1 of a call: those of a batch from `start` on."""

    first: int
    size: int
    batch: OldBatch
    start: int


@dataclass(slots=True)
class OldCall:
    """A call of a method of the pool.

    Attributes
    ----------
    layers : list of list of Stretch
        Where its tasks are. In each layer stretches stand in order and have no task in common; of
        tasks that were sent twice, those in the later layer count.
    """

    number: int
    function: str
    layers: list[list[Stretch]] = field(default_factory=list)

    def __len__(self) -> int:
        return max((layer[-1].first + layer[-1].size for layer in self.layers), default=0)

    @property
    def stretches(self) -> Iterator[Stretch]:
        for layer in self.layers:
            yield from layer

    def add(self, stretch: Stretch) -> None:
        """One more, of a later batch than those before."""
        layer = self.layers[-1] if self.layers else []
        place = bisect_right(layer, stretch.first, key=_first)
        meets = (place and layer[place - 1].first + layer[place - 1].size > stretch.first) or (
            place < len(layer) and layer[place].first < stretch.first + stretch.size
        )
        if meets or not self.layers:
            layer, place = [], 0
            self.layers.append(layer)
        layer.insert(place, stretch)

    def find(self, index: int) -> tuple[OldBatch, int] | None:
        """The batch of a task, and which one it is there."""
        for layer in reversed(self.layers):
            place = bisect_right(layer, index, key=_first) - 1
            if place >= 0 and index < layer[place].first + layer[place].size:
                return layer[place].batch, layer[place].start + index - layer[place].first
        return None


@dataclass(slots=True)
class OldElement:
    """An array element and what is in its mailboxes.

    Attributes
    ----------
    key, directory : str
        What the dealer calls it, and where it lies in the run directory.
    outbox : OutboxReader
        Stands behind the last record read: reading can go on.
    said_hello, left : bool
        Its agent has begun; and has said its last word, or has no mailboxes any more.
    slots : int
        Its workers.
    host, job : str
        Where the agent ran, and in which job of the scheduler; empty if it has not said.
    read_to : int
        The last share of which the agent has said that it has read it.
    shares : dict of int to Share
        What it was dealt.
    silent : dict of int to Ranges
        By share: tasks of which it has said nothing.
    unanswered : dict of int to list of int
        By batch: shares of it that have such, in the order in which they were dealt.
    """

    key: str
    directory: str
    outbox: OutboxReader
    said_hello: bool = False
    left: bool = False
    slots: int = 0
    host: str = "a node"
    job: str = ""
    shares: dict[int, Share] = field(default_factory=dict)
    silent: dict[int, Ranges] = field(default_factory=dict)
    unanswered: dict[int, list[int]] = field(default_factory=dict)

    def was_dealt(self, number: int, share: Share) -> None:
        """A share lies in its inbox."""
        self.shares[number] = share
        self.silent[number] = Ranges()
        self.silent[number].add(share.first, share.last)
        self.unanswered.setdefault(share.batch, []).append(number)

    def spoke_of(self, batch: int, first: int, last: int) -> None:
        """It has nothing more to say of these tasks.

        What it has returned it may have been dealt again: its first word of a task is about the
        first share that has it.
        """
        left = Ranges()
        left.add(first, last)
        numbers = self.unanswered.get(batch, [])
        for number in numbers[:]:
            silent = self.silent[number]
            for told in [each for part in left for each in silent.remove(*part)]:
                left.remove(*told)
            if not silent:
                numbers.remove(number)
            if not left:
                return


@dataclass(slots=True)
class OldSubmission:
    """An array that was asked for; `job` is the scheduler's id, if one came back."""

    token: str
    elements: int
    need: Need
    job: str | None = None


@dataclass(slots=True)
class OldRun:
    """All of it.

    Attributes
    ----------
    lives : int
        How often a driver has begun on the run.
    ended : str
        How the last one says that it ended; empty if it does not.
    begun : dict
        What the journal says of the last life: host, process, time.
    requests : int
        The highest number of a share or of a request to return work.
    is_others : bool
        Its workers are of no use for whoever resumes it.
    damaged : int
        Bytes of journal and outboxes that could not be read, though something valid lies behind.
    """

    lives: int = 0
    ended: str = ""
    begun: dict[str, Any] = field(default_factory=dict)
    batches: dict[int, OldBatch] = field(default_factory=dict)
    calls: dict[int, OldCall] = field(default_factory=dict)
    submissions: dict[str, OldSubmission] = field(default_factory=dict)
    elements: dict[str, OldElement] = field(default_factory=dict)
    requests: int = 0
    is_others: bool = False
    damaged: int = 0

    @property
    def answers(self) -> int:
        """How many tasks have an answer."""
        return sum(len(batch.answers) for batch in self.batches.values())


def read_run(run: RunDirectory, results: bool = True) -> OldRun:
    """Reads the journal, and the mailboxes of all elements.

    Parameters
    ----------
    results : bool
        Whether mailboxes are to be read; else the journal alone is.

    Raises
    ------
    OSError
        If a file cannot be read. One that is gone is passed over: it has been removed.
    """
    old = OldRun()
    journal = FileReader(run.open_file, names.JOURNAL, run.mark)
    for record in _all(journal):
        _take_journal(old, record)
    old.damaged = journal.scanner.skipped
    for submission in old.submissions.values() if results else ():
        for index in range(submission.elements):
            directory = names.element(submission.token, index)
            element = OldElement(
                f"{submission.token}/{index}",
                directory,
                OutboxReader(run.open_file, directory, run.mark),
            )
            _read_mail(old, element, run)
            old.damaged += element.outbox.scanner.skipped
            old.elements[element.key] = element
    return old


def modules_of(run: RunDirectory, old: OldRun) -> Iterator[dict[str, str]]:
    """What the driver had loaded of the user's own modules, for each function: their digests."""
    for digest in {batch.digest for batch in old.batches.values()}:
        try:
            fd = run.open_file(names.function(digest), os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            with suppress(ObjectDamaged):
                if code := objects.read(fd, run.mark)[1]:
                    yield messages.unpack(code)
        finally:
            os.close(fd)


def _all(reader: FileReader | OutboxReader) -> Iterable[Record]:
    """All whole records; a read takes some MiB only, and may bring nothing but damage."""
    before: Any = None
    while before != (before := _position(reader)):
        try:
            yield from reader.read()
        except FileNotFoundError:
            return


def _position(reader: FileReader | OutboxReader) -> Any:
    return reader.offset if isinstance(reader, FileReader) else reader.position


# ---- the journal


def _take_journal(old: OldRun, record: Record) -> None:
    if record.kind == records.DIGESTS:
        batch = old.batches.get(record.key)
        if batch is not None:
            batch.digests += record.payload
        return
    if record.kind not in _JOURNAL or not record.payload:
        return
    _JOURNAL[record.kind](old, record.key, messages.unpack(record.payload))


def _life(old: OldRun, key: int, words: dict[str, Any]) -> None:
    old.lives = max(old.lives, key)
    old.begun = words
    old.ended = ""


def _submitting(old: OldRun, key: int, words: dict[str, Any]) -> None:
    need = Need(*words.get("need", ()))
    found = old.submissions.get(words["token"])
    if found is None:
        token, elements = words["token"], words["elements"]
        old.submissions[token] = OldSubmission(token, elements, need)
    else:
        found.elements = max(found.elements, words["elements"])


def _submitted(old: OldRun, key: int, words: dict[str, Any]) -> None:
    if words["token"] in old.submissions:
        old.submissions[words["token"]].job = words["job"]


def _opened(old: OldRun, key: int, words: dict[str, Any]) -> None:
    batch = old.batches.get(key)
    if batch is None:
        batch = old.batches[key] = OldBatch(
            key,
            words["file"],
            words["offset"],
            words["count"],
            words["chunk"],
            words["function"],
            words["digest"],
        )
    parts = words["parts"]
    ends = [part[0] for part in parts[1:]] + [words["to"]]
    for (start, number, first), end in zip(parts, ends, strict=True):
        call = old.calls.setdefault(number, OldCall(number, batch.function))
        call.add(Stretch(first, end - start, batch, start))


def _ended(old: OldRun, key: int, words: dict[str, Any]) -> None:
    old.ended = words["how"]


_JOURNAL: dict[int, Callable[[OldRun, int, dict[str, Any]], None]] = {
    records.LIFE: _life,
    records.SUBMITTING: _submitting,
    records.SUBMITTED: _submitted,
    records.OPENED: _opened,
    records.ENDED: _ended,
}


def _first(stretch: Stretch) -> int:
    return stretch.first


# ---- mailboxes


def _read_mail(old: OldRun, element: OldElement, run: RunDirectory) -> None:
    inbox = FileReader(run.open_file, names.inbox(element.directory), run.mark)
    for record in _all(inbox):
        if record.kind in (records.SHARE, records.RETURN):
            old.requests = max(old.requests, record.key)
        if record.kind == records.SHARE:
            element.was_dealt(record.key, Share.unpack(record.payload))
    for record in _all(element.outbox):
        _take_word(old, element, record)
    if not (_is_there(run, inbox.name) and _is_there(run, element.outbox.name)):
        element.left = True  # somebody has tidied up: nobody can be spoken with there


def _is_there(run: RunDirectory, name: str) -> bool:
    try:
        os.close(run.open_file(name, os.O_RDONLY))
    except FileNotFoundError:
        return False
    return True


def _take_word(old: OldRun, element: OldElement, record: Record) -> None:
    if record.kind == records.RESULTS:
        batch = old.batches.get(record.key)
        entries = list(messages.entries_of_tasks(record.payload))
        for first, last in joined((entry.index, entry.index + 1) for entry in entries):
            element.spoke_of(record.key, first, last)
        if batch is not None:
            for entry in entries:
                answer = Answer(element.directory, element.host, entry)
                batch.answers.setdefault(entry.index, answer)
        return
    words = messages.unpack(record.payload) if record.payload else {}
    match record.kind:
        case records.HELLO:
            element.said_hello = True
            element.slots = words["slots"]
            element.host = words["host"]
            element.job = words["job"] or ""
        case records.BEAT:
            held = numbers(words["held"])
            for number in list(element.silent):
                if number <= words["read"] and number not in held:
                    element.silent[number] = Ranges()
        case records.RETURNED:
            for batch_number, first, last in words["ranges"]:
                element.spoke_of(batch_number, first, last)
        case records.DEATH:
            element.spoke_of(words["batch"], words["index"], words["index"] + 1)
        case records.GOODBYE | records.REFUSED:
            element.left = True
