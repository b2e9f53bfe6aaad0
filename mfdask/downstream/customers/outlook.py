"""What the purchase models say of every user: whether they are active, and what is to come."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from mfdask.downstream.customers.bgnbd import BGNBD, Rhythm
from mfdask.downstream.customers.gamma_gamma import Amounts, GammaGamma
from mfdask.downstream.customers.spend import Spend
from mfdask.downstream.events import DAY
from mfdask.kernels.types import Float64s

#: What the models know of a user, beside the mean amount.
RHYTHM = ("active_days", "recency_days", "tenure_days")
#: Names of the models, by whether they are modified.
NAMES = {False: "BG/NBD", True: "MBG/NBD"}
#: Where nobody has come back yet, nobody is expected to.
_NOBODY_BACK = BGNBD(1e-9, 1.0, 1.0, 1.0)
#: Users that a model is fitted on at most; its four parameters do not need more.
_MOST_USERS = 50_000
#: Intervals hold so much, between these quantiles.
COVERAGE = 0.9
_ENDS = ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2)
#: Those of amounts are quantiles of so many draws, for so many users at a time.
_DRAWS, _CHUNK = 200, 20_000
#: Discounting is done for so many equal parts of the horizon.
_PARTS = 4
#: Weeks ahead of the survival curves.
_WEEKS: Float64s = np.arange(0.0, 53.0, 2.0)
_WEEK, _YEAR = 7.0, 365.25


@dataclass(frozen=True)
class Purchases:
    """Recency, frequency and amounts at a cut-off, of those who had come by then.

    Attributes
    ----------
    table : DataFrame
        By `user_id`, ascending: `RHYTHM`, and `mean_spend` of a day where there are amounts.
    horizon_days : float
    """

    table: pd.DataFrame
    horizon_days: float

    @classmethod
    def of(
        cls, everyone: pd.DataFrame, cutoff: int, horizon: int, spend: Spend | None = None
    ) -> Purchases:
        """Return the active days of all users, or, with a table of amounts, their purchases."""
        if spend is None:
            table = everyone.set_index("user_id")[list(RHYTHM)]
        else:
            table = spend.purchases(cutoff, everyone["user_id"])
        return cls(table.sort_index(), horizon / DAY)

    @property
    def rhythm(self) -> Rhythm:
        """What BG/NBD knows, in weeks: active days count as what users come back for."""
        return rhythm(self.table)

    @cached_property
    def models(self) -> dict[bool, BGNBD]:
        """Both models, fitted on everybody: a cohort is chosen by what they are to explain."""
        fitted_on = self.table
        if not (fitted_on["active_days"] > 1).any():
            return dict.fromkeys(NAMES, _NOBODY_BACK)
        if len(fitted_on) > _MOST_USERS:
            fitted_on = fitted_on.sample(_MOST_USERS, random_state=0)
        return {modified: BGNBD.fit(rhythm(fitted_on), modified) for modified in NAMES}

    @property
    def amounts(self) -> Amounts:
        """What Gamma-Gamma knows."""
        columns = (self.table[name].to_numpy(np.float64) for name in ("active_days", "mean_spend"))
        return Amounts(*columns)

    @cached_property
    def spending(self) -> GammaGamma | None:
        """The model of amounts; None where there are none."""
        has_amounts = "mean_spend" in self.table and len(self.table) > 0
        return GammaGamma.fit(self.amounts) if has_amounts else None

    @cached_property
    def mean_spend(self) -> Float64s:
        """The mean amount of each user, drawn towards that of all; 1 where there are none."""
        model = self.spending
        return np.ones(len(self.table)) if model is None else model.expected(self.amounts)

    def expected(self, modified: bool, users: pd.Index | None = None) -> pd.Series:
        """Return the active days, or the amounts, that a model expects in the horizon, by user.

        Of `users`, 0 for whoever has not come yet; by default of all who have.
        """
        index = self.table.index
        there = np.arange(len(index)) if users is None else index.get_indexer(users)
        there = there[there >= 0]
        own = rhythm(self.table.iloc[there])
        days = self.models[modified].expected(own, self.horizon_days / _WEEK)
        found = pd.Series(days * self.mean_spend[there], index=index[there])
        return found if users is None else found.reindex(users, fill_value=0.0)

    def better(self, actual: pd.Series) -> bool:
        """Tell whether the modified model has the less squared error, given what came by user."""
        came = actual.reindex(self.table.index).to_numpy(np.float64)
        return min(NAMES, key=lambda m: float(np.nansum((self.expected(m) - came) ** 2)))

    def likelier(self) -> bool:
        """Tell whether the modified model is the likelier one."""
        own = self.rhythm
        return max(NAMES, key=lambda m: float(self.models[m].log_likelihood(own).mean()))

    def outlook(self, modified: bool, discount: float) -> pd.DataFrame:
        """Return what a model says of each user.

        Parameters
        ----------
        modified : bool
        discount : float
            A year; see `StudyOptions`.

        Returns
        -------
        DataFrame
            By `user_id`, float64: `p_alive`, `expected_days` with `_low` and `_high`, `mean_spend`
            where there are amounts, `value` (days or amounts) with `_low` and `_high`, and
            `discounted`, the share of the value that is left at that rate.
        """
        model, own, ahead = self.models[modified], self.rhythm, self.horizon_days / _WEEK
        days = model.expected(own, ahead)
        low, high = (model.quantile(own, ahead, share) for share in _ENDS)
        found = {"p_alive": model.still_active(own), "expected_days": days}
        found |= {"expected_days_low": low, "expected_days_high": high}
        if self.spending is not None:
            found["mean_spend"] = self.mean_spend
            low, high = self._amounts_between(self.spending, model)
        found |= {"value": days * self.mean_spend, "value_low": low, "value_high": high}
        found["discounted"] = _discounted(model, own, ahead, discount, days)
        return pd.DataFrame(found, index=self.table.index)

    def _amounts_between(self, spending: GammaGamma, model: BGNBD) -> Float64s:
        """Return the ends of the interval of each user's amount in the horizon, by draws."""
        ends, ahead = np.empty((2, len(self.table))), self.horizon_days / _WEEK
        for first in range(0, len(self.table), _CHUNK):
            some = slice(first, first + _CHUNK)
            random = np.random.default_rng([0, first])
            days = model.draw_returns(rhythm(self.table.iloc[some]), ahead, _DRAWS, random)
            amounts = Amounts(*(each[some] for each in self.amounts))
            drawn = spending.draw_sums(amounts, days, random)
            ends[:, some] = np.quantile(drawn, _ENDS, axis=0, method="inverted_cdf")
        return ends

    def chance_of_none(self, modified: bool, rate_quantile: float | None = None) -> pd.Series:
        """Return the probability of no active day in the horizon, by user.

        See `BGNBD.chance_of_none`.
        """
        ahead = self.horizon_days / _WEEK
        chance = self.models[modified].chance_of_none(self.rhythm, ahead, rate_quantile)
        return pd.Series(chance, index=self.table.index)

    def chances_of_none(self, modified: bool) -> pd.DataFrame:
        """Return `chance_of_none` as `p`, with an interval of what is not known of a user's rate.

        Its ends are `low` and `high`.
        """
        quantiles = {"p": None, "low": _ENDS[1], "high": _ENDS[0]}
        return pd.DataFrame({n: self.chance_of_none(modified, q) for n, q in quantiles.items()})

    def survival(self, modified: bool, groups: pd.Series) -> pd.DataFrame:
        """Return the mean probability of being active by week, of each group of users.

        Returns
        -------
        DataFrame
            `group`, `users`, `week` and `active`.
        """
        lines = []
        for name, users in groups.groupby(groups).groups.items():
            own = self.table.loc[self.table.index.intersection(users)]
            if own.empty:
                continue
            shown = own.sample(min(len(own), _CHUNK // 4), random_state=0)
            random = np.random.default_rng(0)
            model, n_draws = self.models[modified], _DRAWS // 4
            active = model.survival(rhythm(shown), _WEEKS, n_draws, random)
            lines += [(name, len(own), week, p) for week, p in zip(_WEEKS, active, strict=True)]
        return pd.DataFrame(lines, columns=["group", "users", "week", "active"])


def rhythm(table: pd.DataFrame) -> Rhythm:
    """Return what BG/NBD knows of users, in weeks, from the columns `RHYTHM`."""
    weeks = {name: table[name].to_numpy(np.float64) / _WEEK for name in RHYTHM}
    age, returns = weeks["tenure_days"], table["active_days"].to_numpy(np.float64) - 1
    recency = np.maximum(age - weeks["recency_days"], 0.0)
    return Rhythm(returns, np.where(returns > 0, recency, 0.0), age)


def _discounted(
    model: BGNBD, own: Rhythm, ahead: float, discount: float, total: Float64s
) -> Float64s:
    """Return which share of the `total` expected is left, each part taken at its middle."""
    if not discount:
        return np.ones(len(total))
    ends = np.linspace(0, ahead, _PARTS + 1)
    inner = (model.expected(own, end) for end in ends[1:-1])
    expected = np.array([np.zeros(len(total)), *inner, total])
    years = (ends[1:] + ends[:-1]) / 2 * _WEEK / _YEAR
    left = (1 + discount) ** -years @ np.diff(expected, axis=0)
    return np.divide(left, total, out=np.ones_like(total), where=total > 0)
