"""What the documents list is all there is: errors, public names, options in the README."""

import inspect
import multiprocessing.pool
import re
from collections.abc import Callable
from typing import Any

import pypool
from pypool import errors
from pypool.pool import _OPTIONS

from .pages import REFERENCE, ROOT, code_in, rows, section

ERRORS = REFERENCE / "errors.md"
API = REFERENCE / "api.md"
ITERATORS = {f"pypool.results.{method}Iterator" for method in ("IMap", "IMapUnordered")}


def classes_of(module: Any) -> set[str]:
    return {
        name for name, value in vars(module).items() if inspect.isclass(value) and name[0] != "_"
    }


def test_errors_page_names_all_errors() -> None:
    """The page of errors has a section for each class of `pypool.errors`, and no other."""
    headings = re.findall(r"^## `(\w+)`$", ERRORS.read_text(), re.M)
    assert sorted(headings) == sorted(classes_of(errors))


def test_errors_page_draws_the_tree() -> None:
    """The tree on the page of errors is that of the classes."""
    drawn = ERRORS.read_text().split("\n\n")[2]
    depths: list[tuple[int, str]] = []
    for line in drawn.splitlines():
        found = re.search(r"\w+", line)
        assert found is not None
        parents = [name for column, name in depths if column < found.start()]
        if parents:
            assert getattr(errors, found[0]).__base__.__name__ == parents[-1]
        depths.append((found.start(), found[0]))
    assert {name for _, name in depths} == classes_of(errors)


def test_interface_page_names_all_public_names() -> None:
    """The page of the interface shows the modules' pools and each name that `pypool` offers."""
    shown = set(re.findall(r"^\.\. auto\w+:: ([\w.]+)", API.read_text(), re.M))
    public = set(pypool.__all__) - {"__version__"}
    modules = {name for name in public if inspect.ismodule(getattr(pypool, name))}
    names = {f"pypool.{name}" for name in public - modules}
    pools = {f"pypool.{name}.Pool" for name in modules}
    assert shown == names | pools | ITERATORS
    table = API.read_text().split("\n## ")[0]
    listed = {code_in(row[0])[0] for row in rows(table)}
    below_pool_error = {f"pypool.{name}" for name in classes_of(errors)} - {"pypool.PoolError"}
    assert listed == shown - below_pool_error


def test_interface_page_shows_all_methods() -> None:
    """Each public method of a pool and of a result is among those that are shown."""
    told = re.findall(r":: ([\w.]+)[()]*\n   :members: (.*)", API.read_text())
    members = {name: set(listed.split(", ")) for name, listed in told}
    pool = {name for name in vars(pypool.Pool) if not name.startswith("_")}
    assert members["pypool.Pool"] == pool
    assert members["pypool.AsyncResult"] == {"ready", "successful", "wait", "get"}
    assert all(members[name] == {"next"} for name in ITERATORS)


def test_interface_page_lists_all_arguments() -> None:
    """The table of methods has those of the standard pool, and what each takes besides."""
    methods = {}
    for row in rows(section(API, "## Methods")):
        for call in code_in(row[0]):
            methods[call.partition("(")[0]] = (call, set(code_in(row[2])))
    standard = {
        name: value
        for name, value in vars(multiprocessing.pool.Pool).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }
    assert methods.keys() == standard.keys()
    for name, (call, added) in methods.items():
        taken, keywords = arguments(standard[name]), arguments(getattr(pypool.Pool, name))
        assert call == f"{name}({', '.join(taken)})"
        assert added == set(keywords) - set(taken)


def arguments(method: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(method).parameters)[1:]


def test_readme_names_options_that_exist() -> None:
    """The short list of options in the README names options of `pypool.Pool`."""
    named = [
        name for row in rows(section(ROOT / "README.md", "## Options")) for name in code_in(row[0])
    ]
    assert set(named) <= set(_OPTIONS)
    assert named[0] == "processes"
