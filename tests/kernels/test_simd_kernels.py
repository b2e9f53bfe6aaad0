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
from mfdask.kernels.simd import transpose


@njit
def turn(source, out):
    transpose(source, 2, 11, out, 3)


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
    before = random.normal(size=width * width).astype(np.float32)
    gram = np.concatenate([np.zeros(3, np.float32), before, np.full(99, 7, np.float32)])
    add_gram(tile.ravel(), n, width, order, gram, 3)
    wanted = before.reshape(width, width) + tile[:n].T @ tile[:n]
    found = gram[3 : 3 + width * width].reshape(width, width)
    whole = np.arange(width) // 8 <= np.arange(order)[:, None] // 8  # whole blocks at the diagonal
    np.testing.assert_allclose(found[:order][whole], wanted[:order][whole], rtol=2e-5, atol=1e-5)
    assert (gram[:3] == 0).all()
    assert (gram[3 + width * width :] == 7).all()


def test_eight_matrices_are_turned_into_vectors():
    source = np.arange(2 + 7 * 11 + 8, dtype=np.float32)  # eight values each, 11 apart, from 2 on
    out = np.full(3 + 64 + 2, -1, np.float32)
    turn(source, out)
    lanes = source[2:][np.arange(8)[:, None] * 11 + np.arange(8)]
    np.testing.assert_array_equal(out[3:67].reshape(8, 8), lanes.T)
    assert (np.delete(out, range(3, 67)) == -1).all()


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
    add_gram(tile, n, width, order, wanted, 3)
    gather_and_add(fixed, *given, np.zeros_like(tile), found, 3)
    np.testing.assert_array_equal(found, wanted)


@given(order=st.integers(1, 23), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_eight_systems_are_solved_side_by_side(order, seed):
    random = np.random.default_rng(seed)
    x = random.normal(size=(8, 2 * order, order))
    a = np.einsum("lni,lnj->lij", x, x) + np.eye(order)
    b = random.normal(size=(8, order))
    system = np.zeros((order + 1, order + 1, 8), np.float32)
    system[:order, :order] = a.transpose(1, 2, 0)
    system[order, :order] = b.T
    flat = system.ravel()
    inverse = np.empty(order * 8, np.float32)
    failed = np.zeros(8, np.bool_)
    factorise(flat, order, inverse, failed)
    substitute(flat, order, inverse)
    assert not failed.any()
    solved = flat.reshape(order + 1, order + 1, 8)[order, :order].T
    np.testing.assert_allclose(solved, np.linalg.solve(a, b[..., None])[..., 0], atol=2e-4)


@pytest.mark.parametrize("spoiler", [0.0, -1.0, np.nan])
def test_a_pivot_that_is_not_positive_is_told_of_its_lane_alone(spoiler):
    system = np.zeros((3, 3, 8), np.float32)
    system[0, 0] = system[1, 1] = 1.0
    system[1, 1, 5] = spoiler
    failed = np.zeros(8, np.bool_)
    factorise(system.ravel(), 2, np.empty(16, np.float32), failed)
    np.testing.assert_array_equal(np.flatnonzero(failed), [5])


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
