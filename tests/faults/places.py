"""On which cluster a test is run."""

from typing import Any

import pytest


def on_site(*names: str) -> pytest.MarkDecorator:
    """On the clusters that root has made, or the site's own."""
    return pytest.mark.parametrize(
        "cluster",
        [
            pytest.param((name, False, {}), id=name, marks=getattr(pytest.mark, name))
            for name in names
        ],
        indirect=True,
    )


def on_own(*names: str, **settings: object) -> pytest.MarkDecorator:
    """On a cluster of the test's own, with these settings."""
    return pytest.mark.parametrize(
        "cluster",
        [pytest.param((name, True, settings), id=f"own {name}") for name in names],
        indirect=True,
    )


def takes_long(seconds: int) -> Any:
    """Left to `make test-faults`; the limit is generous, since a machine may be busy."""

    def mark(test: Any) -> Any:
        return pytest.mark.faults(pytest.mark.timeout(seconds)(test))

    return mark
