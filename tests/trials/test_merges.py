"""Accounts that two users share, by recipes of their own."""

from __future__ import annotations

import numpy as np
import pytest

from mfdask.downstream.events import all_events
from mfdask.shards import Dataset
from tests.trials.merges import RECIPES, merged


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("alike", [False, True])
def test_both_users_are_in_the_account(small_data, recipe, alike):
    events = all_events(Dataset.open(small_data))
    made, users = merged(events, RECIPES[recipe], 20, 0, alike)
    before, after = np.diff(events.indptr), np.diff(made.indptr)
    assert len(users) == 20
    assert len(before) == len(after)
    assert (after == 0).sum() - (before == 0).sum() == 20  # the partners have left
    others = np.setdiff1d(np.flatnonzero(after), users)
    assert np.array_equal(after[others], before[others])
    if recipe != "halves":
        assert (after[users] > before[users]).all()
    for user in users:
        own = slice(*made.indptr[user : user + 2])
        assert (np.diff(made.timestamps[own]) >= 0).all()
        assert len(np.unique(made.items[own])) == after[user]
