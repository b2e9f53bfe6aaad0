"""The vector kernels against plain NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import config, njit

from mfdask.kernels import gram as gram_kernels
from mfdask.kernels.cholesky import factorise, substitute
from mfdask.kernels.gram import add_gram, add_quadratic, gather, gather_and_add
from mfdask.kernels.rows import row_width
from mfdask.kernels.simd import SYSTEMS, transpose


@njit
def turn(source, out):
    transpose(source, 2, 11, out, 3, 10)


@pytest.mark.parametrize("n_factors", [0, 1, 6, 7, 10, 11, 14, 20, 28, 31, 38, 64])
@pytest.mark.parametrize("n", [0, 1, 5])
@pytest.mark.parametrize("wide", [False, True])
def test_gram_adds_the_lower_triangle(n_factors, n, wide, monkeypatch):
    if config.DISABLE_JIT:
        monkeypatch.setattr(gram_kernels, "HAS_WIDE", wide)
    elif wide != gram_kernels.HAS_WIDE:
        pytest.skip("compiled for this machine's own vectors")
    width, order = row_width(n_factors), n_factors + 2
    random = np.random.default_rng(n)
    tile = random.normal(size=(max(n, 1), width)).astype(np.float32)
    size = width * width
    before = random.normal(size=size).astype(np.float32)
    sevens = np.full(99, 7, np.float32)
    wanted = before.reshape(width, width) + tile[:n].T @ tile[:n]
    apart = np.concatenate([np.zeros(3 + size, np.float32), before, sevens])
    add_gram(tile.ravel(), n, width, order, apart, 3 + size, 3)
    np.testing.assert_array_equal(apart[3 + size : 3 + 2 * size], before)
    gram = np.concatenate([np.zeros(3, np.float32), before, sevens])
    add_gram(tile.ravel(), n, width, order, gram, 3, 3)
    found = gram[3 : 3 + size].reshape(width, width)
    whole = np.arange(width) // 8 <= np.arange(order)[:, None] // 8  # whole blocks at the diagonal
    np.testing.assert_allclose(found[:order][whole], wanted[:order][whole], rtol=2e-5, atol=1e-5)
    np.testing.assert_array_equal(
        apart[3 : 3 + size].reshape(width, width)[:order][whole], found[:order][whole]
    )
    assert (gram[:3] == 0).all()
    assert (gram[3 + size :] == 7).all()


def test_eight_matrices_are_turned_into_vectors():
    source = np.arange(2 + 7 * 11 + 8, dtype=np.float32)  # eight values each, 11 apart, from 2 on
    out = np.full(3 + 80 + 2, -1, np.float32)
    turn(source, out)
    lanes = source[2:][np.arange(8)[:, None] * 11 + np.arange(8)]
    found = out[3:83].reshape(8, 10)
    np.testing.assert_array_equal(found[:, :8], lanes.T)
    assert (found[:, 8:] == -1).all()
    assert (out[[0, 1, 2, 83, 84]] == -1).all()


def test_gather_centres_each_rating():
    width = row_width(2)
    fixed = np.arange(5 * width, dtype=np.float32)
    tile = np.full(3 * width, np.nan, np.float32)
    indices = np.array([9, 4, 0, 2, 9], np.int32)
    ratings = np.array([0, 3, 4, 5, 0], np.float32)
    gather(
        fixed,
        width,
        np.where(indices == 9, 1, indices).astype(np.int32),
        ratings,
        1,
        3,
        np.float32(3.5),
        tile,
    )
    rows = fixed.reshape(5, width)[[4, 0, 2]]
    wanted = rows.copy()
    wanted[:, 0] = np.array([3, 4, 5]) - 3.5 - rows[:, 0]
    np.testing.assert_array_equal(tile.reshape(3, width), wanted)


@pytest.mark.parametrize("n", [0, 1, 12, 13, 30])
def test_one_pass_gathers_and_adds_the_same_to_the_bit(n):
    random = np.random.default_rng(n)
    width, order = 24, 22
    fixed = random.normal(size=50 * width).astype(np.float32)
    indices = random.integers(0, 50, n + 2).astype(np.int32)
    ratings = random.normal(size=n + 2).astype(np.float32)
    rows = fixed.reshape(50, width)
    rows[:, order:] = 0
    given = indices, ratings, 1, n, np.float32(0.5)
    found, wanted = np.zeros((2, 3 + width * width), np.float32)
    tile = np.zeros(30 * width, np.float32)
    gather(fixed, width, *given, tile)
    add_gram(tile, n, width, order, wanted, 3, 3)
    gather_and_add(fixed, *given, np.zeros_like(tile), found, 3, 3)
    np.testing.assert_array_equal(found, wanted)


@given(order=st.integers(1, 23), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_systems_are_solved_side_by_side(order, seed):
    random = np.random.default_rng(seed)
    x = random.normal(size=(SYSTEMS, 2 * order, order))
    a = np.einsum("lni,lnj->lij", x, x) + np.eye(order)
    b = random.normal(size=(SYSTEMS, order))
    system = np.zeros((order + 1, order + 1, SYSTEMS), np.float32)
    system[:order, :order] = a.transpose(1, 2, 0)
    system[order, :order] = b.T
    flat = system.ravel()
    inverse = np.empty(order * SYSTEMS, np.float32)
    factorise(flat, order, inverse)
    substitute(flat, order, inverse)
    solved = flat.reshape(order + 1, order + 1, SYSTEMS)[order, :order].T
    np.testing.assert_allclose(solved, np.linalg.solve(a, b[..., None])[..., 0], atol=2e-4)


@pytest.mark.parametrize("spoiler", [0.0, -1.0, np.nan])
@pytest.mark.parametrize("pivot", [0, 1])
def test_a_pivot_that_is_not_positive_leaves_no_number_in_its_lane_alone(spoiler, pivot):
    system = np.zeros((3, 3, SYSTEMS), np.float32)
    system[0, 0] = system[1, 1] = system[2, :2] = 1.0
    system[pivot, pivot, 5] = spoiler
    flat, inverse = system.ravel(), np.empty(2 * SYSTEMS, np.float32)
    factorise(flat, 2, inverse)
    substitute(flat, 2, inverse)
    solved = flat.reshape(3, 3, SYSTEMS)[2, :2]
    np.testing.assert_array_equal(np.flatnonzero(~np.isfinite(solved).all(0)), [5])


@pytest.mark.parametrize("n", [1, 2, 8, 9, 22])
def test_quadratic_reads_the_blocks_up_to_the_diagonal_alone(n):
    width = -(-n // 8) * 8
    random = np.random.default_rng(n)
    a = random.normal(size=(n, n))
    a += a.T
    matrix = np.full((width, width), np.nan, np.float32)
    whole = np.zeros((width, width))
    whole[:n, :n] = a
    for i in range(n):
        stop = (i // 8 + 1) * 8
        matrix[i, :stop] = whole[i, :stop]
    v = np.zeros(width, np.float32)
    v[:n] = random.normal(size=n)
    sums = np.arange(10.0)
    add_quadratic(matrix.ravel(), 0, width, v, n, np.float32(3.0), sums, 1)
    assert sums[[0, 9]].tolist() == [0.0, 9.0]
    found = sums[1:9].sum() - 36
    assert found == pytest.approx(3 * v[:n] @ a @ v[:n], rel=1e-4, abs=1e-4)
