"""P-values of scores against a null sample, and false-discovery rates."""

from __future__ import annotations

import numpy as np

from mfdask.kernels.types import Float64s


def tail_share(scores: Float64s, null: Float64s) -> Float64s:
    """Return the share of `null` that is at least each score, with the score itself among them.

    Never 0, so that it is a p-value: ``(1 + #{null >= score}) / (1 + n)`` (Davison & Hinkley 1997).
    """
    below = np.searchsorted(np.sort(null), scores, side="left")
    return np.asarray((1.0 + len(null) - below) / (1.0 + len(null)))


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
