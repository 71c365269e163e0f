"""The page that tells users what happens has a row for each failure that is shown here."""

import importlib
from pathlib import Path

from documents.pages import DOCS, rows

from .rows import SHOWN

PAGE = DOCS / "explanation" / "failures.md"


def test_each_row_of_the_page_is_shown() -> None:
    """By a test, and nothing else is shown."""
    for module in Path(__file__).parent.glob("test_*.py"):
        importlib.import_module(f"{__package__}.{module.stem}")
    assert sorted(row[0] for row in rows(PAGE.read_text())) == sorted(SHOWN)
