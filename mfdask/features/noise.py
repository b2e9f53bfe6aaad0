"""The noise of the ratings: one precision for all of them, or one for each user.

Users differ in how far their ratings scatter. A user's noise precision is drawn from
``Gamma(nu/2, rate nu/(2 alpha))``: `alpha` is its mean, and the degrees of freedom `nu` say how
alike users are. With it integrated out, a user's residuals are a multivariate Student t (Lange,
Little and Taylor 1989).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mfdask.kernels.types import Float32s, Float64s
from mfdask.shards import Shard

#: Degrees of freedom, each as likely as any other before there are ratings. Below 3 the variance
#: of a user nobody knows is hardly finite; at 1,000 all users are alike.
DEGREES = np.geomspace(3, 1000, 40)

_VARIANCES = "draws-user-variances"


class UserErrors(NamedTuple):
    """What a range of users' ratings are away from their predictions.

    Attributes
    ----------
    n : float64 (users,)
        Ratings.
    squared : float64 (users,)
        Sum of their squared errors, by the weights that ratings have in the data.
    """

    n: Float64s
    squared: Float64s

    @classmethod
    def of(cls, shard: Shard, errors: Float32s) -> UserErrors:
        """Return the sums of a user shard, whose ratings are off by `errors`."""
        own = errors if shard.roots is None else errors * shard.roots
        ends = np.append(0.0, np.cumsum(np.square(own, dtype=np.float64)))[shard.indptr]
        return cls(np.diff(shard.indptr).astype(np.float64), np.diff(ends))

    @classmethod
    def joined(cls, blocks: Sequence[UserErrors]) -> UserErrors:
        """Return the sums of consecutive blocks as one."""
        return cls(*map(np.concatenate, zip(*blocks, strict=True)))


class Noise(NamedTuple):
    """The noise of the ratings, for a sweep.

    Attributes
    ----------
    precision : float
        Of the ratings, or the mean of the users'.
    squared_error : float
        That it was drawn for, by the weights that ratings have in the data.
    degrees : float
        Of freedom, infinite where all users are alike.
    of_users : float64 (n_users,) or None
        Precision of each user's ratings; of a user without any the mean.
    """

    precision: float
    squared_error: float
    degrees: float = np.inf
    of_users: Float64s | None = None

    @property
    def roots(self) -> Float32s:
        """Roots of what the ratings of each user weigh, float32 (n_users, 1)."""
        assert self.of_users is not None
        return np.sqrt(self.of_users / self.precision).astype(np.float32)[:, None]


def with_noise(shard: Shard, roots: Float32s) -> Shard:
    """Return a shard whose ratings weigh as the noise of their users says.

    Parameters
    ----------
    shard : Shard
        Of users or of items.
    roots : float32 (users,)
        Of the weight of each user: of the shard's own, or of those that its indices name.
    """
    by_row = shard.side == "users"
    own = np.repeat(roots, np.diff(shard.indptr)) if by_row else roots[shard.indices]
    return replace(shard, roots=own if shard.roots is None else own * shard.roots)


def draw_noise_precision(
    squared_error: float, n_ratings: int, random: np.random.Generator
) -> float:
    """Draw the precision of the ratings' noise from ``Gamma(1 + n/2, rate 1 + SSE/2)``."""
    return float(random.gamma(1 + n_ratings / 2) / (1 + squared_error / 2))


def draw_user_noise(
    errors: UserErrors, precision: float | None, random: np.random.Generator
) -> Noise:
    """Draw the degrees of freedom, the users' precisions, and their mean, a Gamma(1, 1) one.

    The degrees are drawn with the users' precisions integrated out, which they hang together with.
    The mean is drawn twice: given what the precisions are as shares of it, which moves it where
    users are alike, and given the precisions, which does where they differ (Yu and Meng 2011).

    Parameters
    ----------
    errors : UserErrors
        Of all users.
    precision : float or None
        The mean that was drawn before; None at first.
    random : Generator
    """
    total, rated = float(errors.squared.sum()), errors.n > 0
    if precision is None:
        precision = float(errors.n.sum()) / max(total, np.finfo(float).tiny)
    known = UserErrors(errors.n[rated], errors.squared[rated])
    density = degrees_density(known, precision)
    degrees = float(random.choice(DEGREES, p=density))
    shares = random.standard_gamma((degrees + known.n) / 2)
    shares /= (degrees + precision * known.squared) / 2
    weighted = float(shares @ known.squared)
    precision = draw_noise_precision(weighted, int(known.n.sum()), random)
    own = precision * shares
    precision = _draw_mean_precision(own, degrees, precision, random)
    of_users = np.full(len(rated), precision)
    of_users[rated] = own
    return Noise(precision, total, degrees, of_users)


def _draw_mean_precision(
    own: Float64s, degrees: float, before: float, random: np.random.Generator
) -> float:
    """Draw the mean that the users' precisions were drawn around.

    But for the ``exp(-alpha)`` of its prior, one over it has a gamma distribution: a draw from that
    is taken as Metropolis and Hastings say.
    """
    half = degrees / 2
    drawn = float(half * own.sum() / random.gamma(len(own) * half - 1))
    return drawn if random.exponential() > drawn - before else before


def degrees_density(errors: UserErrors, precision: float) -> Float64s:
    """Return the probability of each of `DEGREES`, given errors and the mean of the precisions."""
    from scipy.special import gammaln  # other models have no need of it

    counts = np.bincount(errors.n.astype(np.int64))
    seen = np.flatnonzero(counts)
    logs = np.empty(len(DEGREES))
    for place, half in enumerate(DEGREES / 2):
        gammas = counts[seen] @ gammaln(half + seen / 2) - len(errors.n) * gammaln(half)
        # log(1 + x) in place of log(rate): the powers of half/precision cancel but for n/2.
        away = np.log1p(errors.squared * (precision / (2 * half)))
        logs[place] = gammas - errors.n.sum() / 2 * np.log(half) - (half + errors.n / 2) @ away
    density = np.exp(logs - logs.max())
    found: Float64s = density / density.sum()
    return found


class NoiseDraws:
    """Sums over the noise of the draws that are kept: the variance of each user's ratings.

    Parameters
    ----------
    weights : float64 (n_users,)
        Mean weight of the ratings of each user, which the user's precision goes with.
    mean_weight : float
        That of all ratings, which a precision goes with that all users share.
    """

    def __init__(self, weights: Float64s, mean_weight: float) -> None:
        self._weights, self._mean_weight = weights, mean_weight
        self._variances = np.zeros(len(weights))

    def add(self, noise: Noise) -> None:
        """Take one draw."""
        if noise.of_users is None:
            self._variances += 1 / (noise.precision * self._mean_weight)
        else:
            self._variances += 1 / (noise.of_users * self._weights)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what was gathered, for a checkpoint."""
        return {_VARIANCES: self._variances}

    def load(self, read: Callable[[str], npt.NDArray[Any]]) -> None:
        """Take back what a checkpoint holds."""
        self._variances = read(_VARIANCES)

    def means(self, n: int) -> Float32s:
        """Return the mean variance over `n` draws, float32 (n_users,)."""
        return (self._variances / n).astype(np.float32)
