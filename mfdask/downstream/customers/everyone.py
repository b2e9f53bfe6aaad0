"""Scores of everybody at a cut-off by the purchase models, whatever little is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from mfdask.downstream.customers.metrics import EDGE, Recalibration, calibrate
from mfdask.downstream.customers.origins import Origins
from mfdask.downstream.customers.outlook import COVERAGE, NAMES, Purchases
from mfdask.downstream.customers.reasons import of_rhythm
from mfdask.downstream.customers.rfm import RFM
from mfdask.downstream.customers.tables import FeatureTable
from mfdask.kernels.types import Float64s

#: What a score rests on: a learned model, a purchase model, or nothing of the user's own.
FEATURES, RHYTHM_ONLY, NOTHING = "features", "rhythm", "none"
#: What the purchase models add to a table.
OUTLOOK = ("p_alive", "expected_days", "expected_days_low", "expected_days_high")


@dataclass(frozen=True)
class Everyone:
    """Every user who had done anything before the cut-off.

    Attributes
    ----------
    table : DataFrame
        By `user_id`, ascending: the features `RFM`, `OUTLOOK` and `mean_spend`; `score`, `low`,
        `high`, `discounted` (a share, of value), `basis`, `reason`, and `label`, NaN where it is
        not known.
    purchases : Purchases
    modified : bool
        Which purchase model scores.
    facts : dict
        `model`, `calibration` of churn, or the `coverage` of the intervals at the newest cut-off
        whose horizon was over.
    """

    table: pd.DataFrame
    purchases: Purchases
    modified: bool
    facts: dict[str, Any]

    def survival(self, groups: pd.Series) -> pd.DataFrame:
        """Return the probability of being active by week, of groups of users; see `Purchases`."""
        return self.purchases.survival(self.modified, groups)


def everyone_by_churn(
    features: list[FeatureTable], origins: Origins, came: pd.DataFrame
) -> Everyone:
    """Return everybody with the probability of no activity in the horizon.

    Parameters
    ----------
    features : list of FeatureTable
    origins : Origins
    came : DataFrame
        From `future.future_days`.
    """
    newest = origins.before(origins.cutoff)[-1:]
    own = {
        each.cutoff: Purchases.of(each.everyone, each.cutoff, origins.horizon)
        for each in features
        if each.cutoff in (*newest, origins.cutoff)
    }
    modified = _chosen(own, newest, came)
    line = Recalibration()
    for cutoff in newest:
        (then,) = (each for each in features if each.cutoff == cutoff)
        others = own[cutoff].table.index.difference(pd.Index(then.cohort["user_id"]))
        said = own[cutoff].chance_of_none(modified).reindex(others)
        left = came[cutoff].reindex(others).to_numpy() == 0
        line = calibrate(left.astype(np.float64), said.to_numpy())
    last = own[origins.cutoff]
    chances = last.chances_of_none(modified)
    table = _users(features[-1]).join(last.outlook(modified, 0.0)[list(OUTLOOK)])
    table["score"] = line.apply(chances["p"].to_numpy())
    for end in ("low", "high"):
        table[end] = shifted(table["score"], chances["p"], chances[end])
    known = origins.cutoff in came
    table["label"] = (came[origins.cutoff].reindex(table.index) == 0) * 1.0 if known else np.nan
    facts = {"model": NAMES[modified], "calibration": line._asdict()}
    return Everyone(_with_basis(table), last, modified, facts)


def everyone_by_value(
    features: list[FeatureTable],
    origins: Origins,
    own: dict[int, Purchases],
    came: pd.DataFrame,
    discount: float,
) -> Everyone:
    """Return everybody with the active days, or the amount, to come.

    Parameters
    ----------
    features : list of FeatureTable
    origins : Origins
    own : dict
        `Purchases` at each cut-off.
    came : DataFrame
        From `future.future_days`, or `future_spend`.
    discount : float
    """
    newest = origins.before(origins.cutoff)[-1:]
    modified = _chosen(own, newest, came)
    last = own[origins.cutoff]
    facts: dict[str, Any] = {"model": NAMES[modified], "coverage": None}
    newcomers = pd.Series([0.0])
    for cutoff in newest:
        told, actual = own[cutoff].outlook(modified, 0.0), came[cutoff]
        mine = actual.reindex(told.index)
        facts["coverage"] = float(mine.between(told["value_low"], told["value_high"]).mean())
        then = {each.cutoff: each.everyone["user_id"] for each in features}[cutoff]
        newcomers = actual.reindex(pd.Index(then).difference(told.index))
    table = _users(features[-1]).join(last.outlook(modified, discount))
    bought = table["value"].notna()
    beyond = [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2]
    ends = newcomers.quantile(beyond).to_numpy() if len(newcomers) else np.zeros(2)
    rest = {"value": newcomers.mean() if len(newcomers) else 0.0}
    rest |= {"value_low": ends[0], "value_high": ends[1], "discounted": 1.0}
    table = table.fillna(rest)
    names = {"value": "score", "value_low": "low", "value_high": "high"}
    table = _with_basis(table.rename(columns=names))
    table.loc[~bought, ["basis", "reason"]] = [NOTHING, "no purchase so far"]
    table["label"] = came[origins.cutoff].reindex(table.index) if origins.cutoff in came else np.nan
    return Everyone(table, last, modified, facts)


def shifted(score: Any, middle: Any, end: Any) -> Float64s:
    """Return the end of an interval that is as far from a probability, in log-odds, as before."""
    odds = (logit(np.clip(np.asarray(p, np.float64), EDGE, 1 - EDGE)) for p in (score, end, middle))
    moved: Float64s = expit(next(odds) + next(odds) - next(odds))
    return moved


def _chosen(own: dict[int, Purchases], newest: list[int], came: pd.DataFrame) -> bool:
    """Tell whether the modified model is to score: it was nearer at the newest known cut-off."""
    if not newest:
        return own[max(own)].likelier()
    return own[newest[0]].better(came[newest[0]])


def _users(features: FeatureTable) -> pd.DataFrame:
    return features.everyone.set_index("user_id")[list(RFM)].sort_index()


def _with_basis(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(basis=RHYTHM_ONLY, reason=of_rhythm(table))
