"""How many users a test of two rates needs, and intervals that may be looked at every day.

A usual interval is right for one look at a time that was fixed before. Whoever looks every day, and
stops at the first that leaves out 0, is wrong far more often. An always-valid interval covers the
truth at all looks together. This one inverts the mixture sequential probability ratio test (Robbins
1970, "Statistical methods related to the law of the iterated logarithm",
doi:10.1214/aoms/1177696786; Johari, Koomen, Pekelis & Walsh 2022, "Always valid inference:
continuous monitoring of A/B tests", doi:10.1287/opre.2021.2135): differences are weighted by a
normal density of standard deviation `tau`, at which the interval is narrowest. Variances are
estimated, so it holds for many users.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from mfdask.errors import require
from mfdask.kernels.types import Float64s


class Arms(NamedTuple):
    """Counts of two arms at some looks: arrays of one shape.

    Attributes
    ----------
    n_a, n_b : float64
        Visits so far.
    clicks_a, clicks_b : float64
        Of these, with a click.
    """

    n_a: Float64s
    clicks_a: Float64s
    n_b: Float64s
    clicks_b: Float64s

    @property
    def difference(self) -> Float64s:
        """Rate of B less that of A."""
        rates: Float64s = self.clicks_b / self.n_b - self.clicks_a / self.n_a
        return rates

    @property
    def variance(self) -> Float64s:
        """Variance of the difference; one click more and one less keep it from being 0."""
        parts = []
        for n, clicks in ((self.n_a, self.clicks_a), (self.n_b, self.clicks_b)):
            rate = (clicks + 1) / (n + 2)
            parts.append(rate * (1 - rate) / n)
        whole: Float64s = parts[0] + parts[1]
        return whole


def users_needed(rate: float, lift: float, level: float = 0.05, power: float = 0.8) -> int:
    """Return the users that each arm of a test needs.

    Two-sided, of two rates (Fleiss, Levin & Paik 2003, *Statistical Methods for Rates and
    Proportions*, 4.2, without the correction for continuity).

    Parameters
    ----------
    rate : float
        Of A, between 0 and 1.
    lift : float
        Of B over A, as a share of A's rate; not 0.
    level : float
        Chance to find a difference where there is none.
    power : float
        Chance to find this one.

    Raises
    ------
    InputError
        If either rate is not between 0 and 1, or the lift is 0.
    """
    other = rate * (1 + lift)
    require(0 < rate < 1, "rate", rate, "between 0 and 1")
    require(0 < other < 1 and lift != 0, "lift", lift, "one that leaves B a rate from 0 to 1")
    middle = (rate + other) / 2
    spread = rate * (1 - rate) + other * (1 - other)
    wide = stats.norm.ppf(1 - level / 2) * math.sqrt(2 * middle * (1 - middle))
    return math.ceil(((wide + stats.norm.ppf(power) * math.sqrt(spread)) / (other - rate)) ** 2)


def fixed_room(arms: Arms, level: float) -> Float64s:
    """Return half the width of the interval for a single look."""
    room: Float64s = stats.norm.ppf(1 - level / 2) * np.sqrt(arms.variance)
    return room


def always_valid_room(arms: Arms, level: float, tau: float) -> Float64s:
    """Return half the width of the interval that holds at all looks together.

    Parameters
    ----------
    arms : Arms
    level : float
    tau : float
        Difference of the rates that the test is for; above 0.
    """
    variance = arms.variance
    together = variance + tau**2
    bound = 2 * math.log(1 / level) + np.log(together / variance)
    room: Float64s = np.sqrt(variance * together / tau**2 * bound)
    return room
