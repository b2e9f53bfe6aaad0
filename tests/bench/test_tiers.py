"""The tiers solve the same equations, visit fair samples, and scale what they measured."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mfdask.bench import tiers
from mfdask.bench.textbook import (
    Interpreted,
    TextbookRule,
    TextbookSide,
    random_start,
    update_rows_compiled,
    update_rows_numpy,
    with_sorted_rows,
)
from mfdask.kernels.rows import Block

RULE = TextbookRule(n_factors=3, mean=3.4)


def block(row: NDArray[np.int64], column: NDArray[np.int64], stars: NDArray[np.float32]) -> Block:
    order = np.argsort(row, kind="stable")
    indptr = np.append(0, np.cumsum(np.bincount(row))).astype(np.int64)
    return Block(indptr, column[order].astype(np.int32), stars[order])


@pytest.fixture(scope="module")
def both() -> tuple[Block, Block]:
    """Return 300 ratings of 20 users and 30 items, in no order, by user and by item."""
    random = np.random.default_rng(1)
    pairs = random.permutation(600)[:300]
    user, item = pairs // 30, pairs % 30
    assert len(set(user)) == 20
    assert len(set(item)) == 30
    stars = random.integers(1, 11, 300).astype(np.float32) / 2
    return block(user, item, stars), block(item, user, stars)


def solved(rows: Block, fixed: TextbookSide, moving: TextbookSide) -> TextbookSide:
    """Algorithm 1 as it is written, in double precision."""
    k = RULE.n_factors
    q_all = np.asarray(fixed.factors, np.float64).reshape(-1, k)
    p_all = np.asarray(moving.factors, np.float64).reshape(-1, k)
    factors, bias = np.empty_like(p_all), np.empty(len(p_all))
    for row in range(len(p_all)):
        mine = slice(rows.indptr[row], rows.indptr[row + 1])
        q, b = q_all[rows.indices[mine]], np.asarray(fixed.bias, np.float64)[rows.indices[mine]]
        y = rows.ratings[mine].astype(np.float64) - RULE.mean - b
        bias[row] = (
            RULE.fidelity * (y - q @ p_all[row]).sum() / (RULE.bias_reg + RULE.fidelity * len(y))
        )
        a = RULE.fidelity * q.T @ q + RULE.factor_reg * np.eye(k)
        factors[row] = np.linalg.inv(a) @ (RULE.fidelity * q.T @ (y - bias[row]))
    return TextbookSide(factors.ravel(), bias)


def start() -> tuple[TextbookSide, TextbookSide]:
    users, items = random_start(20, 3, 5), random_start(30, 3, 6)
    users.bias[:] = np.linspace(-1, 1, 20)
    items.bias[:] = np.linspace(1, -1, 30)
    return users, items


@pytest.mark.parametrize("update", [update_rows_numpy, update_rows_compiled])
def test_half_steps_on_arrays_solve_algorithm_1(
    update: Callable[..., None], both: tuple[Block, Block]
) -> None:
    for side in (0, 1):
        moving, fixed = start()[side], start()[1 - side]
        wanted = solved(both[side], fixed, moving)
        update(0, len(moving.bias), both[side], fixed, RULE, moving)
        np.testing.assert_allclose(moving.factors, wanted.factors, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(moving.bias, wanted.bias, rtol=1e-4, atol=1e-5)


def test_the_interpreted_half_steps_solve_algorithm_1(both: tuple[Block, Block]) -> None:
    users, items = start()
    state = Interpreted(both[0], (users, items), RULE)
    state.update_users(0, 20)
    wanted = solved(both[0], items, users)
    np.testing.assert_allclose(state.users.factors, wanted.factors, rtol=1e-6)
    np.testing.assert_allclose(state.users.bias, wanted.bias, rtol=1e-6)
    state.update_items(0, 30)
    wanted = solved(both[1], state.users, items)
    np.testing.assert_allclose(state.items.factors, wanted.factors, rtol=1e-6)
    np.testing.assert_allclose(state.items.bias, wanted.bias, rtol=1e-6)


def test_only_the_rows_asked_for_move(both: tuple[Block, Block]) -> None:
    users, items = start()
    update_rows_compiled(4, 6, both[0], items, RULE, users)
    moved = (users.factors.reshape(20, 3) != start()[0].factors.reshape(20, 3)).any(axis=1)
    assert np.flatnonzero(moved).tolist() == [4, 5]


def test_raters_are_found_whatever_the_order_of_the_rows(both: tuple[Block, Block]) -> None:
    by_user, by_item = both
    state = Interpreted(by_user, start(), RULE)
    for item in range(30):
        mine = slice(by_item.indptr[item], by_item.indptr[item + 1])
        users, places = state.find_raters(item)
        assert users == sorted(by_item.indices[mine].tolist())
        found = dict(zip(users, (state.ratings[place] for place in places), strict=True))
        assert found == dict(
            zip(by_item.indices[mine].tolist(), by_item.ratings[mine].tolist(), strict=True)
        )


def test_sorting_rows_keeps_each_rating_with_its_index(both: tuple[Block, Block]) -> None:
    before, after = both[0], with_sorted_rows(both[0])
    for first, last in zip(before.indptr[:-1], before.indptr[1:], strict=True):
        pairs = zip(before.indices[first:last], before.ratings[first:last], strict=True)
        assert sorted(pairs) == list(
            zip(after.indices[first:last], after.ratings[first:last], strict=True)
        )


@given(st.integers(1, 3000))
def test_spread_is_a_permutation_that_starts_out_even(n: int) -> None:
    order = tiers._spread(n)
    assert np.array_equal(np.sort(order), np.arange(n))
    beginning = np.sort(order[: max(1, n // 10)])
    gaps = np.diff(np.concatenate([[-1], beginning, [n]]))
    assert gaps.max() <= 3 * n / len(beginning) + 2


@given(
    st.lists(st.integers(1, 500), min_size=4, max_size=30),
    st.floats(1e-6, 1.0),
    st.floats(1e-6, 1.0),
)
def test_costs_for_row_and_rating_are_told_apart(lengths: list[int], a: float, b: float) -> None:
    visits = [(1, n, a + b * n) for n in lengths]
    wanted = 1000 * a + 50_000 * b
    scaled = tiers._scale(visits, rows=1000, ratings=50_000)
    if len(set(lengths)) > 1:
        assert scaled == pytest.approx(wanted, rel=1e-6)
    else:  # nothing tells them apart: by ratings alone
        assert scaled == pytest.approx(50_000 / lengths[0] * (a + b * lengths[0]), rel=1e-6)


def test_costs_are_never_negative() -> None:
    visits = [(1, 10, 5.0), (1, 20, 6.0), (1, 1000, 1.0), (1, 2000, 2.0)]
    assert tiers._scale(visits, 10, 10_000) == pytest.approx(14 * 10_000 / 3030)


def test_all_rows_visited_scale_to_their_sum() -> None:
    assert tiers._scale([(2, 10, 1.0), (1, 0, 0.5)], rows=3, ratings=10) == 1.5


def test_tiers_of_a_whole_sweep(both: tuple[Block, Block]) -> None:
    calls: list[int] = []

    def nap() -> None:
        calls.append(1)
        time.sleep(0.001)

    told: list[tuple[int, int, str]] = []
    measured = tiers.measure_tiers(
        *both,
        n_factors=3,
        seed=0,
        budget_seconds=600,
        sweeps=[tiers.TierSweep("mine", "a nap", nap)],
        progress=lambda _, done, total, note="": told.append((done, total, note)),
    )
    assert [tier.name for tier in measured] == ["interpreted", "dual CSR", "compiled", "mine"]
    assert len(calls) == 1 + tiers.REPEATS
    assert told[0] == (0, 4, "interpreted")
    assert told[-1] == (4, 4, "")
    for tier in measured:
        assert tier.ratings_measured == tier.ratings_total == 600
        assert tier.seconds_scaled == pytest.approx(tier.seconds_measured)
        assert tier.speedup == pytest.approx(measured[0].seconds_scaled / tier.seconds_scaled)


def test_a_slow_tier_stops_and_says_on_how_many_ratings(
    both: tuple[Block, Block], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr(tiers, "perf_counter", lambda: float(next(clock)))
    slow, *_ = tiers.measure_tiers(*both, n_factors=2, seed=0, budget_seconds=12)
    assert (
        slow.seconds_measured == 12
    )  # by the mocked clock: six rows of each side, one second each
    lengths = [np.diff(b.indptr)[tiers._spread(len(b.indptr) - 1)[:6]] for b in both]
    assert slow.ratings_measured == sum(n.sum() for n in lengths)
    assert slow.ratings_measured < slow.ratings_total == 600
    assert slow.seconds_scaled > slow.seconds_measured
