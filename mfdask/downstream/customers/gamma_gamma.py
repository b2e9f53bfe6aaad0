"""The Gamma-Gamma model of what a customer spends each time.

Fader and Hardie (2013), The Gamma-Gamma Model of Monetary Value. Amounts of a customer are
``Gamma(p, nu)``, and `nu` is drawn from ``Gamma(q, gamma)`` for each: the mean of a customer with
few purchases is drawn towards that of all.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln

from mfdask.errors import InputError
from mfdask.kernels.types import Float64s

#: How far the logarithms of the parameters may go.
_FARTHEST = 12.0
#: Below 1 the mean amount would be infinite.
_LEAST_Q = 1.01


class Amounts(NamedTuple):
    """Purchases and mean amounts of customers, the input of the model.

    Attributes
    ----------
    n : float (customers,)
        Days with a purchase.
    mean : float (customers,)
        Mean amount of these; above 0.
    """

    n: Float64s
    mean: Float64s


class GammaGamma(NamedTuple):
    """The parameters; `gamma` is in the unit of the amounts."""

    p: float
    q: float
    gamma: float

    @classmethod
    def fit(cls, amounts: Amounts) -> GammaGamma:
        """Find the parameters by maximum likelihood.

        Raises
        ------
        InputError
            If nobody has spent anything.
        """
        if not len(amounts.n):
            raise InputError("`spend`: nobody has spent anything before the cut-off")
        unit = float(np.median(amounts.mean))  # then all three are near 1
        scaled = Amounts(amounts.n, amounts.mean / unit)

        def loss(logs: Float64s) -> float:
            return -float(np.mean(cls(*np.exp(logs)).log_likelihood(scaled)))

        bounds = [(-_FARTHEST, _FARTHEST), (np.log(_LEAST_Q), _FARTHEST), (-_FARTHEST, _FARTHEST)]
        start = np.array([0.0, 1.0, 0.0])
        p, q, gamma = np.exp(minimize(loss, start, method="L-BFGS-B", bounds=bounds).x).tolist()
        return cls(p, q, gamma * unit)

    def log_likelihood(self, amounts: Amounts) -> Float64s:
        """Return the logarithm of the likelihood of each customer's mean (eq. 1a of the note)."""
        p, q, gamma = self
        n, mean = amounts
        shape = p * n
        total: Float64s = (
            gammaln(shape + q) - gammaln(shape) - gammaln(q) + q * np.log(gamma)
            + (shape - 1) * np.log(mean) + shape * np.log(n)
            - (shape + q) * np.log(gamma + n * mean)
        )  # fmt: skip
        return total

    def expected(self, amounts: Amounts) -> Float64s:
        """Return the mean amount of each customer, drawn towards that of all (eq. 5)."""
        p, q, gamma = self
        return p * (gamma + amounts.n * amounts.mean) / (p * amounts.n + q - 1)

    def draw_sums(
        self, amounts: Amounts, purchases: Float64s, random: np.random.Generator
    ) -> Float64s:
        """Draw what so many purchases of each customer come to, (n_draws, customers)."""
        p, q, gamma = self
        rates = random.gamma(p * amounts.n + q, 1.0, purchases.shape)
        rates /= gamma + amounts.n * amounts.mean
        sums = random.gamma(np.maximum(p * purchases, 1e-12)) / rates
        return np.where(purchases > 0, sums, 0.0)
