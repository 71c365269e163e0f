"""The site that `make docs` builds from the Markdown pages, without the network.

The pages are written for a forge, where plain Markdown is all there is. So the source of the site
is the whole project, not `docs/` alone: a link from a page to `../README.md` leads to a page in
both. What only the site needs stands in a page as a comment that a forge does not show:

    <!-- site
    a directive of Sphinx
    -->
"""

import re
from typing import Any

from pypool.version import VERSION

project = "pypool"
version = release = VERSION
copyright = "pypool contributors"

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
root_doc = "docs/README"
include_patterns = [
    "*.md",
    "docs/**.md",
    "tutorial/README.md",
    "tests/clusters/README.md",
]
exclude_patterns = [".*", "bench", "build", "dist", "pypool", "templates"]
"""Not even looked into: an environment in .venv holds thousands of files."""

myst_heading_anchors = 3
highlight_language = "none"
nitpicky = True

autodoc_typehints = "none"  # types stand in the docstrings
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
default_role = "literal"  # `single` quotes in docstrings
toc_object_entries_show_parents = "all"

html_theme = "furo"
html_title = f"pypool {VERSION}"
html_copy_source = False
html_show_sourcelink = False
html_additional_pages = {"index": "to_root_doc.html"}
templates_path = ["templates"]

SITE_ONLY = re.compile(r"<!-- site\n(.*?)^-->$", re.DOTALL | re.MULTILINE)


def uncover(app: Any, name: str, source: list[str]) -> None:
    """Makes what stands in comments for the site a part of the page."""
    source[0] = SITE_ONLY.sub(r"\1", source[0])


def setup(app: Any) -> None:
    app.connect("source-read", uncover)
