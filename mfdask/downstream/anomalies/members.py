"""Who made the bursts."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from mfdask.downstream.anomalies.bursts import LEAST, score_of
from mfdask.kernels.types import Float64s, Int64s


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
    first = np.flatnonzero(np.diff(pairs["number"], prepend=-1))
    strongest = bursts.loc[pairs["burst"].iloc[first]]
    expected, dispersion = strongest["n_expected"].to_numpy(), strongest["dispersion"].to_numpy()
    least_score = bursts["score"].min()
    users, new = pairs["user"].to_numpy(), np.ones(len(pairs), bool)
    suspected = np.zeros(users.max(initial=-1) + 1, bool)
    share = np.ones(len(pairs))
    for k, raters in enumerate(_slices(first, len(pairs))):
        new[raters] = ~suspected[users[raters]]
        n = int(new[raters].sum())
        if _is_burst(n, expected[k : k + 1], dispersion[k : k + 1], least_score, honest_share):
            suspected[users[raters]] = True
            share[raters] = expected[k] / n
        else:
            new[raters] = False
    found = pairs.loc[new, ["user", "burst"]].assign(honest_share=share[new])
    each = pairs["user"].value_counts().rename("n_items")
    return found.reset_index(drop=True).join(each, on="user")


def _slices(first: Int64s, n: int) -> list[slice]:
    """Return what lies between one place and the next."""
    return [slice(*ends) for ends in itertools.pairwise([*first.tolist(), n])]


def _is_burst(
    n: int, expected: Float64s, dispersion: Float64s, least_score: float, honest_share: float
) -> bool:
    """Tell whether `n` ratings would do in the place of a burst's, of one value each."""
    if n < LEAST or expected[0] > honest_share * n:
        return False
    return bool(score_of(np.array([n]), expected, dispersion)[0] >= least_score)
