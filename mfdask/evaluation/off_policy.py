"""What lists would have earned, estimated from events that another policy has brought about.

An event is an item that a user took up, with a reward. It came about by a *logging policy*, which
shows item ``i`` with chance ``p(i | u)``; a list of ``k`` items is a policy that shows each of them
with chance ``pi(i | u) = 1 / k``. Three estimates of the mean reward of what the lists show:

- *replay* (Li, Chu, Langford & Wang 2011, "Unbiased offline evaluation of contextual-bandit-based
  news article recommendation algorithms", doi:10.1145/1935826.1935878): the mean reward of the
  events whose item is on the list. It is that of the policy only where the logging policy is even;
  else it leans to what was shown more.
- *inverse propensity* (Horvitz & Thompson 1952, doi:10.1080/01621459.1952.10483446):
  ``mean of (pi / p) reward`` over all events; unbiased if `p` is right.
- *self-normalised* (Swaminathan & Joachims 2015, "The self-normalized estimator for counterfactual
  learning"): ``sum of (pi / p) reward / sum of pi / p``; a little bias for much less variance.

Each is a ratio of sums over users, whose variance is that of its linear part (the delta method,
Cochran 1977, *Sampling Techniques*, 6.8), with users as clusters: events of one user are not
independent. The normal interval needs many users; few effective events make it too narrow.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from mfdask.kernels.types import Bools, Float64s, Int64s


class LoggedEvents(NamedTuple):
    """Logged events, in any order.

    Attributes
    ----------
    user : int64 (n,)
        Number of the user, from 0.
    reward : float64 (n,)
    propensity : float64 (n,)
        Chance ``p(i | u)`` that the logging policy showed that item.
    """

    user: Int64s
    reward: Float64s
    propensity: Float64s


class Interval(NamedTuple):
    """An estimate with its interval.

    Attributes
    ----------
    value, low, high : float
        NaN where there is nothing to estimate it from.
    """

    value: float
    low: float
    high: float


class Ratio(NamedTuple):
    """A ratio of sums over users.

    Attributes
    ----------
    value : float
    influence : float64 (users,)
        What each user adds to ``value - truth``, to first order; they sum to 0.
    """

    value: float
    influence: Float64s

    @classmethod
    def of(cls, top: Float64s, bottom: Float64s) -> Ratio:
        """Return the ratio of sums of two values of each user; NaN where the lower is 0."""
        whole = bottom.sum()
        if whole == 0:
            return cls(math.nan, np.full(len(top), math.nan))
        value = top.sum() / whole
        return cls(float(value), (top - value * bottom) / whole)

    def interval(self, level: float) -> Interval:
        """Return the interval that holds the truth with chance ``1 - level``."""
        return _interval(self.value, self.influence, level)

    def beyond(self, other: Ratio, level: float) -> Interval:
        """Return how much larger this is than a ratio of the same users."""
        return _interval(self.value - other.value, self.influence - other.influence, level)


def _interval(value: float, influence: Float64s, level: float) -> Interval:
    n = len(influence)
    if n < 2 or math.isnan(value):
        return Interval(value, math.nan, math.nan)
    error = math.sqrt(n / (n - 1) * float(np.square(influence).sum()))
    room = float(stats.t.ppf(1 - level / 2, n - 1)) * error
    return Interval(value, value - room, value + room)


def estimates(events: LoggedEvents, shown: Bools, k: int) -> dict[str, Ratio]:
    """Return the estimates of what lists earn, by name: see the module.

    Parameters
    ----------
    events : LoggedEvents
    shown : bool (n,)
        Whether the item of each event is on its user's list.
    k : int
        Length of the lists.
    """
    weight = np.where(shown, 1 / (k * events.propensity), 0.0)
    n_users = int(events.user.max(initial=-1)) + 1

    def summed(values: Float64s) -> Float64s:
        return np.bincount(events.user, values, minlength=n_users).astype(np.float64)

    on_list = shown.astype(np.float64)
    earned = summed(weight * events.reward)
    return {
        "replay": Ratio.of(summed(on_list * events.reward), summed(on_list)),
        "inverse propensity": Ratio.of(earned, summed(np.ones(len(shown)))),
        "self-normalised": Ratio.of(earned, summed(weight)),
    }


def effective_events(events: LoggedEvents, shown: Bools) -> float:
    """Return how many events of equal weight say as much as those on the lists.

    ``(sum of w)^2 / sum of w^2`` (Kish 1965, *Survey Sampling*).
    """
    weight = 1 / events.propensity[shown]
    return float(weight.sum() ** 2 / np.square(weight).sum()) if len(weight) else 0.0
