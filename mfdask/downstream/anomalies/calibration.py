"""P-values of scores against a null sample, and false-discovery rates."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.stats import expon, gumbel_r, rankdata

from mfdask.kernels.types import Float64s, Int64s

#: Rows of like activity are compared with each other, in so many groups of so many rows at least.
_GROUPS, _LEAST_ROWS = 8, 50
#: The most active rows are cut where activity has doubled, into parts of so many rows at least.
_LEAST_CUT = 100
#: With fewer positive scores in a group, all rows are one; and with fewer in all, there is no tail.
_LEAST_SAID = 20
#: A tenfold rarer score is higher by this share of the usual one at least.
_LEAST_SCALE = 0.2
#: Between these quantiles of the positive scores the tail of one kind of evidence is learned. A
#: tenth of the rows may be anything but honest and hardly move them.
_QUANTILES = 0.5, 0.8
#: Those for all evidence of items, of which fewer than of accounts are anything but honest.
OF_ITEMS = 0.9, 0.95
#: Chances are no smaller, so that they stay numbers.
_LEAST_CHANCE = 1e-300
#: Beyond this a Gumbel variable is an exponential one in all digits.
_FAR = 40.0
#: Beyond the lower of these quantiles of draws the tail is exponential, its scale from both.
_DRAWN = (0.9, 0.99)


def false_discovery(p: Float64s, tested: int) -> Float64s:
    """Return for each p-value the false-discovery rate (q-value) of flagging all as small.

    Benjamini & Hochberg (1995), made monotone: ``min_{j >= i} n p_(j) / j``. `tested` counts all
    tests; those that are left out must have the largest p-values.
    """
    order = np.argsort(p)
    ranked = p[order] * tested / np.arange(1, len(p) + 1)
    q = np.empty(len(p))
    q[order] = np.minimum(np.minimum.accumulate(ranked[::-1])[::-1], 1.0)
    return q


def share_beyond(values: Float64s, drawn: Float64s, longer: float = 1.0) -> Float64s:
    """Return the share of draws that are as large, with an exponential tail, float64 (values,).

    Parameters
    ----------
    values : float64 (values,)
    drawn : float64 (draws,)
        Where there is nothing to find, ascending.
    longer : float
        Makes the tail so much longer than that of the draws.
    """
    low, high = np.quantile(drawn, _DRAWN)
    scale = longer * (high - low) / np.log((1 - _DRAWN[0]) / (1 - _DRAWN[1]))
    share = 1.0 - np.searchsorted(drawn, values) / len(drawn)
    beyond = np.maximum(values - low, 0.0) / max(scale, np.finfo(np.float64).tiny)
    return np.where(values > low, (1 - _DRAWN[0]) * np.exp(-beyond), share)


def alike(
    activity: Int64s, least: int = _LEAST_ROWS, dealt: bool = False, cut: bool = False
) -> list[Int64s]:
    """Return rows in groups of like activity, int64 each, of so many rows at least.

    Groups are of the same size, but the last is `cut` where activity has doubled: a thousandth of
    many rows may be a hundred times as active as the others there. Rows of the same activity stay
    in order; `dealt` ones lie at random, for attackers may come one after another, and are not to
    be compared with each other alone.
    """
    groups = int(np.clip(len(activity) // least, 1, _GROUPS))
    if dealt:
        random = np.random.default_rng(0).permutation(len(activity))
        order = np.lexsort((random, activity))
    else:
        order = np.argsort(activity, kind="stable")
    *usual, most = np.array_split(order, groups)
    if not cut:
        return [*usual, most]
    return [*usual, *_doubling(activity, most, max(least, _LEAST_CUT))]


def _doubling(activity: Int64s, rows: Int64s, least: int) -> list[Int64s]:
    """Cut rows of ascending activity where it has doubled, into parts of so many at least."""
    own, cuts, first = activity[rows], [], 0
    while first + 2 * least <= len(own):
        first = max(int(np.searchsorted(own, 2 * own[first])), first + least)
        if first > len(own) - least:
            break
        cuts.append(first)
    return np.split(rows, cuts)


def tail_evidence(
    scores: Float64s, activity: Int64s, *, gumbel: bool = False, cut: bool = False
) -> Float64s:
    """Return ``-log10`` of the chance that an honest row scores as high, float64 (rows,).

    The chance is the share of rows of like activity with any score, times a tail above the lower of
    `_QUANTILES` of these, its scale from both; below that it is the share itself. So it goes beyond
    the rows that are there, and some that are not honest do not hide each other. The tail is
    exponential, or Gumbel's, to which the largest of many exponential ones comes (Gumbel 1958): in
    its middle that is wider than its tail says.

    Parameters
    ----------
    scores : float64 (rows,)
        0 where there is nothing to say.
    activity : int64 (rows,)
        Numbers of ratings.
    gumbel : bool
        For a score that is the largest of many (windows, other accounts) or a sum of many squares.
    cut : bool
        For a score that grows with activity, see `alike`.
    """
    found = np.zeros(len(scores))
    shape = _GUMBEL if gumbel else _EXPONENTIAL
    groups = alike(activity, dealt=True, cut=cut)
    if min(np.count_nonzero(scores[rows] > 0) for rows in groups) < _LEAST_SAID:
        return _tail(scores, _QUANTILES, shape)
    for rows in groups:
        found[rows] = _tail(scores[rows], _QUANTILES, shape)
    return found


def calibrated(evidence: Float64s, quantiles: tuple[float, float]) -> Float64s:
    """Bring several kinds of evidence, put together, to the measure of one, float64 (rows,).

    The tail beyond the lower of two quantiles of the rows with any is learned from both.
    """
    return _tail(evidence, quantiles, _EXPONENTIAL)


def of_the_largest(evidence: Float64s, activity: Int64s) -> Float64s:
    """Return ``-log10`` of the chance that the largest of several is as large, float64 (rows,).

    The chance is ``1 - (1 - 10^-e)^k``: `k` says of how many independent ones it is the largest, so
    that half of the rows of like activity with any are above their median, and of one at least.
    Nearly half of them may be dishonest.

    Parameters
    ----------
    evidence : float64 (rows,)
        The largest of several, each ``-log10`` of a chance; 0 where there is nothing to say.
    activity : int64 (rows,)
        Numbers of ratings.
    """
    found = np.zeros(len(evidence))
    for rows in alike(activity, dealt=True):
        found[rows] = _largest(evidence[rows])
    return found


def _largest(evidence: Float64s) -> Float64s:
    said = evidence > 0
    if not said.any():
        return np.zeros(len(evidence))
    median = float(np.median(evidence[said]))
    k = max(np.log1p(-said.mean() / 2) / np.log1p(-(10.0**-median)), said.mean())
    with np.errstate(divide="ignore"):
        chance = -np.expm1(k * np.log1p(-(10.0**-evidence)))
        return np.asarray(np.maximum(-np.log10(np.maximum(chance, _LEAST_CHANCE)), 0.0))


class _Shape(NamedTuple):
    """A tail: its standard quantiles, and ``-log10`` of the chance of values beyond."""

    quantile: Callable[[float], float]
    rarity: Callable[[Float64s], Float64s]


def _exponential_rarity(values: Float64s) -> Float64s:
    return values / np.log(10)


def _gumbel_rarity(values: Float64s) -> Float64s:
    near = np.minimum(values, _FAR)
    return np.asarray((values - near - gumbel_r.logsf(near)) / np.log(10))


_EXPONENTIAL = _Shape(expon.ppf, _exponential_rarity)
_GUMBEL = _Shape(gumbel_r.ppf, _gumbel_rarity)


def _tail(scores: Float64s, quantiles: tuple[float, float], shape: _Shape) -> Float64s:
    """Return the evidence of one group; `tail_evidence` says how."""
    found, said = np.zeros(len(scores)), scores > 0
    if not said.any():
        return found
    own = scores[said]
    low, high = np.quantile(own, quantiles)
    left, right = (shape.quantile(share) for share in quantiles)
    scale = max((high - low) / (right - left), _LEAST_SCALE * low / np.log(10))
    ranked = -np.log10(rankdata(-own) / len(own))
    beyond = (own > low) & (len(own) >= _LEAST_SAID)
    rarity = shape.rarity(np.maximum(own - low, 0.0) / scale + left)
    found[said] = np.where(beyond, rarity, ranked) - np.log10(said.mean())
    return np.maximum(found, 0.0)
