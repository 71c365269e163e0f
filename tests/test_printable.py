"""Text from elsewhere on a terminal."""

import pytest

from pypool.printable import printable


@pytest.mark.parametrize("text", ["", "plain", "two\nlines\tand a tab", "grün, 北京, €"])
def test_what_is_harmless_stays(text: str) -> None:
    """Whatever its language."""
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("over\rwritten", r"over\rwritten"),
        ("line\r\n", "line\n"),
        ("\x9b31m\x7f\0", r"\x9b31m\x7f\x00"),
        ("user\u202etxt.exe", r"user\u202etxt.exe"),
        ("a\u2028b\u200b", r"a\u2028b\u200b"),
        ("\udc80", r"\udc80"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    """Those of terminals, of directions, and invisible ones."""
    assert printable(text) == shown
