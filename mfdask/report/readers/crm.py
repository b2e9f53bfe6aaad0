"""The report for who looks after customers: who may leave, what is to come, whom to call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mfdask.downstream.metric_names import METRIC_NAMES
from mfdask.figures.figure import Figure, Missing, Section, TableFigure
from mfdask.report.heat_map import HeatMap
from mfdask.report.readers.summary import summary_section
from mfdask.report.tables import Absent, read_table

#: Lines of the list of users to call.
_CALLS = 20
_RISKS = ("high", "medium", "low")
_SEGMENTS = ("low", "middle", "high")
#: The metric that a job is judged by.
_JUDGED_BY = {"churn": "roc_auc", "ltv": "gini"}


def customers_table(churn: Path | None, ltv: Path | None) -> pd.DataFrame:
    """Return the users of both tables, those first of whom most is expected to be lost.

    Returns
    -------
    DataFrame
        `user_id`; `p_churn`, `risk`, `expected_value` and `segment`, as far as a table has them;
        `at_stake`: chance to leave times expected value, or the one of both that is there;
        `reason`, and the titles suggested, if there are any.

    Raises
    ------
    Absent
        If a table is not there, or has other columns.
    """
    found = [
        read_table(file, ("user_id", score, band))
        for file, score, band in ((churn, "p_churn", "risk"), (ltv, "expected_value", "segment"))
        if file is not None
    ]
    table = found[0]
    if len(found) == 2:
        own = found[1][["user_id", "expected_value", "segment"]]
        table = table.merge(own, on="user_id", how="left")
    stake: Any = 1.0
    for name in ("p_churn", "expected_value"):
        stake = stake * table[name] if name in table else stake
    table = table.assign(at_stake=stake).sort_values("at_stake", ascending=False, kind="stable")
    names = "user_id at_stake p_churn risk expected_value segment reason suggested_titles"
    return table[[name for name in names.split() if name in table]].reset_index(drop=True)


def crm_sections(churn: Path | None, ltv: Path | None) -> list[Section]:
    """Return the verdict, and who is in which band, with the list of whom to call.

    Raises
    ------
    Absent
        If a table is not there, or has other columns.
    """
    table = customers_table(churn, ltv)
    parts: list[Figure | Missing] = []
    if {"risk", "segment"} <= set(table):
        parts.append(Bands(bands_table(table)))
    parts.append(_calls(table))
    intro = "Users by the bands of both tables, and those of whom most is expected to be lost."
    calls = Section("calls", "Whom to call", intro, parts)
    return [_summary(table, {"churn": churn, "ltv": ltv}), calls]


def _summary(table: pd.DataFrame, files: dict[str, Path | None]) -> Section:
    sentences: list[str] = []
    numbers: dict[str, Any] = {"users": len(table)}
    if "risk" in table:
        risk = table["risk"].value_counts()
        numbers |= {f"users at {band} risk": int(risk.get(band, 0)) for band in _RISKS}
        sentences.append(
            f"{numbers['users at high risk']:,} of {len(table):,} users are likely to leave."
        )
    if "expected_value" in table:
        whole = float(table["expected_value"].sum())
        numbers["value expected of all"] = whole
        top = table.nlargest(max(1, len(table) // 10), "expected_value")["expected_value"].sum()
        sentences.append(
            f"In all, a value of {whole:,.0f} is expected, {top / whole if whole else 0:.0%} of it "
            "of one user in ten."
        )
    if {"risk", "expected_value"} <= set(table):
        lost = float(table["at_stake"].sum())
        numbers["value expected to be lost"] = lost
        sentences.append(f"{lost:,.0f} of it is likely to be lost.")
    for job, file in files.items():
        line = _judged(file, _JUDGED_BY[job]) if file is not None else None
        if line is not None:
            name = METRIC_NAMES[_JUDGED_BY[job]]
            numbers[f"{name} of {job}"] = line["value"]
            sentences.append(
                f"{name} of {job}, on times that were not learned from: {line['value']:.3f} "
                f"({line['low']:.3f} to {line['high']:.3f})."
            )
    return summary_section(" ".join(sentences), {"value": numbers})


def _judged(file: Path, metric: str) -> Any:
    """Return `value`, `low` and `high` of what scored a table, None where it was not tested."""
    columns = ("model", "features", "metric", "value", "low", "high")
    try:
        tested = read_table(file.with_name(f"{file.stem}.evaluation.parquet"), columns)
        scored = read_table(file, ("scored_by",))["scored_by"].unique()
    except Absent:
        return None
    name = tested["model"] + ", " + tested["features"]
    own = tested[(tested["metric"] == metric) & name.isin(scored)]
    return None if own.empty else own.iloc[0].to_dict()


def bands_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return `risk`, `segment`, `users`, and the sums `expected_value` and `at_stake`."""
    sums = table.groupby(["risk", "segment"], observed=True).agg(
        users=("user_id", "size"),
        expected_value=("expected_value", "sum"),
        at_stake=("at_stake", "sum"),
    )
    every = pd.MultiIndex.from_product([_RISKS, _SEGMENTS], names=["risk", "segment"])
    return sums.reindex(every).fillna(0).astype({"users": np.int64}).reset_index()


class Bands(HeatMap):
    """Users by risk and value: the table of `bands_table`."""

    name = "bands"
    title = "Risk and value"
    caption = (
        "The value that is expected to be lost with the users of each band: their chance to leave "
        "times what is expected of them. Hover for how many they are."
    )
    x, y, value = "segment", "risk", "at_stake"
    x_label, y_label, value_label = "expected value", "risk", "expected to be lost"
    value_format = "0,0.[0]"
    height = 300
    low = 0.0
    wide = True
    tooltips = (
        ("risk, value", "@risk, @segment"),
        ("users", "@users{0,0}"),
        ("value expected", "@expected_value{0,0.0}"),
        ("expected to be lost", "@at_stake{0,0.0}"),
    )


def _calls(table: pd.DataFrame) -> TableFigure:
    shown = table.head(_CALLS).astype({"user_id": str})
    calls = TableFigure(shown)
    calls.name, calls.title, calls.wide = "call-list", "Whom to call first", True
    calls.caption = (
        f"The first {len(shown)} of {len(table):,} users by what is at stake: the chance to leave "
        "times the value expected, as far as both are known."
    )
    return calls
