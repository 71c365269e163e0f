"""What cannot be imported travels by value: a script works as it stands, `__main__` and all."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from pypool import Pool

from .scripts import Driver

# ---- functions of all kinds, from a module


class Scale:
    """Has no `__name__`, as what libraries hand to `map`."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, number: float) -> float:
        return self.factor * number

    def method(self, number: float) -> float:
        return self.factor * number

    @classmethod
    def of_class(cls, number: float) -> float:
        return 2 * number

    @staticmethod
    def of_nothing(number: float) -> float:
        return 2 * number


CALLABLES: dict[str, Callable[[Any], Any]] = {
    "lambda": lambda number: 2 * number,
    "partial": functools.partial(lambda factor, number: factor * number, 2),
    "instance": Scale(2),
    "bound method": Scale(2).method,
    "class method": Scale.of_class,
    "static method": Scale.of_nothing,
    "bound method of a builtin": (2).__mul__,
    "ufunc": np.square,
    "class": complex,
    "builtin": abs,
}


@pytest.mark.parametrize("kind", CALLABLES)
def test_any_callable_will_do(pool: Pool, kind: str) -> None:
    """Whatever can be called, `map` calls."""
    function = CALLABLES[kind]
    assert pool.map(function, [0, 1, 2]) == [function(number) for number in (0, 1, 2)]


def test_a_closure_brings_what_it_has_closed_over(pool: Pool) -> None:
    """Local variables around a function travel with it."""
    offset, table = 10, {1: "one"}

    def look(number: int) -> tuple[int, str | None]:
        return number + offset, table.get(number)

    assert pool.map(look, [1, 2]) == [(11, "one"), (12, None)]


def test_a_recursive_local_function(pool: Pool) -> None:
    """A function that refers to itself."""

    def factorial(number: int) -> int:
        return 1 if number < 2 else number * factorial(number - 1)

    assert pool.map(factorial, range(6)) == [1, 1, 2, 6, 24, 120]


def test_the_mean_deviation_of_lists(pool: Pool) -> None:
    """`numpy.std` over lists of different lengths equals the loop."""
    lists = [[3, 4, 56, 7], [22, 5, 4, 5, 7], [11, 2, 545, 235, 6, 3], [22, 45, 6, 4]]
    assert pool.map(np.std, lists) == [np.std(each) for each in lists]


def test_instances_of_a_local_class(pool: Pool) -> None:
    """A class that no module knows can be sent and can come back."""

    @dataclass
    class Point:
        x: int

        def moved(self) -> "Point":
            return Point(self.x + 1)

    assert [each.x for each in pool.map(lambda point: point.moved(), [Point(1), Point(2)])] == [
        2,
        3,
    ]


def test_a_lambda_in_an_item(pool: Pool) -> None:
    """Items may hold functions."""
    assert pool.map(lambda function: function(3), [lambda n: n + 1, lambda n: n * 2]) == [4, 6]


def test_a_lambda_comes_back(pool: Pool) -> None:
    """Results may be functions."""
    assert [function(1) for function in pool.map(lambda n: lambda m: n + m, [1, 2])] == [2, 3]


def test_two_lambdas_of_one_line_are_two_functions(pool: Pool) -> None:
    """A worker that has kept a function does not take it for its twin."""
    assert [pool.map(lambda n, k=k: n * k, [1]) for k in (1, 2, 3)] == [[1], [2], [3]]


def test_a_changed_function_is_sent_anew(pool: Pool) -> None:
    """What a callable carries is as it was at each call."""
    scale = Scale(2)
    assert pool.map(scale, [1]) == [2]
    scale.factor = 3
    assert pool.map(scale, [1]) == [3]


# ---- programs

SQUARES = """
    def square(number):
        return number * number

    with POOL as pool:
        print(pool.map(square, range(4)))
    """


@pytest.mark.parametrize("arguments", [(), ("-c",)], ids=["file", "-c"])
def test_an_unguarded_program_works(driver: Driver, arguments: tuple[str, ...]) -> None:
    """No `if __name__ == "__main__"` is needed, however the program is given."""
    assert driver.run(SQUARES, *arguments) == "[0, 1, 4, 9]\n"


@pytest.mark.parametrize("arguments", [("-",), ("-i", "-q")], ids=["-", "-i"])
def test_a_program_on_stdin_works(driver: Driver, arguments: tuple[str, ...]) -> None:
    """A program that has no file, and an interactive session."""
    text = SQUARES.replace(
        "print(pool.map(square, range(4)))\n", "print(pool.map(square, [2]))\n\n"
    )
    text = text.replace("number * number\n", "number * number\n\n")
    assert driver.run(text, *arguments, stdin=True) == "[4]\n"


def test_a_guarded_program_works(driver: Driver) -> None:
    """The form that the stdlib asks for."""
    program = """
        def square(number):
            return number * number

        if __name__ == "__main__":
            with POOL as pool:
                print(pool.map(square, range(4)))
        """
    assert driver.run(program) == "[0, 1, 4, 9]\n"


def test_a_package_run_by_m_works(driver: Driver) -> None:
    """`python -m package` with functions in its `__main__`."""
    package = driver.file("survey")
    package.mkdir()
    package.joinpath("__main__.py").write_text(driver.text(SQUARES))
    assert driver.run("", "-m", "survey") == "[0, 1, 4, 9]\n"


def test_a_module_beside_the_program_is_imported(driver: Driver) -> None:
    """Workers find what the driver finds through its `sys.path`."""
    driver.file("beside.py").write_text("def double(number):\n    return 2 * number\n")
    program = """
        import beside

        with POOL as pool:
            print(pool.map(beside.double, [1, 2]))
        """
    assert driver.run(program) == "[2, 4]\n"


def test_relative_paths_mean_the_same(driver: Driver) -> None:
    """Tasks run in the driver's working directory."""
    driver.file("numbers.txt").write_text("17\n")
    program = """
        def read(name):
            return open(name).read().strip()

        with POOL as pool:
            print(pool.map(read, ["numbers.txt"]))
        """
    assert driver.run(program) == "['17']\n"


def test_a_global_of_main_is_seen(driver: Driver) -> None:
    """A global that is set before the call has its value in the tasks."""
    program = """
        FACTOR = 1

        def scaled(number):
            return FACTOR * number

        FACTOR = 5
        with POOL as pool:
            print(pool.map(scaled, [1, 2]))
        """
    assert driver.run(program) == "[5, 10]\n"


def test_a_changed_global_of_main_is_seen(driver: Driver) -> None:
    """A global that changes between two calls has its new value in the second."""
    program = """
        FACTOR = 1

        def scaled(number):
            return FACTOR * number

        with POOL as pool:
            for FACTOR in (1, 2, 3):
                print(pool.map(scaled, [1] * 4))
        """
    assert driver.run(program) == "[1, 1, 1, 1]\n[2, 2, 2, 2]\n[3, 3, 3, 3]\n"


def test_a_global_of_main_that_is_changed_back_is_seen(driver: Driver) -> None:
    """So it is with what a class has, though the function has been sent before, as it is now."""
    program = """
        FACTOR = 1

        class Kind:
            FACTOR = 1

        def scaled(number):
            return FACTOR * number, Kind.FACTOR * number

        with POOL as pool:
            for FACTOR in (1, 2, 1, 2, 1):
                Kind.FACTOR = FACTOR
                print(set(pool.map(scaled, [1] * 100)))
        """
    told = "{{({0}, {0})}}\n"
    assert driver.run(program) == "".join(told.format(factor) for factor in (1, 2, 1, 2, 1))


def test_changes_in_place_are_seen(driver: Driver) -> None:
    """In an array, in a list, in what a method's object holds, in code: call by call, and back."""
    program = """
        import numpy as np

        DATA, MORE = np.zeros(100_000), [0]

        class Model:
            def __init__(self):
                self.values = np.zeros(100_000)

            def likelihood(self, number):
                return DATA[70_000] + MORE[-1] + self.values[3] + helper(number)

        def helper(number):
            return number

        model = Model()
        with POOL as pool:
            for turn in range(6):
                DATA[70_000] = 1000 * (turn % 2)
                MORE[0] = 100 * (turn % 3)
                model.values[3] = 10 * (turn // 3)
                if turn == 4:
                    def helper(number):
                        return -number
                for _ in range(2):
                    alone = pool.apply(model.likelihood, (1,))
                    together = pool.map(model.likelihood, [1, 1])
                    assert {alone, *together} == {model.likelihood(1)}, turn
        print("all seen")
        """
    assert driver.run(program) == "all seen\n"


def test_functions_that_take_turns_are_loaded_once(driver: Driver) -> None:
    """They bring the same globals each: an object that counts its calls goes on counting."""
    output = driver.run(
        """
        import functools

        def helper(number, more=[0]):
            return number + more[0]

        class Kind:
            limit: int = 3
            plain = staticmethod(helper)

            def method(self):
                return helper(0)

            @property
            def changing(self):
                return 0

            @functools.cached_property
            def kept(self):
                return 0

            @functools.lru_cache
            def remembered(self):
                return 0

        class Counter:
            def __init__(self, first):
                self.count = first

            def __call__(self, number):
                self.count += 1
                return self.count + Kind().method()

        first, second = Counter(0), Counter(100)
        options = {}
        made = POOL
        if made._runner.work_dir:
            options["work_dir"] = made._runner.work_dir
        with type(made)(1, **options) as pool:
            print([pool.map(each, [1])[0] for each in (first, second) * 3])
        """
    )
    assert output == "[1, 101, 2, 102, 3, 103]\n"


def test_functions_of_main_call_each_other(driver: Driver) -> None:
    """What a function of the program uses comes along: functions, classes, modules."""
    program = """
        import math
        import numpy as np

        def half(number):
            return number / 2

        class Root:
            def of(self, number):
                return math.sqrt(half(number))

        def work(number):
            return float(np.float64(Root().of(number)))

        with POOL as pool:
            print(pool.map(work, [8, 18]))
        """
    assert driver.run(program) == "[2.0, 3.0]\n"


def test_a_counter_in_main_lives_in_the_worker(driver: Driver) -> None:
    """What a task does to a global of `__main__` is there for the next task of that worker."""
    program = """
        seen = []

        def remember(number):
            seen.append(number)
            return len(seen)

        with POOL as pool:
            print(sum(pool.map(remember, range(10))) > 10, seen)
        """
    assert driver.run(program) == "True []\n"


INSTANCES = {
    "class": "class Kind:\n    def __init__(self, n): self.n = n",
    "dataclass": "from dataclasses import dataclass\n@dataclass\nclass Kind:\n    n: int",
    "slots": "class Kind:\n    __slots__ = ('n',)\n    def __init__(self, n): self.n = n",
    "one slot": "class Kind:\n    __slots__ = 'n'\n    def __init__(self, n): self.n = n",
    "slots dataclass": (
        "from dataclasses import dataclass\n"
        "@dataclass(slots=True, frozen=True)\nclass Kind:\n    n: int"
    ),
    "slots of two": (
        "class Base:\n    __slots__ = ('n', '__secret')\n"
        "class Kind(Base):\n    __slots__ = ()\n    def __init__(self, n): self.n = n"
    ),
    "namedtuple": "from collections import namedtuple\nKind = namedtuple('Kind', 'n')",
    "typed": "from typing import NamedTuple\nclass Kind(NamedTuple):\n    n: int",
}


@pytest.mark.parametrize("kind", INSTANCES)
def test_instances_of_mains_classes_come_back_as_such(driver: Driver, kind: str) -> None:
    """They can be items and results, and results are of the driver's own class."""
    program = """
        def twin(item):
            assert isinstance(item, Kind)
            return Kind(item.n + 1)

        with POOL as pool:
            results = pool.map(twin, [Kind(1), Kind(2)])
        print([type(each) is Kind for each in results], [each.n for each in results])
        """
    lines = "\n".join(8 * " " + line for line in INSTANCES[kind].splitlines())
    assert driver.run(f"\n{lines}\n{program}") == "[True, True] [2, 3]\n"


ONE_WORKER = """
        made, options = POOL, {}
        if made._runner.work_dir:
            options["work_dir"] = made._runner.work_dir
        with type(made)(1, **options) as pool:
"""


def test_items_of_all_calls_are_of_one_class(driver: Driver) -> None:
    """A worker has one class, whatever brings it, and what a task has set there stays."""
    program = """
        class Kind:
            calls = 0
            def __init__(self, n):
                self.n = n

        seen = []

        def work(item):
            seen.append(item)
            Kind.calls += 1
            return len({type(each) for each in seen}), isinstance(item, Kind), Kind.calls
        """
    calls = """
            found = pool.map(work, [Kind(n) for n in range(5)])
            found += pool.imap(work, (Kind(n) for n in range(5)))
            found += pool.starmap(work, [(Kind(n),) for n in range(5)])
            found.append(pool.apply(work, (Kind(1),)))
            print(found == [(1, True, n) for n in range(1, 17)] or found)
        """
    assert driver.run(program + ONE_WORKER + calls) == "True\n"


def test_a_class_that_was_changed_is_seen_by_the_next_call(driver: Driver) -> None:
    """Though the function does not know of it: a method, an attribute, and back."""
    program = """
        class Kind:
            unit = 1
            def show(self):
                return self.unit

        def work(item):
            return item.show()

        def other(self):
            return -self.unit
        """
    calls = """
            items = [Kind() for _ in range(30)]
            first = Kind.show
            for Kind.unit, Kind.show in ((1, first), (2, first), (2, other), (1, first)):
                print(set(pool.map(work, items)), set(pool.imap(work, iter(items))))
        """
    told = "{1} {1}\n{2} {2}\n{-2} {-2}\n{1} {1}\n"
    assert driver.run(program + ONE_WORKER + calls) == told


def test_a_class_is_as_items_bring_it_though_a_function_brought_it_since(driver: Driver) -> None:
    """The worker has had it from items before, as it is now again."""
    program = """
        class Kind:
            unit = 1

        def work(item):
            return item.unit

        def other(number):
            return number * Kind.unit
        """
    calls = """
            items = [Kind() for _ in range(10)]
            print(set(pool.map(work, items)))
            Kind.unit = 2
            print(set(pool.map(other, [1] * 10)))
            Kind.unit = 1
            print(set(pool.map(work, items)))
        """
    assert driver.run(program + ONE_WORKER + calls) == "{1}\n{2}\n{1}\n"


@pytest.mark.parametrize("size", [1000, 20_000, 300_000])
def test_a_class_may_carry_much(driver: Driver, size: int) -> None:
    """In attributes and in globals that its methods use; tasks change what is their worker's."""
    program = f"""
        import numpy as np

        TABLE = np.zeros({size})

        class Kind:
            own = np.ones({size})
            def work(self):
                self.own[0] += 1
                TABLE[0] += 1
                return self.own[0], TABLE[0], self.own[1:].sum()

        def work(item):
            return item.work()
        """
    calls = f"""
            found = []
            for call in (pool.map, pool.imap, pool.map):
                found += call(work, [Kind() for _ in range(3)])
            print(found == [(n + 2, n + 1, {size} - 1) for n in range(9)] or found)
        """
    assert driver.run(program + ONE_WORKER + calls) == "True\n"


def test_two_classes_of_one_name_can_be_at_work_at_once(driver: Driver) -> None:
    """As in a notebook, where a cell is run again while its results are not all there."""
    program = """
        import time

        def make(n):
            class Kind:
                number = n
                def show(self):
                    return self.number
            Kind.__qualname__ = "Kind"
            return Kind

        def work(item):
            time.sleep(0.001)
            return item.show(), item
        """
    calls = """
            handles = []
            kinds = []
            for n in range(3):
                Kind = make(n)
                kinds.append(Kind)
                handles.append(pool.map_async(work, [Kind() for _ in range(40)], 5))
            for n, handle in enumerate(handles):
                Kind = kinds[n]
                found = handle.get()
                print({number for number, _ in found}, {len(found)})
        """
    assert driver.run(program + ONE_WORKER + calls) == "{0} {40}\n{1} {40}\n{2} {40}\n"


def test_functions_of_main_can_be_items(driver: Driver) -> None:
    """With the globals that they use, as they are then."""
    program = """
        import functools

        factor = 2

        def scaled(number):
            return factor * number

        @functools.lru_cache
        def remembered(number):
            return number + 1

        def work(item):
            function, number = item
            return function(number)

        with POOL as pool:
            for factor in (2, 3):
                items = [(scaled, 1), (remembered, 1), (lambda n: -n, 1), (abs, -1)] * 3
                print(pool.map(work, items)[:4])
        """
    assert driver.run(program) == "[2, 2, -1, 1]\n[3, 2, -1, 1]\n"


def test_large_items_of_a_class_of_main(driver: Driver) -> None:
    """With arrays that they have in common and others of their own."""
    program = """
        import numpy as np

        class Job:
            def __init__(self, n, table):
                self.n, self.table, self.own = n, table, np.full(20000, float(n))

        def work(job):
            job.table += 1  # of its own
            job.own += 1
            return job.n, job.table.sum(), job.own[0], job

        table = np.zeros(300000)
        with POOL as pool:
            for call in (pool.map, pool.imap):
                found = list(call(work, [Job(n, table) for n in range(8)]))
                assert [each[:3] for each in found] == [(n, 300000.0, n + 1.0) for n in range(8)]
                print(all(type(job) is Job for *_, job in found), table.sum())
        """
    assert driver.run(program) == "True 0.0\nTrue 0.0\n"


def test_members_of_mains_enums_come_back_as_such(driver: Driver) -> None:
    """A member of an enumeration is the same object on return."""
    program = """
        import enum

        class Colour(enum.Enum):
            RED = 1
            BLUE = 2

        def other(colour):
            return Colour.BLUE if colour is Colour.RED else Colour.RED

        with POOL as pool:
            print([each is Colour.BLUE for each in pool.map(other, [Colour.RED, Colour.BLUE])])
        """
    assert driver.run(program) == "[True, False]\n"


def test_exceptions_of_main_are_caught_by_type(driver: Driver) -> None:
    """Also with an `__init__` of several arguments and a base class in `__main__`."""
    program = """
        class Trouble(Exception):
            pass

        class Overflow(Trouble):
            def __init__(self, name, limit):
                super().__init__(f"{name} is over {limit}")
                self.limit = limit

        def work(number):
            raise Overflow("it", number)

        with POOL as pool:
            try:
                pool.map_async(work, [3]).get(60)
            except Trouble as error:
                print(type(error) is Overflow, error, error.limit)
        """
    assert driver.run(program) == "True it is over 3 3\n"


def test_a_class_hierarchy_of_main(driver: Driver) -> None:
    """`super()`, class attributes and inherited methods work in the worker."""
    program = """
        class Base:
            unit = "m"
            def show(self):
                return f"{self.n} {self.unit}"

        class Length(Base):
            def __init__(self, n):
                self.n = n
            def show(self):
                return "length " + super().show()

        with POOL as pool:
            print(pool.map(Length.show, [Length(1)]))
            print(pool.map(lambda each: each.show(), [Length(2)]))
        """
    assert driver.run(program) == "['length 1 m']\n['length 2 m']\n"


def test_arguments_of_the_program_are_seen(driver: Driver) -> None:
    """`sys.argv` and `__main__.__file__` in a task are the driver's."""
    program = """
        import sys

        def look(_):
            import __main__
            return sys.argv[1:], __main__.__file__

        with POOL as pool:
            print(pool.map(look, [0]) == [(sys.argv[1:], __file__)])
        """
    assert driver.run(program) == "True\n"


def test_what_decorators_of_the_library_make_in_main_can_be_used(driver: Driver) -> None:
    """By functions that are mapped, mapped themselves, and as attributes of classes."""
    output = driver.run(
        """
        import functools, typing

        @functools.lru_cache(maxsize=None)
        def fibonacci(n):
            return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

        @functools.cache
        def loaded(name):
            return name.upper()

        def use(name):
            return loaded(name), loaded.cache_info().hits > 0

        class Table:
            def __init__(self, rows):
                self.rows = rows

            @functools.cached_property
            def total(self):
                return sum(self.rows)

        def total(table):
            return table.total, Table([5]).total

        Identity = typing.NewType("Identity", int)

        def identify(n: Identity) -> Identity:
            return Identity(n + 1)

        @functools.singledispatch
        def kind(item):
            return "object"

        @kind.register
        def _(item: int):
            return "int"

        def use_kind(item):
            return kind(item)

        with POOL as pool:
            print(pool.map(fibonacci, [10, 50]))
            print(pool.map(loaded, ["a", "b"]))
            print(any(hit for _, hit in pool.map(use, ["c"] * 40, 20)))
            print(pool.map(total, [Table([1, 2])]))
            print(pool.map(identify, [1]), pool.map(Identity, [2]))
            print(pool.map(kind, [1, "a"]), pool.map(use_kind, [1, "a"]))
        """
    )
    assert output.splitlines() == [
        "[55, 12586269025]",
        "['A', 'B']",
        "True",
        "[(3, 5)]",
        "[2] [2]",
        "['int', 'object'] ['int', 'object']",
    ]


def test_attributes_of_functions_are_kept_in_the_worker(driver: Driver) -> None:
    """What the initializer has set on them, though they are sent again."""
    output = driver.run(
        """
        def begin(value):
            work.value = value

        def work(number):
            return work.value + number

        def other(number):
            return work(number) + 100

        options = {}
        made = POOL
        if made._runner.work_dir:
            options["work_dir"] = made._runner.work_dir
        with type(made)(2, begin, (10,), **options) as pool:
            print(pool.map(work, range(3)), pool.map(other, range(3)), pool.map(work, range(2)))
            work.mark = 7
            print(pool.map(lambda n: (work.mark, work.value), [0]))
        """
    )
    assert output.splitlines() == ["[10, 11, 12] [110, 111, 112] [10, 11]", "[(7, 10)]"]


def test_what_was_changed_in_place_in_the_worker_stays(driver: Driver) -> None:
    """Also when the program changes its own: that is not seen then, as by a fork."""
    output = driver.run(
        """
        shared = {}

        def begin(value):
            shared["X"] = value

        def work(number):
            return shared["X"] + number, sorted(shared)

        options = {}
        made = POOL
        if made._runner.work_dir:
            options["work_dir"] = made._runner.work_dir
        with type(made)(1, begin, (10,), **options) as pool:
            print(pool.map(work, [1]))
            shared["Y"] = 1
            print(pool.map(work, [2]))
        """
    )
    assert output.splitlines() == ["[(11, ['X'])]", "[(12, ['X'])]"]
