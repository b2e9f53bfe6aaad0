"""Profile features of shilling research (RDMA, DegSim, VarSelect), as baselines.

Notation: ``r`` a rating, ``m_i`` the mean of its item and ``n_i`` the item's number of ratings,
``m_u`` the mean of its user and ``n_u`` the user's number, ``m`` the mean of all ratings; sums run
over the user's ratings.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, eigsh

from tests.trials.similarity import Compressed, correlate

_Float = npt.NDArray[np.float64]
_Int = npt.NDArray[np.integer]
_Ratings = npt.NDArray[np.floating]

#: Which end of a feature is suspicious: 1 the large values, -1 the small ones.
SUSPICIOUS = {
    "rdma": 1,
    "wdma": 1,
    "mean_var": -1,
    "fmtd": 1,
    "hv": 1,
    "mud": -1,
    "deg_sim": 1,
    "varselect": -1,
}

#: Neighbours whose similarity counts for DegSim.
NEIGHBOURS = 25
#: From so many common items on, a similarity counts in full.
COMMON = 50
#: Principal components that VarSelect looks at.
COMPONENTS = 3

#: Sums of squares below this are zero but for rounding.
_TINY = 1e-12

#: Similarities held at a time: 50 MB with what is sorted out of them.
_CELLS = 1 << 21


def profile_features(
    users: _Int,
    items: _Int,
    ratings: _Ratings,
    n_users: int,
    n_items: int,
    direction: Literal["push", "nuke"] = "push",
    nearest: _Float | None = None,
) -> pd.DataFrame:
    """Return all features of all users.

    Parameters
    ----------
    users, items : int (ratings,)
        Rows. No user has rated an item twice.
    ratings : float (ratings,)
    n_users, n_items : int
        At least two users.
    direction : {"push", "nuke"}
        Which attack `mean_var` and `fmtd` look for, see `target_features`.
    nearest : float64 (first users, NEIGHBOURS), optional
        Of the first users alone, where it is known, see `nearest_similarities`.

    Returns
    -------
    DataFrame
        A row for each user row, with the columns of `SUSPICIOUS`, float64; NaN for users without
        ratings. ``SUSPICIOUS[name] * features[name]`` is a score: the larger, the more suspicious.
    """
    matrix = sparse.csr_array(
        (np.asarray(ratings, np.float64), (users, items)), shape=(n_users, n_items)
    )
    found = {
        **deviation_features(matrix),
        **target_features(matrix, direction),
        "deg_sim": degree_of_similarity(matrix, nearest),
        "varselect": varselect(matrix),
    }
    features = pd.DataFrame(found, index=pd.RangeIndex(n_users, name="user"))[list(SUSPICIOUS)]
    features.loc[np.diff(matrix.indptr) == 0] = np.nan
    return features


class _Means:
    """The ratings of a matrix one by one, and the means they are held against."""

    def __init__(self, matrix: sparse.csr_array) -> None:
        self.n_users, self.n_items = matrix.shape
        self.ratings: _Float = matrix.data
        self.of_user = np.diff(matrix.indptr)
        self.users = np.repeat(np.arange(self.n_users), self.of_user)
        self.items = matrix.indices
        self.of_item = np.bincount(self.items, minlength=self.n_items)
        self.mean = self.ratings.mean()
        self.user_means = self.over_user(self.ratings)
        sums = np.bincount(self.items, self.ratings, self.n_items)
        self.item_means = sums / np.maximum(self.of_item, 1)

    def over_user(self, values: _Float) -> _Float:
        """Average a value of each rating over each user's."""
        sums = np.bincount(self.users, values, self.n_users)
        return np.asarray(sums / np.maximum(self.of_user, 1))


def deviation_features(matrix: sparse.csr_array) -> dict[str, _Float]:
    """Return how far users are from the items' means, and how popular their items are.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array, float64 (users, items)
        Ratings; a stored zero is a rating.

    Returns
    -------
    dict of float64 (users,)
        `rdma`, rating deviation from mean agreement: ``sum |r - m_i| / n_i / n_u`` (Chirita, Nejdl
        and Zamfir, "Preventing shilling attacks in online recommender systems", WIDM 2005).
        `wdma`, the same with ``n_i**2`` (Burke, Mobasher, Williams and Bhaumik, "Classification
        features for attack detection in collaborative recommender systems", KDD 2006).
        `hv`, the residue score ``sum (r - m_i - m_u + m)**2 / sum (r - m_u)**2`` (Bryan, O'Mahony
        and Cunningham, "Unsupervised retrieval of attack profiles in collaborative recommender
        systems", RecSys 2008); huge where a user's ratings are all alike.
        `mud`, the mean number of ratings of the user's items.
    """
    of = _Means(matrix)
    popularity = of.of_item[of.items].astype(np.float64)
    deviation = of.ratings - of.item_means[of.items]
    residue = (deviation - of.user_means[of.users] + of.mean) ** 2
    spread = (of.ratings - of.user_means[of.users]) ** 2
    return {
        "rdma": of.over_user(np.abs(deviation) / popularity),
        "wdma": of.over_user(np.abs(deviation) / popularity**2),
        "hv": of.over_user(residue) / np.maximum(of.over_user(spread), _TINY),
        "mud": of.over_user(popularity),
    }


def target_features(
    matrix: sparse.csr_array, direction: Literal["push", "nuke"]
) -> dict[str, _Float]:
    """Return features that take a user's highest ratings for the targets of a push.

    For a nuke attack, the lowest ones; all others are fillers (Burke et al., KDD 2006).

    Returns
    -------
    dict of float64 (users,)
        `mean_var`: mean of ``(r - m_i)**2`` over the fillers; without any, as large as can be.
        `fmtd`, filler mean target difference: ``|mean of targets - mean of fillers|``; without
        fillers 0.
    """
    of = _Means(matrix)
    sign = 1.0 if direction == "push" else -1.0
    extreme = np.full(of.n_users, -np.inf)
    np.maximum.at(extreme, of.users, sign * of.ratings)
    is_filler = sign * of.ratings < extreme[of.users]
    n_fillers = np.bincount(of.users, is_filler, of.n_users)
    some, n_fillers = n_fillers > 0, np.maximum(n_fillers, 1)
    squares = is_filler * (of.ratings - of.item_means[of.items]) ** 2
    mean_var = np.bincount(of.users, squares, of.n_users) / n_fillers
    filler_means = np.bincount(of.users, is_filler * of.ratings, of.n_users) / n_fillers
    return {
        "mean_var": np.where(some, mean_var, np.ptp(of.ratings) ** 2),
        "fmtd": np.where(some, np.abs(sign * extreme - filler_means), 0.0),
    }


def degree_of_similarity(matrix: sparse.csr_array, known: _Float | None = None) -> _Float:
    """Return the mean similarity of each user to the most similar others, float64 (users,).

    DegSim of Chirita, Nejdl and Zamfir (WIDM 2005). The similarity is Pearson's correlation over
    common items, around the users' own means, times ``min(n, COMMON) / COMMON`` for ``n`` common
    items (Herlocker et al. 1999): without it a single common item makes a perfect match.

    `known` saves work where similarities of the first users are known, see `nearest_similarities`.
    """
    nearest = nearest_similarities(matrix, known)
    return np.asarray(nearest.mean(axis=1, where=np.isfinite(nearest)))


def nearest_similarities(matrix: sparse.csr_array, known: _Float | None = None) -> _Float:
    """Return the similarities of each user to the most similar others.

    Users are compared a block at a time: memory is bounded, the time is quadratic in the users.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array, float64 (users, items)
    known : float64 (first users, NEIGHBOURS), optional
        What this returns for the first users alone. A similarity rests on the ratings of two users
        and on nothing else, so that only the users behind them are compared, with all.

    Returns
    -------
    float64 (users, NEIGHBOURS)
        In no order; ``-inf`` where there are fewer others.
    """
    n_users, n_known = matrix.shape[0], 0 if known is None else len(known)
    of, centred = _Means(matrix), matrix.copy()
    centred.data = of.ratings - of.user_means[of.users]
    by_user, by_item = _compressed(centred), _compressed(centred.tocsc())
    found = np.full((n_users, NEIGHBOURS), -np.inf)
    if known is not None:
        found[:n_known] = known
    step = max(1, _CELLS // n_users)
    for start in range(n_known, n_users, step):
        block = slice(start, min(start + step, n_users))
        alike = np.empty((block.stop - start, n_users))
        correlate(by_user, by_item, start, COMMON, alike)
        found[block] = _largest(found[block], alike)
        found[:n_known] = _largest(found[:n_known], alike[:, :n_known].T)
    return found


def _compressed(matrix: sparse.csr_array | sparse.csc_array) -> Compressed:
    return Compressed(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data)


def _largest(kept: _Float, more: _Float) -> _Float:
    """Return in each row the largest values of both, as many as were kept."""
    both, n = np.concatenate([kept, more], axis=1), kept.shape[1]
    return np.partition(both, -n, axis=1)[:, -n:]


def varselect(matrix: sparse.csr_array, components: int = COMPONENTS) -> _Float:
    """Return how much each user has to do with the main directions of the data, float64 (users,).

    Mehta and Nejdl, "Unsupervised strategies for shilling detection and robust collaborative
    filtering" (User Modeling and User-Adapted Interaction 19, 2009), the selection by principal
    components: rows, with zeros where nothing is rated, are standardised; with the first
    eigenvectors ``v_k`` of the users' covariance the score of user `u` is the sum of
    ``v_k(u)**2``. Attackers have little covariance with others: the smallest are suspicious.
    """
    n_items = matrix.shape[1]
    mean = matrix.sum(axis=1) / n_items
    variance = matrix.multiply(matrix).sum(axis=1) / n_items - mean**2
    scale = np.where(variance > _TINY, 1 / np.sqrt(np.maximum(variance, _TINY)), 0.0)
    # The standardised rows are dense, but only by a number in each row.
    scaled, shift = sparse.diags_array(scale) @ matrix, scale * mean

    def times_covariance(vector: _Float) -> _Float:
        vector = vector.ravel()
        by_item = scaled.T @ vector - shift @ vector
        return scaled @ by_item - shift * by_item.sum()

    n_users = matrix.shape[0]
    covariance = LinearOperator((n_users, n_users), matvec=times_covariance, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(n_users)  # the same for the same ratings
    _, vectors = eigsh(covariance, min(components, n_users - 1), v0=start)
    return np.asarray((vectors**2).sum(axis=1))
