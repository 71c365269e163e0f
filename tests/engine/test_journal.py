"""The journal: in which order it tells things."""

from pathlib import Path

from pypool.engine.calls import Batch, Call, Portion
from pypool.engine.journal import FLUSH_SECONDS, Journal
from pypool.results import AsyncResult
from pypool.rundir import names, records
from pypool.rundir.batch import APPLY
from pypool.rundir.mailbox import FileReader
from pypool.rundir.messages import Share, unpack
from pypool.rundir.run import RunDirectory


def batch_of_one(number: int) -> Batch:
    batch = Batch(number)
    handle: AsyncResult[int] = AsyncResult(None, None, lambda *_: None)
    batch.add(Portion(Call(APPLY, b"f", b"digest", "f", 0, handle, number=7), 0, [b"item"], True))
    return batch


def told(run: RunDirectory) -> list[records.Record]:
    """All that stands there, but for who the driver is."""
    return FileReader(run.open_file, names.JOURNAL, run.mark).read()[1:]


def test_a_batch_is_told_before_its_tasks(tmp_path: Path) -> None:
    """Though it was packed only when they were."""
    run = RunDirectory.create(str(tmp_path), {})
    journal = Journal(run, 0.0)
    for number in (1, 2):
        journal.opened(batch_of_one(number), Share(number, 1, 100 * number, 0, 1))
    journal.tasks(2, [b"head"])
    journal.flush_if_due(FLUSH_SECONDS)
    found = told(run)
    assert [(each.kind, each.key) for each in found] == [
        (records.OPENED, 1),
        (records.OPENED, 2),
        (records.TASKS, 2),
    ]
    words = unpack(found[1].payload)
    assert (words["offset"], words["count"], words["to"]) == (200, 1, 1)
    assert words["parts"] == [[0, 7, 0]]


def test_a_batch_is_told_before_elements_are_asked_for_it(tmp_path: Path) -> None:
    """Who looks at the run while they wait in the queue sees what for."""
    run = RunDirectory.create(str(tmp_path), {})
    journal = Journal(run, 0.0)
    journal.opened(batch_of_one(1), Share(1, 1, 0, 0, 1))
    journal.submitting("token", 1)
    assert [each.kind for each in told(run)] == [records.OPENED, records.SUBMITTING]
