"""The pages and how to read them: blocks with the remarks before them, sections, tables."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PAGES = [ROOT / "README.md", ROOT / "tutorial" / "README.md", *sorted(DOCS.rglob("*.md"))]
LINKING = [
    *PAGES,
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "tests" / "clusters" / "README.md",
]

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
REMARK = re.compile(r"<!-- (.*) -->\n\Z")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


class Block(NamedTuple):
    """A fenced block.

    Attributes
    ----------
    line : int
        The first line of its text, counted from 0.
    remark : str
        What the comment right before it says.
    """

    text: str
    line: int
    remark: str


def blocks(page: Path, language: str) -> list[Block]:
    """The blocks of a page in this language."""
    text = page.read_text()
    found = []
    for block in BLOCK.finditer(text):
        if block[1] == language:
            remark = REMARK.search(text[: block.start()])
            line = text.count("\n", 0, block.start(2))
            found.append(Block(block[2], line, remark[1] if remark else ""))
    return found


def section(page: Path, heading: str) -> str:
    """What stands below a heading, up to the next one of any level."""
    text = page.read_text().split(f"\n{heading}\n", 1)[1]
    return re.split(r"^#+ ", text, maxsplit=1, flags=re.MULTILINE)[0]


def after(page: Path, remark: str) -> str:
    """The paragraph or table after a comment."""
    return page.read_text().split(f"<!-- {remark} -->\n")[1].split("\n\n")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of all tables, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    heads = {number - 1 for number, line in enumerate(lines) if line.startswith("|---")}
    return [
        re.split(r"\s*\|\s*", re.sub(r"^\|\s*|\s*\|$", "", line))
        for number, line in enumerate(lines)
        if number not in heads and number - 1 not in heads
    ]


def code_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)
