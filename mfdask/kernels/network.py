"""The network of NCF: scores, their slopes, and the row of a user whose items are held still."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy  # loads what is used of it, which takes as long as a short training

from mfdask.kernels.types import Float32s, Float64s

#: Pairs that are predicted at a time: what the layers hold stays small.
_PAIRS = 1 << 15
#: Steps towards a user's row at most.
_STEPS = 100


class Network(NamedTuple):
    """Parameters of a network, arrays of NumPy or of JAX.

    Attributes
    ----------
    users, items : float32 (n, 1 + 2 * n_factors)
        Of each row its bias, the factors that are multiplied, and those that enter the layers.
    layers : list of float32 (n_in + 1, n_out)
        Weights, and in the last row what is added; the last layer joins both towers.
    """

    users: Any
    items: Any
    layers: Any

    def score(self, users: Any, items: Any, xp: Any = np) -> Any:
        """Return the score of pairs of row numbers, float32 (pairs,); `xp` is NumPy or JAX's."""
        p, q = self.users[users], self.items[items]
        return self._joined(p, q, self._outputs(p, q, xp)[-1], xp)

    def predict(self, users: Any, items: Any) -> Float32s:
        """Return `score`, computed for some pairs at a time."""
        found = np.empty(len(users), np.float32)
        for first in range(0, len(users), _PAIRS):
            part = slice(first, first + _PAIRS)
            found[part] = self.score(users[part], items[part])
        return found

    def slopes(self, user: Any) -> tuple[Any, Any]:
        """Return the score of every item for a user's row, and its slope along that row.

        (items,) and (items, 1 + 2 * n_factors), of the kind that row and parameters are.
        """
        q, cut = self.items, (len(user) + 1) // 2
        p = np.broadcast_to(user, q.shape)
        outputs = self._outputs(p, q, np)
        *deep, last = self.layers
        slope = np.broadcast_to(last[cut - 1 : -1, 0], outputs[-1].shape)
        for layer, output in zip(deep[::-1], outputs[:0:-1], strict=True):
            slope = (slope * (output > 0)) @ layer[:-1].T
        multiplied = q[:, 1:cut] * last[: cut - 1, 0]
        slopes = np.concatenate([np.ones_like(q[:, :1]), multiplied, slope[:, : cut - 1]], axis=1)
        return self._joined(p, q, outputs[-1], np), slopes

    def _outputs(self, p: Any, q: Any, xp: Any) -> list[Any]:
        """Return what enters the first layer, and what comes of each but the last."""
        cut = (p.shape[1] + 1) // 2
        outputs = [xp.concatenate([p[:, cut:], q[:, cut:]], axis=1)]
        for layer in self.layers[:-1]:
            outputs.append(xp.maximum(outputs[-1] @ layer[:-1] + layer[-1], 0))
        return outputs

    def _joined(self, p: Any, q: Any, hidden: Any, xp: Any) -> Any:
        """Return scores, given what comes of the layers."""
        cut, last = (p.shape[1] + 1) // 2, self.layers[-1]
        joined = xp.concatenate([p[:, 1:cut] * q[:, 1:cut], hidden], axis=1)
        return p[:, 0] + q[:, 0] + (joined @ last[:-1] + last[-1])[:, 0]


class Lessons(NamedTuple):
    """What a user's row is to be learned from, a line for each item of a network.

    Attributes
    ----------
    targets, weights : float64 (items,)
    odds : bool
        Whether scores are log-odds and targets are 1 or 0; else scores are to be the targets, and
        weights are one over the variance of their noise.
    """

    targets: Float64s
    weights: Float64s
    odds: bool

    def loss(self, scores: Float64s) -> tuple[float, Float64s]:
        """Return minus the log-likelihood of scores, and its slope along each of them."""
        slope: Float64s
        if self.odds:
            each = np.logaddexp(0, scores) - self.targets * scores
            slope = scipy.special.expit(scores) - self.targets
        else:
            slope = scores - self.targets
            each = slope**2 / 2
        pulls: Float64s = self.weights * slope
        return float(self.weights @ each), pulls


def fit_user(
    network: Network, lessons: Lessons, centre: Float64s, spread: Float64s
) -> tuple[Float64s, Float64s]:
    """Return the likeliest row of a user, and what each item adds to it.

    float64 (1 + 2 * n_factors,) and (items, 1 + 2 * n_factors). Rows are normal around `centre`
    with the standard deviations `spread`. Where the likeliest row is reached, it is `centre` and
    what the items add together.

    Parameters
    ----------
    network : Network
        Of the items that there are lessons of, in float64; its users are not looked at.
    lessons : Lessons
    centre, spread : float64 (1 + 2 * n_factors,)
    """

    def loss(z: Float64s) -> tuple[float, Float64s]:
        scores, slopes = network.slopes(centre + spread * z)
        value, slope = lessons.loss(scores)
        return value + float(z @ z) / 2, spread * (slope @ slopes) + z

    found = scipy.optimize.minimize(
        loss, np.zeros(len(centre)), jac=True, method="L-BFGS-B", options={"maxiter": _STEPS}
    )
    row = centre + spread * found.x
    scores, slopes = network.slopes(row)
    added = -(spread**2) * lessons.loss(scores)[1][:, None] * slopes
    return row, added
