"""The peers that are known, and their files."""

import ast
from pathlib import Path

import pytest

from bench import environments, peers
from bench.known import BACKENDS, PEERS, Known

FOLDER = Path(peers.__file__).parent
SHARED = {"__init__", "script", "serve", "tasks"}


def test_each_file_is_known() -> None:
    """No adapter is forgotten in the list, and none is missing."""
    files = {file.stem for file in FOLDER.glob("*.py")} - SHARED
    assert files == {peer.module for peer in PEERS.values()}


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda file: file.stem)
def test_peers_need_nothing_of_the_suite(file: Path) -> None:
    """Their own environments have none of it: they import nothing above their folder."""
    modules = [
        node.module
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("bench")
    ]
    assert [name for name in modules if not name.startswith("bench.peers.")] == []


@pytest.mark.parametrize("peer", PEERS.values(), ids=lambda peer: peer.name)
def test_peers_can_what_is_known_of_them(peer: Known) -> None:
    """Who is told how large chunks are, or asked for results as they come, has a method for it."""
    tree = ast.parse((FOLDER / f"{peer.module}.py").read_text())
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert ("map_in_chunks" in names) == peer.chunks
    assert ("imap_unordered" in names) == peer.imap
    assert any(ast.unparse(node).startswith("PEER = ") for node in tree.body)


@pytest.mark.parametrize("backend", BACKENDS)
def test_references_are_there(backend: str) -> None:
    """On each backend there is what the others are compared with."""
    here = {name for name, peer in PEERS.items() if backend in peer.backends}
    assert here >= {"pypool", "multiprocessing", "np.save"}


def test_peer_that_cannot_be_installed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command and the last line it printed; nothing says that it was installed."""
    failing = tmp_path / "failing"
    failing.write_text("#!/bin/sh\necho first >&2; echo no such thing >&2; exit 3\n")
    failing.chmod(0o755)
    monkeypatch.setattr(environments.sys, "executable", str(failing))
    with pytest.raises(environments.NotInstalled, match=r"-m venv .* ended with 3: no such thing"):
        environments.python_of(PEERS["loky"], tmp_path / "cache")
    assert not (tmp_path / "cache" / "loky" / environments.STAMP).exists()


def test_peer_is_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version of Python, or other packages, and it is installed anew."""
    made = []

    def install(place: Path, packages: list[str]) -> None:
        made.append(packages)
        place.mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(environments, "install", install)
    python = environments.python_of(PEERS["loky"], tmp_path)
    assert environments.python_of(PEERS["loky"], tmp_path) == python
    assert made == [["cloudpickle", "numpy", "loky"]]
    environments.python_of(PEERS["loky"]._replace(packages=("loky<3",)), tmp_path)
    assert made[1:] == [["cloudpickle", "numpy", "loky<3"]]
