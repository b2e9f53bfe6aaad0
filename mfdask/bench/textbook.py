"""The paper's Algorithm 1 in plain Python, NumPy and Numba, to compare the kernel with.

A row's update: its bias by Eq. 8, gather the other side's vectors, ``A = lambda Q'Q + tau I``,
solve. `update_row` is written once and runs twice: interpreted, on lists, and compiled, on arrays.
Factors are therefore kept flat: factor `f` of row `i` is ``factors[i * k + f]``.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numba.extending import register_jitable

from mfdask.kernels.rows import Block


class TextbookRule(NamedTuple):
    """Number of factors and mean rating; the paper's lambda, tau and gamma."""

    n_factors: int
    mean: float
    fidelity: float = 0.002
    factor_reg: float = 0.05
    bias_reg: float = 0.015


class TextbookSide(NamedTuple):
    """What is known of all users, or of all items."""

    factors: Any  # flat float32 (rows * n_factors,), or a list
    bias: Any  # float32 (rows,), or a list


@register_jitable
def _solve(a: Any, k: int, x: Any, place: int) -> None:
    """Solve in place: Cholesky's method on the lower triangle `a`, the right-hand side in `x`."""
    for f in range(k):
        for g in range(f + 1):
            s = a[f * k + g]
            for h in range(g):
                s -= a[f * k + h] * a[g * k + h]
            a[f * k + g] = math.sqrt(s) if f == g else s / a[g * k + g]
        s = x[place + f]
        for g in range(f):
            s -= a[f * k + g] * x[place + g]
        x[place + f] = s / a[f * k + f]
    for f in range(k - 1, -1, -1):
        s = x[place + f]
        for g in range(f + 1, k):
            s -= a[g * k + f] * x[place + g]
        x[place + f] = s / a[f * k + f]


@register_jitable
def update_row(
    neighbours: Any,
    ratings: Any,
    fixed: TextbookSide,
    rule: TextbookRule,
    row: int,
    moving: TextbookSide,
    a: Any,
) -> None:
    """Update row `row` of `moving` from the ratings of its neighbours in `fixed`.

    Arguments are lists, or NumPy arrays where compiled; `a` is room for ``n_factors**2`` numbers.
    """
    k, n = rule.n_factors, len(neighbours)
    place = row * k
    rest = 0.0
    for t in range(n):
        i = neighbours[t]
        rest += ratings[t] - rule.mean - fixed.bias[i]
        for f in range(k):
            rest -= moving.factors[place + f] * fixed.factors[i * k + f]
    bias = rule.fidelity * rest / (rule.bias_reg + rule.fidelity * n)
    moving.bias[row] = bias
    for f in range(k):
        moving.factors[place + f] = 0.0
        for g in range(f + 1):
            a[f * k + g] = 0.0
    for t in range(n):
        i = neighbours[t]
        y = ratings[t] - rule.mean - bias - fixed.bias[i]
        q = fixed.factors[i * k : i * k + k]
        for f in range(k):
            x = rule.fidelity * q[f]
            moving.factors[place + f] += x * y
            for g in range(f + 1):
                a[f * k + g] += x * q[g]
    for f in range(k):
        a[f * k + f] += rule.factor_reg
    _solve(a, k, moving.factors, place)


@njit(nogil=True, cache=True)
def update_rows_compiled(
    first: int,
    last: int,
    block: Block,
    fixed: TextbookSide,
    rule: TextbookRule,
    moving: TextbookSide,
) -> None:
    """Update rows `first` to `last - 1` one after the other: `update_row`, compiled."""
    a = np.empty(rule.n_factors * rule.n_factors, np.float32)
    for row in range(first, last):
        mine = slice(block.indptr[row], block.indptr[row + 1])
        update_row(block.indices[mine], block.ratings[mine], fixed, rule, row, moving, a)


def update_rows_numpy(
    first: int,
    last: int,
    block: Block,
    fixed: TextbookSide,
    rule: TextbookRule,
    moving: TextbookSide,
) -> None:
    """Update rows `first` to `last - 1` one after the other, each with a few calls of NumPy."""
    vectors = fixed.factors.reshape(-1, rule.n_factors)
    solutions = moving.factors.reshape(-1, rule.n_factors)
    diagonal = np.float32(rule.factor_reg) * np.eye(rule.n_factors, dtype=np.float32)
    fidelity = np.float32(rule.fidelity)
    for row in range(first, last):
        mine = slice(block.indptr[row], block.indptr[row + 1])
        neighbours = block.indices[mine]
        q = vectors[neighbours]
        y = block.ratings[mine] - np.float32(rule.mean) - fixed.bias[neighbours]
        bias = fidelity * np.sum(y - q @ solutions[row]) / (rule.bias_reg + fidelity * len(y))
        moving.bias[row] = bias
        right = fidelity * (q.T @ (y - np.float32(bias)))
        solutions[row] = np.linalg.solve(fidelity * (q.T @ q) + diagonal, right)


class Interpreted:
    """Plain Python on each user's ratings, and no view by item: raters are searched for.

    The search is the best that a single view allows, a binary search in each user's row.
    """

    def __init__(
        self, users: Block, start: tuple[TextbookSide, TextbookSide], rule: TextbookRule
    ) -> None:
        ordered = with_sorted_rows(users)
        self.indptr: list[int] = ordered.indptr.tolist()
        # A memory view hands out Python's own numbers without 2 GB of them lying about.
        self.indices = memoryview(ordered.indices)
        self.ratings = memoryview(ordered.ratings)
        self.users, self.items = (TextbookSide(s.factors.tolist(), s.bias.tolist()) for s in start)
        self.rule = rule
        self.room = [0.0] * rule.n_factors**2

    def update_users(self, first: int, last: int) -> None:
        """Update users `first` to `last - 1`."""
        for user in range(first, last):
            mine = slice(self.indptr[user], self.indptr[user + 1])
            items, ratings = self.indices[mine].tolist(), self.ratings[mine].tolist()
            update_row(items, ratings, self.items, self.rule, user, self.users, self.room)

    def update_items(self, first: int, last: int) -> None:
        """Update items `first` to `last - 1`."""
        for item in range(first, last):
            users, places = self.find_raters(item)
            ratings = [self.ratings[place] for place in places]
            update_row(users, ratings, self.users, self.rule, item, self.items, self.room)

    def find_raters(self, item: int) -> tuple[list[int], list[int]]:
        """Return the users who rated an item, and where their ratings lie."""
        indptr, indices = self.indptr, self.indices
        users, places = [], []
        for user in range(len(indptr) - 1):
            end = indptr[user + 1]
            place = bisect_left(indices, item, indptr[user], end)
            if place < end and indices[place] == item:
                users.append(user)
                places.append(place)
        return users, places


def with_sorted_rows(block: Block) -> Block:
    """Return the same ratings with the indices of each row ascending."""
    row = np.repeat(np.arange(len(block.indptr) - 1, dtype=np.int32), np.diff(block.indptr))
    order = np.lexsort((block.indices, row))
    return Block(block.indptr, block.indices[order], block.ratings[order])


def random_start(rows: int, n_factors: int, seed: int) -> TextbookSide:
    """Return small random factors and no bias."""
    factors = np.random.default_rng(seed).normal(0, 0.1, rows * n_factors)
    return TextbookSide(factors.astype(np.float32), np.zeros(rows, np.float32))
