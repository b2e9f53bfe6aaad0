"""Who made the bursts."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mfdask.downstream.anomalies.bursts import LEAST, score_of


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
    pairs = (
        members.sort_values("burst", kind="stable")
        .join(bursts[["item", "direction"]], on="burst", how="inner")
        .drop_duplicates(["user", "item", "direction"])
    )
    suspected: set[int] = set()
    found = [pairs[["user", "burst"]][:0].assign(honest_share=0.0)]
    for _, raters in pairs.groupby(["item", "direction"], sort=False):
        new = raters.loc[~raters["user"].isin(suspected), ["user", "burst"]]
        strongest = bursts.loc[raters["burst"].iloc[:1]]
        if _is_burst(len(new), strongest, bursts["score"].min(), honest_share):
            suspected.update(new["user"])
            share = strongest["n_expected"].iloc[0] / len(new)
            found.append(new.assign(honest_share=share))
    each = pairs["user"].value_counts().rename("n_items")
    return pd.concat(found, ignore_index=True).join(each, on="user")


def _is_burst(n: int, like: pd.DataFrame, least_score: float, honest_share: float) -> bool:
    """Tell whether `n` ratings would do in the place of a burst's."""
    expected, dispersion = like["n_expected"].to_numpy(), like["dispersion"].to_numpy()
    if n < LEAST or expected[0] > honest_share * n:
        return False
    return bool(score_of(np.array([n]), expected, dispersion)[0] >= least_score)
