"""Features of a user's factors: position, change over time, and affinity to popular items.

Every vector here is folded in: solved from ratings before the cut-off against an item side that has
seen no more (`mfdask.downstream.customers.refit`).
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from mfdask.downstream.customers.refit import FrozenItems
from mfdask.downstream.events import DAY
from mfdask.kernels.normal import row_grams
from mfdask.kernels.rows import Block, row_width
from mfdask.kernels.types import Float64s, Int64s, read_only
from mfdask.models.design import Array, empty_rows, unknowns
from mfdask.models.half_step import half_step
from mfdask.shards import Shard

#: Drift is between the ratings of so many days before the cut-off, and all before those.
RECENT_DAYS = 180
#: The popular_item_affinity score is the mean prediction for so many of the most-rated items,
POPULAR_ITEMS = 200
#: and its change is that over so many days.
CHANGE_DAYS = 90
#: Users whose covariances are held at a time: some 60 MB for 20 factors.
_CHUNK = 4096


def latent(
    shard: Shard, times: Int64s, rows: npt.NDArray[np.intp], cutoff: int, lens: FrozenItems
) -> dict[str, Float64s | Array]:
    """Return the features of some users of a block.

    Parameters
    ----------
    shard : Shard
        Users' ratings before the cut-off.
    times : int64 (ratings,)
        Seconds since 1970.
    rows : intp (users,)
        Rows of the shard, from 0.
    cutoff : int
    lens : FrozenItems

    Returns
    -------
    dict of float32 or float64 (users,)
        `drift`, see there; `popular_item_affinity`, the mean unclipped prediction in stars over
        the most-rated items, and `popular_item_affinity_change` over 90 days; `user_bias` in
        stars, and `p00`… the factors.
    """
    items = _items(lens.rows)
    own = select(shard, rows)
    age = cutoff - times[_places(shard, rows)]
    everything = fold(own, items, lens)
    before = fold(own.only(age > CHANGE_DAYS * DAY), items, lens)
    recent = age <= RECENT_DAYS * DAY
    now, then = (
        _popular_item_affinity(vectors, items, lens.mean) for vectors in (everything, before)
    )
    vectors = unknowns(everything, lens.estimator.n_factors + 1)
    return {
        "drift": drift(own.only(recent), own.only(~recent), items, lens),
        "popular_item_affinity": now,
        "popular_item_affinity_change": now - then,
        "user_bias": vectors[:, 0],
        **dict(zip(factor_names(lens.estimator.n_factors), vectors[:, 1:].T, strict=True)),
    }


def factor_names(n_factors: int) -> list[str]:
    """Return the columns of a user's vector."""
    return [f"p{k:02d}" for k in range(n_factors)]


@lru_cache(maxsize=2)
def _items(file: str) -> Array:
    items: Array = np.load(file, allow_pickle=False)
    return items


def select(shard: Shard, rows: npt.NDArray[np.intp]) -> Shard:
    """Return a shard of some rows of a shard."""
    places = _places(shard, rows)
    indptr = np.concatenate([[0], np.cumsum(np.diff(shard.indptr)[rows])])
    return Shard("users", 0, 0, indptr, shard.indices[places], shard.ratings[places])


def _places(shard: Shard, rows: npt.NDArray[np.intp]) -> Int64s:
    """Return where the ratings of some rows are, row after row."""
    counts = np.diff(shard.indptr)[rows]
    ends = np.cumsum(counts)
    return np.arange(counts.sum()) + np.repeat(shard.indptr[rows] - ends + counts, counts)


def fold(shard: Shard, items: Array, lens: FrozenItems) -> Array:
    """Return the design rows of users given their ratings, the items held still.

    float32 (users, width). A user without ratings is at zero, the mean of the prior.
    """
    rule = replace(
        lens.estimator.update_config(0.0), mean_rating=lens.mean, alternating=False, damping=1.0
    )
    nobody = empty_rows(shard.n_rows, lens.estimator.n_factors)
    return half_step(shard, items, nobody, rule, lens.estimator.prior("users")).rows


def _popular_item_affinity(users: Array, items: Array, mean: float) -> Float64s:
    """Return the mean prediction over the most-rated items, which come first in a past."""
    typical = items[:POPULAR_ITEMS].mean(axis=0, dtype=np.float64)
    typical[:2] = typical[1::-1]  # [1, bias, factors...]: faces a user's [bias, 1, factors...]
    return mean + users @ typical


def drift(recent: Shard, older: Shard, items: Array, lens: FrozenItems) -> Float64s:
    """Return how far users' tastes have moved, against how surely they are known.

    ``d' (S_r + S_o)^-1 d`` for the difference `d` of the factors of two stretches of time, with the
    covariances ``S = noise * A^-1`` of both, ``A = sum x x' + prior / fidelity``. A mere distance
    would follow how much somebody has rated. Where nothing has changed it is about chi-squared with
    as many degrees as there are factors, and less where ratings are few and the prior holds both.

    Returns
    -------
    float64 (users,)
    """
    moved = fold(recent, items, lens) - fold(older, items, lens)
    d = unknowns(moved, lens.estimator.n_factors + 1)[:, 1:].astype(np.float64)
    found = np.empty(len(d))
    for start in range(0, len(d), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(d)))
        both = sum(covariances(select(part, rows), items, lens) for part in (recent, older))
        pulled = np.linalg.solve(both, d[rows, :, None])[..., 0]
        found[rows] = np.einsum("uk,uk->u", d[rows], pulled)
    return found


def covariances(shard: Shard, items: Array, lens: FrozenItems) -> Any:
    """Return the covariance of each user's factors given their ratings, float64 (users, K, K)."""
    estimator, prior = lens.estimator, lens.estimator.prior("users")
    size, width = estimator.n_factors + 1, row_width(estimator.n_factors)
    grams = np.empty((shard.n_rows, width, width), np.float32)
    block = Block(*map(read_only, (shard.indptr, shard.indices, shard.ratings)))
    row_grams(block, read_only(items), size, grams)
    lower = np.tril(grams[:, 1 : size + 1, 1 : size + 1].astype(np.float64))
    full = lower + np.tril(lower, -1).swapaxes(1, 2)
    scale = np.maximum(np.diff(shard.indptr), 1.0) ** estimator.reg_scaling / prior.fidelity
    full += scale[:, None, None] * prior.precision
    return lens.noise * np.linalg.inv(full)[:, 1:, 1:]
