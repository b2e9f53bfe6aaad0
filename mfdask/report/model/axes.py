"""What the axes of a map of items mean: measured, and its figure."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from bokeh.models import Range1d
from bokeh.models.ui import UIElement
from bokeh.transform import dodge

from mfdask.figures.figure import ListFigure, add_hover, lift_legend, new_plot
from mfdask.figures.theme import MAIN, OTHER
from mfdask.report.parts import labels_of, rule

#: Characters of a label: the card is narrow.
_LABEL = 20

Floats = npt.NDArray[np.float64]


def meaning_of_axes(x: Floats, y: Floats, items: pd.DataFrame) -> pd.DataFrame:
    """Measure what lies along the two axes: popularity, year, and each genre.

    Parameters
    ----------
    x, y : float64 (n,)
        Places of items.
    items : DataFrame
        Of these items: `n_train`, and where they are known `year` and `genres`.

    Returns
    -------
    DataFrame
        `feature`, `across` and `up`: Pearson's correlation with the items' x and y, of the
        logarithm of the training ratings, of the year, and of having a genre. What is the same for
        all items is left out. The strongest come first.
    """
    features: dict[str, Any] = {"popularity": np.log1p(items["n_train"].to_numpy(np.float64))}
    if "year" in items:
        features["year"] = items["year"].to_numpy(np.float64, na_value=np.nan)
    if "genres" in items:
        flags = items["genres"].fillna("").str.get_dummies("|")
        features |= {str(name): flags[name].to_numpy(np.float64) for name in flags}
    lines = [
        (name, _correlation(values, x), _correlation(values, y))
        for name, values in features.items()
    ]
    table = pd.DataFrame(lines, columns=["feature", "across", "up"]).dropna()
    strength = table[["across", "up"]].abs().max(axis=1)
    return table.iloc[(-strength).argsort(kind="stable")].reset_index(drop=True)


def _correlation(values: Floats, places: Floats) -> float:
    known = ~np.isnan(values)
    if known.sum() < 3 or np.ptp(values[known]) == 0 or np.ptp(places[known]) == 0:
        return float("nan")
    return float(np.corrcoef(values[known], places[known])[0, 1])


class AxesMeaning(ListFigure):
    """The table of `meaning_of_axes`."""

    name = "axes"
    title = "What the axes mean"
    label = "_label"
    caption = (
        "Correlation of the items' places with what is known of them: +1 lies wholly to the right "
        "(or at the top), -1 to the left (or at the bottom), 0 is not sorted along that axis."
    )

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the table, with short labels as plain text."""
        return {**super().columns(numbers), "_label": labels_of(numbers["feature"], _LABEL)}

    def draw(self) -> UIElement:
        """Return two bars for each feature."""
        ranges: dict[str, Any] = {"x_range": Range1d(start=-1, end=1), "y_range": self.lines}
        self._plot = new_plot("correlation", "", **ranges)
        self._plot.toolbar_location = None
        rule(self._plot, 0, upright=True)
        for name, shift, colour, label in (
            ("across", 0.19, MAIN, "left to right"),
            ("up", -0.19, OTHER, "bottom to top"),
        ):
            look = self.filled(colour, legend_label=label)
            place = dodge("_label", shift, self.lines)
            bars = self._plot.hbar(place, right=name, height=0.34, **look)
            add_hover(self._plot, bars, [("", "@feature"), (label, f"@{name}{{+0.00}}")])
        self._plot.ygrid.visible = False
        lift_legend(self._plot)
        return self._plot

    def follow(self) -> None:
        """Make room for the features there are."""
        super().follow()
        self._plot.height = 110 + 26 * max(1, len(self.lines.factors))
