"""The report for who looks for fraud."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from mfdask.figures.figure import Section
from mfdask.report.readers.summary import counted, summary_section
from mfdask.report.tables import Absent, read_table
from mfdask.shards import Dataset


def fraud_summary(data: Dataset, folder: Path) -> Section:
    """Return what `mfdask anomalies` has found, and the surest of it.

    Parameters
    ----------
    data : Dataset
    folder : Path
        What it has written.
    """
    attacks = _found(folder / "suspected_attacks.parquet", "entity")
    items, accounts = (attacks[attacks["entity"] == side] for side in ("item", "user"))
    groups = _found(folder / "attack_groups.parquet", "n_members")
    shared = _found(folder / "suspected_sharing.parquet", "user_id")
    drifting = _found(folder / "drifting_items.parquet", "item_id")
    attacked = items.get("item_id", _NONE).nunique()
    suspects = accounts.get("user_id", _NONE).nunique()
    changed = drifting["item_id"].nunique()
    verdict = (
        f"Suspected of attacks: {counted(suspects, 'account')} in {counted(len(groups), 'group')}, "
        f"on {counted(attacked, 'item')}. Suspected of being shared: "
        f"{counted(shared['user_id'].nunique(), 'account')}. Rated otherwise than before: "
        f"{counted(changed, 'item')}."
    )
    numbers = {
        "attacked items": _of(attacked, data.n_items),
        "suspected accounts": _of(suspects, data.n_users),
        "groups of accounts": _of(len(groups)),
        "accounts in the largest group": _of(int(groups["n_members"].max()) if len(groups) else 0),
        "shared accounts": _of(shared["user_id"].nunique(), data.n_users),
        "items that changed": _of(changed, data.n_items),
    }
    columns = {
        side: {what: both[k] for what, both in numbers.items()}
        for k, side in enumerate(("found", "of"))
    }
    return summary_section(f"{verdict} {_surest(items)}".strip(), columns)


_NONE = pd.Series(dtype="object")


def _of(n: int, whole: int | None = None) -> tuple[int, int | None]:
    return n, whole


def _found(file: Path, column: str) -> pd.DataFrame:
    """Return a table, or an empty one with a column: not all is always looked for."""
    try:
        return read_table(file, (column,))
    except Absent:
        return pd.DataFrame({column: []})


def _surest(items: pd.DataFrame) -> str:
    """Return the surest attack, in a sentence."""
    if items.empty:
        return ""
    first: Any = items.iloc[0].to_dict()
    name = first.get("title") or f"item {first['item_id']}"
    line = f"The surest is {name}"
    if pd.notna(first.get("prediction")) and pd.notna(first.get("prediction_cleaned")):
        line += (
            f": it is predicted {first['prediction']:.2f} stars, and "
            f"{first['prediction_cleaned']:.2f} without the suspects"
        )
    return f"{line}."
