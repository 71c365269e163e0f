"""Links that want something are found in their order, and a server is not asked for too much.

An element's mailboxes are files, so these tests have a run directory; the clock is handed in.
"""

import random
import threading
from pathlib import Path

import pytest

from pypool.engine.links import FileLink, Link
from pypool.engine.polling import FEW, OPENS_PER_SECOND
from pypool.engine.post import Post
from pypool.rundir import names, records
from pypool.rundir.mailbox import FileReader, OutboxWriter, TakenOver
from pypool.rundir.run import RunDirectory


class Office:
    """A run with so many elements, and its post."""

    def __init__(self, place: Path, elements: int) -> None:
        self.run = RunDirectory.create(str(place), {})
        self.run.make_directory(f"{names.ELEMENTS}/t")
        self.post = Post(0.0)
        self.links = [self._link(index, elements) for index in range(elements)]

    def _link(self, index: int, elements: int) -> FileLink:
        element = names.element("t", index)
        self.run.make_directory(element)
        self.run.make_file(names.inbox(element))
        self.run.make_file(names.outbox(element, 1))
        link = FileLink(self.run, f"t/{index}", elements, 0.0)
        self.post.add(link)
        return link

    def say(self, index: int, kind: int) -> None:
        """The agent writes."""
        writer = OutboxWriter(self.run.open_file, names.element("t", index), self.run.mark)
        writer.put(kind)
        writer.flush()

    def plan(self, link: FileLink, due: float) -> None:
        link.looks.due = due
        self.post.plan(link)

    def read(self, now: float) -> list[str]:
        """Who is read; each is looked at again in an hour."""
        found = []
        for link, _ in self.post.due(now):
            assert isinstance(link, FileLink)
            found.append(link.key)
            self.plan(link, now + 3600)
        return found

    def inbox(self, index: int) -> list[int]:
        """Kinds of what the agent has got."""
        name = names.inbox(names.element("t", index))
        return [each.kind for each in FileReader(self.run.open_file, name, self.run.mark).read()]


def test_those_that_are_due_come_in_their_order(tmp_path: Path) -> None:
    """And no others, however often it was said anew when to look."""
    office = Office(tmp_path, 20)
    office.read(0.0)
    order = random.Random(1)
    for _ in range(50):
        for link in office.links:
            office.plan(link, order.uniform(0, 10))
    expected = sorted((link.looks.due, link.key) for link in office.links if link.looks.due <= 5)
    assert office.read(5.0) == [key for _, key in expected]
    assert office.read(5.0) == []
    rest = min(link.looks.due for link in office.links)
    assert office.post.next_at == rest


def test_who_is_dropped_is_not_read(tmp_path: Path) -> None:
    """Nor waited for."""
    office = Office(tmp_path, 2)
    office.post.drop("t/0")
    assert office.read(0.0) == ["t/1"]
    office.post.drop("t/1")
    assert office.post.next_at == float("inf")
    assert len(office.post) == 0


@pytest.mark.parametrize("elements", [3, FEW + 1])
def test_what_is_new_belongs_to_its_link(tmp_path: Path, elements: int) -> None:
    """Also if several are read at the same time."""
    office = Office(tmp_path, elements)
    kinds = [records.HELLO, records.BEAT, records.GOODBYE]
    for index in range(elements):
        office.say(index, kinds[index % 3])
    found = {link.key: [each.kind for each in new] for link, new in office.post.due(0.0)}
    assert found == {f"t/{index}": [kinds[index % 3]] for index in range(elements)}


def test_many_are_read_and_written_no_faster_than_a_server_bears(tmp_path: Path) -> None:
    """After a pause a second's worth at once, then so many each second; writing goes first."""
    office = Office(tmp_path, FEW + 1)
    reads = 0
    for _ in range(20):
        for link in office.links:
            office.plan(link, 0.0)
        reads += len(office.read(0.0))
    assert reads == OPENS_PER_SECOND
    for link in office.links:
        office.plan(link, 0.0)
        link.send(records.STOP)
    office.post.write(0.02)
    assert sum(len(office.inbox(index)) for index in range(FEW + 1)) == 0.02 * OPENS_PER_SECOND
    assert office.read(0.1) == []
    office.post.write(0.3)
    assert sum(len(office.inbox(index)) for index in range(FEW + 1)) == FEW + 1
    assert len(office.read(0.4)) > 0


def test_a_few_are_written_at_once(tmp_path: Path) -> None:
    """However many files have been opened lately."""
    office = Office(tmp_path, 3)
    while office.post.allowance.allows(0.0, 3):
        pass
    for link in office.links:
        link.send(records.STOP)
    office.post.write(0.0)
    assert [office.inbox(index) for index in range(3)] == [[records.STOP]] * 3


def test_only_those_with_something_to_say_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round costs nothing for the others."""
    office = Office(tmp_path, 3)
    flushed = []
    monkeypatch.setattr(FileLink, "flush", lambda self: flushed.append(self.key))
    office.links[1].send(records.STOP)
    office.post.write(0.0)
    assert flushed == ["t/1"]


@pytest.mark.parametrize("elements", [3, FEW + 1])
def test_an_error_of_one_is_raised(tmp_path: Path, elements: int) -> None:
    """Whichever thread has met it."""
    office = Office(tmp_path, elements)
    office.links[1]._inbox.offset = 7  # type: ignore[union-attr]
    for link in office.links:
        link.send(records.STOP)
    with pytest.raises(TakenOver):
        office.post.write(0.0)


@pytest.mark.parametrize("elements", [3, FEW + 1])
def test_last_words_reach_all_but_those_that_cannot_be_reached(
    tmp_path: Path, elements: int
) -> None:
    """What went wrong is handed back."""
    office = Office(tmp_path, elements)
    office.links[1]._inbox.offset = 7  # type: ignore[union-attr]
    while office.post.allowance.allows(0.0, elements):
        pass
    for link in office.links:
        link.send(records.STOP)
    (error,) = office.post.last_words()
    assert isinstance(error, TakenOver)
    others = [index for index in range(elements) if index != 1]
    assert all(office.inbox(index) == [records.STOP] for index in others)


def test_what_was_laid_by_before_is_written(tmp_path: Path) -> None:
    """An element may have been spoken to before it was added."""
    office = Office(tmp_path, 1)
    post = Post(0.0)
    link: Link = office.links[0]
    link.send(records.STOP)
    post.add(link)
    post.write(0.0)
    assert office.inbox(0) == [records.STOP]


def test_few_on_a_slow_disk_are_read_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are at work before the first one is done; on a fast disk no thread is needed."""
    office = Office(tmp_path, 3)
    all_there = threading.Barrier(3)
    office.read(0.0)
    assert office.post._hands is None
    for _ in range(20):
        office.post._pace.took(0.015)
    for link in office.links:
        office.plan(link, 1.0)
    monkeypatch.setattr(FileLink, "read", lambda self, now: [all_there.wait(30)][:0])
    assert [link.key for link, _ in office.post.due(1.0)] == ["t/0", "t/1", "t/2"]
    office.post.close()
