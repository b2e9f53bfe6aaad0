"""The users who took part in bursts."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from mfdask.downstream.anomalies.bursts import LEAST, score_of
from mfdask.kernels.types import Bools, Float64s


def suspects_of(bursts: pd.DataFrame, members: pd.DataFrame, honest_share: float) -> pd.DataFrame:
    """Return the members of suspected bursts, but for those whom a stronger burst explains.

    The attacked items are gone through from the strongest burst on. Attackers share other items
    too, and an honest user who rates one of these in the same week is no more suspicious for it:
    so an item only makes suspects where those of its members who are not yet suspected would be a
    burst by themselves.

    Parameters
    ----------
    bursts : DataFrame
        `item, direction, score, n_expected, dispersion`, the strongest first.
    members : DataFrame
        `user` and `burst`, of these and others, by the index of `bursts`.
    honest_share : float
        Most of an item's new members that may be expected there anyway.

    Returns
    -------
    DataFrame
        One line a suspect: `user`; `burst`, the strongest of the item that made the user a suspect;
        `honest_share` of the members, expected there anyway; `n_items`, suspected items and
        directions that the user is a member of.
    """
    number = bursts.groupby(["item", "direction"], sort=False).ngroup().rename("number")
    pairs = (
        members.join(number, on="burst", how="inner")
        .sort_values(["number", "burst"], kind="stable")
        .drop_duplicates(["user", "number"])
    )
    new, share = _unexplained(pairs, bursts, honest_share)
    found = pairs.loc[new, ["user", "burst"]].assign(honest_share=share[new])
    each = pairs["user"].value_counts().rename("n_items")
    return found.reset_index(drop=True).join(each, on="user")


def _unexplained(
    pairs: pd.DataFrame, bursts: pd.DataFrame, honest_share: float
) -> tuple[Bools, Float64s]:
    """Return which pairs make a suspect, and the honest share among the new ones of each item.

    Pairs lie in the order of `number`, one an item and direction. There may be thousands of these:
    a table for each would take seconds.
    """
    users = pairs["user"].to_numpy()
    first = np.flatnonzero(np.diff(pairs["number"], prepend=-1))
    strongest = bursts.loc[pairs["burst"].iloc[first]]
    least_score = bursts["score"].min()
    suspected = np.zeros(users.max(initial=-1) + 1, bool)
    new, share = np.zeros(len(users), bool), np.ones(len(users))
    for (start, stop), expected, dispersion in zip(
        itertools.pairwise([*first, len(users)]),
        strongest["n_expected"],
        strongest["dispersion"],
        strict=True,
    ):
        raters = users[start:stop]
        fresh = ~suspected[raters]
        n = int(fresh.sum())
        if n < LEAST or expected > honest_share * n:
            continue
        if _score(n, expected, dispersion) >= least_score:
            suspected[raters], new[start:stop], share[start:stop] = True, fresh, expected / n
    return new, share


def _score(n: int, expected: float, dispersion: float) -> float:
    return float(score_of(np.array([n]), np.array([expected]), np.array([dispersion]))[0])
