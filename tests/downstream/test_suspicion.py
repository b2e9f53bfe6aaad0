"""Evidence beside bursts of extreme ratings: what is honest, and what is not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from mfdask.downstream.anomalies.attacks import AttackLimits, suspected_attacks
from mfdask.downstream.anomalies.calibration import (
    calibrated,
    normal_evidence,
    rank_evidence,
    tail_evidence,
)
from mfdask.downstream.anomalies.choices import company, incoherence, normal_scores
from mfdask.downstream.anomalies.evidence import Surprise
from mfdask.downstream.anomalies.groups import groups_of
from mfdask.downstream.anomalies.sessions import choice_vectors
from mfdask.downstream.events import DAY, all_events
from mfdask.downstream.inject import AttackPlan, inject_attack
from mfdask.shards import Dataset
from tests.downstream.movielens import make_events, read_movielens


@pytest.fixture(scope="module")
def data(small_data):
    return Dataset.open(small_data)


@pytest.fixture(scope="module")
def events(data):
    return all_events(data)


@pytest.fixture(scope="module")
def movielens(movielens_zip):
    return read_movielens(movielens_zip)


def attackers(made):
    found = np.zeros(made.n_users, bool)
    found[made.truth["attack_users"]["user"]] = True
    return found


@pytest.mark.parametrize("level", [1, 10, 100])
def test_a_level_is_met_whatever_the_scores_measure(level):
    random = np.random.default_rng(1)
    scores = random.exponential(3.0, 40_000) * (random.random(40_000) < 0.6)
    for found in (
        tail_evidence(scores, np.arange(len(scores))),
        calibrated(scores),
        normal_evidence(2 * random.normal(size=(2, 40_000)).max(axis=0), np.arange(40_000)),
    ):
        met = 1000 * (found >= -np.log10(level / 1000)).mean()
        assert level / 2 <= met <= 2 * level
        assert (found >= 0).all()


def test_a_tail_is_not_learned_from_what_is_in_it():
    honest = np.random.default_rng(2).exponential(1.0, 1900)
    scores = np.append(honest, np.full(100, 25.0))
    assert (calibrated(scores)[1900:] > 5).all()
    few = tail_evidence(np.array([0, 1.0, 9.0]), np.arange(3))
    assert few.tolist() == pytest.approx([0, -np.log10(2 / 3), -np.log10(1 / 3)])


def test_ranks_are_among_those_of_like_activity():
    scores, activity = np.tile(np.arange(50.0), 2), np.repeat([10, 900], 50)
    found = rank_evidence(scores, activity)
    assert np.array_equal(found[:50], found[50:])
    assert found.max() == pytest.approx(np.log10(51))


def test_incoherence_is_minus_the_products_of_pairs(events, data):
    vectors = choice_vectors(events, data.n_items)
    found = incoherence(events, data.n_items)
    for user in (0, 17):
        own = vectors[events.items[slice(*events.indptr[[user, user + 1]])]]
        pairs = (own @ own.T).sum() - np.square(own).sum()
        wanted = -pairs / np.square(own).sum() / np.sqrt(len(own))
        assert found[user] == pytest.approx(wanted)


def test_company_is_that_of_others(events, data):
    random = np.random.default_rng(3)
    above, z = Surprise(events, data.n_items).above, random.normal(size=data.n_users)
    found = company(events, above, z, data.n_items)
    users = events.users
    for item in (0, 30):
        sides = [(events.items == item) & (sign * above > 0) for sign in (1, -1)]
        scores = [z[users[side]].sum() / np.sqrt(max(side.sum(), 1)) for side in sides]
        assert found.items[item] == pytest.approx(max(*scores, 0))
    user = 5
    best = 0.0
    for place in range(*events.indptr[[user, user + 1]]):
        side = (events.items == events.items[place]) & (above * above[place] > 0)
        others = np.setdiff1d(users[side], [user])
        best = max(best, z[others].sum() / np.sqrt(max(len(others), 1)))
    assert found.users[user] == pytest.approx(best)


def test_normal_scores_are_quantiles():
    found = normal_scores(np.arange(100.0), np.zeros(100, np.int64))
    assert np.allclose(np.sort(found)[[0, 99]], norm.ppf([0.01, 0.99]), atol=0.35)


@pytest.mark.movielens
@pytest.mark.parametrize(
    ("options", "least"),
    [
        ({"kind": "copy", "target_stars": "near", "window_days": 7.0}, 0.95),
        ({"kind": "obfuscated", "target_stars": "mixed", "window_days": 30.0}, 0.95),
        ({"kind": "copy", "direction": "nuke", "window_days": 300.0}, 0.9),
        ({"kind": "average", "timing": "calendar"}, 0.8),
        ({"kind": "love-hate", "timing": "calendar"}, 0.8),
    ],
)
def test_slow_mild_and_hidden_attacks_rank_high(movielens, options, least):
    events, n_items = movielens
    made = inject_attack(events, n_items, AttackPlan(size=0.05, **options), seed=2)
    found = suspected_attacks(made.events, n_items)
    assert roc_auc_score(attackers(made), found.scores.users) >= least


@pytest.mark.movielens
def test_fans_with_a_life_of_their_own_are_no_attackers(movielens):
    events, n_items = movielens
    random = np.random.default_rng(1)
    lives = [np.ptp(times) for times in np.split(events.timestamps, events.indptr[1:-1])]
    old = random.choice(np.flatnonzero(np.array(lives) > 200 * DAY), 25, replace=False)
    counts = np.bincount(events.items, minlength=n_items)
    item = random.choice(np.flatnonzero((counts >= 5) & (counts <= 50)))
    kept = ~(np.isin(events.users, old) & (events.items == item))
    week = 1_200_000_000 + random.integers(0, 7 * DAY, 25)
    columns = zip(
        (events.users, events.items, events.ratings, events.timestamps),
        (old, np.full(25, item), np.full(25, 5.0), week),
        strict=True,
    )
    made = make_events(*(np.append(honest[kept], fans) for honest, fans in columns))
    found = suspected_attacks(made, n_items)
    assert found.items["item"].tolist() == [item]
    assert np.isin(old, found.users["user"]).sum() <= 1


@pytest.mark.movielens
def test_an_attack_without_times_has_its_group(movielens):
    events, n_items = movielens
    plan = AttackPlan("average", size=0.05, n_targets=5, target_ratings=(5, 30))
    made = inject_attack(events, n_items, plan, seed=1)
    timeless = made.events._replace(timestamps=np.zeros_like(made.events.timestamps))
    limits = AttackLimits(false_users_per_1000=10)
    found = suspected_attacks(timeless, n_items, limits)
    truth = attackers(made)
    users = np.unique(found.users["user"]).astype(np.int32)
    assert truth[users].sum() >= 0.5 * truth.sum()
    above = Surprise(timeless, n_items).above
    first = groups_of(timeless, above, users, n_items).iloc[0]
    assert first["direction"] == "push"
    assert set(made.truth["attacked_items"]["item"]) <= set(first["targets"])
    assert truth[first["members"]].mean() > 0.7
    assert first["stars_of_members"] > first["stars_of_others"]
    nobody = groups_of(timeless, above, users[:0], n_items)
    assert list(nobody) == list(groups_of(timeless, above, users, n_items))
    assert len(nobody) == 0


def test_a_level_decides_alone(events, data):
    few, many = (
        suspected_attacks(events, data.n_items, AttackLimits(0.05, level, level)).users
        for level in (1, 200)
    )
    assert set(few["user"]) <= set(many["user"])
    assert len(many) > 0
    assert (many["expected_false_per_1000"] <= 200).all()
