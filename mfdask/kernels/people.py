"""Evidence for a second person in each account, from its sessions.

In every direction a session's mean is its person's centre plus noise of known precision, and
centres are normal around zero. The evidence of sessions for a common centre has a closed form
(Ioffe 2006, probabilistic linear discriminant analysis).
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from mfdask.kernels.compiling import inner
from mfdask.kernels.types import Bools, Float32s, Float64s, Int64s

#: Columns that `weigh_accounts` fills, one row an account, float64.
STRANGENESS, HANDOVER, PLACE = range(3)
#: The same sessions in another order of adding agree to this share.
_ROUNDING = 1e-9


#: Rows of the sums over sessions: their precisions, and their means times these.
_PRECISION, _TOTAL = range(2)


@inner
def _add(precision: Float64s, mean: Float64s, sums: Float64s) -> None:
    """Add a session to the sums, float64 (2, directions)."""
    for d in range(len(mean)):
        sums[_PRECISION, d] += precision[d]
        sums[_TOTAL, d] += precision[d] * mean[d]


@inner
def _split(part: Float64s, whole: Float64s, variance: Float64s) -> float:
    """Return the log evidence for a part of the sessions being another person's than the rest.

    Sessions of summed precision `p` and total `t` have the evidence ``exp(v t^2 / (2 + 2 v p)) (1 +
    v p)^-1/2`` for a common centre drawn with variance `v`, against one at zero, in each direction.
    """
    product = 1.0
    fit = 0.0
    for d in range(len(variance)):
        v = variance[d]
        rest = whole[_TOTAL, d] - part[_TOTAL, d]
        one = 1.0 + v * part[_PRECISION, d]
        other = 1.0 + v * (whole[_PRECISION, d] - part[_PRECISION, d])
        both = 1.0 + v * whole[_PRECISION, d]
        product *= one * other / both
        fit += v * (part[_TOTAL, d] ** 2 / one + rest**2 / other - whole[_TOTAL, d] ** 2 / both)
    return 0.5 * (fit - np.log(product))


@inner
def _whole(first: int, stop: int, precision: Float64s, means: Float64s) -> Float64s:
    """Return the sums over an account."""
    sums = np.zeros((2, means.shape[1]))
    for s in range(first, stop):
        _add(precision[s], means[s], sums)
    return sums


@inner
def _strangeness(
    first: int, stop: int, precision: Float64s, means: Float64s, variance: Float64s
) -> float:
    """Return the weighted mean log evidence for a session being another person's."""
    whole = _whole(first, stop, precision, means)
    total = 0.0
    weights = 0.0
    for s in range(first, stop):
        own = _whole(s, s + 1, precision, means)
        weight = precision[s].sum()
        total += weight * _split(own, whole, variance)
        weights += weight
    return total / weights if weights > 0.0 else 0.0  # people who do not differ at all


@inner
def _handover(
    order: Int64s, precision: Float64s, means: Float64s, variance: Float64s
) -> tuple[float, int]:
    """Return the log of the mean evidence for a hand-over, and where it is the likeliest."""
    whole = np.zeros((2, len(variance)))
    for s in order:
        _add(precision[s], means[s], whole)
    part = np.zeros((2, len(variance)))
    highest = -np.inf
    total = 0.0
    place = 0
    for k in range(len(order) - 1):
        _add(precision[order[k]], means[order[k]], part)
        log = _split(part, whole, variance)
        if log > highest:
            total = total * np.exp(highest - log) + 1.0
            highest = log
            place = k + 1
        else:
            total += np.exp(log - highest)
    return highest + np.log(total / (len(order) - 1)), place


@njit(nogil=True, parallel=True, cache=True)
def weigh_accounts(
    indptr: Int64s, precision: Float64s, means: Float64s, variance: Float64s, out: Float64s
) -> None:
    """Weigh every account of two sessions or more; the others get zeros.

    Parameters
    ----------
    indptr : int64 (accounts + 1,)
        Where each account's sessions begin.
    precision, means : float64 (sessions, directions)
        In order of time within an account.
    variance : float64 (directions,)
        Of people's centres.
    out : float64 (accounts, 3)
        Filled with `STRANGENESS` (log evidence for a session being another person's than the other
        sessions', mean over sessions weighted by their precision), `HANDOVER` (log evidence for a
        second person from some session on, averaged over which) and `PLACE` (that session, the
        likeliest).
    """
    out[:] = 0.0
    for a in prange(len(indptr) - 1):
        first, stop = indptr[a], indptr[a + 1]
        if stop - first > 1:
            out[a, STRANGENESS] = _strangeness(first, stop, precision, means, variance)
            order = np.arange(first, stop)
            out[a, HANDOVER], out[a, PLACE] = _handover(order, precision, means, variance)


@inner
def _moments(weights: Float64s, precision: Float64s, variance: float) -> tuple[float, float]:
    """Return mean and variance of the strangeness of one person in one direction.

    It is a constant and a quadratic form in the sessions' precisions times means, `t`, with ``A =
    diag(g) - 1 b' - b 1' + k 1 1'``, and `t` is normal, its covariance ``S = diag(p) + v p p'``.
    So the mean is ``tr(A S)`` and the variance ``2 tr(A S A S)``, whose sums over pairs factor.
    """
    whole = precision.sum()
    both = 1.0 + variance * whole
    one = 1.0 + variance * precision
    other = 1.0 + variance * (whole - precision)
    b = 0.5 * variance * weights / other
    g = 0.5 * variance * weights / one + b
    k = b.sum() - 0.5 * variance / both
    pb, pbb = (precision * b).sum(), (precision * b * b).sum()
    row = g * precision - pb - b * whole + k * whole  # A p
    mean = (g * precision * one).sum() + k * whole * both - 2.0 * pb * both
    mean -= 0.5 * (weights * np.log(one * other / both)).sum()
    pairs = k * k * whole * whole + 2.0 * whole * pbb - 4.0 * k * whole * pb + 2.0 * pb * pb
    pairs += (precision * precision * g * (g + 2.0 * k - 4.0 * b)).sum()
    along = (precision * row).sum()
    spread = pairs + 2.0 * variance * (precision * row * row).sum() + (variance * along) ** 2
    return mean, 2.0 * spread


@njit(nogil=True, parallel=True, cache=True)
def usual_strangeness(
    indptr: Int64s, precision: Float64s, variance: Float64s, out: Float64s
) -> None:
    """Say how strange the sessions of one person are: mean and standard deviation.

    Parameters
    ----------
    indptr, precision, variance
        As in `weigh_accounts`.
    out : float64 (accounts, 2)
        Filled; zeros for accounts of one session or none.
    """
    out[:] = 0.0
    for a in prange(len(indptr) - 1):
        own = precision[indptr[a] : indptr[a + 1]]
        if len(own) > 1 and len(variance) > 0:
            weights = own.sum(axis=1) / own.sum()
            for d in range(len(variance)):
                mean, spread = _moments(weights, own[:, d], variance[d])
                out[a, 0] += mean
                out[a, 1] += spread
            out[a, 1] = np.sqrt(out[a, 1])


@inner
def _alone(first: int, stop: int, precision: Float64s, means: Float64s, variance: Float64s) -> int:
    """Return the session whose being another person's has the most evidence."""
    whole = _whole(first, stop, precision, means)
    best, highest = first, -np.inf
    for s in range(first, stop):
        log = _split(_whole(s, s + 1, precision, means), whole, variance)
        if log > highest:
            best, highest = s, log
    return best


@njit(nogil=True, cache=True)
def split_account(precision: Float64s, means: Float64s, variance: Float64s, second: Bools) -> float:
    """Divide the sessions of one account between two people, and return the log evidence.

    Begins with the strangest session, and gives one session after the other to whom the evidence
    rather says, until nothing changes: a local maximum.

    Parameters
    ----------
    precision, means, variance
        As in `weigh_accounts`, of one account.
    second : bool (sessions,)
        Filled with whether a session is not of the first person; who is first, nothing says.
    """
    whole = _whole(0, len(means), precision, means)
    second[:] = False
    second[_alone(0, len(means), precision, means, variance)] = True
    best = _of_parts(second, whole, precision, means, variance)
    moved = True
    while moved:
        moved = False
        for s in range(len(means)):
            second[s] = not second[s]
            log = _of_parts(second, whole, precision, means, variance)
            if log > best + _ROUNDING * max(1.0, abs(best)):
                best = log
                moved = True
            else:
                second[s] = not second[s]
    return best


@inner
def _of_parts(
    second: Bools, whole: Float64s, precision: Float64s, means: Float64s, variance: Float64s
) -> float:
    """Return the log evidence for some sessions being another person's than the rest."""
    part = np.zeros((2, len(variance)))
    for s in range(len(means)):
        if second[s]:
            _add(precision[s], means[s], part)
    return _split(part, whole, variance)


@njit(nogil=True, parallel=True, cache=True)
def count_shuffled(
    indptr: Int64s,
    precision: Float64s,
    means: Float64s,
    variance: Float64s,
    keys: Float32s,
    found: Float64s,
    counts: Int64s,
) -> None:
    """Add 1 to an account's count if its sessions in the order of `keys` show as much a hand-over.

    Parameters
    ----------
    indptr, precision, means, variance
        As in `weigh_accounts`.
    keys : float32 (sessions,)
    found : float64 (accounts,)
        Evidence in the true order.
    counts : int64 (accounts,)
    """
    for a in prange(len(indptr) - 1):
        first, stop = indptr[a], indptr[a + 1]
        if stop - first > 1:
            order = first + np.argsort(keys[first:stop])
            shuffled = _handover(order, precision, means, variance)[0]
            if shuffled >= found[a] - _ROUNDING * max(1.0, abs(found[a])):
                counts[a] += 1
