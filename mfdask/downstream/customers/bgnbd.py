"""The BG/NBD model of repeat activity, from how often and how recently users came.

The beta-geometric/negative-binomial model of Fader, Hardie and Lee (2005), "Counting Your
Customers" the Easy Way: An Alternative to the Pareto/NBD Model, Marketing Science 24(2). While
active, a customer comes back at a rate drawn from ``Gamma(r, alpha)``, and after each return leaves
for good with a probability drawn from ``Beta(a, b)``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import betaln, expit, gammaln, hyp2f1

from mfdask.errors import InputError
from mfdask.kernels.types import Float64s

Floats = npt.NDArray[np.floating]

#: Where the search for the parameters begins, and how far their logarithms may go: beyond, the
#: likelihood is flat.
_START, _FARTHEST = np.zeros(4), 12.0


class Rhythm(NamedTuple):
    """Recency and frequency of customers, the input of BG/NBD.

    Attributes
    ----------
    frequency : float (customers,)
        Returns: purchases, or active days, after the first.
    recency : float (customers,)
        Time from the first to the last of them; 0 where there is but one.
    age : float (customers,)
        Time from the first to now, in the same unit.
    """

    frequency: Floats
    recency: Floats
    age: Floats


class BGNBD(NamedTuple):
    """The parameters; `alpha` is in the unit of time."""

    r: float
    alpha: float
    a: float
    b: float

    @classmethod
    def fit(cls, rhythm: Rhythm) -> BGNBD:
        """Find the parameters by maximum likelihood.

        Raises
        ------
        InputError
            If nobody ever came back.
        """
        if not np.any(rhythm.frequency > 0):
            raise InputError("BG/NBD: nobody has come back yet; choose a later `cutoff`")

        def loss(logs: Float64s) -> float:
            return -float(np.mean(cls(*np.exp(logs)).log_likelihood(rhythm)))

        found = minimize(loss, _START, method="L-BFGS-B", bounds=[(-_FARTHEST, _FARTHEST)] * 4)
        return cls(*np.exp(found.x).tolist())

    def log_likelihood(self, rhythm: Rhythm) -> Float64s:
        """Return the logarithm of each customer's likelihood (eq. 6 of the paper)."""
        r, alpha, a, b = self
        x, t_x, age = (np.asarray(values, np.float64) for values in rhythm)
        rate = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
        active = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + age)
        # Somebody who has come back may have left just then.
        left = betaln(a + 1, b + np.maximum(x, 1) - 1) - betaln(a, b)
        left = np.where(x > 0, left - (r + x) * np.log(alpha + t_x), -np.inf)
        total: Float64s = rate + np.logaddexp(active, left)
        return total

    def still_active(self, rhythm: Rhythm) -> Float64s:
        """Return the probability that each customer has not left (Fader & Hardie's note, 2008)."""
        r, alpha, a, b = self
        x, t_x, age = (np.asarray(values, np.float64) for values in rhythm)
        odds = np.log(a) - np.log(b + np.maximum(x, 1) - 1)
        odds += (r + x) * (np.log(alpha + age) - np.log(alpha + t_x))
        return np.where(x > 0, expit(-odds), 1.0)

    def expected(self, rhythm: Rhythm, horizon: float) -> Float64s:
        """Return how many returns each customer will make in the `horizon` (eq. 10 of the paper).

        ``(a + b + x - 1) / (a - 1) * [1 - ((alpha + T) / (alpha + T + t))**(r + x) *
        2F1(r + x, b + x; a + b + x - 1; t / (alpha + T + t))]`` times the probability of being
        active.
        """
        r, alpha, a, b = self
        x, _, age = (np.asarray(values, np.float64) for values in rhythm)
        if abs(a - 1) < 1e-6:  # the formula has a removable pole there
            a += 2e-6
        z = horizon / (alpha + age + horizon)
        # Euler's transformation, (1 - z)**A 2F1(A, B; C; z) = (1 - z)**(C - B) 2F1(C - A, C - B;
        # C; z), leaves the large x in C alone, where it makes the series shorter.
        shrunk = (1 - z) ** (a - 1) * hyp2f1(a + b - 1 - r, a - 1, a + b + x - 1, z)
        returns = (a + b + x - 1) / (a - 1) * (1 - shrunk)
        return self.still_active(rhythm) * returns
