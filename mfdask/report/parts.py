"""Helpers for figures: colours, labels, rules and lists to choose from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from bokeh.models import InlineStyleSheet
from bokeh.models.annotations import Span
from bokeh.models.widgets import Select
from bokeh.plotting import figure

from mfdask.figures.figure import plain
from mfdask.figures.theme import COLOURS, LIGHT

#: Longer titles are cut on an axis; the tooltip has them whole.
_LABEL = 38


def colours_of(names: Iterable[object]) -> dict[str, str]:
    """Return a colour for each different name, in order; after the last colour comes the first."""
    unique = dict.fromkeys(map(str, names))
    return {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(unique)}


def rule(plot: figure, at: float, *, upright: bool, dash: str = "dotted") -> None:
    """Draw a line across the plot at a value of the x axis (`upright`) or of the y axis."""
    plot.add_layout(
        Span(
            location=at,
            dimension="height" if upright else "width",
            line_color=LIGHT["soft"],
            line_dash=dash,
            tags=[{"line_color": "soft"}],
        )
    )


def shortened(title: str, most: int = _LABEL) -> str:
    """Return a title that fits beside an axis, of at most so many characters."""
    return title if len(title) <= most else f"{title[: most - 1]}…"


def slug(name: str) -> str:
    """Return a name in small letters, digits and hyphens, as names of figures are."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "model"


def labels_of(titles: Iterable[str], most: int = _LABEL) -> list[str]:
    """Return titles as different, short categories of an axis; equal ones get a number."""
    made: dict[str, None] = {}
    for title in titles:
        label, number = plain(shortened(title, most)), 1
        while label in made:
            number += 1
            label = f"{plain(shortened(title, most))} ({number})"
        made[label] = None
    return list(made)


def label_of_each(names: Iterable[object]) -> dict[str, str]:
    """Return the label of each different name, by name; see `labels_of`."""
    unique = list(dict.fromkeys(map(str, names)))
    return dict(zip(unique, labels_of(unique), strict=True))


def named(ids: Iterable[object], titles: Iterable[str]) -> list[str]:
    """Return what to call items: the title, or where there is none ``item`` and the id."""
    return [title or f"item {each}" for each, title in zip(ids, titles, strict=True)]


def measures_table(name: str, columns: Mapping[str, Mapping[str, object]]) -> pd.DataFrame:
    """Return a table of measures of several kinds, whose own names stand in a column `name`."""
    measured = {column: pd.Series(values, dtype=object) for column, values in columns.items()}
    return pd.concat(measured, axis=1, sort=False).rename_axis(name).reset_index()


def chooser(label: str, options: Sequence[str]) -> Select:
    """Return a list to choose from, in the colours of the page."""
    sheet = InlineStyleSheet(
        css="""
        :host { font: 13px system-ui, sans-serif; color: var(--soft, inherit); }
        select.bk-input { color: var(--ink, #1c2128); background-color: var(--ground, #ffffff);
          border-color: var(--line, #d8dee4); }
        """
    )
    choices: list[str | tuple[Any, str]] = [*options]
    return Select(title=label, value=options[0], options=choices, width=260, stylesheets=[sheet])
