"""Power-law and log-normal fits to counts, and a test between them.

After Clauset, Shalizi & Newman (2009), "Power-law distributions in empirical data", SIAM Review
51(4), doi:10.1137/070710111; the section numbers below are theirs.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

Floats = npt.NDArray[np.float64]

#: Lower ends that are tried at most, evenly spread over the logarithm; and values left above one.
_MOST_STARTS = 200
_FEWEST_ABOVE = 50
_EXPONENTS = (1.01, 12.0)
_EPSILON = 1e-15  # keeps a mass that rounds to nothing above it


class Sample(NamedTuple):
    """Counts by value: `values` ascending whole numbers from 1, `n` how often each occurs."""

    values: Floats
    n: Floats

    @classmethod
    def of(cls, counts: npt.NDArray[np.integer]) -> Sample:
        """Count positive counts; zeros are left out."""
        values, n = np.unique(counts[counts > 0], return_counts=True)
        return cls(values.astype(np.float64), n.astype(np.float64))

    @property
    def size(self) -> int:
        """How many there are."""
        return int(self.n.sum())

    def from_(self, start: float) -> Sample:
        """Return those of `start` or more."""
        first = int(np.searchsorted(self.values, start))
        return Sample(self.values[first:], self.n[first:])

    def at_least(self) -> Floats:
        """Return the share of the sample that is `values` or more, float64 (values,)."""
        return np.cumsum(self.n[::-1])[::-1] / self.n.sum()


class PowerLaw(NamedTuple):
    """``P(x) = x^-exponent / zeta(exponent, start)`` for whole ``x >= start``.

    Attributes
    ----------
    exponent, start : float
    distance : float
        Kolmogorov-Smirnov distance between sample and law.
    """

    exponent: float
    start: float
    distance: float

    def log_mass(self, x: Floats) -> Floats:
        """Return ``ln P(x)``."""
        norm = math.log(special.zeta(self.exponent, self.start))
        return np.asarray(-self.exponent * np.log(x) - norm)

    def at_least(self, x: Floats) -> Floats:
        """Return ``P(X >= x)``."""
        return special.zeta(self.exponent, x) / special.zeta(self.exponent, self.start)


class LogNormal(NamedTuple):
    """A log-normal rounded to whole numbers, and cut off below `start`."""

    mu: float
    sigma: float
    start: float

    def log_mass(self, x: Floats) -> Floats:
        """Return ``ln P(x)``; by differences of upper tails, which far out are tiny but exact."""
        low, high = self._log_above(x), self._log_above(x + 1)
        return low + np.log1p(-np.exp(np.minimum(high - low, -_EPSILON))) - self._norm

    def at_least(self, x: Floats) -> Floats:
        """Return ``P(X >= x)``."""
        return np.exp(self._log_above(x) - self._norm)

    @property
    def _norm(self) -> float:
        return float(self._log_above(np.array(self.start)))

    def _log_above(self, x: Floats) -> Floats:
        return special.log_ndtr(-(np.log(x - 0.5) - self.mu) / self.sigma)


class Comparison(NamedTuple):
    """Both fits to the same values, and Vuong's test between them (their appendix C).

    Attributes
    ----------
    power_law : PowerLaw
    log_normal : LogNormal
    n : int
        Values of `start` or more, which both are fitted to.
    ratio : float
        Log-likelihood of the power law less that of the log-normal: negative speaks for the latter.
    normalised : float
        The same over its standard deviation.
    p : float
        How probable it is that a ratio this far from zero is chance, two-sided.
    """

    power_law: PowerLaw
    log_normal: LogNormal
    n: int
    ratio: float
    normalised: float
    p: float

    @property
    def exponent_error(self) -> float:
        """Standard error of the exponent (their Eq. 3.2)."""
        return (self.power_law.exponent - 1) / math.sqrt(self.n)

    @property
    def verdict(self) -> str:
        """Say which of the two is the better one."""
        if not self.p < 0.1:
            return "neither is clearly better"
        return "the power law is better" if self.ratio > 0 else "the log-normal is better"


def compare_tails(counts: npt.NDArray[np.integer]) -> Comparison | None:
    """Fit both to positive counts, above the lower end that suits a power law best.

    Returns
    -------
    Comparison or None
        None where there are too few counts, or too few that differ, to tell anything.
    """
    sample = Sample.of(counts)
    power_law = fit_power_law(sample)
    if power_law is None:
        return None
    tail = sample.from_(power_law.start)
    log_normal = fit_log_normal(tail)
    differences = power_law.log_mass(tail.values) - log_normal.log_mass(tail.values)
    ratio = float(tail.n @ differences)
    spread = math.sqrt(float(tail.n @ (differences - ratio / tail.size) ** 2))
    normalised = ratio / spread if spread else 0.0
    p = math.erfc(abs(normalised) / math.sqrt(2))
    return Comparison(power_law, log_normal, tail.size, ratio, normalised, p)


def fit_power_law(sample: Sample) -> PowerLaw | None:
    """Fit by maximum likelihood (their Eq. 3.5), from the start of least distance (section 3.3).

    Of more than 200 possible starts, 200 are tried.
    """
    above = np.cumsum(sample.n[::-1])[::-1]
    # At least two values, and enough of them, must lie above a start.
    possible = np.flatnonzero(above[:-1] >= _FEWEST_ABOVE)
    if not len(possible):
        return None
    evenly = np.geomspace(1, len(possible), _MOST_STARTS).astype(int) - 1
    starts = sample.values[possible[np.unique(evenly)]]
    return min((_power_law_from(start, sample) for start in starts), key=lambda law: law.distance)


def _power_law_from(start: float, sample: Sample) -> PowerLaw:
    tail = sample.from_(start)
    mean_log = float(tail.n @ np.log(tail.values)) / tail.size

    def cost(exponent: float) -> float:
        return math.log(special.zeta(exponent, start)) + exponent * mean_log

    exponent = float(optimize.minimize_scalar(cost, bounds=_EXPONENTS, method="bounded").x)
    law = PowerLaw(exponent, start, 0.0)
    distance = np.abs(tail.at_least() - law.at_least(tail.values)).max()
    return law._replace(distance=float(distance))


def fit_log_normal(tail: Sample) -> LogNormal:
    """Fit by maximum likelihood to a sample that is cut off below its smallest value."""
    start, logs = float(tail.values[0]), np.log(tail.values)
    mean = float(np.average(logs, weights=tail.n))
    spread = math.sqrt(float(np.average((logs - mean) ** 2, weights=tail.n)))

    def cost(point: Floats) -> float:
        law = LogNormal(point[0], math.exp(point[1]), start)
        return -float(tail.n @ law.log_mass(tail.values)) / tail.size

    # A cut-off power law is the limit of ever wider log-normals: the bounds stop short of it.
    bounds = [
        (mean - 100 * spread, mean + 3 * spread),
        (math.log(spread / 10), math.log(30 * spread)),
    ]
    firsts = [(mean, math.log(spread)), (mean - 2 * spread, math.log(2 * spread))]
    found = [
        optimize.minimize(
            cost,
            first,
            method="Nelder-Mead",
            bounds=bounds,
            options={"xatol": 1e-6, "fatol": 1e-10},
        )
        for first in firsts
    ]
    best = min(found, key=lambda one: one.fun)
    return LogNormal(float(best.x[0]), math.exp(best.x[1]), start)
