"""A table of any length on a page: sorted, filtered and cut into leaves on the server."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html import escape
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from bokeh.layouts import column
from bokeh.models.ui import UIElement
from bokeh.models.widgets import TextInput

from mfdask.app.lists import button, element
from mfdask.app.page import AppPage
from mfdask.errors import InputError
from mfdask.figures.figure import cell_words
from mfdask.recommendation.where import Condition

_LINES = 15
_IDS = re.compile(r".*_id|run|group|suggested_\d+")
#: Signs of a text that takes a line or two.
_LONG = 60


class TableView:
    """A table that a reader sorts by a column, filters, and saves as CSV.

    Attributes
    ----------
    root : UIElement
    """

    def __init__(
        self,
        page: AppPage,
        name: str,
        table: pd.DataFrame,
        pick: Callable[[pd.Series], None] | None = None,
        *,
        filtered: bool = True,
        sort: str = "",
    ) -> None:
        """Make the view.

        Parameters
        ----------
        page : AppPage
        name : str
            Of small letters, unique on the page: for its address and actions.
        table : DataFrame
        pick : callable, optional
            What a click on a line does, with the line.
        filtered : bool
            Whether there is a field for a filter.
        sort : str
            Column to sort by at first, with ``-`` before it from the largest down.
        """
        self._page, self._name, self._pick = page, name, pick
        self._table = table.reset_index(drop=True)
        address = page.address
        self._sort = address.text(f"{name}-sort", sort)
        self._first = int(address.number(f"{name}-from", 0, 0, 1e9)) // _LINES * _LINES
        self._html = page.html(name)
        self.filter = page.watch(
            TextInput(
                title="Filter: a text, or a condition such as score > 3",
                value=address.text(f"{name}-where"),
                sizing_mode="stretch_width",
                visible=filtered,
            ),
            self._from_the_top,
        )
        self.root: UIElement = column(self.filter, self._html, sizing_mode="stretch_width")
        self._texts: pd.Series | None = None
        self.show()

    def state(self) -> dict[str, Any]:
        """Return the state for the address."""
        own = {"sort": self._sort, "where": self.filter.value, "from": self._first or None}
        return {f"{self._name}-{key}": value for key, value in own.items()}

    def actions(self) -> Mapping[str, Callable[[dict[str, str]], None]]:
        """Return what answers the buttons of the table."""
        return {
            f"{self._name}-sort": self._sort_by,
            f"{self._name}-leaf": self._turn,
            f"{self._name}-save": lambda said: self._page.offer(self._name, self._chosen()),
            f"{self._name}-pick": self._pick_line,
        }

    @property
    def whole(self) -> pd.DataFrame:
        """The table, unfiltered and in its own order."""
        return self._table

    def take(self, table: pd.DataFrame, sort: str = "") -> None:
        """Show another table from its top, sorted as before if it can be."""
        if sort and self._sort.removeprefix("-") not in table:
            self._sort = sort
        self._table, self._texts, self._first = table.reset_index(drop=True), None, 0
        self.show()

    # ---- what a reader says

    def _sort_by(self, said: dict[str, str]) -> None:
        name = said["column"]
        self._sort = f"-{name}" if self._sort == name else name
        self._from_the_top()

    def _turn(self, said: dict[str, str]) -> None:
        self._first = max(0, int(said["first"]))
        self.show()

    def _from_the_top(self) -> None:
        self._first = 0
        self.show()

    def _pick_line(self, said: dict[str, str]) -> None:
        if self._pick is not None:
            line = self._table.iloc[[int(said["line"])]]
            self._pick(line.astype(object).iloc[0])  # an id stays whole beside fractions

    # ---- what is shown

    def _chosen(self) -> pd.DataFrame:
        """Return the lines that the filter leaves, in order; the index is that of the table."""
        text = self.filter.value.strip()
        table = self._table[self._holds(text)] if text else self._table
        name = self._sort.removeprefix("-")
        if name in table:
            down = self._sort.startswith("-")
            table = table.sort_values(name, ascending=not down, kind="stable", na_position="last")
        return table

    def _holds(self, text: str) -> Any:
        try:
            condition = Condition.parse(text, self._table.columns)
        except InputError:
            if self._texts is None:
                self._texts = _joined(self._table)
            return self._texts.str.contains(text.casefold(), regex=False)
        return condition.holds(self._table)

    def show(self) -> None:
        """Write the leaf of lines that is to be seen."""
        chosen = self._chosen()
        self._first = min(self._first, max(0, (len(chosen) - 1) // _LINES * _LINES))
        leaf = chosen.iloc[self._first : self._first + _LINES]
        names = [str(name) for name in leaf]
        kinds = [_kind(leaf[name]) for name in leaf]
        head = "".join(self._head(name, kind) for name, kind in zip(names, kinds, strict=True))
        lines = [
            self._line(int(index), values, kinds)
            for index, values in zip(leaf.index, _cells(leaf, kinds), strict=True)
        ]
        body = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
        self._html.text = body + self._pager(len(chosen))

    def _head(self, name: str, kind: str) -> str:
        order = {name: "ascending", f"-{name}": "descending"}.get(self._sort, "none")
        mark = {"ascending": " ▲", "descending": " ▼", "none": ""}[order]
        text = f"{name.replace('_', ' ')}{mark}"
        inside = button(text, f"{self._name}-sort", data_column=name)
        return f'<th class="{kind}" aria-sort="{order}">{inside}</th>'

    def _line(self, index: int, values: list[str], kinds: list[str]) -> str:
        cells = [_cell(value, kind) for value, kind in zip(values, kinds, strict=True)]
        if self._pick is not None and cells:
            text = values[0] or "show"
            shown = button(text, f"{self._name}-pick", title=text, data_line=index)
            cells[0] = f'<td class="text">{shown}</td>'
        return f"<tr>{''.join(cells)}</tr>"

    def _pager(self, n: int) -> str:
        last = min(self._first + _LINES, n)
        some = f"{self._first + 1:,} to {last:,} of {n:,} lines" if n else "no lines"
        leaf = f"{self._name}-leaf"
        parts = [element("span", some)]
        if n > _LINES:
            for text, first in (("Back", self._first - _LINES), ("On", self._first + _LINES)):
                off = {} if 0 <= first < n else {"disabled": ""}
                parts.append(button(text, leaf, data_first=first, **off))
        if n:
            parts.append(button("Save as CSV", f"{self._name}-save"))
        return f'<div class="pager">{"".join(parts)}</div>'


def _cell(value: str, kind: str) -> str:
    """Return a cell; of a long text two lines, and the whole where the mouse rests on it."""
    text = f"<bdi>{escape(value)}</bdi>"
    if len(value) > _LONG:
        text = f'<span class="long" title="{escape(value)}">{text}</span>'
    return f'<td class="{kind}">{text}</td>'


def is_id(name: str) -> bool:
    """Return whether a column holds ids or runs, which are no numbers to be set in thousands."""
    return _IDS.fullmatch(name) is not None


def _kind(column: pd.Series) -> str:
    """Return how a column is written."""
    if is_id(str(column.name)):
        return "text"
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return "text when"
    return "number" if pd.api.types.is_numeric_dtype(column.dtype) else "text"


def _cells(leaf: pd.DataFrame, kinds: list[str]) -> list[list[str]]:
    columns = [
        [str(v) if kind == "text" and isinstance(v, Integral) else cell_text(v) for v in own]
        for own, kind in zip(
            (leaf[name].astype(object).tolist() for name in leaf), kinds, strict=True
        )
    ]
    return [list(line) for line in zip(*columns, strict=True)]


def cell_text(value: Any) -> str:
    """Return a value of a table in words: times to the minute, all else as in figures."""
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}" if value == value.normalize() else f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, list | tuple | np.ndarray):
        return ", ".join(map(str, value))
    return cell_words(value)


def _joined(table: pd.DataFrame) -> pd.Series:
    """Return each line as one text in lower case."""
    parts = [table[name].astype("str").fillna("") for name in table]
    joined = pd.Series("", index=table.index)
    for part in parts:
        joined = joined + part + "\n"
    return joined.str.casefold()
