"""The ratings behind a line of a table: of a user, or of an item, with their times."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from bokeh.models import DatetimeTicker, DatetimeTickFormatter, NumeralTickFormatter, Range1d
from bokeh.models.annotations import BoxAnnotation
from bokeh.models.ui import UIElement

from mfdask.app.site import Shown
from mfdask.errors import InputError
from mfdask.figures.figure import Figure, add_hover, new_plot
from mfdask.figures.theme import MAIN, OTHER
from mfdask.report.parts import named
from mfdask.shards import Dataset

#: Milliseconds.
_DAY = 86_400_000
_PARTS = ("train", "test")
_COLUMNS = ("user_id", "item_id", "title", "rating", "when", "part")


def ratings_of_user(shown: Shown, user_id: Any) -> pd.DataFrame:
    """Return all ratings of a user, held-out ones too, the newest first.

    `user_id`, `item_id`, `title`, `rating`, `when` (missing where there are no times), `part`

    Raises
    ------
    InputError
        If the data set is not there, or does not know the user.
    """
    data = _data(shown)
    row = _row(data, "users", user_id)
    block = int(np.searchsorted(data.bounds("users"), row, side="right")) - 1
    return _table(data, _of_block(data, block, lambda rows, items: rows == row))


def ratings_of_item(shown: Shown, item_id: Any) -> pd.DataFrame:
    """Return all ratings of an item, as `ratings_of_user` does.

    Raises
    ------
    InputError
        If the data set is not there, or does not know the item.
    """
    data = _data(shown)
    row = _row(data, "items", item_id)
    found = [
        part
        for block in range(data.n_blocks("users"))
        for part in _of_block(data, block, lambda rows, items: items == row)
    ]
    return _table(data, found)


def _data(shown: Shown) -> Dataset:
    if shown.data is None:
        raise InputError("the ratings behind a line are in the data set, which is not here")
    return shown.data


def _row(data: Dataset, side: str, key: Any) -> int:
    (row,) = data.rows_of(side, [key]).tolist()
    if row < 0:
        raise InputError(f"{side[:-1]} {key}: not in the data set; the table is of other data")
    return int(row)


def _of_block(data: Dataset, block: int, chosen: Any) -> Iterator[pd.DataFrame]:
    for part in _PARTS:
        shard, times = data.shard("users", block, part), data.timestamps(block, part)
        if part == "test" and not data.n_test:
            continue
        at = np.flatnonzero(chosen(shard.rows, shard.indices))
        when = np.full(len(at), np.nan) if times is None else times[at]
        yield pd.DataFrame(
            {
                "user": shard.rows[at],
                "item": shard.indices[at],
                "rating": shard.ratings[at],
                "when": pd.to_datetime(pd.Series(when), unit="s"),
                "part": part,
            }
        )


def _table(data: Dataset, found: Any) -> pd.DataFrame:
    table = pd.concat(list(found), ignore_index=True)
    items = data.items().iloc[table["item"].to_numpy()].reset_index(drop=True)
    titles = items["title"].fillna("") if "title" in items else [""] * len(items)
    table["user_id"] = data.users()["user_id"].take(table["user"].to_numpy()).array
    table["item_id"] = items["item_id"].array
    table["title"] = named(items["item_id"], titles)
    newest = table.sort_values("when", ascending=False, kind="stable", ignore_index=True)
    return newest[list(_COLUMNS)]


class RatingsOverTime(Figure):
    """Ratings by their times: `when`, `rating`, `title`, `user_id`."""

    name = "timeline"
    title = "Its ratings over time"
    caption = (
        "Each dot is a rating of the user, or of the item, that was chosen in the table; the time "
        "that the line is about is shaded."
    )

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the ratings that have a time."""
        timed = numbers.dropna(subset="when")
        texts = {name: timed[name].astype("str").tolist() for name in ("title", "user_id")}
        return {"when": timed["when"].to_numpy(), "rating": timed["rating"].to_numpy(), **texts}

    def draw(self) -> UIElement:
        """Return dots over time."""
        ranges: dict[str, Any] = {"x_range": Range1d(), "y_range": Range1d()}
        self._plot = plot = new_plot("", "rating", height=300, x_axis_type="datetime", **ranges)
        plot.yaxis.formatter = NumeralTickFormatter(format="0.[0]")
        self._span = BoxAnnotation(fill_color=OTHER, fill_alpha=0.12, visible=False)
        plot.add_layout(self._span)
        look = self.filled(MAIN, fill_alpha=0.45, size=7)
        words = [
            ("", "@title"),
            ("user", "@user_id"),
            ("rating", "@rating{0.[0]}"),
            ("", "@when{%F}"),
        ]
        dots = plot.scatter("when", "rating", **look)
        add_hover(plot, dots, words)
        plot.hover[-1].formatters = {"@when": "datetime"}
        # Dates are long, and a phone is narrow.
        plot.xaxis.ticker = DatetimeTicker(desired_num_ticks=4)
        plot.xaxis.formatter = DatetimeTickFormatter(days="%d %b %Y", months="%b %Y", years="%Y")
        return plot

    def shade(self, start: Any, end: Any) -> None:
        """Mark a span of time, none where an end is missing."""
        known = not (pd.isna(start) or pd.isna(end))
        ends = [pd.Timestamp(moment) for moment in (start, end)] if known else [None, None]
        self._span.update(left=ends[0], right=ends[1], visible=known)

    def follow(self) -> None:
        """Take over the ends, with some room; nothing is not drawn."""
        when: Any = self.source.data["when"]
        rating: Any = self.source.data["rating"]
        self._plot.visible = bool(len(when))
        if not len(when):
            return
        ends = np.array([min(when), max(when)], "datetime64[ms]").astype(np.int64)
        first, last = ends.tolist()
        room = max((last - first) // 20, _DAY)
        self._plot.x_range.update(start=first - room, end=last + room)
        low, high = float(min(rating)), float(max(rating))
        self._plot.y_range.update(start=low - 0.25, end=high + 0.25)
