"""Amounts as people write them: spans of time and sizes of memory."""

import operator
import re
from contextlib import suppress
from datetime import timedelta
from numbers import Number
from typing import SupportsFloat, SupportsIndex

TIMES = 'seconds, "1h30m", "1:30:00", "2d" or a timedelta'
SIZES = 'bytes, "500M" or "4G"'

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_TIME = re.compile(
    r"(?:(?P<days>\d+(?:\.\d+)?)\s*d(?:ays?)?)?\s*"
    r"(?:(?P<hours>\d+(?:\.\d+)?)\s*h(?:(?:ou)?rs?)?)?\s*"
    r"(?:(?P<minutes>\d+(?:\.\d+)?)\s*m(?:in(?:ute)?s?)?)?\s*"
    r"(?:(?P<seconds>\d+(?:\.\d+)?)\s*s(?:ec(?:ond)?s?)?)?",
    re.IGNORECASE,
)
_SECONDS = re.compile(r"\d+(?:\.\d+)?")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGT])(?:I?B)?|B)?", re.IGNORECASE)


def parse_time(
    value: float | str | timedelta, name: str = "time", none_at_all: bool = False
) -> float:
    """Seconds of `90`, `"90"`, `"1h30m"`, `"2 days"`, `"1:30:00"`, `"1-12:00:00"`, a timedelta.

    With colons it is what Slurm reads, so "1:30" is a minute and a half, "1-12:00" a day and a
    half. A number after a unit needs its own: "1h30" could be half an hour or half a minute.

    Raises
    ------
    ValueError, TypeError
        If the value is none of these, or not more than nothing, unless `none_at_all` will do as
        well; named by `name`.
    """
    try:
        if isinstance(value, timedelta):
            seconds = value.total_seconds()
        elif isinstance(value, str):
            seconds = _seconds_of(value, name)
        else:
            seconds = float(number(name, value, TIMES))
    except OverflowError:
        seconds = float("inf")
    if not (0 < seconds < float("inf") or (none_at_all and seconds == 0)):
        raise ValueError(f"{name}={value!r} is no span of time: give {TIMES}")
    return seconds


def _seconds_of(text: str, name: str) -> float:
    days, dash, clock = text.strip().rpartition("-")
    parts = clock.split(":")
    if dash or len(parts) > 1:
        padded = [days, *parts, "0", "0"][:4] if dash else ["0", "0", *parts][-4:]
        if len(parts) > 3 or not all(part.isdecimal() for part in padded):
            raise ValueError(f"{name}={text!r} is not understood: give {TIMES}")
        day, hour, minute, second = map(float, padded)
        return ((day * 24 + hour) * 60 + minute) * 60 + second
    if _SECONDS.fullmatch(text.strip()):
        return float(text)
    found = _TIME.fullmatch(text.strip())
    if not text.strip() or found is None:
        hint = f'. Did you mean "{text}m"?' if _TIME.fullmatch(f"{text}m") else ""
        raise ValueError(f"{name}={text!r} is not understood: give {TIMES}{hint}")
    given = {unit: float(amount or 0) for unit, amount in found.groupdict().items()}
    return timedelta(**given).total_seconds()


def parse_memory(value: int | str, name: str = "memory") -> int:
    """Bytes of `4_000_000_000`, `"4G"`, `"500M"`, `"1.5GB"`; K, M, G, T are powers of 1024.

    Raises
    ------
    ValueError, TypeError
        If the value is none of these, or not more than nothing; named by `name`.
    """
    accepted = f"{SIZES} per worker"
    if isinstance(value, str):
        found = _MEMORY.fullmatch(value.strip())
        if found is None:
            near = re.match(r"\s*(\d+(?:\.\d+)?)\s*([KMGT])", value, re.IGNORECASE)
            hint = f'. Did you mean "{near[1]}{near[2].upper()}"?' if near else ""
            raise ValueError(f"{name}={value!r} is not understood: give {accepted}{hint}")
        size = float(found[1]) * _UNITS[(found[2] or "").upper()]
    else:
        size = number(name, value, accepted)
    if not 1 <= size < float("inf"):
        raise ValueError(f"{name}={value!r} is no amount of memory: give {accepted}")
    return int(size)


def number(name: str, value: SupportsFloat, accepted: str) -> int | float:
    """The value as it is, if it is an integer, or else as a float.

    Raises
    ------
    TypeError
        If it is no number.
    """
    if not isinstance(value, bool) and isinstance(value, Number):
        with suppress(TypeError):  # complex, and numpy's spans of time
            return operator.index(value) if isinstance(value, SupportsIndex) else float(value)
    raise TypeError(f"{name}={value!r} is of the wrong type: give {accepted}")
