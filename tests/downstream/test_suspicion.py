"""Evidence beside bursts of extreme ratings: what is honest, and what is not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from mfdask.downstream.anomalies.attacks import AttackLimits, suspected_attacks
from mfdask.downstream.anomalies.calibration import calibrated, tail_evidence
from mfdask.downstream.anomalies.collusion import collusion
from mfdask.downstream.anomalies.evidence import Surprise
from mfdask.downstream.anomalies.groups import groups_of
from mfdask.downstream.anomalies.measures import (
    account_measures,
    incoherence,
    normal_scores,
    taste_vectors,
)
from mfdask.downstream.anomalies.resemblance import nearest_likeness
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
    for found in (tail_evidence(scores, np.arange(len(scores))), calibrated(scores)):
        met = 1000 * (found >= -np.log10(level / 1000)).mean()
        assert level / 2 <= met <= 2 * level
        assert (found >= 0).all()


def test_a_tail_is_not_learned_from_what_is_in_it():
    honest = np.random.default_rng(2).exponential(1.0, 1900)
    scores = np.append(honest, np.full(100, 25.0))
    assert (calibrated(scores)[1900:] > 5).all()
    few = tail_evidence(np.array([0, 1.0, 9.0]), np.arange(3))
    assert few.tolist() == pytest.approx([0, -np.log10(2 / 3), -np.log10(1 / 3)])


def test_incoherence_is_minus_the_products_of_pairs(events, data):
    vectors = choice_vectors(events, data.n_items)
    random = np.random.default_rng(4)
    weights = random.normal(size=len(events.items)).astype(np.float32)
    for weight in (None, weights):
        found = incoherence(events, vectors, weight)
        for user in (0, 17):
            which = slice(*events.indptr[[user, user + 1]])
            own = vectors[events.items[which]]
            if weight is not None:
                own = own * weight[which, None]
            pairs = (own @ own.T).sum() - np.square(own).sum()
            wanted = -pairs / np.square(own).sum() / np.sqrt(len(own))
            assert found[user] == pytest.approx(wanted, rel=1e-4)


def test_taste_vectors_are_singular_vectors_of_the_residuals(events, data):
    residual = np.random.default_rng(5).normal(size=len(events.items)).astype(np.float32)
    dense = np.zeros((len(events.indptr) - 1, data.n_items))
    per_item = 1 / np.sqrt(np.bincount(events.items, minlength=data.n_items) + 5)
    per_user = 1 / np.sqrt(np.diff(events.indptr))
    dense[events.users, events.items] = residual
    _, size, right = np.linalg.svd(dense * per_user[:, None] * per_item, full_matrices=False)
    wanted = (right[:8].T * size[:8]) * per_item[:, None]
    found = taste_vectors(events, residual, data.n_items)
    np.testing.assert_allclose(found @ found.T, wanted @ wanted.T, atol=1e-6)


def test_measures_are_uncorrelated_and_need_no_times(events, data):
    found = account_measures(events, data.n_items)
    cov = np.cov(found.T, bias=True)
    assert np.allclose(cov, np.diag(np.diag(cov)), atol=1e-6)
    assert (np.diag(cov) <= 1 + 1e-6).all()
    assert (np.diag(cov) > 0.9).sum() >= 8
    timeless = events._replace(timestamps=np.zeros_like(events.timestamps))
    assert np.array_equal(found, account_measures(timeless, data.n_items))


def test_copies_have_a_likeness_near_their_common_share(events, data):
    made = inject_attack(events, data.n_items, AttackPlan("obfuscated", size=0.05), seed=1)
    found = nearest_likeness(made.events, data.n_items)
    indptr, items = made.events.indptr, made.events.items
    rated = [set(items[slice(*indptr[[u, u + 1]])].tolist()) for u in range(made.n_users)]
    likest = [
        max(len(own & other) / len(own | other) for v, other in enumerate(rated) if v != u)
        for u, own in enumerate(rated)
    ]
    assert (found <= np.array(likest) + 0.25).all()  # 48 draws: a deviation of 0.07 at most
    copies = np.flatnonzero(attackers(made))
    assert abs(found[copies] - np.array(likest)[copies]).mean() < 0.1
    whole = inject_attack(events, data.n_items, AttackPlan("copy", size=0.05), seed=1)
    assert (nearest_likeness(whole.events, data.n_items)[attackers(whole)] > 0.8).all()


def planted(shift):
    """Return 60 accounts that rate item 7 high, the first 20 others by a shift in two measures."""
    random = np.random.default_rng(6)
    n_users, n_items = 1000, 100
    users, items = np.nonzero(random.random((n_users, n_items)) < 0.15)
    kept = items != 7
    users, items = np.append(users[kept], np.arange(60)), np.append(items[kept], np.full(60, 7))
    above = np.where(items == 7, 1.0, random.normal(size=len(items)))
    measures = random.normal(size=(n_users, 5))
    measures[:20, :2] += shift
    order = np.lexsort((items, users))
    made = make_events(users, items, np.full(len(items), 3.0), np.zeros(len(items)))
    return collusion(made, above[order], measures, n_items)


def test_raters_who_are_alike_give_their_target_away():
    found = planted(2.5)
    assert found.items.argmax() == 7
    assert found.items[7] > 4
    assert found.signs[7] == 1
    assert (found.with_item[:20] == 7).mean() > 0.8
    group, others, rest = found.users[:20], found.users[20:60], found.users[60:]
    assert np.median(group) > 3
    assert np.median(others) < np.median(group) / 2  # they rate the target, and are not alike
    assert np.quantile(rest, 0.9) < 1.5
    assert planted(0.0).items[7] < 2


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
        ({"kind": "love-hate", "timing": "calendar"}, 0.95),
        ({"kind": "segment", "timing": "calendar"}, 0.95),
        ({"kind": "bandwagon", "timing": "calendar", "direction": "nuke"}, 0.9),
        ({"kind": "copy", "timing": "calendar"}, 0.85),
        ({"kind": "obfuscated", "timing": "calendar"}, 0.85),
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
