"""Find the one item that a title written by a person means."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from mfdask.errors import InputError
from mfdask.recommendation.candidates import parse_id

_YEAR = re.compile(r"\((\d{4})\)\s*$")
_ALSO = re.compile(r"\(([^()]*)\)")
_ARTICLE = re.compile(
    r"^(.*), (the|a|an|le|la|les|l'|un|une|der|die|das|el|los|las|il|lo|gli|i|en|den|det|de)$",
    re.IGNORECASE,
)
_SHOWN = 8

#: Ways for a name to be meant, the strictest first; the first that fits any item decides.
_FITS: tuple[Callable[[str, str], bool], ...] = (
    lambda name, text: name == text,
    lambda name, text: f"{name} ".startswith(f"{text} "),
    lambda name, text: f" {text} " in f" {name} ",
    lambda name, text: text in name,
)


class Titles:
    """Finds items by title.

    Case, accents and punctuation do not matter, nor does where "The" stands; the year and the end
    of a title may be left out as long as one item alone fits.

    Parameters
    ----------
    items : DataFrame
        `item_id`, `n_train`, and `title` where there are titles; in row order.
    """

    def __init__(self, items: pd.DataFrame) -> None:
        self._items = items
        self._ids = {str(item_id): item_id for item_id in items["item_id"].tolist()}
        self._rows_of_id = {text: [row] for row, text in enumerate(self._ids)}
        titles = items["title"].tolist() if "title" in items else []
        self._names = [
            (name, year, row)
            for row, title in enumerate(titles)
            for name, year in _readings(title)
            if name
        ]

    def find(self, text: str) -> object:
        """Return the raw id of the item that is meant: by id (``1`` or ``id:1``) or by title.

        What may be either is taken as an id, unless it begins with ``title:``.

        Raises
        ------
        InputError
            If no item fits, or several do; it lists them with their ids.
        """
        text = text.strip()
        if text.startswith("id:"):
            return parse_id(text[3:], self._items["item_id"], text)
        if text in self._ids:
            return self._ids[text]
        text = text.removeprefix("title:").strip()
        if not self._names:
            first = next(iter(self._ids), "1")
            raise InputError(
                f"{text!r}: no item has this id, and this model knows no titles; an id is, for "
                f"example, {first}"
            )
        name, year = _split(text)
        rows = self._fitting(_plain(name), year)
        if len(rows) == 1:
            return self._items["item_id"].tolist()[rows[0]]
        if rows:
            raise InputError(f"{text!r} may be {self._list(rows)}; give its year, or id:… of it")
        wanted = "id or title" if text.isdecimal() else "title"
        raise InputError(f"{text!r}: no such {wanted}{self._nearest(_plain(name))}")

    def search(self, text: str, top: int = _SHOWN) -> list[int]:
        """Return the rows of items that a beginning of a title may mean, for a reader who types.

        Those that fit strictest come first, and of these the most rated; an id comes before all.
        """
        name, year = _split(text.strip())
        plain = _plain(name)
        hits = (
            [each for each in self._names if plain in each[0] and year in (None, each[1])]
            if plain
            else []
        )
        rows = list(self._rows_of_id.get(text.strip(), ()))
        for fits in (lambda own: own == plain, lambda own: own.startswith(plain),
                     lambda own: f" {plain}" in own, lambda own: True):  # fmt: skip
            rows += sorted({row for own, _, row in hits if fits(own)})
            if len(set(rows)) >= top:
                break
        return list(dict.fromkeys(rows))[:top]

    def name_of(self, item_id: object) -> str:
        """Return an item's title with its id, or the id alone where it has no title."""
        (row,) = np.flatnonzero(self._items["item_id"] == item_id)
        title = self._items["title"].iloc[row] if "title" in self._items else None
        return f"{title}, id {item_id}" if title else f"id {item_id}"

    def _fitting(self, name: str, year: str | None) -> list[int]:
        """Return the rows that fit best, most rated first (the order of rows)."""
        if not name:
            return []
        for fits in _FITS:
            rows = {
                row
                for own, own_year, row in self._names
                if (year is None or year == own_year) and fits(own, name)
            }
            if rows:
                return sorted(rows)
        return []

    def _list(self, rows: list[int]) -> str:
        table = self._items.iloc[rows[:_SHOWN]]
        shown = [f"id:{i} {t}" for i, t in zip(table["item_id"], table["title"], strict=True)]
        more = f", or one of {len(rows) - _SHOWN:,} more" if len(rows) > _SHOWN else ""
        return ", ".join(shown) + more

    def _nearest(self, name: str) -> str:
        close = difflib.get_close_matches(name, [own for own, _, _ in self._names], n=3)
        rows = sorted({row for own, _, row in self._names if own in close})
        return f"; nearest: {self._list(rows)}" if rows else ""


def _readings(title: str) -> Iterator[tuple[str, str | None]]:
    """Give each name a title goes by, with its year: the first, and those in brackets."""
    name, year = _split(title)
    yield _plain(_ALSO.sub("", name)), year
    for other in _ALSO.findall(name):
        yield _plain(re.sub(r"^a\.?k\.?a\.? ", "", other.strip(), flags=re.IGNORECASE)), year
    if _ALSO.search(name):
        yield _plain(name), year


def _split(title: str) -> tuple[str, str | None]:
    """Take the year off."""
    found = _YEAR.search(title)
    return (title[: found.start()], found.group(1)) if found else (title, None)


def _plain(name: str) -> str:
    """Return a name in lower case, its article in front, without accents or punctuation."""
    name = name.strip()
    moved = _ARTICLE.match(name)
    if moved:
        name = f"{moved.group(2)} {moved.group(1)}"
    letters = unicodedata.normalize("NFKD", name).casefold()
    kept = "".join(c for c in letters if not unicodedata.combining(c) and c not in "'\u2019")
    return " ".join(re.findall(r"\w+", kept))
