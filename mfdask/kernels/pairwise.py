"""The user of pairwise ranking whose items are held still: a convex problem, solved exactly."""

from __future__ import annotations

import numpy as np
import scipy  # loads what is used of it, which takes as long as a short training

from mfdask.kernels.types import Float64s

#: Newton steps at most; few are taken.
_STEPS = 100
#: How far off the factors may be, as a share of their length.
_CLOSE = 1e-7


def shares_of_pairs(liked: Float64s, others: Float64s, reg: float) -> Float64s:
    """Return what each liked item adds to the factors `p` of a user.

    `p` minimises ``sum_i mean_j -ln s(x_i - x_j) + n reg |p|**2 / 2`` over `n` liked items `i` and
    over others `j`, with ``x = b + p . q`` and ``s`` the logistic function. There, ``p = sum_i
    mean_j s(x_j - x_i) (q_i - q_j) / (n reg)``: the terms are the shares. Newton's method finds it.

    Parameters
    ----------
    liked, others : float64 (n, 1 + n_factors)
        ``[b, q]`` of items; one or more of each.
    reg : float
        Above 0.

    Returns
    -------
    float64 (liked, n_factors)
    """
    penalty = len(liked) * reg
    p, loss = np.zeros(liked.shape[1] - 1), np.inf
    for _ in range(_STEPS):
        wrong = scipy.special.expit(-_gaps(liked, others, p)) / len(others)
        shares = (wrong.sum(axis=1)[:, None] * liked[:, 1:] - wrong @ others[:, 1:]) / penalty
        gradient = penalty * (p - shares.sum(axis=0))
        if np.linalg.norm(gradient) <= _CLOSE * penalty * (1.0 + float(np.linalg.norm(p))):
            break
        step = np.linalg.solve(_curvature(liked, others, wrong, penalty), gradient)
        p, loss = _walk(liked, others, penalty, p, step, loss)
    return shares


def _gaps(liked: Float64s, others: Float64s, p: Float64s) -> Float64s:
    facing = np.append(1.0, p)
    gaps: Float64s = (liked @ facing)[:, None] - others @ facing
    return gaps


def _curvature(liked: Float64s, others: Float64s, wrong: Float64s, penalty: float) -> Float64s:
    """Return the second derivatives of the loss, float64 (n_factors, n_factors)."""
    own, other = liked[:, 1:], others[:, 1:]
    h = wrong * (1 - len(other) * wrong)
    mixed = own.T @ h @ other
    found = (own.T * h.sum(axis=1)) @ own + (other.T * h.sum(axis=0)) @ other - mixed - mixed.T
    return found + penalty * np.eye(len(found))


def _walk(
    liked: Float64s, others: Float64s, penalty: float, p: Float64s, step: Float64s, loss: float
) -> tuple[Float64s, float]:
    """Return the factors after a step, which is halved until the loss is no larger, and the loss.

    Far from its minimum the loss is nearly straight, and a whole step may lead too far.
    """
    for halved in range(30):
        moved = p - step / 2**halved
        gaps = _gaps(liked, others, moved)
        now = np.logaddexp(0, -gaps).sum() / len(others) + penalty / 2 * (moved @ moved)
        if now <= loss:
            break
    return moved, float(now)
