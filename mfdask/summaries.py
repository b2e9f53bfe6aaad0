"""A few facts about an object as lines of text and, for notebooks, as an HTML table."""

from __future__ import annotations

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
        lines = [f"  {name:<{width}}  {_plain(fact)}" for name, fact in facts.items()]
        return "\n".join([_plain(title), *lines])

    def _repr_html_(self) -> str:
        """Return the same as a table; text from data is text, not markup."""
        title, facts = self.summary()
        rows = "".join(
            f'<tr><th style="text-align:left">{escape(name)}</th>'
            f'<td style="text-align:left"><bdi>{escape(_plain(fact))}</bdi></td></tr>'
            for name, fact in facts.items()
        )
        caption = f'<caption style="text-align:left"><bdi>{escape(_plain(title))}</bdi></caption>'
        return f"<table>{caption}{rows}</table>"


def _plain(text: str) -> str:
    """Return a text from data without what a terminal or a page would obey."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
