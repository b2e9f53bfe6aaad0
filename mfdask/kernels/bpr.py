"""Stochastic gradient steps of Bayesian personalised ranking, on a Latin square of cells.

Users are cut into S contiguous blocks, and items, dealt out anew in each epoch, into S blocks of
places; S is a power of two. In round r the cells (block b of users, block ``b ^ r`` of items) share
no row, and the exclusive or keeps b and its partner within the same quarter, or half, of the blocks
until r leaves it: threads that have a quarter each wait for each other four times, not S times. So
any number of threads makes the same steps. A negative is drawn from the block of the positive,
which over the epochs is any item.

Rows are design rows, of users with the first two columns swapped: ``[1, 0, factors..., 0...]`` of a
user and ``[bias, 1, factors..., 0...]`` of an item.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from mfdask.kernels.compiling import inner
from mfdask.kernels.random import bits, stream
from mfdask.kernels.simd import LANES, add, fma, load, mul, splat, store, sub, zero
from mfdask.kernels.types import Bools, Float32s, Float64s, Int32s, Int64s, UInt8s

#: Draws for a negative; where all are rated, the sample is passed over.
DRAWS = 32
#: Beyond this a difference of scores moves nothing.
_LARGEST = 30.0
#: Factors of a likelihood that are multiplied before the logarithm of the product is taken.
_PRODUCT = 16
#: Stretches of a cell that take steps by turns: the next step seldom waits for the last one's row.
_STRETCHES = 4


class GradientStep(NamedTuple):
    """Parameters of the steps of an epoch."""

    rate: Any  # float32, learning rate
    keep_user: Any  # float32 (width,): what regularisation leaves of a row in a step
    keep_item: Any  # float32 (width,)
    liked: Any  # float32: ratings from here up are positives
    popular: Any  # bool: negatives by popularity, else uniform
    key: Any  # uint64, of the epoch's random numbers


class Cells(NamedTuple):
    """The ratings of an epoch, cell by cell, and in a cell user by user."""

    places: Any  # int32 (ratings,): the item's place; ``~place`` where the rating is no positive
    starts: Any  # int64 (S, S + 1): where each cell of a block of users begins
    counts: Any  # int32 (S, users): ratings of each user in each block of items


@inner
def _fill_block(
    indptr: Int64s,
    items: Int32s,
    ratings: Float32s,
    liked: float,
    first: int,
    stop: int,
    place: Int32s,
    block: UInt8s,
    places: Int32s,
    starts: Int64s,
    counts: Int32s,
) -> None:
    """Sort the ratings of the users from `first` to `stop` by blocks of items."""
    counts[:, first:stop] = 0
    for user in range(first, stop):
        for t in range(indptr[user], indptr[user + 1]):
            counts[block[items[t]], user] += 1
    starts[0] = indptr[first]
    for c in range(len(counts)):
        starts[c + 1] = starts[c] + counts[c, first:stop].sum()
    cursor = starts.copy()
    for user in range(first, stop):
        for t in range(indptr[user], indptr[user + 1]):
            own, c = place[items[t]], block[items[t]]
            places[cursor[c]] = own if ratings[t] >= liked else ~own
            cursor[c] += 1


@njit(nogil=True, parallel=True, cache=True)
def fill_cells(
    indptr: Int64s,
    items: Int32s,
    ratings: Float32s,
    liked: float,
    bounds: Int64s,
    place: Int32s,
    block: UInt8s,
    places: Int32s,
    starts: Int64s,
    counts: Int32s,
) -> None:
    """Sort ratings into cells.

    Parameters
    ----------
    indptr, items, ratings
        All ratings by user, in CSR form.
    liked : float32
    bounds : int64 (S + 1,)
        First user of each block.
    place : int32 (items,)
        Where each item lies in this epoch.
    block : uint8 (items,)
        The block of items that this is in.
    places, starts, counts
        Of `Cells`, filled.
    """
    for b in prange(len(bounds) - 1):
        _fill_block(
            indptr, items, ratings, liked, bounds[b], bounds[b + 1], place, block,
            places, starts[b], counts,
        )  # fmt: skip


@inner
def _draw_negative(
    key: np.uint64, draw: int, popular: bool, places: Int32s, first: int, rated: Bools
) -> Any:
    """Return the place of an item that is not rated, from `first` on, or -1 where none is found."""
    for _ in range(DRAWS):
        half = bits(key, np.uint64(draw)) >> np.uint64(32)
        draw += 1
        if popular:
            own = places[np.int64((half * np.uint64(len(places))) >> np.uint64(32))]
            j = np.int64(max(own, ~own)) - first
        else:
            j = np.int64((half * np.uint64(len(rated))) >> np.uint64(32))
        if not rated[j]:
            return first + j
    return -1


@inner
def _draw_samples(
    places: Int32s,
    counts: Int32s,
    first_user: int,
    first: int,
    size: int,
    step: GradientStep,
    samples: Int32s,
) -> int:
    """Draw a negative for each positive of a cell, user by user.

    `samples`, int32 (ratings, 3), gets user, positive and negative; their number is returned.
    """
    rated = np.zeros(size, np.bool_)
    begin, n = 0, 0
    for u in range(len(counts)):
        own = places[begin : begin + counts[u]]
        begin += counts[u]
        if len(own) == 0 or len(own) == size:
            continue
        for place in own:
            rated[max(place, ~place) - first] = True
        key = stream(stream(step.key, first_user + u), first)
        for t in range(len(own)):
            if own[t] < 0:
                continue
            j = _draw_negative(key, t * DRAWS, step.popular, places, first, rated)
            if j < 0:
                continue
            samples[n, 0], samples[n, 1], samples[n, 2] = first_user + u, own[t], j
            n += 1
        for place in own:
            rated[max(place, ~place) - first] = False
    return n


# By Python's rules a division may raise, and then arrays are counted in each step, which costs as
# much as half of it.
@njit(nogil=True, cache=True, error_model="numpy")
def step_pair(
    users: Float32s, p: int, items: Float32s, i: int, j: int, step: GradientStep, scratch: Float32s
) -> float:
    """Move a user's row and those of two items along the gradient of ``ln s(x_i - x_j)``.

    Parameters
    ----------
    users, items : float32 (rows * width,)
    p, i, j : int
        Where the rows begin: user, positive, negative.
    step : GradientStep
    scratch : float32 (8,)

    Returns
    -------
    float
        The likelihood ``s(x_i - x_j)`` before the step.
    """
    width = len(step.keep_user)
    x, y, z = zero(), zero(), zero()  # by turns: none waits for the sum before
    for k in range(0, width, LANES):
        gap = sub(load(items, i + k), load(items, j + k))
        x, y, z = y, z, fma(load(users, p + k), gap, x)
    store(scratch, 0, add(add(x, y), z))
    wrong = 1.0 / (1.0 + math.exp(min(max(_sum(scratch), -_LARGEST), _LARGEST)))
    scratch[0] = step.rate * wrong
    pull = splat(scratch, 0)
    for k in range(0, width, LANES):
        u, q, r = load(users, p + k), load(items, i + k), load(items, j + k)
        keep, moved = load(step.keep_item, k), mul(pull, u)
        store(users, p + k, fma(pull, sub(q, r), mul(load(step.keep_user, k), u)))
        store(items, i + k, fma(keep, q, moved))
        store(items, j + k, sub(mul(keep, r), moved))
    users[p] = 1.0  # what the item's bias is multiplied with
    return 1.0 - wrong


@inner
def _sum(v: Float32s) -> float:
    return np.float64(((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7])))


@inner
def _run_cell(
    places: Int32s,
    counts: Int32s,
    first_user: int,
    first: int,
    size: int,
    users: Float32s,
    items: Float32s,
    step: GradientStep,
    out: Float64s,
) -> None:
    """Make the steps of one cell; `out` gets their number and the sum of their losses."""
    width = np.int64(len(step.keep_user))
    samples = np.empty((len(places), 3), np.int32)
    scratch = np.empty(LANES, np.float32)
    n = _draw_samples(places, counts, first_user, first, size, step, samples)
    stretch = (n + _STRETCHES - 1) // _STRETCHES
    likelihood, loss, taken = 1.0, 0.0, 0
    for k in range(stretch):
        for t in range(k, n, stretch):
            p, i, j = width * samples[t, 0], width * samples[t, 1], width * samples[t, 2]
            likelihood *= step_pair(users, p, items, i, j, step, scratch)
            taken += 1
            if taken % _PRODUCT == 0:
                loss -= math.log(likelihood)
                likelihood = 1.0
    out[0] = n
    out[1] = loss - math.log(likelihood)


@njit(nogil=True, parallel=True, cache=True)
def run_rounds(
    cells: Cells,
    bounds: Int64s,
    first_turn: int,
    team: int,
    size: int,
    users: Float32s,
    items: Float32s,
    step: GradientStep,
    out: Float64s,
) -> None:
    """Make the steps of `team` rounds of the Latin square; as many blocks are one thread's.

    Parameters
    ----------
    cells : Cells
    bounds : int64 (S + 1,)
        First user of each block.
    first_turn : int
        Number of the first of the rounds: a multiple of `team`.
    team : int
        A power of two that divides S.
    size : int
        Places in a block of items, but for the last.
    users : float32 (users, width)
    items : float32 (items, width)
        In order of place. Both are moved.
    step : GradientStep
    out : float64 (S, S, 2)
        Filled, for each block of users and of items: number of samples of the cell, and the sum of
        their losses ``-ln s(x_i - x_j)``.
    """
    for group in prange((len(bounds) - 1) // team):
        begin = np.int64(group) * team  # Numba counts without a sign, and mixed with one floats
        for turn in range(first_turn, first_turn + team):
            for b in range(begin, begin + team):
                c = b ^ turn
                first = c * size
                _run_cell(
                    cells.places[cells.starts[b, c] : cells.starts[b, c + 1]],
                    cells.counts[c, bounds[b] : bounds[b + 1]],
                    bounds[b],
                    first,
                    min(size, len(items) - first),
                    users.reshape(-1),
                    items.reshape(-1),
                    step,
                    out[b, c],
                )
