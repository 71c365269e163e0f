"""Templates: where they are found, and what is wrong in one, wherever in it that stands.

Jinja by itself finds a mistake only where a value leads to it, and passes over blocks and text
that the template below has no place for. So all of a template is looked at first.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import jinja2
from jinja2 import meta, nodes
from jinja2.ext import Extension

import pypool
from pypool.options import SHIPPED, nearest
from pypool.places import is_trusted, user_and_site

TEMPLATES = Path(pypool.__file__).parent / "templates"


class WholeLines(Extension):
    """Lines stay lines, whatever tags are in them.

    A line `{% if ... %}...{% endif %}` that comes to nothing leaves no empty line, one of `for` is
    a line each time. Any other line of tags and text ends where it is written to end: by itself
    Jinja takes away the end of each line that ends with a tag.
    """

    _tag = re.compile(r"\{%.*?%\}")
    _only = re.compile(r"\s*\{% (if|for) [^\n]*\{% end\1 %\}\s*")

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        lines = source.replace("\r\n", "\n").split("\n")
        return "\n".join(map(self._with_its_end, lines))

    def _with_its_end(self, line: str) -> str:
        written = line.rstrip()
        if not written.endswith(" %}") or not self._tag.sub("", line).strip():
            return line
        if self._only.fullmatch(line) and line.count("{%") == 2:
            start, end, _ = written.rpartition("{%")
            return start + '{{ "\\n" }}' + end + written[len(start + end) :]
        return written.removesuffix("%}") + "+%}"


class Loader(jinja2.BaseLoader):
    """Finds templates, and remembers which files they are.

    Attributes
    ----------
    named : str
        The template of the job script: an absolute path or a name.
    files, own : list of str
        All files that were read; those that did not come with pypool.
    """

    def __init__(self, named: str) -> None:
        self.named = named
        self.files: list[str] = []
        self.own: list[str] = []

    def get_source(self, environment: jinja2.Environment, template: str) -> tuple[str, str, None]:
        path = self._find(template)
        if path is None:
            raise jinja2.TemplateNotFound(template)
        place = str(path)
        self.files.append(place)
        if not path.is_relative_to(TEMPLATES):
            self.own.append(place)
        try:
            return path.read_bytes().decode(), place, None
        except UnicodeDecodeError as error:
            raise jinja2.TemplateSyntaxError(f"no UTF-8: {error}", 1, template, place) from None

    def _find(self, name: str) -> Path | None:
        if name.startswith(os.sep):
            return Path(name) if Path(name).exists() else None
        if ".." in Path(name).parts:
            return None
        if name.startswith(SHIPPED):
            path = TEMPLATES / name.removeprefix(SHIPPED)
            return path if path.is_file() else None
        found = [folder / name for folder in self.folders()]
        return next((path for path in found if self._may_take(path)), None)

    def _may_take(self, path: Path) -> bool:
        """What is found in the working directory, and was not named, may be anybody's."""
        named = path.is_relative_to(self._named_folder())
        return path.is_file() if named or not _is_here(path) else is_trusted(path)

    def folders(self) -> list[Path]:
        """Where a name is looked for."""
        beside = [self._named_folder()] if self.named.startswith(os.sep) else []
        return [*beside, *search_path(), TEMPLATES]

    def _named_folder(self) -> Path:
        return Path(self.named).parent if self.named.startswith(os.sep) else TEMPLATES


def _is_here(path: Path) -> bool:
    with suppress(OSError):
        return path.is_relative_to(Path.cwd())
    return False


def search_path() -> list[Path]:
    """Where templates are looked for by their name, before those that come with pypool."""
    places = [folder / "templates" for folder in user_and_site(os.environ)]
    with suppress(OSError):  # there may be no working directory any more
        places.insert(0, Path.cwd())
    return places


# ---- what can be wrong


@dataclass(frozen=True)
class _Read:
    """A template, not yet filled in."""

    name: str
    place: str
    tree: nodes.Template

    def wrong(self, node: nodes.Node, message: str) -> jinja2.TemplateSyntaxError:
        return jinja2.TemplateSyntaxError(message, node.lineno, self.name, self.place)


def check(
    environment: jinja2.Environment,
    name: str,
    known: set[str] | None,
    below: tuple[str, ...] = (),
) -> set[str] | None:
    """Looks at all of a template and of those that it names, whatever will be rendered of them.

    Parameters
    ----------
    known : set of str or None
        Variables that it may use; None if that depends on who includes it.
    below : tuple of str
        Files that name it.

    Returns
    -------
    set of str or None
        The blocks that are there; None if that depends on values.

    Raises
    ------
    TemplateError, OSError
        If something is wrong.
    """
    loader = environment.loader or jinja2.DictLoader({})
    source, place, _ = loader.get_source(environment, name)
    found = _Read(name, place or name, environment.parse(source, name, place))
    if found.place in below:
        hint = f"write {SHIPPED + Path(found.place).name!r} for the one that comes with pypool"
        raise found.wrong(found.tree, f"the template names itself as its parent or part: {hint}")
    _check_words(environment, found)
    if known is not None:
        _check_variables(found, known)

    def look_at(other: _Naming, known: set[str] | None) -> set[str] | None:
        if not isinstance(other.template, nodes.Const):
            return None
        try:
            return check(environment, other.template.value, known, (*below, found.place))
        except jinja2.TemplateNotFound as error:
            if isinstance(other, nodes.Include) and other.ignore_missing:
                return None
            raise found.wrong(other, not_found(str(error.name), loader)) from None

    for part in found.tree.find_all(nodes.Stmt):
        if isinstance(part, nodes.Include | nodes.Import | nodes.FromImport):
            look_at(part, None)
    blocks = {block.name for block in found.tree.find_all(nodes.Block)}
    extends = found.tree.find(nodes.Extends)
    if extends is None:
        return blocks
    made = {each.name for each in found.tree.find_all(nodes.Name) if each.ctx == "store"}
    above = look_at(extends, None if known is None else known | made)
    if above is not None:
        _check_blocks(found, above)
    _check_nothing_is_lost(found, extends)
    return None if above is None else above | blocks


_Naming = nodes.Extends | nodes.Include | nodes.Import | nodes.FromImport


def _check_words(environment: jinja2.Environment, found: _Read) -> None:
    """Filters and tests are there."""
    for kind in (nodes.Filter, nodes.Test):
        words = environment.filters if kind is nodes.Filter else environment.tests
        for node in found.tree.find_all(kind):
            if node.name not in words:
                what = kind.__name__.lower()
                raise found.wrong(
                    node, f"there is no {what} {node.name!r}.{nearest(node.name, words)}"
                )


def _check_variables(found: _Read, known: set[str]) -> None:
    """Variables are there, but for those of which the template asks whether they are."""
    asking = ("defined", "undefined", "default", "d")
    asked = {
        node.node.name
        for kind in (nodes.Filter, nodes.Test)
        for node in found.tree.find_all(kind)
        if node.name in asking and isinstance(node.node, nodes.Name)
    }
    undefined = meta.find_undeclared_variables(found.tree) - known - asked
    for variable in found.tree.find_all(nodes.Name):
        if variable.name in undefined:
            hint = nearest(variable.name, known)
            raise found.wrong(variable, f"{variable.name!r} is undefined.{hint}")


def _check_blocks(found: _Read, above: set[str]) -> None:
    """Blocks that stand in no other one replace one of the parent's."""
    for block in _outer_blocks(found.tree):
        if block.name not in above:
            has = f" It has {', '.join(sorted(above)) or 'none'}."
            raise found.wrong(
                block, f"the parent has no block {block.name!r}.{nearest(block.name, above)}{has}"
            )


def _outer_blocks(node: nodes.Node) -> Iterator[nodes.Block]:
    for child in node.iter_child_nodes():
        if isinstance(child, nodes.Block):
            yield child
        else:
            yield from _outer_blocks(child)


def _check_nothing_is_lost(found: _Read, extends: nodes.Extends) -> None:
    """After `extends` only what stands in a block arrives anywhere."""
    body = found.tree.body
    for output in body[body.index(extends) + 1 :] if extends in body else ():
        if isinstance(output, nodes.Output):
            for part in output.nodes:
                text = part.data if isinstance(part, nodes.TemplateData) else "?"
                if text.strip():
                    skipped = text[: len(text) - len(text.lstrip())]
                    part.lineno += skipped.count("\n")
                    raise found.wrong(part, "this stands in no block and would be lost")


def not_found(missing: str, loader: jinja2.BaseLoader | None) -> str:
    """The message names all places, and what could be meant."""
    folders = loader.folders() if isinstance(loader, Loader) else [TEMPLATES]
    if missing.startswith(os.sep):
        folders = [Path(missing).parent]
    elif missing.startswith(SHIPPED):
        folders = [TEMPLATES]
    shipped = sorted(path.name for path in TEMPLATES.glob("[!_]*.j2"))
    found = {path.name for folder in folders for path in folder.glob("*.j2")}
    return (
        f"there is no template {missing!r}.{nearest(Path(missing).name, {*shipped, *found})} "
        f"Looked for in {', '.join(map(str, folders))}; a path needs a {os.sep!r}. "
        f"Those that come with pypool are {', '.join(shipped)}"
    )
