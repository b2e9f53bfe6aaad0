"""What the trials of shared accounts count."""

from __future__ import annotations

import numpy as np
import pytest

from mfdask.downstream.events import all_events
from mfdask.downstream.inject import SharingPlan
from mfdask.kernels.people import split_account
from mfdask.shards import Dataset
from tests.trials.sharing import most_found, split_evidence, told_splits


def test_the_evidence_is_that_of_the_kernel():
    random = np.random.default_rng(1)
    precision, means = random.random((9, 3)) + 0.1, random.normal(size=(9, 3)) * 3
    variance, second = np.array([2.0, 1.0, 0.5]), np.zeros(9, np.bool_)
    wanted = split_account(precision, means, variance, second)
    assert split_evidence(second, precision, means, variance) == pytest.approx(wanted)


def test_the_longest_list_of_a_precision():
    shared = np.array([True, True, False, True, True, False, False, True])
    assert most_found(np.arange(8.0)[::-1], shared) == pytest.approx(4 / 5)
    assert most_found(np.arange(8.0), ~shared, 1.0) == 0.0


@pytest.mark.parametrize("style", ["mixed", "handover"])
def test_who_is_told_sees_more_than_chance(small_data, style):
    data = Dataset.open(small_data)
    evidence, shared = told_splits(all_events(data), data.n_items, SharingPlan(30, style), 0)
    assert 10 < shared.sum() <= 30
    assert evidence[shared].mean() > evidence[~shared].mean()
