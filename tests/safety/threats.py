"""The threats as the page calls them, and which tests show what pypool does about each."""

from collections.abc import Callable
from typing import TypeVar

from documents.pages import DOCS, rows

PAGE = DOCS / "explanation" / "safety.md"
TITLES = [row[0] for row in rows(PAGE.read_text().split("<!-- the threats -->\n")[1])]

Test = TypeVar("Test", bound=Callable[..., None])

answered: set[str] = set()


def against(title: str) -> Callable[[Test], Test]:
    """The test shows what is done about this threat."""
    answered.add(title)
    return lambda test: test
