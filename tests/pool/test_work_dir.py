"""Where runs are kept: which directories are taken, which refused, and what stays in them."""

import contextlib
import os
import shutil
import stat
from pathlib import Path

import pytest

from pypool import RunDirectoryError, SubmitError
from pypool import shell as pypool_shell
from pypool.schedulers.sge import INEXPRESSIBLE

from . import tasks
from .conftest import MakePool
from .scripts import wait_until

CLUSTERS = [
    pytest.param("shell"),
    pytest.param("slurm", marks=pytest.mark.slurm),
    pytest.param("sge", marks=pytest.mark.sge),
]
on_clusters = pytest.mark.parametrize("backend", CLUSTERS, indirect=True)
on_shell = pytest.mark.parametrize("backend", ["shell"], indirect=True)
as_ordinary_user = pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def run_directory(work_dir: Path) -> Path:
    """The only run in there."""
    (run,) = work_dir.iterdir()
    return run


@on_shell
def test_by_default_it_is_in_the_home_directory(home: Path, backend: str) -> None:
    """`~/.pypool` is made by the first pool, for its user alone."""
    pool = pypool_shell.Pool(1)
    assert mode(home / ".pypool") == 0o700
    assert str(home / ".pypool") in repr(pool)


@on_shell
def test_a_missing_one_is_made(make_pool: MakePool, shared_dir: Path) -> None:
    """If only the last part of the path is missing, it is made, for its user alone."""
    make_pool(work_dir=shared_dir / "new")
    assert mode(shared_dir / "new") == 0o700


@on_shell
def test_a_missing_parent_is_refused(make_pool: MakePool, shared_dir: Path) -> None:
    """A typing error in the path does not make directories."""
    with pytest.raises(RunDirectoryError, match="missing does not exist"):
        make_pool(work_dir=shared_dir / "missing" / "work")
    assert not list(shared_dir.iterdir())


@on_shell
def test_a_file_is_refused(make_pool: MakePool, shared_dir: Path) -> None:
    """What is there and is no directory cannot be used."""
    (shared_dir / "file").touch()
    with pytest.raises(RunDirectoryError, match="file is not a directory"):
        make_pool(work_dir=shared_dir / "file")


@on_shell
def test_a_directory_below_a_file_is_refused(make_pool: MakePool, shared_dir: Path) -> None:
    """Neither can what lies below a file."""
    (shared_dir / "file").touch()
    with pytest.raises(RunDirectoryError, match="cannot be made"):
        make_pool(work_dir=shared_dir / "file" / "work")


@on_shell
def test_a_dangling_link_is_refused(make_pool: MakePool, shared_dir: Path) -> None:
    """A link to nowhere is no directory."""
    (shared_dir / "link").symlink_to(shared_dir / "nowhere")
    with pytest.raises(RunDirectoryError, match="link"):
        make_pool(work_dir=shared_dir / "link")


@on_shell
@pytest.mark.parametrize("depth", ["itself", "above"])
def test_what_everybody_may_write_is_refused(
    make_pool: MakePool, shared_dir: Path, depth: str
) -> None:
    """Without the sticky bit anybody could replace what workers unpickle; the message helps."""
    place = shared_dir / "open"
    place.mkdir()
    place.chmod(0o777)
    with pytest.raises(RunDirectoryError, match=f"chmod o-w {place}"):
        make_pool(work_dir=place if depth == "itself" else place / "work")


@on_shell
def test_a_sticky_directory_works(make_pool: MakePool, shared_dir: Path) -> None:
    """A place like /tmp is safe enough for runs with mode 0700."""
    place = shared_dir / "sticky"
    place.mkdir()
    place.chmod(0o1777)
    assert make_pool(work_dir=place).map(tasks.square, [3]) == [9]


@on_clusters
def test_a_directory_of_a_group_works(make_pool: MakePool, shared_dir: Path) -> None:
    """Project space with mode 2775 is normal; a run in it is for its user alone."""
    place = shared_dir / "project"
    place.mkdir()
    place.chmod(0o2775)
    assert make_pool(work_dir=place).map(tasks.square, [3]) == [9]
    assert mode(run_directory(place)) & 0o777 == 0o700


@on_shell
@as_ordinary_user
def test_one_that_cannot_be_written_is_refused(make_pool: MakePool, shared_dir: Path) -> None:
    """That it cannot be used is said when the pool is made, not at the first call."""
    place = shared_dir / "closed"
    place.mkdir()
    place.chmod(0o500)
    with pytest.raises(RunDirectoryError, match="cannot be written"):
        make_pool(work_dir=place)


@on_shell
@as_ordinary_user
def test_one_that_cannot_be_made_is_refused(make_pool: MakePool, shared_dir: Path) -> None:
    """So it is if its parent cannot be written."""
    place = shared_dir / "closed"
    place.mkdir()
    place.chmod(0o500)
    with pytest.raises(RunDirectoryError, match="Permission denied"):
        make_pool(work_dir=place / "work")


@on_shell
def test_a_relative_path_works(
    make_pool: MakePool, shared_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is meant from where the pool is made, wherever the program goes afterwards."""
    (shared_dir / "elsewhere").mkdir()
    monkeypatch.chdir(shared_dir)
    pool = make_pool(work_dir="runs")
    monkeypatch.chdir(shared_dir / "elsewhere")
    assert pool.map(tasks.square, [3]) == [9]
    assert run_directory(shared_dir / "runs").is_dir()


@on_clusters
@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "it's",
        'say "so"',
        "100%",
        "%A_%a",
        "$(touch made)",
        "`touch made`",
        "äß漢",
        "-n",
        "a#b",
    ],
)
def test_any_name_works(backend: str, make_pool: MakePool, shared_dir: Path, name: str) -> None:
    """What a shell, a job script or a scheduler's pattern would read means nothing in a path.

    What the scheduler has no way to write is refused before anything is made.
    """
    if backend == "sge" and set(name) & set(INEXPRESSIBLE):
        with pytest.raises(SubmitError, match="Choose another work_dir"):
            make_pool(work_dir=shared_dir / name)
        assert not list(shared_dir.iterdir())
        return
    pool = make_pool(work_dir=shared_dir / name)
    assert pool.map_async(tasks.square, [3]).get(tasks.PATIENCE) == [9]
    assert [path.name for path in shared_dir.iterdir()] == [name]


@on_clusters
def test_a_link_works(make_pool: MakePool, shared_dir: Path) -> None:
    """Home directories are often full of links to large disks."""
    (shared_dir / "disk").mkdir()
    (shared_dir / "link").symlink_to(shared_dir / "disk")
    assert make_pool(work_dir=shared_dir / "link").map(tasks.square, [3]) == [9]


@on_shell
def test_a_home_sign_works(make_pool: MakePool, home: Path) -> None:
    """`~` is the home directory."""
    make_pool(work_dir="~/runs")
    assert (home / "runs").is_dir()


# ---- the run directory


@on_clusters
def test_a_run_is_for_its_user_alone(make_pool: MakePool, shared_dir: Path) -> None:
    """Directories have mode 0700, files let nobody else read."""
    previous = os.umask(0)
    try:
        pool = make_pool()
        pool.map(tasks.square, range(50))
    finally:
        os.umask(previous)
    run = run_directory(shared_dir / "work")
    assert mode(run) == 0o700
    assert not [path for path in run.rglob("*") if path.is_dir() and mode(path) != 0o700]


@on_clusters
@pytest.mark.parametrize("end", ["close", "terminate"])
def test_afterwards_the_record_stays(make_pool: MakePool, shared_dir: Path, end: str) -> None:
    """Inputs and results go with the pool; what tells of the run stays."""
    pool = make_pool()
    pool.map(tasks.zeros, [10, 100_000])
    getattr(pool, end)()
    pool.join()
    run = run_directory(shared_dir / "work")
    assert {path.name for path in run.iterdir()} >= {"run.json", "journal", "job.sh"}
    gone = ("batches/*", "functions/*", "elements/*/*/outbox.*", "elements/*/*/data.*")
    assert not [path for pattern in gone for path in run.glob(pattern)]


@on_shell
def test_what_tasks_print_stays(make_pool: MakePool, shared_dir: Path) -> None:
    """A task's output is kept in its run."""
    pool = make_pool()
    pool.map(print, ["hello from a task"])
    pool.close()
    pool.join()
    outputs = (shared_dir / "work").glob("*/elements/*/*/output.*")
    assert "hello from a task\n" in [path.read_text() for path in outputs]


@on_shell
def test_an_error_names_the_tasks_output(make_pool: MakePool) -> None:
    """The note of an exception says where to find what the task has printed."""

    def shout_and_raise(_: int) -> None:
        print("something is wrong")
        raise ValueError

    with pytest.raises(ValueError) as caught:
        make_pool().map(shout_and_raise, [0])
    assert "bytes from byte 0 of" in caught.value.__notes__[-1]


@on_shell
def test_old_runs_go(make_pool: MakePool, shared_dir: Path) -> None:
    """At most some twenty ended runs are kept."""
    for _ in range(25):
        pool = make_pool(processes=1)
        pool.map(tasks.square, [1])
        pool.close()
        pool.join()
    assert len(list((shared_dir / "work").iterdir())) <= 21


# ---- how many files


def count_files(directory: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(directory))


@on_clusters
def test_files_do_not_grow_with_tasks_nor_calls(make_pool: MakePool, shared_dir: Path) -> None:
    """A hundred tasks, ten thousand, two hundred calls more: the same number of files."""
    pool = make_pool(processes=2)
    place = shared_dir / "meeting"
    place.mkdir()
    pool.starmap(tasks.meet, [(str(place), index, 2) for index in range(2)])  # both are there
    pool.map(tasks.square, range(100))
    run = run_directory(shared_dir / "work")
    first = count_files(run)
    pool.map(tasks.square, range(10_000))
    assert wait_until(lambda: count_files(run) == first, 10)
    for _ in range(200):
        pool.map(tasks.square, range(16))
    assert wait_until(lambda: count_files(run) == first, 10)


# ---- a disk that fails


@on_shell
def test_a_run_that_vanishes_makes_nothing_hang(make_pool: MakePool, shared_dir: Path) -> None:
    """If somebody removes the run directory, one call may be told so; the next has a new run."""
    pool = make_pool()
    pool.map(tasks.square, [1])
    shutil.rmtree(run_directory(shared_dir / "work"))
    with contextlib.suppress(RunDirectoryError):
        pool.map_async(tasks.square, range(1000)).get(tasks.PATIENCE)
    assert pool.map_async(tasks.square, [3]).get(tasks.PATIENCE) == [9]
