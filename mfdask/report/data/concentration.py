"""Figures of how uneven and how empty a data set is: the share of the tail, and memory."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from bokeh.models import NumeralTickFormatter
from bokeh.plotting import figure

from mfdask.figures import theme
from mfdask.figures.figure import Figure, ListFigure, add_hover, lift_legend, new_plot
from mfdask.report.data.facts import Facts, Ints
from mfdask.report.parts import rule

_SIDES = {"users": theme.MAIN, "items": theme.OTHER}
_POINTS = 101
#: What the tail is: all but the most rated fifth.
_HEAD = 0.2
#: Numbers of factors whose memory is shown.
_FACTORS = 20


def head_share(counts: Ints, share: float) -> float:
    """Return the share of the ratings that the most rated `share` of the counts has."""
    ordered = np.sort(counts)[::-1]
    return float(ordered[: int(np.ceil(share * len(ordered)))].sum() / ordered.sum())


class TailShare(Figure):
    """Which share of the ratings the most rated have, and so what is left to the tail."""

    name = "tail-share"
    title = "Head and tail"

    def __init__(self, numbers: pd.DataFrame, tails: dict[str, float]) -> None:
        self.caption = (
            "The share of all ratings that the most rated users, or items, have. The four fifths "
            f"with fewest ratings have {tails['users']:.1%} of them among users, and "
            f"{tails['items']:.1%} among items. If all had as many, the lines would be the dotted "
            "one."
        )
        super().__init__(numbers)

    @classmethod
    def of(cls, facts: Facts) -> Self:
        """Make it for a data set."""
        shares = np.linspace(0, 1, _POINTS)
        table = {"share": shares}
        for side in _SIDES:
            ordered = np.sort(facts.counts(side))[::-1]
            part = np.append(0, np.cumsum(ordered)) / ordered.sum()
            table[side] = np.interp(shares * len(ordered), np.arange(len(part)), part)
        tails = {side: 1 - head_share(facts.counts(side), _HEAD) for side in _SIDES}
        return cls(pd.DataFrame(table), tails)

    def draw(self) -> figure:
        """Return a line for each side."""
        plot = new_plot("share of users or items, the most rated first", "share of the ratings")
        for side, colour in _SIDES.items():
            look: dict[str, Any] = {"source": self.source, "color": colour}
            line = plot.line("share", side, line_width=2.5, legend_label=side, **look)
            of_side = (f"first {side}", "@share{0%}")
            add_hover(plot, line, [of_side, ("of the ratings", f"@{side}{{0.0%}}")])
        even: dict[str, Any] = {"line_dash": "dotted", "source": self.source}
        plot.line("share", "share", **even).glyph.tags = [{"line_color": "soft"}]
        rule(plot, _HEAD, upright=True)
        lift_legend(plot)
        plot.xaxis.formatter = plot.yaxis.formatter = NumeralTickFormatter(format="0%")
        return plot


def memory_table(n: int, n_users: int, n_items: int) -> pd.DataFrame:
    """Return `what` and `bytes` of ways to hold ratings in memory, the largest first.

    A sparse matrix has a column number (int32) and a value (float32) for each rating, and where
    each row begins (int64).

    Parameters
    ----------
    n : int
        Ratings.
    n_users, n_items : int
        All rows of both sides.
    """
    cells, rows = n_users * n_items, n_users + n_items
    ways = {
        "dense, float64": 8 * cells,
        "dense, float32": 4 * cells,
        "sparse, by user": 8 * n + 8 * (n_users + 1),
        "sparse, by user and by item": 16 * n + 8 * (rows + 2),
        f"{_FACTORS} factors and a bias (float32)": 4 * (_FACTORS + 1) * rows,
    }
    return pd.DataFrame({"what": ways.keys(), "bytes": ways.values()})


class Memory(ListFigure):
    """The table of `memory_table`."""

    name = "memory"
    title = "Memory, dense and sparse"
    label = "what"

    def __init__(self, numbers: pd.DataFrame) -> None:
        dense, sparse = numbers["bytes"].iloc[1], numbers["bytes"].iloc[3]
        self.caption = (
            f"Bytes that ratings take, on a log scale. As a table with a cell for every user and "
            f"item they would take {in_bytes(dense)}; sparse and sorted both ways, as models are "
            f"learned, they take {in_bytes(sparse)}: {sparse / dense:.1%} of it."
        )
        super().__init__(numbers)

    @classmethod
    def of(cls, facts: Facts) -> Self:
        """Make it for a data set."""
        data = facts.data
        return cls(memory_table(data.n_train + data.n_test, data.n_users, data.n_items))

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the table, with sizes as a person reads them and the start of a log scale."""
        low = numbers["bytes"].min() / 4
        sizes = list(map(in_bytes, numbers["bytes"]))
        return super().columns(numbers) | {"_size": sizes, "_low": [low] * len(numbers)}

    def draw(self) -> figure:
        """Return a bar for each way."""
        most = self._numbers["bytes"].max()
        ranges: dict[str, Any] = {
            "y_range": self.lines,
            "x_range": (self.source.data["_low"][0], most * 60),
        }
        plot = new_plot("bytes (log scale)", "", height=300, x_axis_type="log", **ranges)
        plot.hbar("what", 0.6, left="_low", right="bytes", **self.filled(theme.MAIN))
        self.write(plot, "bytes", "what", "_size", "ink", x_offset=6, text_baseline="middle")
        plot.ygrid.visible = plot.xaxis.visible = False
        return plot


def in_bytes(n: float) -> str:
    """Write a number of bytes: 812 B, 9.4 MB, 76 GB (powers of ten)."""
    for power, name in ((12, "TB"), (9, "GB"), (6, "MB"), (3, "kB")):
        if n >= 10**power:
            return f"{n / 10**power:.3g} {name}"
    return f"{n:,.0f} B"
