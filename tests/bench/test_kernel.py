"""The bare kernel does what a fit does, and its work is counted as it should be."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from mfdask.bench import parts
from mfdask.bench.kernel import BareKernel, numba_threads, sweep_bytes, sweep_flops, whole_side
from mfdask.models import ALS, IALS
from mfdask.shards import Dataset


@pytest.mark.parametrize(
    "config",
    [
        ALS(n_factors=3, n_sweeps=2),
        IALS(n_factors=3, n_sweeps=2, liked=3.0, weighting="rating", recency_gain=0.0),
    ],
    ids=["als", "ials"],
)
def test_bare_sweeps_end_where_a_fit_ends(small: Dataset, config: ALS | IALS) -> None:
    kernel = BareKernel(small, config)
    before = kernel.rows("users").copy()
    kernel.sweep()
    kernel.sweep()
    model = config.fit(small)
    np.testing.assert_array_equal(kernel.rows("users"), model.user_rows)
    np.testing.assert_array_equal(kernel.rows("items"), model.item_rows)
    assert (kernel.rows("users") != before).any()


def test_seconds_are_positive_and_threads_are_put_back(small: Dataset) -> None:
    before = numba.get_num_threads()
    assert BareKernel(small, ALS(n_factors=2)).seconds(sweeps=2, threads=1) > 0
    assert numba.get_num_threads() == before


def test_no_more_threads_than_there_are() -> None:
    with numba_threads(10_000):
        assert numba.get_num_threads() == numba.config.NUMBA_NUM_THREADS
    with numba_threads(1):
        assert numba.get_num_threads() == 1


@pytest.mark.parametrize("side", ["users", "items"])
def test_a_whole_side_holds_the_rows_of_all_blocks(small: Dataset, side: str) -> None:
    whole = whole_side(small, side)
    assert small.n_blocks(side) == 2
    assert len(whole.ratings) == len(whole.indices) == whole.indptr[-1] == small.n_train
    for b in range(2):
        shard = small.shard(side, b)
        for row in range(shard.n_rows):
            mine = slice(shard.indptr[row], shard.indptr[row + 1])
            there = slice(*whole.indptr[shard.start + row : shard.start + row + 2])
            np.testing.assert_array_equal(whole.indices[there], shard.indices[mine])
            np.testing.assert_array_equal(whole.ratings[there], shard.ratings[mine])


def test_flops_by_hand() -> None:
    # D = 3: a rating adds a matrix (3 * 4) and a vector (2 * 3) on each side, 2 * 10 * 18 = 360;
    # a row is 27 / 3 = 9, and 7 rows 63.
    assert sweep_flops(n_ratings=10, n_rows=7, n_factors=2) == 423


def test_bytes_by_hand() -> None:
    # 20 factors, bias and one: 22 floats, padded to 24. A rating: 96 + 8, on two sides.
    assert sweep_bytes(n_ratings=10, n_factors=20) == 2080


@pytest.mark.parametrize("config", [ALS(n_factors=3), IALS(n_factors=3)], ids=["als", "ials"])
def test_all_parts_together_are_a_half_step(small: Dataset, config: ALS | IALS) -> None:
    bare = BareKernel(small, config)
    half = next(bare.half_steps())
    rows, current = np.empty_like(half.rows), half.rows.copy()
    given = half.block, half.fixed, half.prior, half.step, current
    parts._run_parts(len(parts.PARTS) - 1, *given, rows)
    bare.sweep()
    np.testing.assert_array_equal(half.rows, rows)
    assert (half.rows != current).any()


def test_the_work_of_parts_is_that_of_a_sweep() -> None:
    work = parts.part_work(10, 7, ALS(n_factors=2))
    assert work["products"][0] + work["solving"][0] == sweep_flops(10, 7, 2)
    assert work["gathering"] == (40.0, sweep_bytes(10, 2))
    assert work["accounting"] == (4 * 7 * 9, 2 * 7 * 8 * 4)  # D = 3; eight floats a row
    assert work["priors"] == (0.0, 0.0)
    assert parts.part_work(10, 7, IALS(n_factors=2))["priors"] == (2 * 7 * 4, 7 * 8 * 4)
