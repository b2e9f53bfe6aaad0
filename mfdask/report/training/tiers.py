"""Figure of the tiers of speed that `mfdask bench tiers --json` measured."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from bokeh.models.ui import UIElement

from mfdask.errors import InputError
from mfdask.figures.figure import Figure, add_hover, new_plot, plain
from mfdask.figures.theme import MAIN

_COLUMNS = ["name", "what", "seconds_scaled", "speedup", "ratings_measured", "ratings_total"]


def read_tiers(file: Path) -> tuple[pd.DataFrame, str]:
    """Read what `mfdask bench tiers --json` printed.

    Returns
    -------
    table : DataFrame
        `tier`, `what`, `seconds` (a sweep), `times_as_fast` (as the first tier), `measured` (share
        of the sweep that was timed; the rest is scaled).
    where : str
        Data and machine, in words.

    Raises
    ------
    InputError
        If the file is not there or holds something else.
    """
    try:
        said = json.loads(file.read_text())
        found = pd.DataFrame(said["tiers"])[_COLUMNS]
        machine = said["machine"]
        where = (
            f"{said['ratings']:,} ratings of {said['data']}, {said['factors']} factors, on "
            f"{machine['cores']} cores ({machine['processor']})"
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{file}: not what `mfdask bench tiers --json` prints ({error}); save that to a file"
        ) from error
    table = found.rename(
        columns={"name": "tier", "seconds_scaled": "seconds", "speedup": "times_as_fast"}
    )
    table["measured"] = table.pop("ratings_measured") / table.pop("ratings_total")
    return table, where


class Tiers(Figure):
    """Seconds a sweep in each tier: the table of `read_tiers`."""

    name = "tiers"
    title = "One sweep, ever better executed"

    def __init__(self, numbers: pd.DataFrame, where: str) -> None:
        self.caption = (
            f"Seconds for a whole sweep on a log scale, {where}. Slow tiers were timed on a part "
            "of the rows, spread evenly, and scaled; the tooltip has the share."
        )
        super().__init__(numbers)

    def columns(self, numbers: pd.DataFrame) -> dict[str, object]:
        """Return the table, with labels."""
        names = [plain(str(name)) for name in numbers["tier"]]
        times = [f"{times:,.3g} times as fast" for times in numbers["times_as_fast"]]
        return {**super().columns(numbers), "_tier": names, "_label": ["", *times[1:]]}

    def draw(self) -> UIElement:
        """Return a dot for each tier, the slowest on top."""
        seconds = self._numbers["seconds"]
        plot = new_plot(
            "seconds a sweep (log scale)",
            "",
            height=120 + 34 * len(seconds),
            x_axis_type="log",
            x_range=(seconds.min() / 2, seconds.max() * 9),
            y_range=list(reversed(self.source.data["_tier"])),
        )
        dots = plot.scatter("seconds", "_tier", **self.filled(MAIN, line_color=MAIN, size=12))
        beside = {"x_offset": 12, "text_baseline": "middle"}
        self.write(plot, "seconds", "_tier", "_label", "ink", **beside)
        words = [("tier", "@tier"), ("what", "@what"), ("seconds a sweep", "@seconds{0,0.0000}")]
        times, share = ("times as fast", "@times_as_fast{0,0.0}"), ("timed", "@measured{0.0%}")
        add_hover(plot, dots, [*words, times, share])
        return plot
