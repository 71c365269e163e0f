"""Pickling: what travels by name, what by value, and whose class it is when it arrives."""

import functools
import math
import operator
import pickle
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import Any

import cloudpickle
import numpy
import pytest

from pypool import pickling
from pypool.items import pack_items
from pypool.pickling import dumps, dumps_error, dumps_result, function_name, loads

ROOT = Path(pickling.__file__).parents[1]


def double(x: int) -> int:
    return 2 * x


class Point:
    def __init__(self, x: int) -> None:
        self.x = x

    def moved(self, by: int) -> int:
        return self.x + by


class Calls:
    def __call__(self, x: int) -> int:
        return x


# ---- by name, by value


@pytest.mark.parametrize("function", [double, math.sqrt, len, functools.partial(double, 3)])
def test_what_can_be_imported_travels_by_name(function: Any) -> None:
    """The bytes are the C pickler's own."""
    assert dumps(function) == pickle.dumps(function, 5)


@pytest.mark.parametrize("obj", [lambda x: x + 1, functools.partial(lambda y, x: x + y, 1)])
def test_what_has_no_name_travels_by_value(obj: Any) -> None:
    """A lambda, also within something else."""
    assert loads(dumps(obj))(1) == 2


def test_a_closure_travels_with_what_it_holds() -> None:
    """A function within a function."""
    base = 40

    def add(x: int) -> int:
        return base + x

    assert loads(dumps(add))(2) == 42


def test_a_method_travels_with_its_object() -> None:
    """The bound object is pickled, the method found by name."""
    assert loads(dumps(Point(1).moved))(2) == 3


def test_items_are_pickled_one_by_one() -> None:
    """Each can be loaded without the others."""
    lambdas = [lambda: 1, lambda: 2]
    assert [loads(each)() for each in pack_items(lambdas)[0]] == [1, 2]


def test_a_module_that_is_registered_travels_by_value() -> None:
    """Who asks cloudpickle to send a module by value gets that; for items see `test_items`."""
    module = types.ModuleType("not_to_be_imported")
    sys.modules[module.__name__] = module
    exec("def f(x):\n    return x + 1", vars(module))
    cloudpickle.register_pickle_by_value(module)
    try:
        function = dumps(module.f)
    finally:
        cloudpickle.unregister_pickle_by_value(module)
        del sys.modules[module.__name__]
    assert loads(function)(1) == 2


@pytest.mark.parametrize("obj", [threading.Lock(), (each for each in "ab")])
def test_what_cannot_be_pickled_raises(obj: Any) -> None:
    """The caller learns it from the pickler."""
    with pytest.raises(TypeError, match="cannot pickle"):
        dumps(obj)


def test_results_travel_by_name_if_they_can() -> None:
    """The driver has the class already."""
    assert (
        dumps_result(Point(1)) == pickle.dumps(Point(1), 5)
        or loads(dumps_result(Point(1))).__class__ is Point
    )


@pytest.mark.parametrize("function", [double, lambda x: x + 1, functools.partial(double, 2)])
def test_the_same_function_gives_the_same_bytes(function: Any) -> None:
    """It is stored once in a run, however often it is used."""
    assert len({dumps(function) for _ in range(5)}) == 1


def test_importing_this_does_not_load_cloudpickle() -> None:
    """Agents and workers load it when the first function needs it."""
    use = "import sys\nfrom pypool import pickling\npickling.loads(pickling.dumps(len))\n"
    assert python(use + "print('cloudpickle' in sys.modules)") == "False\n"


def test_another_thread_may_be_importing_cloudpickle() -> None:
    """Its module is there by then, but not what is to be in it."""
    program = """if True:
        import sys, threading, time
        from pypool import pickling
        from pypool.items import pack_items

        halfway = threading.Event()

        class Slow:
            def find_spec(self, name, path=None, target=None):
                if name == "cloudpickle.cloudpickle":
                    halfway.set()
                    time.sleep(0.3)

        sys.meta_path.insert(0, Slow())
        thread = threading.Thread(target=lambda: __import__("cloudpickle"))
        thread.start()
        halfway.wait()
        assert "cloudpickle" in sys.modules
        print(pickling.loads(pickling.dumps([len])), pack_items([1])[0] != [])
        thread.join()
        """
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[<built-in function len>] True\n"


# ---- names of functions


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (double, f"{__name__}.double"),
        (Point.moved, f"{__name__}.Point.moved"),
        (Point(1).moved, f"{__name__}.Point.moved"),
        (Calls(), f"{__name__}.Calls"),
        (Point, f"{__name__}.Point"),
        (functools.partial(double, 1), f"{__name__}.double"),
        (functools.partial(functools.partial(pow, 2), 3), "builtins.pow"),
        (functools.partial(Calls()), f"{__name__}.Calls"),
        (len, "builtins.len"),
        (math.sqrt, "math.sqrt"),
        ("abc".startswith, "builtins.str.startswith"),
        (operator.itemgetter(1), "operator.itemgetter"),
        (numpy.sqrt, "numpy.sqrt"),
        (numpy.linalg.norm, "numpy.linalg.norm"),
    ],
)
def test_functions_have_names(function: Any, name: str) -> None:
    """Module and name; of a partial those of what it calls, of an object those of its class."""
    assert function_name(function) == name


def test_lambdas_are_told_apart_by_their_lines() -> None:
    """Their run times have nothing to do with each other."""
    first = lambda: 1  # noqa: E731
    second = lambda: 2  # noqa: E731
    names = {function_name(first), function_name(second)}
    assert len(names) == 2
    assert all("<lambda>:" in name for name in names)


def test_an_attribute_called_func_need_not_be_a_function() -> None:
    """Only what can be called gives its name."""
    calls = Calls()
    calls.func = "something else"  # type: ignore[attr-defined]
    assert function_name(calls) == f"{__name__}.Calls"


# ---- errors


class Several(Exception):
    def __init__(self, code: int, why: str) -> None:
        super().__init__(f"{why} ({code})")
        self.code = code
        self.why = why


class Decorated(Exception):
    """Its message is made of its argument."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no such name: {name}")
        self.name = name


class KeywordOnly(Exception):
    def __init__(self, *, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


class HoldsLock(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()
        self.text = text


class BrokenReduce(Exception):
    def __reduce__(self) -> Any:
        raise ZeroDivisionError


class BrokenStr(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


class Hopeless(Exception):
    def __init__(self) -> None:
        super().__init__(threading.Lock())


def travelled(error: BaseException) -> BaseException:
    """As it comes out in the driver."""
    found, traceback, _ = pickling.loads_error(dumps_error(error, "its traceback"))
    assert traceback == "its traceback"
    assert found is not None
    return found


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        KeyError(("a", 1)),
        FileNotFoundError(2, "No such file", "/name"),
        UnicodeDecodeError("ascii", b"\xff", 0, 1, "why"),
        StopIteration(3),
        SystemExit(2),
        KeyboardInterrupt(),
        Several(3, "because"),
        Decorated("x"),
        KeywordOnly(limit=3),
        HoldsLock("x"),
        BrokenReduce("a", 1),
        ExceptionGroup("g", [ValueError(1), KeyError(2)]),
        numpy.linalg.LinAlgError("singular"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_keep_type_arguments_and_words(error: BaseException) -> None:
    """Whatever their classes make difficult: they are the same error in the driver."""
    found = travelled(error)
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert repr(found.args) == repr(error.args)


@pytest.mark.parametrize("error", [Several(3, "because"), Decorated("x"), KeywordOnly(limit=3)])
def test_errors_keep_their_attributes(error: BaseException) -> None:
    """What `__init__` has set is there without calling it again."""
    assert vars(travelled(error)) == vars(error)


def test_an_attribute_that_does_not_pickle_stays_behind_alone() -> None:
    """The error comes without it, and with all others."""
    assert vars(travelled(HoldsLock("x"))) == {"text": "x"}


def test_an_attribute_without_a_name_travels_by_value() -> None:
    """A lambda in an error."""
    error = ValueError("x")
    error.hint = lambda: "try again"  # type: ignore[attr-defined]
    assert vars(travelled(error))["hint"]() == "try again"


def test_notes_travel() -> None:
    """What was added to the error on its way."""
    error = ValueError("x")
    error.add_note("a note")
    assert travelled(error).__notes__ == ["a note"]


def test_an_error_whose_class_is_local_comes_back_as_that_class() -> None:
    """A class within a function has no name, and is the same class all the same."""

    class Local(Exception):
        pass

    assert type(travelled(Local("x"))) is Local


def test_a_cause_that_does_not_pickle_does_no_harm() -> None:
    """It is told by the traceback."""
    error = ValueError("x")
    error.__cause__ = Hopeless()
    assert repr(travelled(error)) == "ValueError('x')"


def test_an_error_that_cannot_tell_itself_travels() -> None:
    """A `__str__` that raises is named instead."""
    found, _, told = pickling.loads_error(dumps_error(BrokenStr("x"), ""))
    assert type(found) is BrokenStr
    assert told == f"{__name__}.BrokenStr: <its __str__ raised ZeroDivisionError>"


def test_an_error_that_cannot_be_rebuilt_is_told() -> None:
    """Its class and its words remain."""
    found, traceback, told = pickling.loads_error(dumps_error(Hopeless(), "tb"))
    assert (found, traceback) == (None, "tb")
    assert told.startswith(f"{__name__}.Hopeless: <unlocked _thread.lock")


def test_a_group_with_an_error_that_cannot_be_rebuilt_is_told() -> None:
    """Nothing of it is made up."""
    group = ExceptionGroup("g", [ValueError(1), Hopeless()])
    found, _, told = pickling.loads_error(dumps_error(group, ""))
    assert found is None
    assert told == "builtins.ExceptionGroup: g (2 sub-exceptions)"


def test_an_error_whose_class_the_driver_does_not_know_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A class that can be imported on the node alone."""
    module = types.ModuleType("on_the_node")
    module.Rare = type("Rare", (Exception,), {"__module__": module.__name__})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    data = dumps_error(module.Rare("x"), "tb")
    monkeypatch.delitem(sys.modules, module.__name__)
    assert pickling.loads_error(data) == (None, "tb", "on_the_node.Rare: x")


# ---- `__main__`: a driver, and a worker whose `__main__` is empty

WORKER = """
import pickle, sys, types
sys.modules["__main__"] = types.ModuleType("__main__")
from pypool import pickling
while True:
    try:
        function, item = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    try:
        answer = True, pickling.dumps_result(pickling.loads(function)(pickling.loads(item)))
    except Exception as error:
        answer = False, pickling.dumps_error(error, "")
    pickle.dump(answer, sys.stdout.buffer)
    sys.stdout.buffer.flush()
"""

DRIVER = f"""
import pickle, subprocess, sys
from pypool import pickling
_worker = subprocess.Popen(
    [sys.executable, "-c", {WORKER!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE
)
def remote(function, item=None):
    pickle.dump((pickling.dumps(function), pickling.dumps(item)), _worker.stdin)
    _worker.stdin.flush()
    success, data = pickle.load(_worker.stdout)
    if success:
        return pickling.loads(data)
    raise pickling.loads_error(data)[0] or RuntimeError(pickling.loads_error(data)[2])
"""

END = """
_worker.stdin.close()
_worker.wait()
"""


def python(script: str) -> str:
    """What the script prints; its assertions are the test's."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def drive(script: str) -> None:
    """Runs the script as the driver's `__main__`."""
    python(DRIVER + script + END)


def test_a_function_of_main_finds_the_globals_that_it_reads() -> None:
    """Functions, classes and values of the script that it uses come along."""
    drive("""
scale = 3
def helper(x): return scale * x
def task(x): return helper(x) + 1
assert remote(task, 2) == 7
""")


def test_a_global_set_by_an_initializer_is_read_by_tasks() -> None:
    """They share the worker's `__main__`, though they were pickled apart."""
    drive("""
state = None
def initialize(value):
    global state
    state = value
def task(x): return state, x
remote(initialize, "set")
assert remote(task, 1) == ("set", 1)
assert remote(lambda x: state) == "set"
assert state is None
""")


def test_what_an_initializer_put_into_a_dictionary_is_found_by_tasks() -> None:
    """Although the driver's own, which comes with the task, is empty."""
    drive("""
state = {}
def initialize(x): state["model"] = x
def task(x): return state["model"] + x
remote(initialize, 40)
assert remote(task, 2) == 42
""")


def test_what_a_task_did_to_an_object_of_main_stays() -> None:
    """Its class comes along, and is the same class."""
    drive("""
class State: pass
state = State()
def initialize(x): state.model = x
def task(x): return state.model + x
remote(initialize, 40)
assert remote(task, 2) == 42
""")


def test_what_the_driver_did_to_a_dictionary_arrives() -> None:
    """The driver's own has changed: the worker gets it as it is now."""
    drive("""
options = {"scale": 1}
def task(x): return dict(options)
assert remote(task) == {"scale": 1}
options["scale"] = 2
assert remote(task) == {"scale": 2}
""")


def test_a_global_changed_in_place_outlives_the_next_function() -> None:
    """A cache that tasks fill stays filled when another function comes that knows it."""
    drive("""
cache = {}
def fill(x): cache[x] = 1
def look(x): return sorted(cache)
remote(fill, "a")
assert remote(look) == ["a"], remote(look)
""")


def test_a_global_that_the_driver_changed_arrives_with_the_next_function() -> None:
    """If nobody in the worker has set it since."""
    drive("""
scale = 2
def task(x): return scale * x
assert remote(task, 1) == 2
scale = 5
assert remote(task, 1) == 5
""")


def test_a_function_that_is_defined_again_replaces_the_first() -> None:
    """As when a cell of a notebook is run again; also where others call it."""
    drive("""
def helper(x): return 1
def task(x): return helper(x)
assert remote(task) == 1
def helper(x): return 2
assert remote(task) == 2
""")


def test_results_of_a_class_of_main_are_the_drivers_own() -> None:
    """`isinstance` holds in the driver."""
    drive("""
class Found:
    def __init__(self, x): self.x = x
def task(x): return Found(x)
found = remote(task, 3)
assert type(found) is Found and found.x == 3
""")


def test_items_of_a_class_of_main_are_instances_of_what_functions_know() -> None:
    """A class is one class in the worker, with whatever it comes."""
    drive("""
class Item: pass
def task(x): return isinstance(x, Item)
assert remote(task, Item())
assert remote(lambda x: isinstance(x, Item), Item())
""")


def test_a_class_keeps_its_state_in_the_worker() -> None:
    """A later function that knows the class does not reset what tasks have set on it."""
    drive("""
class Counter:
    count = 0
def task(x):
    Counter.count += 1
    return Counter.count
assert remote(task) == 1
assert remote(lambda x: Counter.count) == 1, remote(lambda x: Counter.count)
""")


def test_a_class_that_the_driver_changed_arrives_changed() -> None:
    """Attributes that no task has set meanwhile."""
    drive("""
class Settings:
    scale = 1
    seen = 0
def task(x):
    Settings.seen += 1
    return Settings.scale, Settings.seen
assert remote(task) == (1, 1)
Settings.scale = 2
assert remote(task) == (2, 2)
""")


def test_a_worker_does_not_change_the_drivers_class() -> None:
    """What a task has set on the class stays in the worker, though an instance returns by value."""
    drive("""
def make():
    class Local:
        count = 0
    return Local
Local = make()
del make
def task(x):
    Alias.count += 1
    return Alias()
Alias = Local
del Local
assert type(remote(task)) is Alias
assert Alias.count == 0
""")


def test_a_class_that_is_defined_again_replaces_the_first() -> None:
    """Results are of the driver's present class, not of the one that was."""
    drive("""
class Found:
    version = 1
def task(x): return Found()
First = Found
assert type(remote(task)) is First
class Found:
    version = 2
found = remote(task)
assert type(found) is Found and found.version == 2
""")


def test_an_error_of_a_class_of_main_is_caught_as_such() -> None:
    """With what its own `__init__` has set."""
    drive("""
class Trouble(Exception):
    def __init__(self, code, why):
        super().__init__(why)
        self.code = code
def task(x): raise Trouble(7, "why")
try:
    remote(task)
except Trouble as error:
    assert error.code == 7 and str(error) == "why"
else:
    raise AssertionError
""")


@pytest.mark.parametrize(
    "definition",
    [
        "import dataclasses\n@dataclasses.dataclass(frozen=True, slots=True)\nclass C:\n    x: int",
        "from typing import NamedTuple\nclass C(NamedTuple):\n    x: int",
        "import enum\nclass C(enum.Enum):\n    A = 3",
        "import abc\nclass C(abc.ABC):\n    def __init__(self, x): self.x = x",
        "class C(int):\n    __slots__ = ()",
        "class C(list):\n    def __init__(self, x): super().__init__([x])",
    ],
    ids=["dataclass", "namedtuple", "enum", "abc", "slots", "super"],
)
def test_classes_of_every_kind_go_and_come_back(definition: str) -> None:
    """As items, as results, and as what a function makes."""
    drive(f"""{definition}
value = C(3)
def task(x): return x, C(3), type(x) is C
back, made, same = remote(task, value)
assert same and type(back) is C and type(made) is C
""")


def test_a_class_within_a_function_is_the_same_class_when_it_returns() -> None:
    """It has no name in `__main__`, and yet is the driver's own."""
    drive("""
def make():
    class Local: pass
    return Local
Local = make()
Alias = Local
assert type(remote(lambda x: Alias())) is Local
""")


def test_functions_of_main_give_the_same_bytes() -> None:
    """With the globals and classes that come with them."""
    drive("""
import math
names = {"a", "b", "c"}
class C: pass
def helper(x): return math.sqrt(x), names, C
def task(x): return helper(x)
first = pickling.dumps(task)
remote(task, 1)
assert {pickling.dumps(task) for _ in range(5)} == {first}
""")


def test_the_drivers_own_main_is_not_touched_by_what_comes_back() -> None:
    """A result that is a function of `__main__` sets nothing in the driver."""
    drive("""
scale = 1
def other(x): return scale
def task(x): return other
before = dict(globals())
back = remote(task)
scale = 2
assert back(0) == 2, back(0)
changed = {k for k, v in globals().items() if before.get(k, v) is not v}
assert changed == {"scale"}, changed
""")


def test_what_the_script_imported_is_imported_in_the_worker() -> None:
    """Modules that a function of `__main__` uses come by their names."""
    drive("""
import math
import os.path
def task(x): return math.sqrt(x), os.path.join("a", "b")
assert remote(task, 4) == (2.0, "a/b")
""")


class Leaves(Exception):
    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return sys.exit, ("left",)


def test_an_error_that_exits_when_it_loads_is_told() -> None:
    """Neither the worker that tries it nor the driver ends of it."""
    error, _, told = pickling.loads_error(dumps_error(Leaves("x"), ""))
    assert type(error) is Leaves
    assert told.endswith("Leaves: x")
    data = pickle.dumps((pickle.dumps(Leaves("x")), "", "told"))
    assert pickling.loads_error(data) == (None, "", "told")


class Slots(Exception):
    """Makes a message of what it keeps in a slot."""

    __slots__ = ("code",)

    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


def test_an_error_keeps_what_it_has_in_slots() -> None:
    """As what it has in its dictionary."""
    error, _, _ = pickling.loads_error(dumps_error(Slots(5), ""))
    assert isinstance(error, Slots)
    assert error.code == 5
    assert str(error) == "code 5"


def test_what_others_raise_is_no_reason_to_try_again() -> None:
    """It may come from a signal handler: nobody else would hear of it."""
    asked = []

    class Interrupted:
        def __reduce__(self) -> Any:
            asked.append(1)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        pickling.dumps(Interrupted())
    assert len(asked) == 1
