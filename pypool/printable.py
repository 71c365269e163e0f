"""Text that came from elsewhere, as it may be shown on a terminal.

What a task, a node or a scheduler has printed may hold characters by which a terminal is told to
do things, or by which a line reads other than it is: they are shown as escapes.
"""

import unicodedata

_KEPT = "\n\t"
_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of control and format characters, surrogates, and other ends of lines."""


def printable(text: str) -> str:
    r"""The text with its control characters escaped; line ends and tabs stay.

    A carriage return at the end of a line is dropped: some programs end their lines so.
    """
    text = text.replace("\r\n", "\n")
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(each if _is_harmless(each) else _escaped(each) for each in text)


def _is_harmless(character: str) -> bool:
    return character in _KEPT or unicodedata.category(character) not in _HARMFUL


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
