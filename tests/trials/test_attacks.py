"""Trials of the detectors: what they are counted by, and the quick way against the plain one."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.metrics import roc_auc_score

from mfdask.downstream.anomalies.attacks import suspected_attacks
from mfdask.downstream.events import all_events
from mfdask.downstream.inject import AttackPlan, inject_attack
from mfdask.models import ALS
from mfdask.shards import Dataset
from tests.trials.attacks import BASELINES, attack_trials, ranking_of, summarise
from tests.trials.profiles import SUSPICIOUS, profile_features


@pytest.fixture(scope="module")
def data(small_data):
    return Dataset.open(small_data)


@pytest.fixture(scope="module")
def events(data):
    return all_events(data)


def test_ranking():
    random = np.random.default_rng(8)
    attacker = random.random(300) < 0.1
    scores = random.normal(size=300) + 2 * attacker
    found = ranking_of(scores, attacker)
    assert found["auc"] == pytest.approx(roc_auc_score(attacker, scores))
    m = attacker.sum()
    assert found["precision_at_m"] == attacker[np.argsort(-scores)[:m]].mean()
    tied = ranking_of(np.zeros(300), attacker)
    assert tied == {"auc": 0.5, "precision_at_m": 0.0, "recall_at_1": 0.0}
    best = np.where(attacker, np.inf, np.where(random.random(300) < 0.5, np.nan, 0.0))
    assert ranking_of(best, attacker) == {"auc": 1.0, "precision_at_m": 1.0, "recall_at_1": 1.0}


def test_trials(events, data):
    found = attack_trials(
        events, data.n_items, kinds=["copy"], sizes=[0.1], windows=[7.0], directions=["push"],
        seeds=[1],
    )  # fmt: skip
    (line,) = found.to_dict("records")
    assert (line["n_attackers"], line["kind"]) == (30, "copy")
    assert line["target_found"]
    assert line["bursts_auc"] > max(line[f"{name}_auc"] for name in BASELINES)
    assert line["shift_attacked"] > 3 * abs(line["shift_cleaned"])
    (summary,) = summarise(pd.concat([found, found.assign(bursts_auc=0.5)])).to_dict("records")
    assert (summary["trials"], summary["lowest_auc"]) == (2, 0.5)
    assert summary["rdma"] == line["rdma_auc"]


def mean_prediction(users, items, ratings, shape, target, n_users):
    """Learn from ratings as they are, and return what the target is predicted for some users."""
    matrix = sparse.csr_array((ratings, (users, items)), shape=shape)
    model = ALS(n_factors=10, n_sweeps=10).fit(Dataset.from_csr(matrix))
    rows = np.arange(n_users, dtype=np.int32)
    return model.predict_rows(rows, np.full_like(rows, target)).mean()


def plain_trial(events, n_items, plan, seed):
    """Return the features' AUC and both shifts with nothing shared or left out, and the suspects.

    The latter as `none`, `all` (the attackers and nobody else) or `some`.
    """
    injected = inject_attack(events, n_items, plan, seed)
    table = (injected.users, injected.items, injected.ratings)
    shape, n_genuine = (injected.n_users, n_items), len(events.indptr) - 1
    attacker = np.arange(injected.n_users) >= n_genuine
    suspects = suspected_attacks(injected.events, n_items).users["user"].unique()
    features = profile_features(*table, *shape, plan.direction)
    line = {
        f"{name}_auc": ranking_of(SUSPICIOUS[name] * features[name].to_numpy(), attacker)["auc"]
        for name in BASELINES
    }
    (target,) = injected.truth["attacked_items"]["item"]
    genuine, honest = injected.users < n_genuine, ~np.isin(injected.users, suspects)
    before, attacked, cleaned = (
        mean_prediction(*(column[kept] for column in table), shape, target, n_genuine)
        for kept in (genuine, np.ones_like(genuine), honest)
    )
    line |= {"shift_attacked": attacked - before, "shift_cleaned": cleaned - before}
    if len(suspects) == 0:
        return line, "none"
    return line, "all" if np.array_equal(np.sort(suspects), np.flatnonzero(attacker)) else "some"


def test_trials_are_what_they_would_be_without_anything_shared(events, data):
    kinds, sizes = ["copy", "segment"], [0.01, 0.1]
    found = attack_trials(
        events, data.n_items, kinds=kinds, sizes=sizes, windows=[7.0], directions=["nuke"],
        seeds=[2],
    )  # fmt: skip
    seen = set()
    plans = itertools.product(kinds, sizes)
    for line, (kind, size) in zip(found.to_dict("records"), plans, strict=True):
        wanted, suspects = plain_trial(
            events, data.n_items, AttackPlan(kind, "nuke", size, 7.0), seed=2
        )
        seen.add(suspects)
        assert {name: line[name] for name in wanted} == pytest.approx(wanted, abs=1e-6)
    assert seen >= {"none", "all"}  # the two ways in which a model is taken from another trial
