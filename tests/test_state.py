"""The state of a function: it differs whenever the function would be pickled as something else."""

import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from pypool import by_value
from pypool.packing import OutOfBand
from pypool.state import States

SCRIPT = '''
import collections, dataclasses, enum, functools, json, math, types, typing
import numpy as np

number, text, nested = 1, "a", {"deep": [1, 2, {"deeper": 3}]}
array, large = np.zeros(3), np.zeros(100_000)
long, raw = "long" * 2000, bytes(10_000)

def helper(x):
    """Helps."""
    return math.sqrt(x) + number

def other(x):
    return -helper(x)

@functools.lru_cache
def remembered(x):
    return helper(x)

def named(x: int, more=(1, [2]), *, only=[3]) -> float:
    return x

def recursive(x):
    return recursive(x - 1) if x else mutual

def mutual(x):
    return recursive(x)

class Bound:
    factor = 2

def free(self, x):
    return self.factor * x * number

def renamed(self, x):
    return x
renamed.__name__ = "free"

bound = types.MethodType(free, Bound())

def calls_bound(x):
    return bound(x)

class Slots:
    __slots__ = ("one", "two")

class Slotted:
    alias = Slots.one

class Base:
    shared = [1]
    def again(self, x):
        return x

class Model(Base):
    __slots__ = ("data",)
    constant = 2
    def __init__(self, data):
        self.data = data
    def __call__(self, x):
        return self.likelihood(x) + number
    def again(self, x):
        return 2 * x
    def likelihood(self, x):
        return sum(self.data) + x
    @property
    def half(self):
        return self.data / 2
    @classmethod
    def of_class(cls, x):
        return cls.constant * x
    @staticmethod
    def of_nothing(x):
        return helper(x)

@dataclasses.dataclass
class Record:
    field: int = 1
    more: list = dataclasses.field(default_factory=list, metadata={"unit": 1})

model, record = Model([1, 2]), Record()
inherited = model.again

def reads_all(x):
    return number, text, long, raw, nested, array, large, helper, remembered, model, record, json

def make(value):
    def inner(x):
        return value, x
    return inner

closure = make([1])
partial = functools.partial(other, 1)
simple = lambda x: x

class Colour(enum.Enum):
    RED = 1

def of_enum(x):
    return Colour.RED
'''


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A `__main__` of its own."""
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    run(module, SCRIPT)
    return module


def run(module: types.ModuleType, source: str) -> None:
    exec(compile(source, "script.py", "exec"), vars(module))


def taken(states: States, function: Callable[..., Any]) -> tuple[bytes, list[bytes]]:
    buffers = OutOfBand()
    state = states.of(function, buffers)
    return state, [bytes(buffer.raw()) for buffer in buffers.buffers]


def pickled(function: Callable[..., Any]) -> tuple[bytes, list[bytes]]:
    buffers = OutOfBand()
    return by_value.dumps(function, buffers), [bytes(each.raw()) for each in buffers.buffers]


FUNCTIONS = [
    "helper",
    "other",
    "remembered",
    "named",
    "recursive",
    "mutual",
    "model",
    "model.likelihood",
    "Model.of_class",
    "Model.of_nothing",
    "Model",
    "Record",
    "record",
    "reads_all",
    "closure",
    "partial",
    "simple",
    "make",
]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_stays_the_same(main: types.ModuleType, name: str) -> None:
    """As long as nothing changes, it can be told and is equal."""
    states = States()
    found = eval(name, vars(main))
    first = taken(states, found)
    assert first[0]
    assert taken(states, eval(name, vars(main))) == first


CHANGES = {
    "a number": ("reads_all", "number = 2"),
    "its type": ("reads_all", "number = True"),
    "a text": ("reads_all", "text = 'b'"),
    "a long text": ("reads_all", "long = long[:-1] + 'x'"),
    "bytes": ("reads_all", "raw = raw[:-1] + b'x'"),
    "bytes that are something else": ("reads_all", "raw = bytearray(raw)"),
    "a long text that is gone": ("reads_all", "del long"),
    "deep in place": ("reads_all", "nested['deep'][2]['deeper'] = 4"),
    "an element": ("reads_all", "array[1] = 1"),
    "an element of a large array": ("reads_all", "large[50_000] = 1"),
    "the shape": ("reads_all", "array = array.reshape(3, 1)"),
    "a global that is gone": ("reads_all", "del text"),
    "what a helper reads": ("other", "number = 2"),
    "a helper": ("other", "def helper(x): return x"),
    "a helper's code": ("other", "helper.__code__ = other.__code__"),
    "a helper is something else": ("other", "helper = abs"),
    "under a cache": ("reads_all", "def remembered(x): return x"),
    "what a cached one reads": ("remembered", "number = 3"),
    "its parameters": ("reads_all", "remembered = functools.lru_cache(maxsize=3)(helper)"),
    "defaults": ("named", "named.__defaults__ = ((1, [3]),)"),
    "defaults in place": ("named", "named.__defaults__[0][1].append(4)"),
    "defaults of keywords": ("named", "named.__kwdefaults__['only'].append(4)"),
    "an attribute": ("named", "named.attribute = 1"),
    "its name": ("named", "named.__name__ = 'x'"),
    "its full name": ("named", "named.__qualname__ = 'x'"),
    "its module": ("named", "named.__module__ = 'elsewhere'"),
    "what it says of itself": ("named", "named.__doc__ = 'x'"),
    "annotations": ("named", "named.__annotations__['x'] = float"),
    "no more known by its name": ("named", "kept = named; named = None"),
    "the other of two": ("recursive", "def mutual(x): return 3"),
    "what it has closed over": ("closure", "closure.__closure__[0].cell_contents.append(2)"),
    "another cell": ("closure", "closure.__closure__[0].cell_contents = [1, 1]"),
    "a bound function": ("bound", "bound.__self__.factor = 3"),
    "what it reads": ("bound", "number = 3"),
    "another one of that name": ("calls_bound", "bound = types.MethodType(renamed, Bound())"),
    "bound of a base": ("inherited", "inherited = super(Model, model).again"),
    "the name of a class": ("model", "Model.__name__ = 'M'"),
    "the module of a class": ("model", "Model.__module__ = 'elsewhere'"),
    "a descriptor that is another's": ("Slotted", "Slotted.alias = Slots.two"),
    "a cell that is empty": ("closure", "del closure.__closure__[0].cell_contents"),
    "an instance": ("model", "model.data.append(3)"),
    "its dictionary": ("model", "model.more = 1"),
    "a method": ("model", "Model.likelihood = lambda self, x: x"),
    "a constant of its class": ("model", "Model.constant = 3"),
    "of a base": ("model", "Base.shared.append(2)"),
    "the bases": ("model", "class New(Base): pass\nModel.__bases__ = (New,)"),
    "a property": ("model", "Model.half = property(len)"),
    "a class method": ("model", "Model.of_class = classmethod(len)"),
    "a static method": ("model", "Model.of_nothing = staticmethod(len)"),
    "what a method reads": ("model.likelihood", "number = 5"),
    "an instance of a dataclass": ("reads_all", "record.field = 2"),
    "a default of a dataclass": ("record", "Record.field = 2"),
    "what is bound": ("partial", "partial.keywords['x'] = 1"),
    "below what is bound": ("partial", "number = 9"),
    "another class of that name": (
        "model",
        "class Model(Model): pass\nmodel.__class__ = Model",
    ),
    "two that were one": ("two", "pair = [[1], [1]]"),
    "no module at all": ("named", "named.__module__ = None"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_it_tells_of_changes(main: types.ModuleType, what: str) -> None:
    """Whatever would be pickled otherwise has another state."""
    name, change = CHANGES[what]
    run(main, "one = [1]\npair = [one, one]\ndef two(x): return pair")
    states = States()
    function = eval(name, vars(main))
    state, full = taken(states, function), pickled(function)
    assert state[0]
    run(main, change)
    if name == "inherited":
        function = main.inherited
    assert pickled(function) != full  # or it would be no change
    assert taken(states, function) != state


def test_it_tells_of_submodules(main: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of them travel depends on what the program has imported by now."""
    run(main, "import xml\ndef parse(x): return xml.sax.parse(x)")
    states = States()
    monkeypatch.delitem(sys.modules, "xml.sax", raising=False)
    monkeypatch.setitem(sys.modules, "made_up_for_now", types.ModuleType("made_up_for_now"))
    before, full = taken(states, main.parse), pickled(main.parse)
    del sys.modules["made_up_for_now"]
    run(main, "import xml.sax")
    assert pickled(main.parse) != full
    assert taken(states, main.parse) != before


def test_what_others_raise_is_not_swallowed(main: types.ModuleType) -> None:
    """It may come from a signal handler, and nobody else would hear of it."""
    run(
        main,
        "class Interrupted:\n"
        "    def __reduce__(self): raise InterruptedError\n"
        "one = Interrupted()\n"
        "def reads_one(x): return one\n",
    )
    with pytest.raises(InterruptedError):
        taken(States(), main.reads_one)


def test_a_type_that_a_user_has_told_cloudpickle_of(
    main: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How it is reduced nobody here knows."""
    import cloudpickle

    run(main, "import fractions\nhalf = fractions.Fraction(1, 2)\ndef reads_half(x): return half")
    assert taken(States(), main.reads_half)[0]
    table = cloudpickle.Pickler.dispatch_table.maps[0]
    monkeypatch.setitem(table, main.fractions.Fraction, lambda half: (float, (0.5,)))
    assert not taken(States(), main.reads_half)[0]


UNTOLD = {
    "an enumeration": "of_enum",
    "what does not pickle": "locked",
    "the program as a module": "of_program",
    "a module that cannot be imported": "of_made",
    "by its name": "of_type",
}


@pytest.mark.parametrize("what", UNTOLD)
def test_what_it_does_not_know(main: types.ModuleType, what: str) -> None:
    """It says nothing rather than that something has not changed."""
    run(
        main,
        "import sys, threading, types, __main__ as program\n"
        "lock, made, T = threading.Lock(), types.ModuleType('made'), typing.TypeVar('T')\n"
        "def locked(x): return lock\n"
        "def of_program(x): return program.number\n"
        "def of_made(x): return made.x\n"
        "def of_type(x): return T\n",
    )
    assert taken(States(), getattr(main, UNTOLD[what]))[0] == b""


def test_one_that_was_asked_to_go_by_value(
    main: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Functions of a module that cloudpickle sends by value are looked into."""
    import cloudpickle

    module = types.ModuleType("made_up")
    monkeypatch.setitem(sys.modules, "made_up", module)
    run(module, "number = 1\ndef function(x): return number")
    cloudpickle.register_pickle_by_value(module)
    try:
        states = States()
        state, full = taken(states, module.function), pickled(module.function)
        assert state[0] == b""  # its name stands there, as a reference to it would
        run(module, "number = 2")
        assert pickled(module.function) != full
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def test_code_is_forgotten(main: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook may make ever more of it; its numbers are not given again."""
    monkeypatch.setattr("pypool.state.MOST_CODE", 3)
    states = States()
    seen = set()
    for number in range(10):
        run(main, f"def again(x): return {number}")
        seen.add(taken(states, main.again)[0])
    assert len(seen) == 10
    assert len(states._code) <= 3


def test_long_values_are_let_go(main: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many bytes are kept, and the number of one that has gone is not given again."""
    monkeypatch.setattr("pypool.state.MOST_KEPT", 20_000)
    states = States()
    run(main, "def reads(x): return raw")
    seen = set()
    for number in range(10):
        main.raw = bytes([number]) * 9000
        seen.add(taken(states, main.reads)[0])
        assert sum(len(value) for value, _ in states._values.values()) <= 20_000
    assert len(seen) == 10
    main.raw = bytes(30_000)
    assert len(taken(states, main.reads)[0]) > 30_000
