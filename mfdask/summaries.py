"""A few facts about an object as lines of text and, for notebooks, as an HTML table."""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Mapping
from html import escape


class Summarised(ABC):
    """An object that shows itself by a title and a few facts."""

    @abstractmethod
    def summary(self) -> tuple[str, Mapping[str, str]]:
        """Return the title and the facts by their names."""

    def __repr__(self) -> str:
        """Return the title, and a line for each fact."""
        title, facts = self.summary()
        width = max(map(len, facts))
        lines = [f"  {name:<{width}}  {plain_text(fact)}" for name, fact in facts.items()]
        return "\n".join([plain_text(title), *lines])

    def _repr_html_(self) -> str:
        """Return the same as a table; text from data is text, not markup."""
        title, facts = self.summary()
        rows = "".join(
            f'<tr><th style="text-align:left">{escape(name)}</th>'
            f'<td style="text-align:left"><bdi>{escape(plain_text(fact))}</bdi></td></tr>'
            for name, fact in facts.items()
        )
        caption = (
            f'<caption style="text-align:left"><bdi>{escape(plain_text(title))}</bdi></caption>'
        )
        return f"<table>{caption}{rows}</table>"


#: Joiners between letters, which need them in some scripts and obey nothing.
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"


def plain_text(text: str, kept: str = "") -> str:
    """Return a text from data without what a terminal or a page would obey.

    Escapes, marks of direction and line ends become replacement characters, other spaces a space;
    bytes of a file's name that are no UTF-8 are written out.

    Parameters
    ----------
    text : str
    kept : str
        Signs that stay, such as line ends.
    """
    readable = text.encode(errors="backslashreplace").decode()
    return readable if readable.isascii() and readable.isprintable() else _cleaned(readable, kept)


def _cleaned(text: str, kept: str) -> str:
    kept += _JOINERS
    signs = (" " if unicodedata.category(sign) == "Zs" else sign for sign in text)
    return "".join(
        sign if sign.isprintable() or sign in kept else "\N{REPLACEMENT CHARACTER}"
        for sign in signs
    )
