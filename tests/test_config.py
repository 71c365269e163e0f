"""Options: what is accepted, what it is taken for, and what is said of the rest."""

import os
import re
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pypool import config
from pypool.config import Options, make_options, parse_memory, parse_time, pick_scheduler

DAY = 86400

quick = settings(max_examples=200, deadline=None, database=None)


def options(**given: Any) -> Options:
    """What becomes of these, all others not given."""
    names = ("processes", "work_dir", "queue", "time", "memory", "cpus")
    values: dict[str, Any] = {"default_processes": 5} | dict.fromkeys(names) | given
    return make_options(**values)


# ---- time


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (90, 90.0),
        (0.5, 0.5),
        (numpy.int64(90), 90.0),
        (numpy.float32(2.5), 2.5),
        ("90", 90.0),
        (" 90s ", 90.0),
        ("1h30m", 5400.0),
        ("1.5h", 5400.0),
        ("2d", 2.0 * DAY),
        ("1d 2h 3m 4s", 93784.0),
        ("1:30", 90.0),
        ("1:30:00", 5400.0),
        ("1-12", 1.5 * DAY),
        ("1-12:00", 1.5 * DAY),
        ("1-12:00:01", 1.5 * DAY + 1),
        (timedelta(hours=2), 7200.0),
    ],
)
def test_times_are_read(given: Any, seconds: float) -> None:
    """Numbers are seconds; clocks are as Slurm reads them."""
    assert parse_time(given) == seconds


@quick
@given(*[st.integers(0, 99)] * 4)
def test_units_and_clock_say_the_same(days: int, hours: int, minutes: int, seconds: int) -> None:
    """Days, hours, minutes and seconds are what they are in either way of writing."""
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    forms = (f"{days}d{hours}h{minutes}m{seconds}s", f"{days}-{hours}:{minutes}:{seconds}", total)
    for form in forms if total else ():
        assert parse_time(form) == total


@quick
@given(st.timedeltas(min_value=timedelta(microseconds=1)))
def test_a_timedelta_is_its_seconds(span: timedelta) -> None:
    """Of any length."""
    assert parse_time(span) == span.total_seconds()


@pytest.mark.parametrize(
    "given",
    [
        *("", " ", "soon", "1x", "h", "1m1h", "1:2:3:4", "1-", "-1:30", "x-1:2", "1::2", "²:1"),
        *("1e3", "inf", "nan", "0", "0:00", "-5", "9" * 400, "99999999999999d"),
        *(0, -1, float("nan"), float("inf"), 10**400, timedelta(0), timedelta(seconds=-1)),
    ],
)
def test_other_times_are_refused_by_name_and_value(given: Any) -> None:
    """The message says which option it was, what was given and what would do."""
    with pytest.raises(ValueError, match=re.escape(f"time={given!r} is no")) as caught:
        parse_time(given)
    assert 'give seconds, "1h30m", "1:30:00", "2d" or a timedelta' in str(caught.value)


@pytest.mark.parametrize("given", [True, [1], b"1h", 1j, object])
def test_what_is_no_time_at_all_is_a_type_error(given: Any) -> None:
    """Likewise with name, value and what would do."""
    with pytest.raises(TypeError, match=re.escape(f"time={given!r}") + ".*give seconds"):
        parse_time(given)


# ---- memory


@pytest.mark.parametrize(
    ("given", "size"),
    [
        (4_000_000_000, 4_000_000_000),
        (numpy.int64(5), 5),
        (1.5e9, 1_500_000_000),
        ("1000", 1000),
        ("1000B", 1000),
        ("4G", 4 << 30),
        ("4g", 4 << 30),
        ("4 GB", 4 << 30),
        ("4GiB", 4 << 30),
        ("500M", 500 << 20),
        ("1.5K", 1536),
        ("1T", 1 << 40),
    ],
)
def test_amounts_of_memory_are_read(given: Any, size: int) -> None:
    """Bytes, or units that are powers of 1024."""
    assert parse_memory(given) == size


@quick
@given(st.integers(1, 10**6), st.sampled_from(["", "K", "M", "G", "T"]), st.booleans())
def test_every_unit_is_1024_of_the_one_before(number: int, unit: str, long: bool) -> None:
    """Whole numbers of a unit are exact."""
    written = f"{number}{unit}{'iB' if long and unit else ''}"
    assert parse_memory(written) == number * 1024 ** "KMGT".find(unit) * (1024 if unit else 1)


@quick
@given(st.integers(1, 1 << 62))
def test_bytes_are_themselves(size: int) -> None:
    """No amount is rounded."""
    assert parse_memory(size) == size


@pytest.mark.parametrize(
    "given",
    [
        *("", "much", "G", "4X", "4GG", "100BB", "-4G", "1,5G", "inf", "0", "0.1", "9" * 400),
        *(0, -1, 0.5, float("nan"), float("inf")),
    ],
)
def test_other_amounts_are_refused_by_name_and_value(given: Any) -> None:
    """The message says which option it was, what was given and what would do."""
    with pytest.raises(ValueError, match=re.escape(f"memory={given!r} is no")) as caught:
        parse_memory(given)
    assert 'give bytes, "500M" or "4G" per worker' in str(caught.value)


@pytest.mark.parametrize("given", [True, [1], b"4G", timedelta(1)])
def test_what_is_no_amount_at_all_is_a_type_error(given: Any) -> None:
    """Likewise with name, value and what would do."""
    with pytest.raises(TypeError, match=re.escape(f"memory={given!r}") + ".*give bytes"):
        parse_memory(given)


# ---- the others


@pytest.mark.parametrize("given", [1, 3, numpy.int64(3), numpy.uint8(3)])
def test_a_number_of_processes_becomes_an_int(given: int) -> None:
    """Integers of any make, as in the standard library."""
    found = options(processes=given).processes
    assert found == given
    assert type(found) is int


def test_without_a_number_of_processes_it_is_the_default() -> None:
    """Which depends on the kind of pool."""
    assert options().processes == 5


@pytest.mark.parametrize("given", [0, -1, numpy.int64(0)])
def test_less_than_one_process_is_refused_in_the_words_of_the_standard_library(given: int) -> None:
    """`multiprocessing.Pool(0)` says the same."""
    with pytest.raises(ValueError, match=r"^Number of processes must be at least 1$"):
        options(processes=given)


@pytest.mark.parametrize("given", ["3", 3.0, True, numpy.float64(3), Fraction(3), [3]])
def test_what_is_no_integer_is_no_number_of_processes(given: Any) -> None:
    """The message names option and value."""
    with pytest.raises(TypeError, match=re.escape(f"processes={given!r} must be an integer")):
        options(processes=given)


@pytest.mark.parametrize(("given", "error"), [(0, ValueError), ("2", TypeError), (2.0, TypeError)])
def test_cpus_are_a_number_of_at_least_one(given: Any, error: type[Exception]) -> None:
    """The message names the option."""
    with pytest.raises(error, match="cpus"):
        options(cpus=given)


@pytest.mark.parametrize(
    ("given", "error"),
    [("", ValueError), ("a\nb", ValueError), ("\x7f", ValueError), (7, TypeError)],
)
def test_a_queue_is_a_word(given: Any, error: type[Exception]) -> None:
    """It stands in one line of the job script."""
    with pytest.raises(error, match=re.escape(f"queue={given!r}")):
        options(queue=given)


def test_options_are_taken_as_they_are_given() -> None:
    """Each option arrives under its name, parsed."""
    found = options(processes=2, work_dir="/w", queue="long", time="1h", memory="1K", cpus=3)
    assert found == Options(2, "/w", queue="long", time=3600.0, memory=1024, cpus=3)


def test_what_is_not_given_is_not_asked_for() -> None:
    """The scheduler's own defaults hold."""
    found = options()
    assert (found.queue, found.time, found.memory, found.cpus) == (None, None, None, None)


def test_the_work_directory_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A relative path is meant from where the driver is, and `~` is the user's home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert options(work_dir="runs").work_dir == str(tmp_path / "runs")
    assert options(work_dir=Path("~/runs")).work_dir == "/home/somebody/runs"
    assert options().work_dir == "/home/somebody/.pypool"


# ---- CPUs


@pytest.mark.parametrize(
    ("affinity", "limit", "usable"),
    [(8, None, 8), (8, 3, 3), (2, 16, 2), (4, 0, 4)],
)
def test_affinity_and_container_both_limit_the_cpus(
    affinity: int, limit: int | None, usable: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The smaller of the two, and at least one."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(affinity)), raising=False)
    monkeypatch.setattr(config, "_cgroup_limit", lambda: limit)
    assert config.usable_cpus() == usable


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.cfs_quota_us": "400000\n", "cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_both_kinds_of_control_groups_are_read(
    files: dict[str, str], limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quota is rounded up; none, or no control groups, is no limit."""

    def read_text(path: Path) -> str:
        if path.name not in files:
            raise FileNotFoundError(path)
        return files[path.name]

    monkeypatch.setattr(Path, "read_text", read_text)
    assert config._cgroup_limit() == limit


# ---- which scheduler


@pytest.fixture
def slurm_path(tmp_path: Path) -> str:
    """A PATH on which there are Slurm's commands."""
    for command in ("sbatch", "squeue", "scancel"):
        (tmp_path / command).write_text("#!/bin/sh\n")
        (tmp_path / command).chmod(0o755)
    return str(tmp_path)


def test_slurm_is_picked_where_it_is(slurm_path: str) -> None:
    """Its commands on the PATH are enough, and all of them are needed."""
    assert pick_scheduler({"PATH": slurm_path}) == "slurm"
    Path(slurm_path, "scancel").unlink()
    assert pick_scheduler({"PATH": slurm_path}) == "local"


def test_without_a_scheduler_it_is_this_machine() -> None:
    """A laptop has none."""
    assert pick_scheduler({"PATH": "/nowhere"}) == "local"


@pytest.mark.parametrize("name", config.SCHEDULERS)
def test_the_environment_names_a_scheduler(name: str, slurm_path: str) -> None:
    """PYPOOL_SCHEDULER goes before what is found."""
    assert pick_scheduler({"PATH": slurm_path, "PYPOOL_SCHEDULER": name}) == name


def test_an_empty_name_is_no_name(slurm_path: str) -> None:
    """As if the variable were not set."""
    assert pick_scheduler({"PATH": slurm_path, "PYPOOL_SCHEDULER": ""}) == "slurm"


def test_an_unknown_scheduler_is_refused() -> None:
    """With what was given and all that is known."""
    with pytest.raises(ValueError, match=r"PYPOOL_SCHEDULER='lsf'.*local, shell, slurm"):
        pick_scheduler({"PYPOOL_SCHEDULER": "lsf"})
