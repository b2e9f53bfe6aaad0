"""Trials of changed items: how many are found, and how many others are listed with them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from mfdask.downstream.anomalies.drift import drifting_items
from mfdask.downstream.events import Events
from tests.downstream.movielens import residuals_of

#: Items' means below this may move up; above, the scale would cut the change off.
_MIDDLE = 3.4


def change_trials(
    events: Events, n_items: int, kind: str, size: float, seeds: Iterable[int]
) -> pd.DataFrame:
    """Change 25 items with 40 ratings or more, learn the model again, and look for drift.

    Returns one line a seed: `changed`, `found` and `others` are counts of items; `many` and
    `found_of_many` are of changed items with 50 ratings or more.
    """
    lines = []
    for seed in seeds:
        ratings, true = changed(events, n_items, kind, size, seed)
        found = drifting_items(residuals_of(events._replace(ratings=ratings), n_items), n_items)
        listed, known = found["flagged"], found["item"].isin(true)
        many = known & (found["n_before"] + found["n_after"] >= 50)
        counts = known, known & listed, ~known & listed, many, many & listed
        lines.append([seed, *(each.sum() for each in counts)])
    columns = ["seed", "changed", "found", "others", "many", "found_of_many"]
    return pd.DataFrame(lines, columns=columns)


def changed(events, n_items, kind, size, seed, count=25, least=40):
    """Return the ratings with steps (from the median rating on), ramps, pulses or spreads."""
    random = np.random.default_rng(seed + 1000)
    chosen = random.permutation(np.flatnonzero(np.bincount(events.items) >= least))[:count]
    ratings = events.ratings.copy()
    for item in chosen:
        places = np.flatnonzero(events.items == item)
        places = places[np.argsort(events.timestamps[places], kind="stable")]
        own = ratings[places].astype(np.float64)
        up = 1 if own.mean() < _MIDDLE and random.random() < 0.7 else -1
        own += _shift(kind, own, size * up, random)
        low = np.floor(2 * own)  # rounded at random, so that means move by what they should
        ratings[places] = np.clip((low + (random.random(len(own)) < 2 * own - low)) / 2, 0.5, 5)
    return ratings, chosen


def _shift(kind, own, size, random):
    """Return what is added to each rating."""
    n, shift = len(own), np.zeros(len(own))
    if kind == "step":
        shift[n // 2 :] = size
    elif kind == "ramp":
        shift = size * np.arange(n) / (n - 1)
    elif kind == "pulse":
        length = int(n * random.uniform(0.2, 0.3))
        first = random.integers(int(0.1 * n), n - length - int(0.1 * n))
        shift[first : first + length] = size
    else:
        shift[n // 2 :] = abs(size) * np.sign(own[n // 2 :] - own.mean())
    return shift
