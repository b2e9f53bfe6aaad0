"""How splits are written, and what they draw."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mfdask.errors import InputError
from mfdask.ratings.splits import Split, id_keys, sequence_draws


@pytest.mark.parametrize(
    "text",
    ["random:0.1", "time:0.25", "user-time:0.5", "sequence:0.2", "cold-items:0.05",
     "leave-one-out", "none"],
)  # fmt: skip
def test_parse_and_back(text):
    assert str(Split.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "random", "random:", "random:0", "random:1", "random:-0.1", "random:nan", "random:inf",
     "random:x", "none:0.1", "leave-one-out:0.1", "weekly:0.1", "Random:0.1", "cold-items",
     "cold-items:0", "cold-items:1", "cold-items:1.5", "cold-items:few", "cold-users:0.1"],
)  # fmt: skip
def test_bad_forms_name_the_good_ones(text):
    with pytest.raises(InputError, match=r"write random:0\.1, time:0\.1, .*cold-items:0\.1"):
        Split.parse(text)


def test_sequence_is_numpys_published_stream():
    drawn = sequence_draws(100_836, 0.2, 42)
    assert (int((~drawn).sum()), int(drawn.sum())) == (80_651, 20_185)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_sequence_refuses_seeds_that_numpy_does(seed):
    with pytest.raises(InputError, match="4294967295"):
        sequence_draws(3, 0.2, seed)


def test_keys_are_those_of_all_times():
    assert id_keys(pd.Index([3, -1])).tolist() == [3, 2**64 - 1]
    # Were these to change, ratings would change sides with a new version of pandas.
    keys = id_keys(pd.Index(["u1", "日本"], dtype="str"))
    assert keys.dtype == np.uint64
    assert keys.tolist() == [2984610181246591869, 17040212410883982529]
