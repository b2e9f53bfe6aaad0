"""Figures of suspected shared accounts: genres before and after the hand-over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from bokeh.models import FactorRange, NumeralTickFormatter
from bokeh.plotting import figure

from mfdask.figures import theme
from mfdask.figures.figure import add_hover, lift_legend, new_plot, plain
from mfdask.report.findings.ratings import ratings_among
from mfdask.report.parts import label_of_each
from mfdask.report.plot_row import PlotRow
from mfdask.shards import Dataset

#: Genres that are shown of each account, those whose shares differ most.
_GENRES = 7


def handover_table(data: Dataset, flagged: pd.DataFrame) -> pd.DataFrame:
    """Return what accounts rated before and after their likeliest hand-over, by genre.

    Parameters
    ----------
    data : Dataset
    flagged : DataFrame
        `user_id`, each once, and `handover` (UTC); ids that are not in the data set are passed
        over.

    Returns
    -------
    DataFrame
        `user_id, genre, before, after`: the shares of the account's ratings that are of items of a
        genre, for the genres whose shares differ most; those more frequent before first.
    """
    rows = data.rows_of("users", flagged["user_id"])
    known = flagged[rows >= 0].assign(user=rows[rows >= 0])
    found = ratings_among(data, users=known["user"].to_numpy())
    found = found.merge(known[["user", "user_id", "handover"]], on="user")
    handover = pd.to_datetime(found["handover"], utc=True).dt.tz_localize(None)  # as `time` is
    found["when"] = np.where(found["time"] < handover, "before", "after")
    total = found.groupby(["user_id", "when"]).size()
    found["genre"] = data.items()["genres"].iloc[found["item"]].str.split("|").array
    long = found.explode("genre")
    counts = long[long["genre"] != ""].groupby(["user_id", "genre", "when"]).size()
    shares = (counts / total).unstack("when").reindex(columns=["before", "after"]).fillna(0.0)
    shares["change"] = shares["after"] - shares["before"]
    kept = []
    for user in known["user_id"]:
        if user in shares.index:
            own = shares.loc[user]
            most = own.loc[own["change"].abs().nlargest(_GENRES).index].sort_values("change")
            kept.append(most.reset_index().assign(user_id=user).dropna(subset="genre"))
    columns = ["user_id", "genre", "before", "after"]
    return pd.concat(kept, ignore_index=True)[columns] if kept else pd.DataFrame(columns=columns)


class Handovers(PlotRow):
    """The table of `handover_table`, a plot for each account."""

    name = "shared-accounts"
    title = "Accounts that seem shared"
    caption = (
        "The shares of an account's ratings by genre, before (orange) and after (blue) the day on "
        "which it likeliest went from one person to another. One person's tastes change too: this "
        "is a reason to look, and no proof."
    )

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the table, with ids as text and genres as labels."""
        self._labels = label_of_each(numbers["genre"])
        return {
            **super().columns(numbers),
            "_user": numbers["user_id"].astype(str).tolist(),
            "_genre": [self._labels[name] for name in numbers["genre"]],
        }

    def plots(self) -> Iterable[figure]:
        """Draw a plot for each account."""
        for user, own in self._numbers.groupby("user_id", sort=False):
            yield self._plot(str(user), [self._labels[name] for name in own["genre"]])

    def _plot(self, user: str, genres: list[str]) -> figure:
        lines, height = FactorRange(factors=genres[::-1]), 124 + 24 * len(genres)
        title = plain(f"user {user}")
        plot = new_plot("share of the ratings", "", height=height, title=title, y_range=lines)
        own: dict[str, Any] = {"source": self.source, "view": self.view("_user", user)}
        look: dict[str, Any] = {"line_width": 3, "line_alpha": 0.4, "line_color": theme.MAIN}
        bars = plot.segment("before", "_genre", "after", "_genre", **own, **look)
        for when, colour in (("before", theme.OTHER), ("after", theme.MAIN)):
            look = self.filled(colour, legend_label=when, **own)
            plot.scatter(when, "_genre", size=10, **look)
        lift_legend(plot)
        plot.xaxis.formatter = NumeralTickFormatter(format="0%")
        words = [("genre", "@genre"), ("before", "@before{0%}"), ("after", "@after{0%}")]
        add_hover(plot, bars, words)
        return plot
