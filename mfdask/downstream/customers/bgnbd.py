"""The BG/NBD and MBG/NBD models of repeat activity, from how often and how recently users came.

The beta-geometric/negative-binomial model of Fader, Hardie and Lee (2005), "Counting Your
Customers" the Easy Way: An Alternative to the Pareto/NBD Model, Marketing Science 24(2). While
active, a customer comes back at a rate drawn from ``Gamma(r, alpha)``, and after each return leaves
for good with a probability drawn from ``Beta(a, b)``. In the modified model of Batislam, Denizel
and Filiztekin (2007), Empirical Validation and Comparison of Models for Customer Base Analysis,
International Journal of Research in Marketing 24(3), they may leave after the first time already:
it is the same model with one more chance to leave.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import betainc, betaln, digamma, expit, gammaincinv, gammaln, hyp2f1

from mfdask.errors import InputError
from mfdask.kernels.types import Float64s

Floats = npt.NDArray[np.floating]

#: Where the search for the parameters begins, and how far their logarithms may go: beyond, the
#: likelihood is flat.
_START, _FARTHEST = np.zeros(4), 12.0
#: A chance to leave below this is never met, and a geometric number beyond 64 bits.
_LEAST_CHANCE = 1e-12


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
    """The parameters; `alpha` is in the unit of time. `modified` is MBG/NBD."""

    r: float
    alpha: float
    a: float
    b: float
    modified: bool = False

    @classmethod
    def fit(cls, rhythm: Rhythm, modified: bool = False) -> BGNBD:
        """Find the parameters by maximum likelihood.

        Raises
        ------
        InputError
            If nobody ever came back.
        """
        if not np.any(rhythm.frequency > 0):
            raise InputError("BG/NBD: nobody has come back yet; choose a later `cutoff`")

        known = _Counted.of(rhythm)

        def of(logs: Float64s) -> BGNBD:
            r, alpha, a, b = np.exp(logs).tolist()
            return cls(r, alpha, a, b, modified)

        def loss(logs: Float64s) -> tuple[float, Float64s]:
            model = of(logs)
            value, gradient = model._mean_and_slopes(known)
            return -value, -gradient * np.array(model[:4])

        bounds = [(-_FARTHEST, _FARTHEST)] * len(_START)
        return of(minimize(loss, _START, jac=True, method="L-BFGS-B", bounds=bounds).x)

    def _chances(self, frequency: Float64s) -> Float64s:
        """Return how often each customer could have left."""
        return frequency + 1 if self.modified else frequency

    def log_likelihood(self, rhythm: Rhythm) -> Float64s:
        """Return the logarithm of each customer's likelihood (eq. 6 of the paper)."""
        return self._likelihood(_Counted.of(rhythm))[0]

    def _likelihood(self, known: _Counted) -> tuple[Float64s, Float64s]:
        """Return the logarithm of each customer's likelihood, and the probability of having left.

        Terms of the frequency alone are worked out once for each different one.
        """
        r, alpha, a, b, _ = self
        x, which = known.counts, known.which
        n = self._chances(x)
        alone = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + betaln(a, b + n) - betaln(a, b)
        active = (-(r + x))[which] * np.log(alpha + known.age)
        # Somebody who has come back may have left just then.
        odds = self._odds_of_leaving(n)[which] - (r + x)[which] * np.log(alpha + known.recency)
        total = np.logaddexp(active, odds)
        return alone[which] + total, np.exp(odds - total)

    def _odds_of_leaving(self, n: Float64s) -> Float64s:
        """Return log-odds of having left at the last of `n` chances, none -inf, before waiting."""
        odds = np.log(self.a) - np.log(self.b + np.maximum(n, 1) - 1)
        return np.where(n > 0, odds, -np.inf)

    def _mean_and_slopes(self, known: _Counted) -> tuple[float, Float64s]:
        """Return the mean log likelihood and its slope by each parameter, float64 (4,)."""
        r, alpha, a, b, _ = self
        x, size = known.counts, len(known.which)
        n = self._chances(x)
        likelihood, left = self._likelihood(known)
        waited = left * np.log(alpha + known.recency) + (1 - left) * np.log(alpha + known.age)
        each = left / (alpha + known.recency) + (1 - left) / (alpha + known.age)
        # Sums over the customers of each frequency.
        many = np.bincount(known.which, minlength=len(x)).astype(np.float64)
        gone, rates = (np.bincount(known.which, weight, len(x)) for weight in (left, each))
        slopes = [
            many @ digamma(r + x) + size * (np.log(alpha) - digamma(r)) - waited.sum(),
            size * r / alpha - rates @ (r + x),
            size * digamma(a + b) - many @ digamma(a + b + n) + gone.sum() / a,
            size * (digamma(a + b) - digamma(b))
            + many @ (digamma(b + n) - digamma(a + b + n))
            - gone @ (1 / (b + np.maximum(n, 1) - 1)),
        ]
        return float(likelihood.mean()), np.array(slopes) / size

    def still_active(self, rhythm: Rhythm) -> Float64s:
        """Return the probability that each customer has not left (Fader & Hardie's note, 2008)."""
        r, alpha, *_ = self
        x, t_x, age = (np.asarray(values, np.float64) for values in rhythm)
        odds = self._odds_of_leaving(self._chances(x))
        odds += (r + x) * (np.log(alpha + age) - np.log(alpha + t_x))
        return expit(-odds)

    def expected(self, rhythm: Rhythm, horizon: float) -> Float64s:
        """Return how many returns each customer will make in the `horizon` (eq. 10 of the paper).

        ``(a + b + n - 1) / (a - 1) * [1 - ((alpha + T) / (alpha + T + t))**(r + x) *
        2F1(r + x, b + n; a + b + n - 1; t / (alpha + T + t))]`` times the probability of being
        active, with the `n` chances to leave that there were.
        """
        r, alpha, a, b, _ = self
        x, _, age = (np.asarray(values, np.float64) for values in rhythm)
        if abs(a - 1) < 1e-6:  # the formula has a removable pole there
            a += 2e-6
        n = self._chances(x)
        z = horizon / (alpha + age + horizon)
        # Euler's transformation, (1 - z)**A 2F1(A, B; C; z) = (1 - z)**(C - B) 2F1(C - A, C - B;
        # C; z), leaves the large x in C alone, where it makes the series shorter.
        with np.errstate(over="ignore", invalid="ignore"):
            shrunk = (1 - z) ** (a - 1) * hyp2f1(a + b - 1 - r + (n - x), a - 1, a + b + n - 1, z)
            returns = (a + b + n - 1) / (a - 1) * (1 - shrunk)
        # Where `a` and `b` are in the thousands, out of reach of the series, all leave alike.
        alike = a / (a + b + n)
        scale = alpha + age
        limit = (1 - (scale / (scale + alike * horizon)) ** (r + x)) / alike
        return self.still_active(rhythm) * np.where(np.isfinite(returns), returns, limit)

    def chance_of_none(
        self, rhythm: Rhythm, horizon: float, rate_quantile: float | None = None
    ) -> Float64s:
        """Return the probability that each customer does not come back in the `horizon`.

        Parameters
        ----------
        rhythm : Rhythm
        horizon : float
        rate_quantile : float, optional
            As if the rate of each customer were this quantile of what is known of it. By default
            the mean over all rates.
        """
        x, _, age = (np.asarray(values, np.float64) for values in rhythm)
        shape, scale = self.r + x, self.alpha + age
        if rate_quantile is None:
            stays_away = (scale / (scale + horizon)) ** shape
        else:
            stays_away = np.exp(-gammaincinv(shape, rate_quantile) / scale * horizon)
        return 1.0 - self.still_active(rhythm) * (1.0 - stays_away)

    def chance_of_more(self, rhythm: Rhythm, horizon: float, returns: Floats) -> Float64s:
        """Return the probability that each customer comes back more often than `returns`.

        Those come who are active, whose rate brings that many into the `horizon` (a negative
        binomial number), and who have not left at one of the `returns` before.
        """
        x, _, age = (np.asarray(values, np.float64) for values in rhythm)
        scale, b = self.alpha + age, self.b + self._chances(x)
        many = betainc(returns + 1, self.r + x, horizon / (scale + horizon))
        stay = np.exp(betaln(self.a, b + returns) - betaln(self.a, b))
        return self.still_active(rhythm) * many * stay

    def quantile(self, rhythm: Rhythm, horizon: float, share: float) -> Float64s:
        """Return a quantile of the returns of each customer in the `horizon`, whole numbers.

        The least number with the probability `share` of not being passed.
        """
        low, high = np.full(len(rhythm.age), -1.0), np.zeros(len(rhythm.age))
        found = np.zeros(len(rhythm.age))
        rest = np.arange(len(found))  # whose quantile is above `low`, and not known yet
        doubling = np.ones(len(found), bool)
        while len(rest):
            own = Rhythm(*(values[rest] for values in rhythm))
            middle = np.where(doubling, high, (low + high) // 2)
            passed = self.chance_of_more(own, horizon, middle) > 1 - share
            doubling &= passed
            low = np.where(passed, middle, low)
            high = np.where(doubling, 2 * high + 1, np.where(passed, high, middle))
            known = ~doubling & (high - low <= 1)
            found[rest[known]] = high[known]
            rest, low, high, doubling = (each[~known] for each in (rest, low, high, doubling))
        return found

    def draw(
        self, rhythm: Rhythm, n_draws: int, random: np.random.Generator
    ) -> tuple[Float64s, Float64s]:
        """Draw rates, and chances to leave at a return, from what is known of each customer.

        Returns
        -------
        rates, leaving : float64 (n_draws, customers)
            Given that the customer is active, when both are independent: ``Gamma(r + x,
            alpha + T)`` and ``Beta(a, b + n)``.
        """
        x, _, age = (np.asarray(values, np.float64) for values in rhythm)
        size = (n_draws, len(x))
        rates = random.gamma(self.r + x, 1 / (self.alpha + age), size)
        return rates, random.beta(self.a, self.b + self._chances(x), size)

    def draw_returns(
        self, rhythm: Rhythm, horizon: float, n_draws: int, random: np.random.Generator
    ) -> Float64s:
        """Draw how many returns each customer makes in the `horizon`, (n_draws, customers).

        As many as fall into it, or as many as it takes until the customer leaves.
        """
        rates, leaving = self.draw(rhythm, n_draws, random)
        active = random.random(rates.shape) < self.still_active(rhythm)
        until_left = random.geometric(np.maximum(leaving, _LEAST_CHANCE))
        return np.where(active, np.minimum(random.poisson(rates * horizon), until_left), 0.0)

    def survival(
        self, rhythm: Rhythm, times: Float64s, n_draws: int, random: np.random.Generator
    ) -> Float64s:
        """Return the mean probability of being active at some times from now, float64 (times,).

        While active, returns at which a customer leaves come at the product of both rates, so
        ``exp(-rate * leaving * t)`` of those who are active now still are.
        """
        rates, leaving = self.draw(rhythm, n_draws, random)
        active = self.still_active(rhythm)
        stays = [np.exp(-rates * leaving * time).mean(axis=0) @ active for time in times]
        return np.array(stays) / max(len(active), 1)


class _Counted(NamedTuple):
    """Customers by their frequency, of which there are few different ones.

    Attributes
    ----------
    counts : float64 (frequencies,)
    which : int (customers,)
        Place of each customer's.
    recency, age : float64 (customers,)
    """

    counts: Float64s
    which: npt.NDArray[np.intp]
    recency: Float64s
    age: Float64s

    @classmethod
    def of(cls, rhythm: Rhythm) -> _Counted:
        counts, which = np.unique(np.asarray(rhythm.frequency, np.float64), return_inverse=True)
        rest = (np.asarray(values, np.float64) for values in rhythm[1:])
        return cls(counts, which, *rest)
