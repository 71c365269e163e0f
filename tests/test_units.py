"""Amounts as people write them: what they are taken for, and what is said of the rest."""

import re
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pypool.units import parse_memory, parse_time

DAY = 86400

quick = settings(max_examples=200, deadline=None, database=None)


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
        (Decimal("1.5"), 1.5),
        (Fraction(1, 2), 0.5),
        (numpy.str_("1h"), 3600.0),
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
        *("1h30", "1h 30", "2d5", "30 5s", "1:" + "9" * 5000),
        *("1e3", "inf", "nan", "0", "0:00", "-5", "9" * 400, "99999999999999d"),
        *(0, -1, float("nan"), float("inf"), 10**400, timedelta(0), timedelta(seconds=-1)),
    ],
)
def test_other_times_are_refused_by_name_and_value(given: Any) -> None:
    """The message says which option it was, what was given and what would do."""
    with pytest.raises(ValueError, match=re.escape(f"time={given!r} is no")) as caught:
        parse_time(given)
    assert 'give seconds, "1h30m", "1:30:00", "2d" or a timedelta' in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [True, [1], b"1h", 1j, object, numpy.True_, numpy.array([1.5]), numpy.timedelta64(2, "m")],
)
def test_what_is_no_time_at_all_is_a_type_error(given: Any) -> None:
    """Likewise with name, value and what would do."""
    with pytest.raises(TypeError, match=re.escape(f"time={given!r}") + ".*give seconds"):
        parse_time(given)


@pytest.mark.parametrize("given", [0, 0.0, "0", "0s", "0:00", timedelta(0), numpy.int64(0)])
def test_no_time_at_all_is_accepted_where_it_means_something(given: Any) -> None:
    """Of any make; as a rule it is refused."""
    assert parse_time(given, "linger", none_at_all=True) == 0
    with pytest.raises(ValueError, match="linger="):
        parse_time(given, "linger")


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


@pytest.mark.parametrize("given", [True, [1], b"4G", timedelta(1), numpy.True_, 1j])
def test_what_is_no_amount_at_all_is_a_type_error(given: Any) -> None:
    """Likewise with name, value and what would do."""
    with pytest.raises(TypeError, match=re.escape(f"memory={given!r}") + ".*give bytes"):
        parse_memory(given)


@pytest.mark.parametrize(
    ("read", "given", "meant"),
    [
        (parse_time, "1h30", '"1h30m"'),
        (parse_memory, "4 gigs", '"4G"'),
        (parse_memory, "1.5 tera", '"1.5T"'),
    ],
)
def test_what_was_probably_meant_is_told(read: Any, given: str, meant: str) -> None:
    """In words that would do."""
    with pytest.raises(ValueError, match=re.escape(f"Did you mean {meant}?")):
        read(given)
    assert read(meant.strip('"'))
