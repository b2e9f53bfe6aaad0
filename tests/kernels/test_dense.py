"""The dense kernel against a product in whole numbers, which is exact."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfdask.kernels.dense import USERS, fill_block, interleave
from mfdask.kernels.topn import GROUP, TILE


def filled(users, items, limits, shape, dtype):
    """Return what the kernel makes of plain vectors, in a block of that shape."""
    block = np.empty(shape, dtype)
    fill_block(
        interleave(users, GROUP, shape[0]),
        interleave(items, TILE, shape[1]),
        np.array(limits, np.float32),
        block,
    )
    return block


@given(
    seed=st.integers(0, 2**32 - 1),
    n_users=st.integers(1, USERS + 5),
    n_items=st.integers(1, 2 * TILE + 9),
    d=st.integers(1, 5),
    fill=st.integers(0, 7),
)
def test_every_product_is_where_it_belongs(seed, n_users, n_items, d, fill):
    random = np.random.default_rng(seed)
    users = random.integers(-9, 10, (n_users, d)).astype(np.float32)
    items = random.integers(-9, 10, (n_items, d)).astype(np.float32)
    wanted = np.zeros((n_users + fill, n_items + fill))
    wanted[:n_users, :n_items] = users.astype(int) @ items.T.astype(int)
    found = filled(users, items, [-50, 60], wanted.shape, np.float32)
    np.testing.assert_array_equal(found, wanted.clip(-50, 60))


@pytest.mark.parametrize("n_items", [TILE, TILE - 1, 1])
def test_bytes_lose_what_is_behind_the_point_and_stay_within_limits(n_items):
    users = np.array([[-1.0], [0.0], [0.49], [0.5], [7.99], [254.99], [255.5], [256], [1e9]])
    found = filled(
        users.astype(np.float32), np.ones((n_items, 1), np.float32), [0, 255.5], (9, n_items),
        np.uint8,
    )  # fmt: skip
    wanted = [0, 0, 0, 0, 7, 254, 255, 255, 255]
    np.testing.assert_array_equal(found, np.repeat(wanted, n_items).reshape(9, n_items))


def test_a_sum_is_the_same_to_the_bit_wherever_the_matrix_is_cut():
    random = np.random.default_rng(2)
    users = random.normal(size=(40, 23)).astype(np.float32)
    items = random.normal(size=(100, 23)).astype(np.float32)
    whole = filled(users, items, [-np.inf, np.inf], (40, 100), np.float32)
    np.testing.assert_allclose(whole, users.astype(float) @ items.T.astype(float), atol=1e-5)
    part = filled(users[7:], items[3:50], [-np.inf, np.inf], (33, 47), np.float32)
    np.testing.assert_array_equal(part, whole[7:, 3:50])
