import errno
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pypool.errors import RunDirectoryError
from pypool.rundir import names
from pypool.rundir.run import RunDirectory, check_parents, joined, prepare_work_dir, unusable

from . import quick

as_root = os.geteuid() == 0
not_as_root = pytest.mark.skipif(as_root, reason="root may write everywhere")
only_as_root = pytest.mark.skipif(not as_root, reason="only root gives files to other users")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunDirectory]:
    """A new run in the test's own directory."""
    made = RunDirectory.create(str(tmp_path), {"host": "here"})
    yield made
    made.close()


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def directory(path: Path, mode: int) -> Path:
    path.mkdir()
    path.chmod(mode)
    return path


def descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_create(run: RunDirectory) -> None:
    """A new run has all that is there before the first element, and says what it is."""
    assert sorted(path.name for path in Path(run.path).iterdir()) == [
        "batches",
        "driver",
        "elements",
        "functions",
        "journal",
        "run.json",
        "scheduler",
    ]
    info = json.loads(run.read(names.RUN_INFO))
    assert info == run.info
    assert (info["format"], info["host"]) == (names.FORMAT, "here")


def test_marks_differ(tmp_path: Path) -> None:
    """No two runs share the magic of their records, nor their directory."""
    runs = [RunDirectory.create(str(tmp_path), {}) for _ in range(5)]
    assert len({run.mark for run in runs}) == len({run.path for run in runs}) == 5
    for run in runs:
        run.close()


def test_open(run: RunDirectory) -> None:
    """Who opens a run finds the same information and the same magic."""
    again = RunDirectory.open(run.path)
    assert (again.path, again.info, again.mark) == (run.path, run.info, run.mark)
    again.close()


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o027, 0o077])
def test_modes(tmp_path: Path, mask: int) -> None:
    """Whatever the umask, directories get mode 0700 and files 0600."""
    with umask(mask):
        run = RunDirectory.create(str(tmp_path), {})
        run.make_directory("elements/token")
        run.make_file("elements/token/inbox")
        run.write("functions/abc", [b"a function"])
    run.close()
    for path in [Path(run.path), *Path(run.path).rglob("*")]:
        assert mode(path) == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize("bit", [0o001, 0o002, 0o004, 0o010, 0o020, 0o040])
def test_open_to_others(run: RunDirectory, bit: int) -> None:
    """A run directory on which group or others have any right is refused."""
    Path(run.path).chmod(0o700 | bit)
    with pytest.raises(RunDirectoryError, match=f"with mode {0o700 | bit:04o}"):
        RunDirectory.open(run.path)


@only_as_root
def test_of_another_user(run: RunDirectory) -> None:
    """A run directory of another user is refused."""
    os.chown(run.path, 65534, 65534)
    with pytest.raises(RunDirectoryError, match="belongs to user 65534"):
        RunDirectory.open(run.path)


@pytest.mark.parametrize("end", ["", "/", "//", "/."])
def test_linked_run(tmp_path: Path, run: RunDirectory, end: str) -> None:
    """A run directory that is a symbolic link is refused, however its path ends."""
    link = tmp_path / "link"
    link.symlink_to(run.path)
    with pytest.raises(RunDirectoryError, match="cannot be opened"):
        RunDirectory.open(f"{link}{end}")


def test_run_below_a_link(tmp_path: Path, run: RunDirectory) -> None:
    """Above the run directory links are normal."""
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    RunDirectory.open(str(link / Path(run.path).name)).close()


def test_file_in_place_of_a_run(tmp_path: Path) -> None:
    """A file is no run directory."""
    (tmp_path / "file").touch(0o600)
    with pytest.raises(RunDirectoryError, match="Not a directory"):
        RunDirectory.open(str(tmp_path / "file"))


def test_no_run(tmp_path: Path) -> None:
    """A run directory that is not there is told."""
    with pytest.raises(RunDirectoryError, match="No such file"):
        RunDirectory.open(str(tmp_path / "gone"))


def test_another_format(run: RunDirectory) -> None:
    """A run of another format is refused, and both are named."""
    run.remove(names.RUN_INFO)
    run.write(names.RUN_INFO, [b'{"format": 99}'])
    with pytest.raises(RunDirectoryError, match=f"format 99, this pypool reads {names.FORMAT}"):
        RunDirectory.open(run.path)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"1", b"{}", b"\xff\xfe", b'{"format": 2}', b'{"format": 2, "nonce": "x"}'],
)
def test_damaged_information(run: RunDirectory, content: bytes) -> None:
    """Information about the run that makes no sense is told as such."""
    run.remove(names.RUN_INFO)
    run.write(names.RUN_INFO, [content])
    with pytest.raises(RunDirectoryError, match=r"run\.json cannot be read"):
        RunDirectory.open(run.path)


def test_refusal_closes(run: RunDirectory) -> None:
    """A refused run leaves no descriptor open."""
    before = descriptors()
    for content in (b"", b'{"format": 1}', b'{"format": 2}', b'{"format": 3}'):
        run.write(names.RUN_INFO, [content.ljust(len(run.read(names.RUN_INFO)))])
        with pytest.raises(RunDirectoryError):
            RunDirectory.open(run.path)
    Path(run.path).chmod(0o755)
    with pytest.raises(RunDirectoryError):
        RunDirectory.open(run.path)
    assert descriptors() == before


def test_no_room(tmp_path: Path) -> None:
    """A run that cannot be made for want of room says how much there is."""
    full = OSError(errno.ENOSPC, "No space left on device")
    before = descriptors()
    with (
        mock.patch.object(os, "pwrite", side_effect=full),
        pytest.raises(RunDirectoryError, match=r"No space left.*\d+ MiB and \d+ files are free"),
    ):
        RunDirectory.create(str(tmp_path), {})
    assert descriptors() == before


def test_error_names_the_file() -> None:
    """What cannot be used is named, with the file that showed it."""
    error = unusable("/runs/1", OSError(errno.EIO, "Input/output error", "journal"))
    assert str(error) == "/runs/1 cannot be used: Input/output error (journal)."


def test_work_dir_is_made(tmp_path: Path) -> None:
    """A work directory that is missing alone is made, for its user alone."""
    with umask(0):
        prepare_work_dir(str(tmp_path / "work"))
    assert mode(tmp_path / "work") == 0o700


def test_work_dir_is_there(tmp_path: Path) -> None:
    """A work directory that exists keeps its mode, and may be a link to one."""
    prepare_work_dir(str(directory(tmp_path / "work", 0o750)))
    (tmp_path / "link").symlink_to("work")
    prepare_work_dir(str(tmp_path / "link"))
    assert mode(tmp_path / "work") == 0o750


def test_missing_parent(tmp_path: Path) -> None:
    """If its parent is missing, too, the work directory is not made, and the parent is named."""
    with pytest.raises(RunDirectoryError, match=f"cannot be made: {tmp_path}/a does not exist"):
        prepare_work_dir(str(tmp_path / "a" / "b"))
    assert not (tmp_path / "a").exists()


def test_file_in_place_of_work_dir(tmp_path: Path) -> None:
    """A file is no work directory, nor is what lies below one, nor a link to nothing."""
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    for name, told in (
        ("file", "is not a directory"),
        ("file/below", "Not a directory"),
        ("dangling", "is not a directory"),
    ):
        with pytest.raises(RunDirectoryError, match=told):
            prepare_work_dir(str(tmp_path / name))


@not_as_root
def test_work_dir_of_somebody_else(tmp_path: Path) -> None:
    """A work directory in which this user may not write is refused."""
    work = directory(tmp_path / "work", 0o555)
    with pytest.raises(RunDirectoryError, match="cannot be written by this user"):
        prepare_work_dir(str(work))
    with pytest.raises(RunDirectoryError, match="cannot be made: Permission denied"):
        prepare_work_dir(str(work / "below"))


@pytest.mark.parametrize("above", ["open", "open/a", "open/a/b"])
def test_parent_open_to_everybody(tmp_path: Path, above: str) -> None:
    """Where everybody may write and no sticky bit stands, at any height, no run is made."""
    directory(tmp_path / "open", 0o777)
    (tmp_path / "open" / "a" / "b").mkdir(parents=True)
    with pytest.raises(RunDirectoryError, match=rf"chmod o-w {tmp_path}/open\)"):
        prepare_work_dir(str(tmp_path / above))


def test_link_to_a_parent_open_to_everybody(tmp_path: Path) -> None:
    """A link does not hide where the work directory lies."""
    (directory(tmp_path / "open", 0o777) / "work").mkdir()
    (tmp_path / "link").symlink_to("open/work")
    with pytest.raises(RunDirectoryError, match="can be written by everybody"):
        check_parents(str(tmp_path / "link"))


@pytest.mark.parametrize("above", [0o1777, 0o2775, 0o3777, 0o775, 0o755, 0o700])
def test_parents_that_are_fine(tmp_path: Path, above: int) -> None:
    """Runs may lie where everybody may write under a sticky bit, and in a group's own space."""
    work = directory(tmp_path / "space", above) / "work"
    prepare_work_dir(str(work))
    run = RunDirectory.create(str(work), {})
    RunDirectory.open(run.path).close()
    run.close()


def test_group_directory_as_work_dir(tmp_path: Path) -> None:
    """In a work directory of a group (mode 2775) the run is its user's alone."""
    work = directory(tmp_path / "work", 0o2775)
    prepare_work_dir(str(work))
    run = RunDirectory.create(str(work), {})
    assert mode(Path(run.path)) & 0o777 == 0o700
    RunDirectory.open(run.path).close()
    run.close()


def planted(run: RunDirectory, tmp_path: Path, name: str) -> Path:
    """A file outside the run, to which `name` in the run is a link."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"untouched")
    link = Path(run.path, name)
    link.unlink(missing_ok=True)
    link.symlink_to(outside)
    return outside


@pytest.mark.parametrize(
    "use",
    [
        lambda run: run.read("driver"),
        lambda run: run.write("driver", [b"changed"]),
        lambda run: run.make_file("driver"),
        lambda run: run.open_file("driver", os.O_RDWR),
        lambda run: run.open_file("driver", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ],
)
def test_planted_link(
    tmp_path: Path, run: RunDirectory, use: Callable[[RunDirectory], object]
) -> None:
    """A link in place of a file is neither read nor written through."""
    outside = planted(run, tmp_path, "driver")
    with pytest.raises(OSError, match=r"symbolic links|File exists"):
        use(run)
    assert outside.read_bytes() == b"untouched"


def test_planted_information(tmp_path: Path, run: RunDirectory) -> None:
    """A run whose information is a link is refused."""
    outside = planted(run, tmp_path, "run.json")
    outside.write_text(json.dumps(run.info))
    with pytest.raises(RunDirectoryError, match="symbolic links"):
        RunDirectory.open(run.path)


def test_planted_directory(tmp_path: Path, run: RunDirectory) -> None:
    """A link in place of a directory is neither listed nor taken for the directory."""
    (tmp_path / "outside").mkdir()
    Path(run.path, "elements/token").symlink_to(tmp_path / "outside")
    with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        run.list("elements/token")
    with pytest.raises(FileExistsError):
        run.make_directory("elements/token")


def test_removing_a_link(tmp_path: Path, run: RunDirectory) -> None:
    """Removing a link leaves alone what it points to."""
    outside = planted(run, tmp_path, "driver")
    run.remove("driver")
    assert outside.exists()
    assert not os.path.lexists(f"{run.path}/driver")


def test_directory_is_moved(tmp_path: Path, run: RunDirectory) -> None:
    """An open run stays the same directory, whatever comes to lie at its path."""
    run.write("driver", [b"ours"])
    Path(run.path).rename(tmp_path / "moved")
    Path(run.path).mkdir(0o700)
    assert run.read("driver") == b"ours"
    run.make_file("new")
    assert (tmp_path / "moved" / "new").exists()


@quick
@given(pieces=st.lists(st.binary(max_size=50)), offset=st.integers(0, 50), taken=st.integers(1, 40))
def test_write_and_read(run: RunDirectory, pieces: list[bytes], offset: int, taken: int) -> None:
    """What was written is read back, if the disk takes few bytes at a time, too."""
    write = os.pwrite
    run.remove("file")
    with mock.patch.object(os, "pwrite", lambda fd, data, at: write(fd, data[:taken], at)):
        run.write("file", pieces, offset)
    whole = b"".join(pieces)
    expected = bytes(offset) + whole if whole else b""
    assert run.read("file") == expected
    assert run.read("file", offset) == whole
    assert run.read("file", 3, 10) == expected[3:13]
    assert run.read("file", offset, len(whole) + 5) == whole


@pytest.mark.parametrize("call", ["pwrite", "fsync", "close"])
def test_write_fails(run: RunDirectory, call: str) -> None:
    """An error at writing, at syncing or at closing is an error of the whole."""
    before, close = descriptors(), os.close

    def fail(fd: int, *_: object) -> None:
        if call == "close":
            close(fd)
        raise OSError(errno.EDQUOT, "injected")

    with (
        mock.patch.object(os, call, fail),
        pytest.raises(OSError, match="injected"),
    ):
        run.write("file", [b"content"], sync=True)
    assert descriptors() == before


def test_disk_takes_nothing(run: RunDirectory) -> None:
    """A disk that takes no byte and reports no error is full."""
    with (
        mock.patch.object(os, "pwrite", return_value=0),
        pytest.raises(OSError, match="took nothing") as caught,
    ):
        run.write("file", [b"content"])
    assert caught.value.errno == errno.ENOSPC


def test_make_file_twice(run: RunDirectory) -> None:
    """A file that is there already is not made again."""
    run.make_file("batches/1")
    with pytest.raises(FileExistsError):
        run.make_file("batches/1")


def test_remove_twice(run: RunDirectory) -> None:
    """Removing what is gone already is no error."""
    run.remove("driver")
    run.remove("driver")
    assert "driver" not in run.list(".")


def test_list(run: RunDirectory) -> None:
    """The names in a directory are listed, those of a missing one are none."""
    run.make_file("batches/1")
    run.make_file("batches/2")
    assert sorted(run.list("batches")) == ["1", "2"]
    assert run.list("elements/token") == []


def test_children_inherit_nothing(run: RunDirectory) -> None:
    """No descriptor of a run goes to a program that is started."""
    fd = run.open_file("driver", os.O_RDONLY)
    try:
        assert not os.get_inheritable(fd)
    finally:
        os.close(fd)


@quick
@given(pieces=st.lists(st.binary(max_size=30)), limit=st.integers(1, 60))
def test_joined(pieces: list[bytes], limit: int) -> None:
    """They are the same bytes; nothing is copied of those that are large enough by themselves."""
    together = list(joined(pieces, limit))
    assert b"".join(together) == b"".join(pieces)
    assert all(any(piece is each for each in together) for piece in pieces if len(piece) >= limit)
    assert len(together) <= 2 * sum(map(len, pieces)) // limit + 1
