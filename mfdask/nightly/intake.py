"""What a night has taken in: rows, bad rows by reason, duplicates, and the gate's limits on these.

The figures are differences between the night's data set and the one that it began with, so they
need no second look into the files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.ingestion.rejected import read_rejected
from mfdask.nightly.config import GateConfig
from mfdask.nightly.journal import Line
from mfdask.shards import Dataset

#: How many of the last nights the rows of a night are held against, and how many there must be.
_NIGHTS, _FEWEST_NIGHTS = 7, 3
#: Ranges of ratings that lie on no grid.
_RANGES = 10
_DAY = 86_400


@dataclass(frozen=True)
class Intake:
    """Figures of what a night has taken in.

    Attributes
    ----------
    read : int
        Rows of ratings.
    rejected : dict of str to int
        Bad rows among them, by reason.
    duplicates : int
        Good rows that a later one replaces, or that replace an earlier one.
    withdrawn : int
        Ratings taken out again.
    values : dict of str to float
        Share of each rating value among the ratings that came, and of each range of values where
        these lie on no grid.
    values_before : dict of str to float
        The same of the data set before; empty on the first night.
    new_users, new_items : float
        Share of the good rows whose user, or item, had not been there; 0 on the first night.
    """

    read: int
    rejected: dict[str, int]
    duplicates: int
    withdrawn: int
    values: dict[str, float]
    values_before: dict[str, float]
    new_users: float
    new_items: float

    @property
    def n_good(self) -> int:
        """Rows that are ratings."""
        return self.read - sum(self.rejected.values())

    @property
    def shift(self) -> float:
        """Largest difference of a value's share from before; 0 on the first night."""
        if not (self.values and self.values_before):
            return 0.0
        return max(
            abs(self.values.get(value, 0.0) - self.values_before.get(value, 0.0))
            for value in self.values | self.values_before
        )

    def facts(self) -> dict[str, Any]:
        """Return it for `runs.jsonl`."""
        return asdict(self)


def measure(data: Dataset, before: Dataset | None) -> Intake:
    """Measure what a data set has more than the one that it was made of.

    Parameters
    ----------
    data : Dataset
        On disk.
    before : Dataset or None
        The one that it was made of; None on the first night.
    """
    now = data.manifest.counts
    was = before.manifest.counts if before else None
    edges = _edges(data)
    there = _histogram(before, edges) if before else np.zeros(len(edges) - 1)
    came = np.maximum(_histogram(data, edges) - there, 0.0)
    read = now.read - (was.read if was else 0)
    rejected = now.rejected - (was.rejected if was else 0)
    good = max(read - rejected, 1)
    new = {side: _rows_of_new(data, before, side) / good if before else 0.0 for side in _SIDES}
    return Intake(
        read=read,
        rejected=_by_reason(data, was.rejected if was else 0),
        duplicates=now.duplicates - (was.duplicates if was else 0),
        withdrawn=now.withdrawn - (was.withdrawn if was else 0),
        values=_shares(came, edges),
        values_before=_shares(there, edges),
        new_users=new["users"],
        new_items=new["items"],
    )


_SIDES = ("users", "items")


def _by_reason(data: Dataset, earlier: int) -> dict[str, int]:
    """Count the bad rows behind the earlier ones by their reason."""
    assert data.path is not None
    reasons = read_rejected(data.path)["reason"].iloc[earlier:]
    return {str(reason): int(n) for reason, n in reasons.value_counts().items()}


def _rows_of_new(data: Dataset, before: Dataset, side: str) -> int:
    """Count the rows read of users, or items, that were not there before."""
    table: pd.DataFrame = data.users() if side == "users" else data.items()
    n_old = before.n_users if side == "users" else before.n_items
    return int(table["n_read"].iloc[n_old:].sum())


def _edges(data: Dataset) -> npt.NDArray[np.float64]:
    """Return the ends of the ranges that ratings are counted in: one for each value on a grid."""
    low, high, step = data.rating_min, data.rating_max, data.manifest.rating_step
    n_values = round((high - low) / step) + 1 if step else 1
    if step and n_values <= 100:
        return np.asarray(low + step * (np.arange(n_values + 1) - 0.5), np.float64)
    return np.linspace(low, high, (_RANGES if high > low else 1) + 1)


def _histogram(data: Dataset, edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    total = np.zeros(len(edges) - 1)
    for part in ("train", "test"):
        for block in range(data.n_blocks("users")):
            ratings = data.shard("users", block, part).ratings
            place = np.searchsorted(edges[1:-1], ratings, side="right")
            total += np.bincount(place, minlength=len(total))
    return total


def _shares(counts: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> dict[str, float]:
    n = counts.sum()
    middles = (edges[1:] + edges[:-1]) / 2
    return {
        f"{middle:.6g}": round(float(count / n), 6)
        for middle, count in zip(middles, counts, strict=True)
        if count
    }


def judge_intake(
    intake: Intake, age_seconds: float | None, lines: Sequence[Line], rules: GateConfig
) -> list[str]:
    """Return why a night's input is suspect; empty: it is not.

    Parameters
    ----------
    intake : Intake
    age_seconds : float or None
        Of the newest rating; None where there are no times.
    lines : sequence
        Of `runs.jsonl`.
    rules : GateConfig
    """
    reasons = _judge_rows(intake.read, lines, rules)
    if rules.max_age_days and age_seconds is not None and age_seconds > rules.max_age_days * _DAY:
        reasons.append(
            f"the newest rating is {age_seconds / _DAY:,.1f} days old, at most "
            f"{rules.max_age_days:g} are allowed (gate.max_age_days)"
        )
    if intake.n_good < rules.min_ratings:
        return reasons
    if intake.shift > rules.max_shift:
        reasons.append(
            f"the share of one rating value differs by {intake.shift:.0%} from before, at most "
            f"{rules.max_shift:.0%} is allowed (gate.max_shift)"
        )
    for what, share, limit in (
        ("users", intake.new_users, rules.max_new_users),
        ("items", intake.new_items, rules.max_new_items),
    ):
        if share > limit:
            reasons.append(
                f"{share:.0%} of the rows are of new {what}, at most {limit:.0%} is allowed "
                f"(gate.max_new_{what})"
            )
    return reasons


def _judge_rows(read: int, lines: Sequence[Line], rules: GateConfig) -> list[str]:
    """Hold the rows against the median of the last nights that took in any."""
    nights = [line["intake"]["read"] for line in lines if _counts(line)][-_NIGHTS:]
    if len(nights) < _FEWEST_NIGHTS or not read:
        return []
    usual = median(nights)
    told = f"{read:,} rows, and {usual:,.0f} on the last nights (median of {len(nights)})"
    if rules.min_rows and read < rules.min_rows * usual:
        return [f"{told}; at least {rules.min_rows:g} times these must be there (gate.min_rows)"]
    if rules.max_rows and read > rules.max_rows * usual:
        return [f"{told}; at most {rules.max_rows:g} times these are allowed (gate.max_rows)"]
    return []


def _counts(line: Line) -> bool:
    """Whether a run was a published night that took rows in, behind the first one."""
    intake = line.get("intake")
    published = line.get("status") == "published" and line.get("before")
    return bool(published and isinstance(intake, dict) and intake.get("read"))
