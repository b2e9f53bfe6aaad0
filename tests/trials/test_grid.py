"""The trials of attacks, in a few cells."""

from __future__ import annotations

import numpy as np

from mfdask.downstream.events import all_events
from mfdask.downstream.inject import AttackPlan, inject_attack
from mfdask.shards import Dataset
from tests.trials.grid import OTHERS, attacked, best_baseline, grid


def test_attacks_of_our_kinds_are_those_of_inject(small_data):
    data = Dataset.open(small_data)
    events = all_events(data)
    ours = attacked(events, data.n_items, "copy", 0.05, "300, mixed", 1)
    plan = AttackPlan("copy", "nuke", 0.05, 300.0, target_stars="mixed")
    wanted = inject_attack(events, data.n_items, plan, 1)
    assert np.array_equal(ours.items, wanted.items)
    assert np.array_equal(ours.timestamps, wanted.timestamps)


def test_cells(small_data):
    data = Dataset.open(small_data)
    kinds = ["love-hate", *OTHERS]
    trials = grid(all_events(data), data.n_items, kinds, [0.05], ["7", "none"], [0])
    assert len(trials) == 2 * len(kinds)
    cells = best_baseline(trials)
    assert cells["auc"].between(0.5, 1).all()
    assert cells.loc["7", "auc"].min() > 0.95
    assert cells.loc[("none", 0.05, "love-hate"), "best"] > 0.9
