"""Plays the dispatcher for one agent: deals, and takes down what the agent says."""

import hashlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from zlib import crc32

import pypool
from pypool import pickling
from pypool.engine.calls import Batch, Call, Portion
from pypool.engine.store import Store
from pypool.items import pack_items
from pypool.rundir import batch, messages, names, records
from pypool.rundir.mailbox import FileWriter, OutboxReader, PipeReader, PipeWriter
from pypool.rundir.messages import Entry
from pypool.rundir.records import Record
from pypool.rundir.run import RunDirectory
from pypool.version import VERSION

START = Path(pypool.__file__).parent / "worker" / "start.py"
ELEMENT = names.element("token", 0)
PATIENCE = 20.0


def run_info(place: Path, slots: int) -> dict[str, Any]:
    """What `run.json` says to agents."""
    return {
        "pypool": VERSION,
        "python_version": sys.version_info[:2],
        "own_python": False,
        "libraries": [],
        "sys_path": sys.path,
        "directory": str(place),
        "main_file": None,
        "argv": ["script.py", "option"],
        "elements": 1,
        "workers_per_element": slots,
        "scheduler": "shell",
        "gpus": None,
        "nodes": 1,
        "time": None,
        "orphan_timeout": 600.0,
        "initializer": None,
        "initializer_name": None,
        "chunks_per_worker": None,
    }


class Nobody:
    """Waits for nothing."""

    def set_item(self, index: int, success: bool, value: Any) -> None: ...

    def fail(self, error: BaseException, quietly: bool = False) -> None: ...


class Player:
    """One run with one element.

    Attributes
    ----------
    news : list of Record
        All that the agent has said and that `take` has not taken.
    """

    def __init__(self, place: Path, pipes: bool, slots: int = 1, **info: Any) -> None:
        self.place = place
        self.run = RunDirectory.create(str(place), run_info(place, slots) | info)
        self.run.make_directory(str(Path(ELEMENT).parent))
        self.run.make_directory(ELEMENT)
        self.news: list[Record] = []
        self.agents: list[subprocess.Popen[bytes]] = []
        self._pipes = pipes
        self._store = Store(self.run)
        self._batches = self._shares = 0
        self._inbox: PipeWriter | FileWriter
        self._outbox: PipeReader | OutboxReader
        if pipes:
            self._its_inbox, inbox = os.pipe()
            outbox, self._its_outbox = os.pipe()
            self._inbox = PipeWriter(inbox, self.run.mark)
            self._outbox = PipeReader(outbox, self.run.mark)
            self._open = {inbox, outbox}
        else:
            self.run.make_file(names.inbox(ELEMENT))
            self.run.make_file(names.outbox(ELEMENT, 1))
            self._inbox = FileWriter(self.run.open_file, names.inbox(ELEMENT), self.run.mark)
            self._outbox = OutboxReader(self.run.open_file, ELEMENT, self.run.mark)
            self._open = set()

    @property
    def inline_limit(self) -> int:
        """Results of so many bytes lie in a data file."""
        return names.PIPED_LIMIT if self._pipes else names.INLINE_LIMIT

    # -- the agent

    def start(self, *python_options: str) -> subprocess.Popen[bytes]:
        """An agent in the element."""
        argv = [sys.executable, *python_options, str(START), self.run.path, ELEMENT]
        pipes = (self._its_inbox, self._its_outbox) if self._pipes else ()
        with (self.place / f"log.{len(self.agents)}").open("wb") as log:
            agent = subprocess.Popen(
                [*argv, *map(str, pipes)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=pipes,
                start_new_session=True,
            )
        for fd in pipes:
            os.close(fd)
        self.agents.append(agent)
        return agent

    @property
    def agent(self) -> subprocess.Popen[bytes]:
        return self.agents[0]

    def log(self, agent: int = 0) -> str:
        return (self.place / f"log.{agent}").read_text()

    def close_inbox(self) -> None:
        """What the agent sees of a driver that has died."""
        assert isinstance(self._inbox, PipeWriter)
        os.close(self._inbox.fd)
        self._open.remove(self._inbox.fd)

    def end(self) -> None:
        """Nothing is left of agent and workers."""
        for agent in self.agents:
            if agent.poll() is None:
                agent.kill()
            agent.wait()
        for fd in self._open:
            os.close(fd)
        self.run.close()

    # -- what is said to it

    def send(self, kind: int, words: dict[str, Any] | None = None, key: int = 0) -> None:
        self._inbox.put(kind, b"" if words is None else messages.pack(words), key)
        self._inbox.flush()

    def write(
        self,
        function: Callable[..., Any],
        items: Sequence[Any],
        call: int = batch.MAP,
        chunk: int = 1,
        seed: bytes = b"",
    ) -> int:
        """A batch of tasks; gives its number."""
        self._batches += 1
        pickled = pickling.dumps(function)
        digest = hashlib.sha256(pickled).digest()
        whole = Batch(self._batches)
        asked = Call(call, pickled, digest, "f", chunk, Nobody(), seed)
        whole.add(Portion(asked, 0, pack_items(list(items))[0], final=True))
        self._store.add(whole)
        return self._batches

    def share(self, number: int, first: int, last: int, attempt: int = 1, each: float = 0.0) -> int:
        """Deals a range of a batch; gives the share's number."""
        self._shares += 1
        share = self._store.share(number, first, last, attempt, each)
        self._inbox.put(records.SHARE, share.pack(), self._shares)
        self._inbox.flush()
        return self._shares

    def deal(self, function: Callable[..., Any], items: Sequence[Any], each: float = 0.0) -> int:
        """Writes a batch and deals all of it; gives the batch's number."""
        number = self.write(function, items)
        self.share(number, 0, len(items), each=each)
        return number

    def say_as_driver(self, kind: int, payload: bytes = b"") -> None:
        """A word in the file that all agents read."""
        offset = len(self.run.read(names.DRIVER))
        writer = FileWriter(self.run.open_file, names.DRIVER, self.run.mark, offset=offset)
        writer.put(kind, payload)
        writer.flush()

    # -- what it says

    def listen(self) -> None:
        """Waits a moment for news."""
        if isinstance(self._outbox, PipeReader):
            if not self._outbox.ended:
                select.select([self._outbox.fd], [], [], 0.05)
        else:
            time.sleep(0.002)
        self.news += self._outbox.read()

    def until(self, condition: Callable[[], Any]) -> Any:
        """Listens until the condition holds; gives what it gave."""
        deadline = time.monotonic() + PATIENCE
        while not (found := condition()):
            assert time.monotonic() < deadline, f"{self.news}\n{self.log()}"
            self.listen()
        return found

    def take(self, kind: int) -> Record:
        """The next news of this kind."""

        def of_this_kind() -> Record | None:
            return next((record for record in self.news if record.kind == kind), None)

        record: Record = self.until(of_this_kind)
        self.news.remove(record)
        return record

    def words(self, kind: int) -> dict[str, Any]:
        return messages.unpack(self.take(kind).payload)

    def entries(self, number: int) -> list[Entry]:
        """What has come so far of a batch's tasks, an entry for each."""
        return [
            entry
            for record in self._results(number)
            for entry in messages.entries_of_tasks(record.payload)
        ]

    def written(self, number: int) -> list[Entry]:
        """The same, as it was written."""
        return [
            entry for record in self._results(number) for entry in messages.entries(record.payload)
        ]

    def _results(self, number: int) -> list[Record]:
        return [
            record
            for record in self.news
            if record.kind == records.RESULTS and record.key == number
        ]

    def answers(self, number: int, count: int) -> list[Entry]:
        """Waits for so many answers; gives them by index."""
        self.until(lambda: len(self.entries(number)) >= count)
        return sorted(self.entries(number), key=lambda entry: entry.index)

    def values(self, number: int, count: int) -> list[Any]:
        return [pickling.loads(self.body(entry)) for entry in self.answers(number, count)]

    def body(self, entry: Entry) -> bytes:
        if entry.elsewhere is None:
            return entry.body
        part, offset, size, check = entry.elsewhere
        found = self.run.read(names.data(ELEMENT, entry.slot, part), offset, size)
        assert crc32(found) == check
        return found

    def returned(self) -> list[tuple[int, int]]:
        """Batch and index of every task that was given back so far."""
        return sorted(
            (number, index)
            for record in self.news
            if record.kind == records.RETURNED
            for number, first, last in messages.unpack(record.payload)["ranges"]
            for index in range(first, last)
        )

    # -- what happens around it

    def fifo(self, name: str = "fifo") -> str:
        """A place at which a task can be held."""
        path = self.place / name
        os.mkfifo(path)
        return str(path)

    def begun(self, fifo: str) -> int:
        """Waits until a task is held there; gives its process."""
        return self.number_in(f"{fifo}.begun")

    def number_in(self, path: str) -> int:
        def number() -> str:
            with suppress(FileNotFoundError):
                return Path(path).read_text()
            return ""

        return int(self.until(number))

    def release(self, fifo: str) -> None:
        Path(fifo).write_text("go")


def is_gone(pid: int) -> bool:
    """No such process, or one that nobody has waited for yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def all_gone(*pids: int, within: float = 1.0) -> bool:
    """Whether these processes end in so many seconds."""
    deadline = time.monotonic() + within
    while not all(map(is_gone, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
