"""The page of threats and the tests name the same ones."""

from importlib import import_module
from pathlib import Path

from .threats import TITLES, answered


def test_every_threat_has_a_test() -> None:
    """What the page says is shown, and what is shown stands there."""
    for path in Path(__file__).parent.glob("test_*.py"):
        import_module(f"{__package__}.{path.stem}")
    assert answered == set(TITLES)
    assert len(TITLES) == 12
