"""Run by `test_stable.py` in fresh interpreters: prints the digests of many kinds of objects."""

import abc
import collections
import datetime
import decimal
import enum
import fractions
import functools
import json
import pathlib
import random
import re
import typing
import uuid
from dataclasses import dataclass, field

import numpy as np

from pypool.stable import digest_of, function_digest


@dataclass
class Data:
    number: float
    names: list[str] = field(default_factory=list)


class Plain:
    kind = "plain"

    def __init__(self, value):
        self.value = value

    def method(self, x):
        return x

    @classmethod
    def of_class(cls, x):
        return x


class Slots:
    __slots__ = ("a", "b")

    def __init__(self, a, b):
        self.a, self.b = a, b


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Flags(enum.Flag):
    A = enum.auto()
    B = enum.auto()


Point = collections.namedtuple("Point", "x y")


class Typed(typing.NamedTuple):
    x: int
    y: str = ""


class Set(set):
    pass


class Text(str):
    __slots__ = ()


class Loop:
    def __init__(self, name):
        self.name = name
        self.me = [self]


def plain(x):
    return x


def with_default(x, y=1, *, z=2):
    return x


def other_default(x, y=2, *, z=2):
    return x


def closure(k):
    def inner(x):
        return x * k

    return inner


def recursive(k):
    def inner(n):
        return inner(n - 1) if n else k

    return inner


def local_class(k):
    class Local:
        factor = k

        @property
        def double(self):
            return k

        @staticmethod
        def nothing():
            return k

        def call(self):
            return __class__, k

    return Local


def local_data(k):
    @dataclass
    class Local(abc.ABC):  # noqa: B024
        number: int = k

    return Local


def nested(depth):
    found = "end"
    for _ in range(depth):
        found = [found, {"deep": (found,)}] if depth < 5 else [found]
    return found


words = [f"word{number}" for number in range(30)]
twins = [lambda x: x + 1, lambda x: x + 2]

array = np.arange(24.0).reshape(4, 6)
objects = {
    "none": None,
    "true": True,
    "one": 1,
    "one as a float": 1.0,
    "zero": 0.0,
    "minus zero": -0.0,
    "large": 10**50,
    "complex": 1j,
    "infinite": float("inf"),
    "text": "text",
    "bytes": b"text",
    "bytearray": bytearray(b"text"),
    "opcodes": b"\x8f\x91" * 10,
    "surrogates": "\udc80",
    "empty tuple": (),
    "tuple": (1, 2.0, "3"),
    "list": [1, 2.0, "3"],
    "nested": nested(4),
    "deep": nested(80),
    "dict": {"a": 1, "b": [2]},
    "dict the other way": {"b": [2], "a": 1},
    "set of texts": set(words),
    "fewer texts": set(words[1:]),
    "frozen set of texts": frozenset(words),
    "mixed set": {1, "a", (2, "b"), None, Colour.RED, frozenset("xyz")},
    "another mixed set": {1, "a", (2, "b"), None, Colour.RED, frozenset("xyw")},
    "set in an object": Plain({"deep": [set(words)]}),
    "set of a class": Set(words),
    "text of a class": Text("text"),
    "empty set": set(),
    "data": Data(1.5, ["a"]),
    "other data": Data(1.5, ["b"]),
    "plain": Plain(3),
    "plain four": Plain(4),
    "slots": Slots(1, "b"),
    "named tuple": Point(1, 2),
    "typed tuple": Typed(1, "2"),
    "enum": Colour.RED,
    "other enum": Colour.BLUE,
    "flags": Flags.A | Flags.B,
    "path": pathlib.Path("/tmp/x"),
    "other path": pathlib.Path("/tmp/y"),
    "date": datetime.date(2020, 1, 2),
    "datetime": datetime.datetime(2020, 1, 2, 3, 4, tzinfo=datetime.UTC),
    "timedelta": datetime.timedelta(3),
    "decimal": decimal.Decimal("1.20"),
    "fraction": fractions.Fraction(1, 3),
    "uuid": uuid.UUID(int=3),
    "pattern": re.compile("a.*b"),
    "range": range(3),
    "slice": slice(1, 2),
    "counter": collections.Counter("hello"),
    "ordered": collections.OrderedDict(a=1),
    "default": collections.defaultdict(list, a=[1]),
    "deque": collections.deque([1, 2], 5),
    "random": random.Random(3),
    "array": array,
    "array of other shape": array.reshape(6, 4),
    "array of other type": array.astype("f4"),
    "columns": array[:, ::2],
    "turned": array.T,
    "integers": np.arange(24),
    "no elements": np.zeros((0, 3)),
    "no dimension": np.array(3.0),
    "dates": np.array(["2020-01-01"], dtype="M8[D]"),
    "records": np.zeros(2, dtype=[("a", "f8"), ("b", "U3")]),
    "array of objects": np.array(["a", None, {"x", "y", "z"}], dtype=object),
    "masked": np.ma.masked_array([1, 2], mask=[0, 1]),
    "large array": np.arange(300_000.0),
    "array twice": [array, array],
    "scalar": np.float64(1.5),
    "short scalar": np.float32(1.5),
    "generator": np.random.default_rng(5),
    "other generator": np.random.default_rng(6),
    "seeds": np.random.SeedSequence(7),
    "dtype": np.dtype("f4"),
    "function": plain,
    "builtin": len,
    "of numpy": np.sin,
    "unbound": str.upper,
    "module": json,
    "class": Plain,
    "partial 3": functools.partial(plain, 3),
    "partial 4": functools.partial(plain, 4),
    "partial of words": functools.partial(plain, key=set(words)),
    "lambda": lambda x: x,
    "one twin": twins[0],
    "other twin": twins[1],
    "closure 3": closure(3),
    "closure 4": closure(4),
    "lambda with closure": (lambda k: lambda x: k)(5),
    "other lambda with closure": (lambda k: lambda x: k)(6),
    "recursive 3": recursive(3),
    "recursive 4": recursive(4),
    "bound": Plain(3).method,
    "bound four": Plain(4).method,
    "bound to the class": Plain.of_class,
    "default 1": with_default,
    "default 2": other_default,
    "local class 3": local_class(3),
    "local class 4": local_class(4),
    "object of local class": local_class(3)(),
    "local data 3": local_data(3),
    "local data 4": local_data(4),
    "loop": Loop("a"),
    "other loop": Loop("b"),
}

if __name__ == "__main__":
    digests = {name: digest_of(value) for name, value in objects.items()}
    callables = {
        f"calls {name}": function_digest(value)
        for name, value in objects.items()
        if callable(value)
    }
    print(json.dumps({name: digest and digest.hex() for name, digest in digests.items()}))
    assert all(digests[name.removeprefix("calls ")] == callables[name] for name in callables)
