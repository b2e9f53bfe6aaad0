"""The recipe of changed items."""

from __future__ import annotations

import numpy as np
import pytest

from tests.downstream.movielens import make_events
from tests.trials.changes import changed


@pytest.mark.parametrize(("kind", "moved"), [("step", 0.5), ("ramp", 0.5), ("pulse", 0.25)])
def test_means_move_by_what_they_should(kind, moved):
    items, users = np.divmod(np.arange(40 * 60), 60)
    events = make_events(users, items, np.full(len(items), 3.0), users)
    ratings, chosen = changed(events, 40, kind, 1.0, seed=0)
    assert len(chosen) == 25
    shift = np.bincount(events.items, ratings - 3.0) / 60
    assert not np.delete(shift, chosen).any()
    assert np.allclose(np.abs(shift[chosen]).mean(), moved, atol=0.05)
