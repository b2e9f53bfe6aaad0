"""Blocks of equal numbers of ratings."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfdask.shards.bounds import block_bounds, default_blocks


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.integers(1, 50))
def test_blocks_are_even_up_to_a_row(counts, n_blocks):
    counts = sorted(counts, reverse=True)
    bounds = block_bounds(np.array(counts), n_blocks)
    assert bounds[0] == 0
    assert bounds[-1] == len(counts)
    assert len(bounds) == min(n_blocks, len(counts)) + 1
    assert all(np.diff(bounds) >= 1)
    largest = max(sum(counts[a:b]) for a, b in pairwise(bounds))
    assert largest <= sum(counts) / (len(bounds) - 1) + counts[0]


@pytest.mark.parametrize(
    ("n_ratings", "blocks"),
    [(1, 1), (8_000_000, 1), (32_000_204, 4), (100_000_000, 12), (10**10, 64)],
)
def test_default_blocks(n_ratings, blocks):
    assert default_blocks(n_ratings) == blocks
