"""Who may import whom: imports go downwards only, and workers load little."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pypool

PACKAGE = Path(pypool.__file__).parent

# Each row may import what stands in the rows below it, and its own row.
LAYERS = [
    {"local", "serial", "sge", "shell", "slurm"},
    {"pool", "attached"},
    {"engine", "picking"},
    {"results", "schedulers", "worker", "config"},
    {"options", "machine", "places"},
    {"rundir", "units"},
    {
        "pickling",
        "packing",
        "columns",
        "kinds",
        "items",
        "sharing",
        "definitions",
        "by_value",
        "stable",
        "state",
        "code",
        "errors",
        "printable",
        "task",
        "version",
        "words",
    },
]
# Whose imports are narrower than their row.
NARROW = {
    "worker": {
        "worker",
        "rundir",
        "pickling",
        "packing",
        "columns",
        "kinds",
        "definitions",
        "by_value",
        "code",
        "errors",
        "task",
        "version",
        "words",
    },
    "printable": {"printable"},
    "schedulers": {"schedulers", "errors", "printable"},
    "results": {"results", "pickling"},
    "config": {"config", "options", "places"},
    "options": {"options", "units"},
    "machine": {"machine"},
    "places": {"places"},
    "units": {"units"},
    "picking": {"picking", "machine", "schedulers", "errors"},
    "rundir": {"rundir", "packing", "columns", "kinds", "errors", "words"},
    "columns": {"columns", "kinds"},
    "kinds": {"kinds"},
    "packing": {"packing"},
    "sharing": {"sharing", "packing"},
    "definitions": {"definitions", "by_value", "packing", "sharing"},
    "task": {"task", "words"},
    "words": {"words"},
    "stable": {"stable"},
    "state": {"state", "pickling", "packing", "by_value"},
    "code": {"code"},
}
LOADED_FOR_HELLO = {
    "__future__",
    "_json",
    "_struct",
    "errno",
    "pypool",
    "pypool.errors",
    "pypool.rundir",
    "pypool.rundir.mailbox",
    "pypool.rundir.messages",
    "pypool.rundir.names",
    "pypool.rundir.records",
    "pypool.rundir.run",
    "pypool.rundir.trouble",
    "pypool.version",
    "pypool.words",
    "pypool.worker",
    "pypool.worker.admission",
    "pypool.worker.arrival",
    "pypool.worker.ending",
    "pypool.worker.log",
    "pypool.worker.mail",
    "pypool.worker.polling",
    "struct",
    "zlib",
}
WORKER_MUST_NOT_LOAD = {
    "asyncio",
    "cloudpickle",
    "dataclasses",
    "filelock",
    "importlib",
    "jinja2",
    "json",
    "logging",
    "multiprocessing",
    "numpy",
    "pathlib",
    "subprocess",
    "threading",
    "typing",
}


def area(module: str) -> str:
    """The file or folder of the package that a module belongs to."""
    return module.split(".")[1]


def imports_of(path: Path) -> set[str]:
    """Areas of the package that a file imports when it is loaded or later, but not for types."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pypool"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {area(name) for name in (names if node.module == "pypool" else [node.module])}
        elif isinstance(node, ast.Import):
            found |= {area(a.name) for a in node.names if a.name.startswith("pypool.")}
    return found


def files() -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downwards(path: Path) -> None:
    """A module imports its own layer and those below it, nothing above."""
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    row = next(number for number, layer in enumerate(LAYERS) if own in layer)
    allowed = NARROW.get(own) or set().union(*LAYERS[row:])
    assert imports_of(path) <= allowed


def modules_of(path: Path) -> set[str]:
    """The top-level modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "engine" / "dealing").glob("*.py")), ids=lambda p: p.name
)
def test_dealing_does_no_input_or_output(path: Path) -> None:
    """Dealing imports nothing that could read a file, a clock or a scheduler."""
    forbidden = {"os", "io", "time", "pathlib", "subprocess", "socket", "threading", "logging"}
    assert not modules_of(path) & forbidden
    own = {name for name in imports_within(path) if not name.startswith("pypool.engine.dealing")}
    assert own == set()


def imports_within(path: Path) -> set[str]:
    """The modules of the package that a file imports."""
    return {
        node.module
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pypool")
    }


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_an_agent_says_hello_with_next_to_nothing() -> None:
    """What it loads before is known by name: others wait for it."""
    loaded = loaded_by("import pypool.worker.admission") - loaded_by("pass")
    assert loaded <= LOADED_FOR_HELLO


def test_agent_and_worker_load_little() -> None:
    """An agent with its workers loads none of what only the driver needs."""
    bare = loaded_by("pass")
    loaded = loaded_by("import pypool.worker.agent") - bare
    assert loaded & WORKER_MUST_NOT_LOAD == set()
    assert not [name for name in loaded if name.startswith(("pypool.engine", "pypool.schedulers"))]


def test_importing_pypool_loads_no_engine() -> None:
    """`import pypool` alone is cheap: names are loaded on first use."""
    loaded = loaded_by("import pypool")
    assert not {"pypool.pool", "pypool.engine", "cloudpickle", "numpy"} & loaded
