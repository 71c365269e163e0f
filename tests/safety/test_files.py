"""What lies in a run, or in its place, and was not put there by us: it is not touched."""

import ast
import errno
import fcntl
import os
import pickle
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest import mock

import pytest
from pool import tasks
from pool.conftest import MakePool
from worker import jobs
from worker.player import ELEMENT, Player

import pypool
from pypool import RunDirectoryError
from pypool.engine import backend as backend_module
from pypool.rundir import names, records
from pypool.rundir.mailbox import FileReader, FileWriter
from pypool.rundir.run import RunDirectory
from pypool.worker.admission import main as agent_main
from pypool.worker.arrival import REFUSED

from .conftest import Foreign
from .threats import against

on_shell = pytest.mark.parametrize("backend", ["shell"], indirect=True)

FILES = [
    names.RUN_INFO,
    names.JOB_SCRIPT,
    names.DRIVER,
    names.JOURNAL,
    names.function("ab" * 32),
    names.batches(1),
    names.owner(ELEMENT),
    names.inbox(ELEMENT),
    names.outbox(ELEMENT, 1),
    names.data(ELEMENT, 0, 1),
    names.output(ELEMENT, 0),
    f"{names.SCHEDULER}/1_0.out",
]
"""A file of each kind that a run has."""

DIRECTORIES = [names.FUNCTIONS, names.BATCHES, names.ELEMENTS, names.SCHEDULER]


def planted_pickle(marker: Path) -> bytes:
    """A pickle that makes the marker when it is loaded."""
    return b"cos\nsystem\n(S'touch " + os.fsencode(marker) + b"'\ntR."


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


# ---- planted pickles


def test_the_planted_pickle_works(tmp_path: Path) -> None:
    """If it is loaded it leaves its mark; the tests below are worth something."""
    pickle.loads(planted_pickle(tmp_path / "marker"))
    assert (tmp_path / "marker").exists()


@against("A planted pickle")
def test_a_run_of_another_user_is_refused(shared_home: Path, foreign: Foreign) -> None:
    """Whatever its modes, by driver and agent, before anything in it is read."""
    path = foreign("directory", shared_home / "run")
    (path / "run.json").write_text('{"format": 2, "nonce": "0011223344"}')
    (path / "elements").mkdir()
    with pytest.raises(RunDirectoryError, match="belongs to user"):
        RunDirectory.open(str(path))
    assert agent_main([str(path), ELEMENT]) == REFUSED


@against("A planted pickle")
def test_a_link_to_a_run_of_another_user_is_refused(shared_home: Path, foreign: Foreign) -> None:
    """The link may lie in a directory of ours."""
    foreign("directory", shared_home / "run")
    (shared_home / "link").symlink_to("run")
    with pytest.raises(RunDirectoryError, match="cannot be opened"):
        RunDirectory.open(str(shared_home / "link"))


@against("A planted pickle")
@pytest.mark.parametrize("kind", ["function", "batch"])
def test_an_agent_does_not_load_what_another_user_has_planted(
    shared_home: Path, foreign: Foreign, kind: str
) -> None:
    """A function or a batch that would do harm, whole to the last byte."""
    player = Player(shared_home, pipes=False)
    try:
        marker = shared_home / "marker"
        number = player.write(jobs.double, [1])
        pattern = f"{names.FUNCTIONS}/*" if kind == "function" else f"{names.BATCHES}/*"
        (ours,) = Path(player.run.path).glob(pattern)
        bad = planted_pickle(marker)
        if kind == "function":
            content = records.header(player.run.mark, records.FUNCTION, bad, key=0) + bad
        else:
            content = ours.read_bytes()
        ours.unlink()
        foreign("file", ours).write_bytes(content)
        player.start()
        player.share(number, 0, 1)
        returned = player.words(records.RETURNED)
        assert "belongs to user" in returned["why"]
        assert not marker.exists()
    finally:
        player.end()


@against("A planted pickle")
@pytest.mark.parametrize("name", FILES)
def test_files_of_another_user_are_not_touched(
    run_at_home: RunDirectory, foreign: Foreign, name: str
) -> None:
    """Neither read nor written, though their modes would allow it."""
    path = Path(run_at_home.path, name)
    path.unlink(missing_ok=True)
    foreign("file", path).write_bytes(b"planted")
    for use in uses(name):
        with pytest.raises(OSError, match=r"belongs to user|File exists"):
            use(run_at_home)
    assert path.read_bytes() == b"planted"


@against("A planted pickle")
@on_shell
def test_nobody_else_may_write_where_a_run_lies(make_pool: MakePool, shared_dir: Path) -> None:
    """It is refused when the pool is made, and nothing is made there."""
    place = shared_dir / "open"
    place.mkdir()
    place.chmod(0o777)
    with pytest.raises(RunDirectoryError, match="can be written by everybody"):
        make_pool(work_dir=place)
    assert not list(place.iterdir())


@against("A planted pickle")
@on_shell
def test_a_directory_of_another_user_that_all_may_write_is_refused(
    make_pool: MakePool, shared_home: Path, foreign: Foreign
) -> None:
    """As a work directory, or above one."""
    place = foreign("directory", shared_home / "theirs")
    for work_dir in (place, place / "work"):
        with pytest.raises(RunDirectoryError, match="can be written by everybody"):
            make_pool(work_dir=work_dir)


@against("A planted pickle")
def test_old_runs_are_not_looked_into_if_they_are_not_ours(
    shared_home: Path, foreign: Foreign
) -> None:
    """What is called like a run and belongs to somebody else stays as it is."""
    path = foreign("directory", shared_home / "20200101-000000-00000000")
    (path / "run.json").write_text("{}")
    backend_module.prune(str(shared_home))
    assert (path / "run.json").exists()


# ---- links, FIFOs, devices


def uses(name: str) -> list[Callable[[RunDirectory], object]]:
    """All ways in which files of a run are opened."""
    mark = records.magic(b"nonce")
    return [
        lambda run: run.read(name),
        lambda run: run.read(name, 3, 5),
        lambda run: run.tail(name, 5),
        lambda run: run.write(name, [b"changed"]),
        lambda run: run.make_file(name),
        lambda run: run.open_file(name, os.O_RDONLY),
        lambda run: run.open_file(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        lambda run: run.open_file(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC),
        lambda run: FileReader(run.open_file, name, mark).read(),
        lambda run: append(FileWriter(run.open_file, name, mark)),
    ]


def append(writer: FileWriter) -> None:
    writer.put(records.STOP)
    writer.flush()


def make_link(path: Path, outside: Path) -> None:
    path.symlink_to(outside)


def make_dangling_link(path: Path, outside: Path) -> None:
    path.symlink_to(outside.parent / "would-be-made")


def make_hard_link(path: Path, outside: Path) -> None:
    path.hardlink_to(outside)


def make_fifo(path: Path, outside: Path) -> None:
    os.mkfifo(path)


def make_directory(path: Path, outside: Path) -> None:
    path.mkdir()


def make_device_link(path: Path, outside: Path) -> None:
    path.symlink_to("/dev/zero")


def make_device(path: Path, outside: Path) -> None:
    if os.geteuid():
        pytest.skip("only root makes devices")
    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))


PLANTS = [
    make_link,
    make_dangling_link,
    make_hard_link,
    make_fifo,
    make_directory,
    make_device_link,
    make_device,
]
REFUSALS = (
    r"symbolic links|no regular file|hard links|Is a directory|File exists"
    r"|No such device or address"
)


@against("Something else in the place of a file")
@pytest.mark.timeout(20)
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
@pytest.mark.parametrize("name", FILES)
def test_nothing_but_a_regular_file_is_opened(
    tmp_path: Path, run: RunDirectory, name: str, plant: Callable[[Path, Path], None]
) -> None:
    """Each kind of thing at each name of a run, opened in each way: an error, and at once."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"untouched")
    path = Path(run.path, name)
    path.unlink(missing_ok=True)
    plant(path, outside)
    for use in uses(name):
        with pytest.raises(OSError, match=REFUSALS):
            use(run)
    assert outside.read_bytes() == b"untouched"
    assert not (tmp_path / "would-be-made").exists()


@against("Something else in the place of a file")
@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["fifo", "link"])
def test_what_another_user_has_planted_is_not_waited_for(
    run_at_home: RunDirectory, foreign: Foreign, kind: str
) -> None:
    """A FIFO into which somebody may write, or a link."""
    path = Path(run_at_home.path, names.inbox(ELEMENT))
    foreign(kind, path)
    for use in uses(names.inbox(ELEMENT)):
        with pytest.raises(OSError, match=REFUSALS):
            use(run_at_home)


@against("Something else in the place of a file")
def test_a_fifo_with_a_writer_is_not_read(run: RunDirectory) -> None:
    """Somebody holds its other end, and has written."""
    path = Path(run.path, names.inbox(ELEMENT))
    os.mkfifo(path)
    fd = os.open(path, os.O_RDWR)
    os.write(fd, b"planted")
    with pytest.raises(OSError, match="no regular file"):
        run.read(names.inbox(ELEMENT))
    assert os.read(fd, 10) == b"planted"
    os.close(fd)


@against("Something else in the place of a file")
@pytest.mark.parametrize("name", DIRECTORIES)
@pytest.mark.parametrize("plant", [make_link, make_fifo, make_dangling_link])
def test_directories_of_a_run_are_directories(
    tmp_path: Path, run: RunDirectory, name: str, plant: Callable[[Path, Path], None]
) -> None:
    """A link in the place of one would lead elsewhere all that is opened below it."""
    (tmp_path / "outside").mkdir()
    Path(run.path, name).rename(tmp_path / "away")
    plant(Path(run.path, name), tmp_path / "outside")
    with pytest.raises(RunDirectoryError, match=f"is no directory of user .*{name}"):
        RunDirectory.open(run.path)


@against("Something else in the place of a file")
@pytest.mark.parametrize("depth", [0, 1])
def test_an_agent_does_not_follow_a_link_to_its_element(
    tmp_path: Path, run: RunDirectory, depth: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither for the element's directory nor for that of its submission."""
    linked = Path(run.path, ELEMENT if depth else str(Path(ELEMENT).parent))
    linked.rename(tmp_path / "outside")
    linked.symlink_to(tmp_path / "outside")
    assert agent_main([run.path, ELEMENT]) == REFUSED
    assert "is no directory of user" in capfd.readouterr().err
    assert not list((tmp_path / "outside").rglob("owner"))


@against("Something else in the place of a file")
@pytest.mark.timeout(60)
def test_a_race_is_not_won(tmp_path: Path, run: RunDirectory) -> None:
    """A file of ours and a link to another one change places ten thousand times meanwhile."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    place = Path(run.path)
    run.write("spare", [b"ours"])
    (place / "link").symlink_to(secret)
    ends = threading.Event()

    def swap() -> None:
        for _ in range(10_000):
            os.rename(place / "spare", place / "driver")  # noqa: PTH104 - quicker
            os.link(place / "driver", place / "spare")
            os.rename(place / "link", place / "driver")  # noqa: PTH104
            (place / "link").symlink_to(secret)
        ends.set()

    thread = threading.Thread(target=swap)
    thread.start()
    seen: set[bytes | int | None] = set()
    while not ends.is_set():
        try:
            seen.add(run.read("driver"))
            run.write("driver", [b"ours"])
        except OSError as error:
            seen.add(error.errno)
    thread.join()
    assert secret.read_bytes() == b"secret"
    assert seen <= {b"ours", b"", errno.ELOOP, errno.EPERM, errno.ENOENT}
    assert errno.ELOOP in seen


@against("Something else in the place of a file")
@pytest.mark.timeout(60)
@on_shell
def test_a_fifo_in_the_place_of_an_outbox_is_told(make_pool: MakePool, shared_dir: Path) -> None:
    """The call ends with an error that names the file; the next one has a new run."""
    pool = make_pool(processes=1)
    assert pool.map(tasks.square, [3]) == [9]
    (outbox,) = (shared_dir / "work").glob("*/elements/*/*/outbox.1")
    os.mkfifo(shared_dir / "fifo")
    (shared_dir / "fifo").replace(outbox)  # at once: the dispatcher looks often
    with pytest.raises(RunDirectoryError, match=r"no regular file .*outbox\.1"):
        pool.map_async(tasks.square, range(100)).get(tasks.PATIENCE)
    assert pool.map_async(tasks.square, [4]).get(tasks.PATIENCE) == [16]


def test_a_lease_is_waited_for(run: RunDirectory) -> None:
    """A machine that exports the disk calls back what it has promised a client: no error."""
    run.write(names.DRIVER, [b"content"])
    code = """
import fcntl, os, signal, sys, time
fd = os.open(sys.argv[1], os.O_RDONLY)
signal.signal(signal.SIGIO, lambda *_: fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK))
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
print("held", flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, f"{run.path}/{names.DRIVER}"], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(BlockingIOError):
            os.open(f"{run.path}/{names.DRIVER}", os.O_WRONLY | os.O_NONBLOCK)
        fd = run.open_file(names.DRIVER, os.O_RDWR)
        assert not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK
        os.close(fd)
        holder.kill()


# ---- names


@against("Names that can be guessed")
def test_a_run_is_never_taken_over(tmp_path: Path) -> None:
    """Should somebody guess its name, the directory that is there is refused."""
    with mock.patch.object(os, "urandom", bytes), mock.patch("time.strftime", return_value="now"):
        (tmp_path / "now-00000000").mkdir()
        (tmp_path / "now-00000000" / "planted").touch()
        with pytest.raises(RunDirectoryError, match="File exists"):
            RunDirectory.create(str(tmp_path), {})
    assert [path.name for path in tmp_path.rglob("*")] == ["now-00000000", "planted"]


@against("Names that can be guessed")
@pytest.mark.parametrize(
    "path", sorted(Path(pypool.__file__).parent.rglob("*.py")), ids=lambda path: path.name
)
def test_no_place_is_shared_by_everybody(path: Path) -> None:
    """No name below /tmp stands in the package, and what makes unsafe ones is not called."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not node.value.startswith(("/tmp", "/var/tmp"))
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"mktemp", "tmpnam", "tempnam"}


@against("Names that can be guessed")
@pytest.mark.parametrize("backend", ["local"], indirect=True)
def test_a_local_pool_has_a_private_directory(make_pool: MakePool) -> None:
    """Wherever it is, nobody else can look into it."""
    pool = make_pool(processes=1)
    (inode,) = pool.map(private_directory_of_this_process, [0])
    assert inode == 0o700


def private_directory_of_this_process(_: int) -> int:
    """The mode of the run directory that this worker has open."""
    found = []
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            path = fd.readlink()
            if path.name.startswith("pypool-") and path.is_dir():
                found.append(mode(path))
    return found[0]


# ---- modes


def wrong_modes(run: Path) -> list[str]:
    """What group or others may see or touch, but for what the scheduler prints."""
    return [
        f"{mode(path):04o} {path}"
        for path in [run, *run.rglob("*")]
        if path.parent.name != names.SCHEDULER
        and mode(path) & 0o777 != (0o700 if path.is_dir() else 0o600)
    ]


@against("A loose or a strict umask")
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o177])
@pytest.mark.parametrize(
    "backend",
    [
        pytest.param("shell"),
        pytest.param("slurm", marks=pytest.mark.slurm),
        pytest.param("sge", marks=pytest.mark.sge),
    ],
    indirect=True,
)
def test_modes_do_not_depend_on_the_umask(
    make_pool: MakePool, shared_dir: Path, backend: str, mask: int
) -> None:
    """All files of a run that is at work and has small, large and printed results."""
    if backend != "shell" and mask != 0o000:
        pytest.skip("one is enough: the agents' umask is that of the driver, or the node's")
    with umask(mask):
        pool = make_pool(keep="all")
        assert pool.map(print_and_return, [10, 100_000]) == [bytes(10), bytes(100_000)]
    (run,) = (shared_dir / "work").iterdir()
    assert len(list(run.rglob("*"))) > 12
    assert wrong_modes(run) == []


def print_and_return(size: int) -> bytes:
    print("printed")
    return bytes(size)


# ---- data


@against("Data that others see, or that stays behind")
@pytest.mark.parametrize("keep", ["failed", "none"])
@pytest.mark.parametrize("end", ["close", "terminate"])
@on_shell
def test_data_goes_with_the_pool(
    make_pool: MakePool, shared_dir: Path, keep: str, end: str
) -> None:
    """No byte of items, functions and results is left, and what is left is for us alone."""
    secret = "zebra-" * 4

    def add_secret(item: str) -> str:
        return item + secret

    pool = make_pool(keep=keep)
    items = ["walrus-" * 4, "walrus-" * 20_000]
    assert pool.map(add_secret, items) == [item + secret for item in items]
    getattr(pool, end)()
    pool.join()
    left = [path for path in (shared_dir / "work").rglob("*") if path.is_file()]
    assert (left == []) == (keep == "none")
    for path in left:
        assert b"walrus-walrus-" not in path.read_bytes(), path
        assert b"zebra-zebra-" not in path.read_bytes(), path
    for run in (shared_dir / "work").iterdir():
        assert wrong_modes(run) == []
