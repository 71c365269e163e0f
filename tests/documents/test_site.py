"""The site that `make docs` builds, where the extra `docs` is installed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .pages import DOCS, LINKING, ROOT, name_of

REMOTE = re.compile(r"""(?:src=|<link[^>]*href=|url\(|@import )["']?(?:https?:)?//[^"')\s>]+""")
"""What a browser would fetch from elsewhere; links that somebody may follow are no such thing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with warnings as errors."""
    for library in ("sphinx", "myst_parser", "numpydoc", "furo"):
        pytest.importorskip(library)
    place = tmp_path_factory.mktemp("site")
    sphinx = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-c", str(DOCS)]
    built = subprocess.run(
        [*sphinx, "-d", str(place / "doctrees"), str(ROOT), str(place / "html")],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    assert built.stderr == ""
    return place / "html"


def test_every_page_is_there(site: Path) -> None:
    """All pages are built, and `index.html` leads to the first of them."""
    for page in LINKING:
        assert (site / name_of(page)).with_suffix(".html").exists(), name_of(page)
    assert 'url=docs/README.html"' in (site / "index.html").read_text()


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    """No page loads a font, a style or a script from another host."""
    files = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert [found for file in files for found in REMOTE.findall(file.read_text())] == []


def test_the_pool_is_described(site: Path) -> None:
    """What only the site shows, made of docstrings, is on the page of the interface."""
    page = (site / "docs" / "reference" / "api.html").read_text()
    for name in (
        *("pypool.Pool.map", "pypool.Pool.imap_unordered", "pypool.Pool.rank", "pypool.sge.Pool"),
        *("pypool.AsyncResult.get", "pypool.results.IMapIterator.next", "pypool.rng"),
        *("pypool.Task", "pypool.WorkerLostError"),
    ):
        assert f'id="{name}"' in page
