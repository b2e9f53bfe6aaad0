"""The section on anomalies, churn and lifetime value, as far as their tables are there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd

from mfdask.errors import InputError
from mfdask.figures.figure import Figure, Missing, Section, TableFigure
from mfdask.report.findings import customers
from mfdask.report.findings.accounts import Handovers, handover_table
from mfdask.report.findings.timelines import Attacked, Drifting, burst_days, timeline_table
from mfdask.report.tables import Absent, read_table
from mfdask.shards import Dataset

#: What the figures of a job begin with.
_JOBS = {"churn": "Churn", "ltv": "Lifetime value"}
#: Lines of a table, and plots in a row.
_LINES, _PLOTS = 10, 3


def findings_section(
    data: Dataset,
    *,
    anomalies: Path | None = None,
    churn: Path | None = None,
    ltv: Path | None = None,
) -> Section:
    """Return figures of the tables of other jobs.

    Parameters
    ----------
    data : Dataset
        The one that they are of.
    anomalies : Path, optional
        The folder that `mfdask anomalies` wrote.
    churn, ltv : Path, optional
        The tables that `mfdask churn` and `mfdask ltv` wrote; their evaluations lie beside them.

    Raises
    ------
    InputError
        If what is given is not there, or a file is no table.
    """
    parts = [*_suspects(data, anomalies), *_foretold("churn", churn), *_foretold("ltv", ltv)]
    intro = "Ratings that do not look honest, items that changed, and users who leave or stay."
    return Section("findings", "Anomalies and churn", intro, parts)


def suspects_section(data: Dataset, anomalies: Path) -> Section:
    """Return what `mfdask anomalies` has found, as `findings_section` has it."""
    intro = "Ratings that do not look honest, shared accounts, and items that changed."
    return Section("suspects", "Suspects", intro, _suspects(data, anomalies))


def accuracy_section(**tables: Path | None) -> Section:
    """Return how well churn and lifetime value are foretold, as `findings_section` has it."""
    parts = [part for job, table in tables.items() if table for part in _foretold(job, table)]
    intro = "Predictions of times that were not learned from, against what came."
    return Section("accuracy", "How far to trust it", intro, parts)


def _suspects(data: Dataset, anomalies: Path | None) -> list[Figure | Missing]:
    parts: list[Figure | Missing] = []
    for kind, make in ((Attacked, _attacks), (Handovers, _sharing), (Drifting, _drift)):
        parts += _or_missing(kind.name, kind.title, anomalies, "anomalies", partial(make, data))
    return parts


def _foretold(job: str, table: Path | None) -> list[Figure | Missing]:
    own = [
        *_or_missing("metrics", customers.Metrics.title, table, job, customers.metrics_of),
        *_or_missing("lift", "lift and calibration", table, job, customers.deciles_figures),
        *_or_missing("survival", customers.Survival.title, table, job, customers.survival_figures),
    ]
    for part in own:
        part.name, part.title = f"{job}-{part.name}", f"{_JOBS[job]}: {part.title}"
    return own


def _or_missing(
    name: str, title: str, at: Path | None, job: str, make: Callable[[Path], Sequence[Figure]]
) -> Sequence[Figure | Missing]:
    """Return figures, or why there are none."""
    if at is None:
        return [Missing(name, title, f"No table is given; `mfdask {job}` writes one.")]
    if not at.exists():
        raise InputError(f"{at}: is not there; give what `mfdask {job}` has written")
    try:
        return make(at)
    except Absent as why:
        return [Missing(name, title, str(why))]


def _attacks(data: Dataset, folder: Path) -> list[Figure]:
    file = folder / "suspected_attacks.parquet"
    table = read_table(file, ("entity", "item_id", "window_start", "window_end"))
    items = table[table["entity"] == "item"].drop_duplicates("item_id")
    if items.empty:
        raise Absent("No item seems attacked.")
    caption = (
        f"{_surest(items, 'item')}, and why. A score is -log10 of the chance of such a "
        "burst among honest ratings."
    )
    columns = "item_id title direction score prediction prediction_cleaned reason"
    listed = _listed(items, columns, "suspected-attacks", "Suspected attacks", caption)
    known = items.dropna(subset=["window_start"]).head(_PLOTS)  # not all evidence is of a time
    bursts = [_bursts(data, known)] if len(known) else []
    return [*bursts, listed, *_groups(folder)]


def _groups(folder: Path) -> list[Figure]:
    """Return the groups of accounts that act alike; older folders have no table of them."""
    try:
        groups = read_table(folder / "attack_groups.parquet", ("group", "n_members"))
    except Absent:
        return []
    caption = (
        "Accounts that rate the same few items alike; what their targets get from them and from "
        "all others, and how far the group has moved the predictions (stars)."
    )
    columns = "group n_members n_targets direction stars_of_members stars_of_others moved"
    return [_listed(groups, columns, "attack-groups", "Groups of attackers", caption)]


def _bursts(data: Dataset, items: pd.DataFrame) -> Figure:
    """Return the days around the bursts of items."""
    marks = burst_days(items)
    days = _timelines(data, items, "D").merge(marks[["item_id", "first", "last"]], on="item_id")
    near = days["period"].between(days.pop("first"), days.pop("last"))
    return Attacked(days[near].reset_index(drop=True), marks)


def _sharing(data: Dataset, folder: Path) -> list[Figure]:
    table = read_table(folder / "suspected_sharing.parquet", ("user_id", "handover"))
    _require_timestamps(data)
    shares = handover_table(data, table.drop_duplicates("user_id").head(_PLOTS))
    caption = f"{_surest(table, 'account')}, and why."
    pictures: list[Figure] = [Handovers(shares)] if len(shares) else []
    columns = "user_id score handover n_sessions active_days reason"
    return [*pictures, _listed(table, columns, "suspected-sharing", "Suspected sharing", caption)]


def _drift(data: Dataset, folder: Path) -> list[Figure]:
    table = read_table(folder / "drifting_items.parquet", ("item_id", "date"))
    items = table.drop_duplicates("item_id")
    shown = items.head(_PLOTS)
    marks = shown[["item_id"]].assign(start=shown["date"], end=shown["date"])
    caption = f"{_surest(items, 'item')}, and what was found."
    columns = "item_id title kind change date n_before n_after q reason"
    listed = _listed(items, columns, "drift-table", "Drifting items", caption)
    return [Drifting(_timelines(data, shown, "Q"), marks), listed]


def _surest(table: pd.DataFrame, what: str) -> str:
    n = len(table)
    return f"The only {what} found" if n == 1 else f"The surest of {n:,} {what}s"


def _timelines(data: Dataset, items: pd.DataFrame, every: Literal["D", "Q"]) -> pd.DataFrame:
    _require_timestamps(data)
    found = timeline_table(data, items, every)
    if found.empty:
        raise Absent("None of the items found is in this data set.")
    return found


def _require_timestamps(data: Dataset) -> None:
    if not data.manifest.has_timestamps:
        raise Absent("The ratings of this data set have no timestamps.")


def _listed(table: pd.DataFrame, columns: str, name: str, title: str, caption: str) -> Figure:
    """Return the first lines of a table, in those of the columns that it has."""
    shown = table.head(_LINES)[[column for column in columns.split() if column in table]].copy()
    for column in shown:
        if str(column).endswith("_id"):
            shown[column] = shown[column].astype(str)  # an id is no number to be set in thousands
        if pd.api.types.is_datetime64_any_dtype(shown[column].dtype):
            shown[column] = shown[column].dt.strftime("%Y-%m-%d")
    listed = TableFigure(shown.reset_index(drop=True))
    listed.name, listed.title, listed.caption, listed.wide = name, title, caption, True
    return listed
