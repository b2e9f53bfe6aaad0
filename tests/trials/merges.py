"""Accounts that two users share, made by other recipes than `inject_sharing`: all ratings of both.

``python -m tests.trials.merges FILE.zip|DATA --accounts N --seeds N`` prints how they were found.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from mfdask.downstream.anomalies.sharing import suspected_sharing
from mfdask.downstream.events import DAY, Events, active_days
from mfdask.downstream.inject import SharingPlan, inject_sharing
from mfdask.downstream.inject.sessions import cut_at_pauses
from mfdask.kernels.types import Int64s
from tests.downstream.movielens import read_events

#: Ratings and active days that either user has at least.
_RATINGS, _DAYS = 20, 2
Times = tuple[Int64s, Int64s]
Recipe = Callable[[Times, Times, np.random.Generator], tuple[Times, Times]]


def union(one: Times, other: Times, random: np.random.Generator) -> tuple[Times, Times]:
    """Both rate when they did."""
    return one, other


def weeks(one: Times, other: Times, random: np.random.Generator) -> tuple[Times, Times]:
    """The sessions of one lie in the weeks between those of the other's."""
    start = one[1][:1]
    moved = []
    for first, (places, times) in enumerate((one, other)):
        times = times.copy()
        for k, own in enumerate(cut_at_pauses(np.arange(len(times)), times)):
            begin = start + (2 * k + first) * 7 * DAY + random.integers(0, 6 * DAY)
            times[own] += begin - times[own[0]]
        moved.append((places, times))
    return moved[0], moved[1]


def halves(one: Times, other: Times, random: np.random.Generator) -> tuple[Times, Times]:
    """The second half of one follows the first half of the other a day later."""
    n, m = len(one[0]) // 2, len(other[0]) // 2
    times = other[1][m:]
    return (one[0][:n], one[1][:n]), (other[0][m:], times - times[:1] + one[1][n - 1] + DAY)


RECIPES: dict[str, Recipe] = {"union": union, "weeks": weeks, "halves": halves}


def merged(
    events: Events, recipe: Recipe, n_accounts: int, seed: int, alike: bool = False
) -> tuple[Events, Int64s]:
    """Merge pairs of users, `alike` ones of about the same time; return the accounts' users."""
    random = np.random.default_rng([seed, 77])
    lengths = np.diff(events.indptr)
    able = np.flatnonzero(
        (active_days(events.indptr, events.timestamps) >= _DAYS) & (lengths >= _RATINGS)
    )
    able = random.permutation(able)
    if alike:
        middle = (events.indptr[able] + events.indptr[able + 1]) // 2
        able = able[np.argsort(events.timestamps[middle], kind="stable")]
    pairs = random.permutation(able[: len(able) // 2 * 2].reshape(-1, 2))[:n_accounts]
    source, times = np.arange(len(events.items)), events.timestamps.copy()
    users = events.users - events.start
    for one, other in pairs.tolist():
        both = []
        for user in (one, other):
            places = source[events.indptr[user] : events.indptr[user + 1]]
            if user == other:  # who shares an account does not rate an item twice
                places = places[~np.isin(events.items[places], events.items[both[0][0]])]
            both.append((places, events.timestamps[places]))
        users[source[events.indptr[other] : events.indptr[other + 1]]] = -1
        users[both[0][0]] = -1
        for places, moved in recipe(both[0], both[1], random):
            users[places], times[places] = one, moved
    kept = np.flatnonzero(users >= 0)
    kept = kept[np.lexsort((events.items[kept], times[kept], users[kept]))]
    counts = np.bincount(users[kept], minlength=len(lengths))
    columns = (events.items, events.ratings, times, events.held_out)
    indptr = np.append(0, np.cumsum(counts))
    made = Events(events.start, indptr, *(column[kept] for column in columns))
    return made, pairs[:, 0]


def sharing_trials(events: Events, n_items: int, n_accounts: int, seeds: int) -> pd.DataFrame:
    """Return how merged accounts were found: means over seeds, a line for each recipe."""
    lines = []
    for partners in ("random", "alike"):
        for name in ("mixed", "handover", *RECIPES):
            for seed in range(seeds):
                if name in RECIPES:
                    made = merged(events, RECIPES[name], n_accounts, seed, partners == "alike")
                else:
                    plan = SharingPlan(n_accounts, name, partners)  # type: ignore[arg-type]
                    injected = inject_sharing(events, n_items, plan, seed)
                    made = injected.events, injected.truth["shared_accounts"]["user"].to_numpy()
                found = suspected_sharing(made[0], n_items, flagged_alone=True)
                true, listed = found["user"].isin(made[1]), found["flagged"]
                lines.append(
                    {
                        "partners": partners,
                        "recipe": name,
                        "auc": roc_auc_score(true, found["score"]),
                        "found": (true & listed).sum() / n_accounts,
                        "listed": listed.sum(),
                        "false": (listed & ~true).sum(),
                    }
                )
    return pd.DataFrame(lines).groupby(["partners", "recipe"], sort=False).mean()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--accounts", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    ratings = read_events(given.data)
    clean = suspected_sharing(*ratings, flagged_alone=True)
    print(f"untouched: {clean['flagged'].sum()} of {len(clean)} listed")
    print(sharing_trials(*ratings, given.accounts, given.seeds).round(3).to_string())
