"""Distance of each user to the nearest neighbours in the whitened space of factors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.covariance import ledoit_wolf
from sklearn.neighbors import NearestNeighbors

from mfdask.kernels.types import Float64s

#: Whose distance counts; the nearest are chance.
NEIGHBOUR = 20
#: Neighbours are looked for among so many of the cohort, drawn once: all against all would take
#: hours for a million users, and the distance is a statistic of the density either way.
REFERENCES = 20_000
#: Stands for the distance of users who have the very same vector.
_LEAST = 1e-9


def log_neighbour_distance(factors: npt.NDArray[np.floating], seed: int = 0) -> Float64s:
    """Return the logarithm of the distance to the 20th nearest other user of the cohort.

    Vectors are first whitened by the covariance of the cohort, shrunk as Ledoit and Wolf (2004) do
    so that a small cohort has one too. Where the cohort is smaller than 21 it is the distance to
    the farthest, and 0 for a user who is alone.

    Parameters
    ----------
    factors : float (users, K)
        In an order that says nothing of the future.
    seed : int
        Of the draw of the references.

    Returns
    -------
    float64 (users,)
    """
    n = len(factors)
    if n < 2:
        return np.zeros(n)
    centred = factors.astype(np.float64) - factors.mean(axis=0, dtype=np.float64)
    covariance, _ = ledoit_wolf(centred, assume_centered=True)
    covariance += _LEAST**2 * np.eye(len(covariance))
    white = np.linalg.solve(np.linalg.cholesky(covariance), centred.T).T
    among = np.arange(n)
    if n > REFERENCES:
        among = np.sort(np.random.default_rng(seed).choice(n, REFERENCES, replace=False))
    k = min(NEIGHBOUR, len(among) - 1)
    nearest = NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(white[among])
    distances = nearest.kneighbors(white)[0]
    # A reference finds itself first.
    own = np.isin(np.arange(n), among)
    return np.log(np.maximum(np.where(own, distances[:, k], distances[:, k - 1]), _LEAST))
