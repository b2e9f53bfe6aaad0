"""Why a user has their score, in words: what a candidate's features add to it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from mfdask.downstream.customers.learners import Predictor
from mfdask.kernels.types import Float64s

#: Contributions that are named, and how small they may be against the largest of the user.
_NAMED, _LEAST = 3, 0.02


def _number(text: str) -> Callable[[float], str]:
    return lambda value: text.format(value)


def _days(before: str, behind: str) -> Callable[[float], str]:
    return lambda value: f"{before}{value:,.0f} day{'' if round(value) == 1 else 's'}{behind}"


#: A feature in words, given its value. Factors are told together.
WORDS: dict[str, Callable[[float], str]] = {
    "recency_days": _days("last active ", " ago"),
    "active_days": _days("active on ", ""),
    "tenure_days": _days("first active ", " ago"),
    "ratings_30d": _number("{:,.0f} events in 30 days"),
    "ratings_90d": _number("{:,.0f} events in 90 days"),
    "ratings_180d": _number("{:,.0f} events in 180 days"),
    "ratings": _number("{:,.0f} events in all"),
    "gap_ratio": _number("away {:,.1f} times the usual pause"),
    "spend": _number("{:,.2f} spent in all"),
    "spend_180d": _number("{:,.2f} spent in 180 days"),
    "drift": _number("change of taste {:,.1f}"),
    "popular_item_affinity": _number("popular items liked with {:,.2f}"),
    "popular_item_affinity_change": _number("liking of popular items changed by {:+,.2f}"),
    "user_bias": _number("rates {:+,.2f} from the mean"),
    "log_neighbour_distance": _number("distance of taste from others {:,.2f}"),
}
_TASTE = "taste"


def contributions(predict: Predictor, features: pd.DataFrame) -> pd.DataFrame:
    """Return what each feature adds to the prediction of each user.

    That is the prediction less that of the same user with the cohort's median of the feature. The
    factors of a user are taken together.
    """
    groups: dict[str, list[str]] = {}
    for name in map(str, features):
        groups.setdefault(name if name in WORDS else _TASTE, []).append(name)
    whole, medians = predict(features), features.median()
    added = {
        group: whole - predict(features.assign(**{name: medians[name] for name in names}))
        for group, names in groups.items()
    }
    return pd.DataFrame(added, index=features.index)


def in_words(added: pd.DataFrame, features: pd.DataFrame, unit: str) -> list[str]:
    """Return the largest contributions of each user, the largest first.

    Parameters
    ----------
    added : DataFrame
        From `contributions`.
    features : DataFrame
    unit : str
        How a contribution is written, such as ``{:+.2f}``.
    """
    names, values = list(map(str, added)), added.to_numpy(np.float64)
    order = np.argsort(-np.abs(values), axis=1, kind="stable")[:, :_NAMED]
    columns: dict[str, Float64s] = {n: features[n].to_numpy() for n in names if n in features}

    def line(row: int) -> str:
        largest = abs(values[row, order[row, 0]])
        told = [k for k in order[row] if abs(values[row, k]) > max(_LEAST * largest, 1e-9)]
        return "; ".join(
            f"{_worded(names[k], columns, row)} ({unit.format(values[row, k])})" for k in told
        )

    return [line(row) for row in range(len(values))]


def _worded(name: str, columns: dict[str, Float64s], row: int) -> str:
    return WORDS[name](columns[name][row]) if name in columns else _TASTE


def of_rhythm(table: pd.DataFrame) -> list[str]:
    """Return the rhythm of each user in words: what a purchase model goes by."""
    told = []
    for name in ("active_days", "tenure_days", "recency_days"):
        # Many users have the same whole number of days: each is put into words once.
        place, days = pd.factorize(np.rint(table[name].to_numpy(np.float64)))
        told.append(np.array([*map(WORDS[name], days)], object)[place])
    return ["; ".join(each) for each in zip(*told, strict=True)]
