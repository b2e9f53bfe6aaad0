"""Evidence beside bursts of extreme ratings: what is honest, and what is not."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from mfdask.downstream.anomalies import resemblance
from mfdask.downstream.anomalies.attacks import AttackLimits, suspected_attacks
from mfdask.downstream.anomalies.calibration import (
    OF_ITEMS,
    alike,
    calibrated,
    of_the_largest,
    tail_evidence,
)
from mfdask.downstream.anomalies.collusion import collusion
from mfdask.downstream.anomalies.evidence import Surprise
from mfdask.downstream.anomalies.groups import groups_of
from mfdask.downstream.anomalies.measures import (
    account_measures,
    incoherence,
    normal_scores,
    taste_vectors,
)
from mfdask.downstream.anomalies.resemblance import joint_evidence, nearest_likeness
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
    several = [calibrated(scores, quantiles) for quantiles in ((0.8, 0.9), OF_ITEMS)]
    for found in (tail_evidence(scores, np.arange(len(scores))), *several):
        met = 1000 * (found >= -np.log10(level / 1000)).mean()
        assert level / 2 <= met <= 2 * level
        assert (found >= 0).all()


@pytest.mark.parametrize("level", [1, 10, 100])
def test_a_level_is_met_by_the_largest_of_many(level):
    random = np.random.default_rng(4)
    scores = random.exponential(2.0, (40, 40_000)).max(axis=0) * (random.random(40_000) < 0.7)
    found = tail_evidence(scores, np.arange(len(scores)), gumbel=True)
    met = 1000 * (found >= -np.log10(level / 1000)).mean()
    assert level / 1.3 <= met <= 1.3 * level
    far = tail_evidence(np.append(scores, 1e5), np.arange(40_001), gumbel=True)
    assert 1e3 < far[-1] < np.inf


@pytest.mark.parametrize(("several", "any_"), [(1, 1.0), (12, 1.0), (3, 0.4)])
def test_the_largest_of_several_is_brought_to_the_measure_of_one(several, any_):
    random = np.random.default_rng(3)
    chances = random.random((several, 40_000))
    evidence = -np.log10(chances.min(axis=0)) * (random.random(40_000) < any_)
    dishonest = np.append(evidence, np.full(4_000, 30.0))
    for scores, n in ((evidence, 1.0), (dishonest, 2.0)):
        found = of_the_largest(scores, np.arange(len(scores)) % 7)
        for level in (1, 10):
            met = 1000 * (found[:40_000] >= -np.log10(level / 1000)).mean()
            assert level / 2 / n <= met <= 2 * level
    assert (found[40_000:] > 20).all()
    same = of_the_largest(dishonest, np.ones(44_000, np.int64))
    assert (same[40_000:] > 20).all()  # who comes last is not compared with those alone
    assert not of_the_largest(np.zeros(9), np.arange(9)).any()
    small = np.append(np.full(90, 1e-4), np.full(10, 1.0))  # mostly next to nothing is no merit
    assert of_the_largest(small, np.arange(100)).max() <= 1.0 + 1e-9
    assert np.isfinite(of_the_largest(np.array([400.0, 0.1, 0.2]), np.arange(3))).all()


def test_a_tail_is_not_learned_from_what_is_in_it():
    honest = np.random.default_rng(2).exponential(1.0, 1900)
    scores = np.append(honest, np.full(100, 25.0))
    assert (calibrated(scores, (0.8, 0.9))[1900:] > 5).all()
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
    joint = np.random.default_rng(2).exponential(size=len(events.indptr) - 1)
    found = account_measures(events, joint, data.n_items)
    cov = np.cov(found.T, bias=True)
    assert np.allclose(cov, np.diag(np.diag(cov)), atol=1e-6)
    assert (np.diag(cov) <= 1 + 1e-6).all()
    assert (np.diag(cov) > 0.9).sum() >= 8
    timeless = events._replace(timestamps=np.zeros_like(events.timestamps))
    assert np.array_equal(found, account_measures(timeless, joint, data.n_items))


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


@pytest.mark.parametrize("at_a_time", [4_000_000, 3_000])
def test_joint_evidence_is_chernoffs_bound_of_the_likeliest_account(
    events, data, at_a_time, monkeypatch
):
    monkeypatch.setattr(resemblance, "_PAIRS_AT_A_TIME", at_a_time)  # few: a run of few users each
    above = Surprise(events, data.n_items).above
    found = joint_evidence(events, above, data.n_items)
    sides = [set() for _ in range(len(events.indptr) - 1)]
    for user, item, up in zip(events.users, events.items, above > 0, strict=True):
        sides[user].add((item, up))
    raters = Counter(side for own in sides for side in own)
    sides = [{side for side in own if raters[side] >= 2} for own in sides]
    counts = np.array([n for n in raters.values() if n >= 2], np.float64)
    together = (counts**2).sum() / counts.sum() ** 2
    for user in (0, 11, 250):
        best = 0.0
        for v, other in enumerate(sides):
            k, m = len(sides[user] & other), together * len(sides[user]) * len(other)
            if v != user and k >= 3 and k > m:
                best = max(best, (k * np.log(k / m) - (k - m)) / np.log(10))
        assert found[user] == pytest.approx(best, rel=1e-4)


def test_items_that_everybody_shares_are_left_out(events, data, monkeypatch):
    above = Surprise(events, data.n_items).above
    monkeypatch.setattr(resemblance, "_MOST_PAIRS", 0)
    assert not joint_evidence(events, above, data.n_items).any()


def reviews(seed, n_users=1500, n_items=1000, group=20):
    """Return sparse ratings without times, whose last accounts push ten items of their group."""
    random = np.random.default_rng(seed)
    common = 1 / np.arange(1, n_items + 1) ** 0.7
    rated = [
        random.choice(
            n_items, min(3 + int(3 * random.pareto(1.5)), 200), False, common / common.sum()
        )
        for _ in range(n_users)
    ]
    stars = [random.integers(2, 6, len(own)) for own in rated]
    for _ in range(3):
        targets = random.choice(n_items, 10, replace=False)
        for _ in range(group):
            own = random.choice(targets, random.integers(4, 8), replace=False)
            others = np.setdiff1d(random.integers(0, n_items, 2), targets)
            rated.append(np.append(own, others))
            stars.append(np.append(np.full(len(own), 5), np.full(len(others), 3)))
    users = np.repeat(np.arange(len(rated)), [len(own) for own in rated])
    items, times = np.concatenate(rated), np.zeros(len(users))
    return make_events(users, items, np.concatenate(stars), times), n_items, 3 * group


def test_groups_with_targets_in_common_are_seen_without_times():
    events, n_items, n = reviews(7)
    truth = np.arange(len(events.indptr) - 1) >= len(events.indptr) - 1 - n
    found = suspected_attacks(events, n_items, AttackLimits(false_users_per_1000=50))
    assert roc_auc_score(truth, found.suspicion.joint) > 0.95
    assert roc_auc_score(truth, found.scores.users) > 0.75
    users = np.unique(found.users["user"]).astype(np.int32)
    assert truth[users].sum() >= 0.5 * n
    groups = groups_of(events, users, n_items)
    assert (groups["n_members"].nlargest(3) >= 10).all()


def planted(shift):
    """Return 60 accounts that rate item 7 high, the first 20 others by a shift in two measures."""
    random = np.random.default_rng(6)
    n_users, n_items = 1000, 100
    users, items = np.nonzero(random.random((n_users, n_items)) < 0.15)
    kept = items != 7
    users, items = np.append(users[kept], np.arange(60)), np.append(items[kept], np.full(60, 7))
    above = np.where(items == 7, 1.0, random.normal(size=len(items))).astype(np.float32)
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


def fans(events, n_items, seed, alive):
    """Return events in which 25 accounts rate a little known item with five stars within a week.

    Their lives have 200 days or more, or the week lies within them (`alive`); and who they are.
    """
    random = np.random.default_rng(seed)
    first, last = (events.timestamps[at] for at in (events.indptr[:-1], events.indptr[1:] - 1))
    start, pool = 1_200_000_000, np.flatnonzero(last - first > 200 * DAY)
    while alive:
        start = int(random.choice(events.timestamps))
        pool = np.flatnonzero((first < start) & (last > start + 7 * DAY))
        alive = len(pool) < 25
    who = random.choice(pool, 25, replace=False)
    counts = np.bincount(events.items, minlength=n_items)
    item = random.choice(np.flatnonzero((counts >= 5) & (counts <= 50)))
    kept = ~(np.isin(events.users, who) & (events.items == item))
    columns = zip(
        (events.users, events.items, events.ratings, events.timestamps),
        (who, np.full(25, item), np.full(25, 5.0), start + random.integers(0, 7 * DAY, 25)),
        strict=True,
    )
    return make_events(*(np.append(honest[kept], new) for honest, new in columns)), who, item


@pytest.mark.movielens
@pytest.mark.parametrize("alive", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_fans_with_a_life_of_their_own_are_no_attackers(movielens, seed, alive):
    events, n_items = movielens
    made, who, item = fans(events, n_items, seed, alive)
    found = suspected_attacks(made, n_items)
    assert item in found.items["item"].tolist()
    assert np.isin(who, found.users["user"]).sum() <= 1


@pytest.mark.movielens
@pytest.mark.parametrize("seed", [2, 3])
def test_an_attack_without_times_has_its_group(movielens, seed):
    events, n_items = movielens
    plan = AttackPlan("average", size=0.05, n_targets=5, target_ratings=(5, 30))
    made = inject_attack(events, n_items, plan, seed)
    timeless = made.events._replace(timestamps=np.zeros_like(made.events.timestamps))
    limits = AttackLimits(false_users_per_1000=30)
    found = suspected_attacks(timeless, n_items, limits)
    truth = attackers(made)
    users = np.unique(found.users["user"]).astype(np.int32)
    assert truth[users].sum() >= 0.5 * truth.sum()
    first = groups_of(timeless, users, n_items).iloc[0]
    assert first["direction"] == "push"
    assert set(made.truth["attacked_items"]["item"]) <= set(first["targets"])
    assert truth[first["members"]].mean() > 0.7
    assert first["stars_of_members"] > first["stars_of_others"]
    nobody = groups_of(timeless, users[:0], n_items)
    assert list(nobody) == list(groups_of(timeless, users, n_items))
    assert len(nobody) == 0


def test_a_level_decides_alone(events, data):
    few, many = (
        suspected_attacks(events, data.n_items, AttackLimits(0.05, level, level)).users
        for level in (1, 200)
    )
    assert set(few["user"]) <= set(many["user"])
    assert len(many) > 0
    assert (many["expected_false_per_1000"] <= 200).all()


def test_the_most_active_are_held_against_those_half_as_active_at_least():
    """A score that grows with activity says nothing of the few who are most active."""
    random = np.random.default_rng(3)
    activity = np.sort(random.lognormal(4, 1.3, 20_000)).astype(np.int64) + 1
    scores = activity * random.exponential(size=len(activity))
    plain = tail_evidence(scores, activity, gumbel=True)
    cut = tail_evidence(scores, activity, gumbel=True, cut=True)
    assert plain.max() > 10  # of 20,000 honest rows
    assert cut.max() < plain.max() / 2
    parts = alike(activity, dealt=True, cut=True)
    assert sorted(np.concatenate(parts)) == list(range(len(activity)))
    assert min(map(len, parts)) >= 100
    most = parts[7:-1]  # the last has all that are left
    assert len(most) > 1
    assert all(activity[rows].max() <= 2 * activity[rows].min() for rows in most)
