"""One person or two: the sessions of each account, weighed as draws around one centre or two.

In every direction a session's mean is its person's centre plus noise of known precision, and
centres are normal around zero. The evidence of sessions for a common centre has a closed form
(Ioffe 2006, probabilistic linear discriminant analysis).
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from mfdask.kernels.types import Float32s, Float64s, Int64s

#: Columns that `weigh_accounts` fills, one row an account, float64.
STRANGENESS, HANDOVER, PLACE = range(3)


@njit(nogil=True, cache=True)
def evidence(precision: Float64s, total: Float64s, variance: Float64s) -> float:
    """Return the log evidence for a common centre, less that for a centre at zero.

    Parameters
    ----------
    precision : float64 (directions,)
        Sum over sessions.
    total : float64 (directions,)
        Sum of the sessions' means times their precisions.
    variance : float64 (directions,)
        Of centres.
    """
    product = 1.0
    fit = 0.0
    for d in range(len(variance)):
        spread = 1.0 + variance[d] * precision[d]
        product *= spread
        fit += variance[d] * total[d] ** 2 / spread
    return 0.5 * (fit - np.log(product))


@njit(nogil=True, cache=True)
def _split(
    part: tuple[Float64s, Float64s], whole: tuple[Float64s, Float64s], variance: Float64s
) -> float:
    """Return the log evidence for a part of the sessions being another person's."""
    return (
        evidence(part[0], part[1], variance)
        + evidence(whole[0] - part[0], whole[1] - part[1], variance)
        - evidence(whole[0], whole[1], variance)
    )


@njit(nogil=True, cache=True)
def _handover(
    order: Int64s,
    precision: Float64s,
    means: Float64s,
    whole: tuple[Float64s, Float64s],
    variance: Float64s,
) -> tuple[float, int]:
    """Return the log of the mean evidence for a hand-over, and where it is the likeliest."""
    part = np.zeros(len(variance)), np.zeros(len(variance))
    highest, total, place = -np.inf, 0.0, 0
    for k in range(len(order) - 1):
        s = order[k]
        part[0][:] += precision[s]
        part[1][:] += precision[s] * means[s]
        log = _split(part, whole, variance)
        if log > highest:
            total = total * np.exp(highest - log) + 1.0
            highest = log
            place = k + 1
        else:
            total += np.exp(log - highest)
    return highest + np.log(total / max(len(order) - 1, 1)), place


@njit(nogil=True, cache=True)
def _whole(precision: Float64s, means: Float64s) -> tuple[Float64s, Float64s]:
    return precision.sum(axis=0), (precision * means).sum(axis=0)


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
    for a in prange(len(indptr) - 1):
        first, stop = indptr[a], indptr[a + 1]
        out[a] = 0.0
        if stop - first > 1:
            own, centres = precision[first:stop], means[first:stop]
            whole = _whole(own, centres)
            weight = 0.0
            for s in range(stop - first):
                log = _split((own[s], own[s] * centres[s]), whole, variance)
                out[a, STRANGENESS] += log * own[s].sum()
                weight += own[s].sum()
            out[a, STRANGENESS] /= weight
            best = _handover(np.arange(stop - first), own, centres, whole, variance)
            out[a, HANDOVER], out[a, PLACE] = best


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
            own, centres = precision[first:stop], means[first:stop]
            whole = _whole(own, centres)
            order = np.argsort(keys[first:stop])
            if _handover(order, own, centres, whole, variance)[0] >= found[a] - 1e-9:
                counts[a] += 1
