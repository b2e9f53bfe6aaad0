"""The pages *Suspects* and *Customers*: tables of other jobs, and what is behind a line."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sized
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from bokeh.layouts import column
from bokeh.models.widgets import Select

from mfdask.app.address import unless
from mfdask.app.behind import RatingsOverTime, ratings_of_item, ratings_of_user
from mfdask.app.lists import element, line_button
from mfdask.app.page import AppPage, Card
from mfdask.app.table import TableView, cell_text, is_id
from mfdask.errors import InputError
from mfdask.nightly.tables import parquet_columns
from mfdask.report.readers.crm import Bands, bands_table, customers_table
from mfdask.report.tables import Absent, read_parquet

#: Columns that are for programs: factors.
_FACTOR = re.compile(r"[pq]\d\d+")
#: Columns that say most come first, in this order, as far as they are there.
_FIRST = (
    *("user_id", "item_id", "entity", "title", "direction", "band", "score", "value"),
    *("p_churn", "risk", "expected_value", "segment", "reason", "suggested_titles"),
)
#: What a table is sorted by at first, the highest first: the first of these that it has.
_SORTED_BY = ("score", "p_churn", "expected_value", "evidence")


class TablesPage(AppPage):
    """One of several tables, and the ratings behind a line of it."""

    nothing: ClassVar[str]

    @abstractmethod
    def files(self) -> Mapping[str, Path]:
        """Return the tables by name."""

    def build(self) -> None:
        """See `AppPage.build`."""
        self._files = self.files()
        if not self._files:
            raise InputError(self.nothing)
        names = list(self._files)
        options: list[str | tuple[Any, str]] = [(name, name.replace("_", " ")) for name in names]
        value = self.address.choice("table", names, names[0])
        self.choice: Select = self.watch(
            Select(title="Table", value=value, options=options, visible=len(names) > 1),
            self._take_table,
        )
        lines = self._read()
        self.table = TableView(self, "lines", lines, self._pick, sort=_sort_of(lines))
        self.behind = TableView(self, "ratings", _NOTHING, filtered=False)
        self.chosen = self.address.text("chosen")
        self.about = self.html("about", element("p", "Choose a line of the table.", "soft"))
        self.timeline = RatingsOverTime(_NOTHING)
        top = column(self.choice, self.table.root, sizing_mode="stretch_width")
        self.facts = self.html("facts")
        over_time = column(self.timeline.root, self.facts, sizing_mode="stretch_width")
        below = column(self.about, self.behind.root, sizing_mode="stretch_width")
        self.cards = [
            Card("lines", "", top, self._caption(), "wide"),
            Card("timeline", self.timeline.title, over_time, self.timeline.caption),
            Card("ratings", "The ratings behind it", below),
        ]
        if self.chosen:
            self._show_chosen()

    def state(self) -> Mapping[str, Any]:
        """See `AppPage.state`."""
        first = next(iter(self._files))
        own = {"table": unless(self.choice.value, first), "chosen": self.chosen}
        return own | self.table.state() | self.behind.state()

    def actions(self) -> Mapping[str, Callable[[dict[str, str]], None]]:
        """See `AppPage.actions`."""
        return {**self.table.actions(), **self.behind.actions()}

    def _read(self) -> pd.DataFrame:
        table = read_parquet(self._files[self.choice.value], "Parquet table")
        names = [name for name in table if not _FACTOR.fullmatch(str(name))]
        first = [name for name in _FIRST if name in names]
        return table[[*first, *(name for name in names if name not in first)]]

    def _caption(self) -> str:
        changed = pd.Timestamp(self._files[self.choice.value].stat().st_mtime, unit="s")
        return f"Written {changed:%Y-%m-%d %H:%M} UTC."

    def _take_table(self) -> None:
        lines = self._read()
        self.table.take(lines, _sort_of(lines))

    def _pick(self, line: pd.Series) -> None:
        if isinstance(line.get("members"), Sized) and "targets" in line:
            self.chosen = f"group:{line['group']}"
            self._show_group(line)
            self.facts.text = _facts(line)
            return
        for side in ("user", "item"):
            key = line.get(f"{side}_id")
            if key is not None and not pd.isna(key):
                self.chosen = f"{side}:{key}"
                self._show_ratings()
                self.facts.text = _facts(line)
                self.timeline.shade(line.get("window_start"), line.get("window_end"))
                return
        raise InputError("this line names no user and no item")

    def _show_group(self, line: pd.Series) -> None:
        """Show the ratings of a group's accounts for the items that they have in common."""
        shown = self.site.now()
        ratings = pd.concat(
            [ratings_of_item(shown, target) for target in line["targets"]], ignore_index=True
        )
        own = ratings[ratings["user_id"].isin(list(line["members"]))]
        self._take_ratings(own.reset_index(drop=True))
        said = f"Group {line['group']}: {len(line['members']):,} accounts"
        rest = f"{len(own):,} ratings of {len(line['targets']):,} items"
        self.about.text = element("p", f"{said}, {rest}, mean {own['rating'].mean():.2f}.")

    def _show_chosen(self) -> None:
        """Show what the address has chosen."""
        side, _, key = self.chosen.partition(":")
        if side != "group":
            self._show_ratings()
            return
        table = self.table.whole
        found = table[table["group"].astype(str) == key] if "group" in table else table[:0]
        if found.empty:
            raise InputError(f"group {key}: is not in this table")
        self._pick(found.iloc[0])

    def _take_ratings(self, ratings: pd.DataFrame) -> None:
        self.behind.take(ratings)
        self.timeline.update(ratings)
        self.timeline.shade(None, None)
        self.facts.text = ""

    def _show_ratings(self) -> None:
        side, _, key = self.chosen.partition(":")
        shown = self.site.now()
        ids = shown.data.users()["user_id"] if shown.data is not None and side == "user" else None
        if shown.data is not None and side == "item":
            ids = shown.data.items()["item_id"]
        whole = ids is not None and pd.api.types.is_integer_dtype(ids.dtype)
        read = int(key) if whole and key.lstrip("-").isdigit() else key
        ratings = (ratings_of_user if side == "user" else ratings_of_item)(shown, read)
        self._take_ratings(ratings)
        timed = "" if ratings["when"].notna().any() else "; the data set has no times"
        said = f"{side.capitalize()} {key}: {len(ratings):,} ratings, mean "
        self.about.text = element("p", f"{said}{ratings['rating'].mean():.2f}{timed}.")


def _sort_of(table: pd.DataFrame) -> str:
    """Return how a table is sorted at first."""
    return f"-{next((name for name in _SORTED_BY if name in table), _SORTED_BY[0])}"


def _facts(line: pd.Series) -> str:
    """Return all that a line says."""
    said = (
        element("dt", str(name).replace("_", " "))
        + element("dd", value if is_id(str(name)) else cell_text(value))
        for name, value in line.items()
        if cell_text(value)
    )
    return f'<dl class="facts">{"".join(said)}</dl>'


class Suspects(TablesPage):
    """Tables of `mfdask anomalies`."""

    path = "suspects"
    title = "Suspects"
    intro = (
        "Bursts of extreme ratings, shared accounts, items that changed: click a line for its "
        "ratings."
    )
    nothing = "there are no tables of suspects: give the folder that `mfdask anomalies` has written"

    def files(self) -> Mapping[str, Path]:
        """See `TablesPage.files`."""
        return self.site.suspects()


class Customers(TablesPage):
    """Tables of `mfdask churn` and `mfdask ltv`."""

    path = "customers"
    title = "Customers"
    intro = (
        "Who may leave, and how much is to come: sort by score, and click a line for the ratings."
    )
    nothing = "there are no tables of customers: give one that `mfdask churn` or `ltv` has written"

    def files(self) -> Mapping[str, Path]:
        """See `TablesPage.files`."""
        return self.site.of_customers()

    def build(self) -> None:
        """See `AppPage.build`."""
        super().build()
        self.bands = self.html("bands")
        self.cards.insert(1, Card("of-bands", "Bands", self.bands, _BANDS))
        self._show_bands()
        both = self._both()
        if both is not None:
            self.cards.insert(2, Card.of_figure(Bands(bands_table(both))))

    def actions(self) -> Mapping[str, Callable[[dict[str, str]], None]]:
        """See `AppPage.actions`."""
        return {**super().actions(), "band": self._take_band}

    def _take_table(self) -> None:
        super()._take_table()
        self._show_bands()

    def _take_band(self, said: dict[str, str]) -> None:
        """Show the users of a band alone, or all again."""
        wanted = f"{said['column']} = {said['band']}"
        self.table.filter.value = "" if self.table.filter.value == wanted else wanted

    def _show_bands(self) -> None:
        """Write how many users are in each band, and what is expected of them."""
        table = self.table.whole
        band = next((name for name in ("risk", "segment") if name in table), None)
        if band is None:
            self.bands.text = element("p", "This table has no bands.", "soft")
            return
        score = next(name for name in (*_SORTED_BY[1:], _SORTED_BY[0]) if name in table)
        found = table.groupby(band).agg(
            users=(score, "size"), mean=(score, "mean"), total=(score, "sum")
        )
        found = found.sort_values("mean", ascending=False)
        self.bands.text = "".join(
            line_button(
                f"{name}: {line.users:,} users",
                f"mean {score.replace('_', ' ')} {line.mean:.3f}, in all {line.total:,.1f}",
                "band",
                data_column=band,
                data_band=name,
            )
            for name, line in zip(found.index, found.itertuples(), strict=True)
        )

    def _both(self) -> pd.DataFrame | None:
        """Return the users of both tables, where both are there."""
        files = {
            name: next(
                (file for file in self._files.values() if name in parquet_columns(file)), None
            )
            for name in ("p_churn", "expected_value")
        }
        if None in files.values():
            return None
        try:
            return customers_table(files["p_churn"], files["expected_value"])
        except Absent:
            return None


_BANDS = "Click a band to see its users alone, and again to see all."

_NOTHING = pd.DataFrame(
    {
        "user_id": pd.Series(dtype="str"),
        "item_id": pd.Series(dtype="str"),
        "title": pd.Series(dtype="str"),
        "rating": pd.Series(dtype="float64"),
        "when": pd.Series(dtype="datetime64[s]"),
        "part": pd.Series(dtype="str"),
    }
)
