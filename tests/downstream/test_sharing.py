"""Shared accounts: the evidence against slow densities, and injected truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.special
from scipy.stats import multivariate_normal
from sklearn.metrics import roc_auc_score

from mfdask.downstream.anomalies.people import compare_people
from mfdask.downstream.anomalies.residuals import Residuals
from mfdask.downstream.anomalies.sessions import (
    CHOICE,
    PAUSE,
    Sessions,
    choice_vectors,
    find_sessions,
    session_starts,
)
from mfdask.downstream.anomalies.sharing import _chance, residual_support, suspected_sharing
from mfdask.downstream.inject import SharingPlan, inject_sharing
from mfdask.errors import InputError
from mfdask.kernels import people as kernel
from tests.downstream.movielens import make_events, read_movielens

DAY = 86_400
#: So many that nobody runs out of items of their taste.
PER_TASTE = 300


def _people(random, n_users, n_sessions=8, per_session=12, tastes=4):
    """Return events of people who keep to a taste and a level of their own; and their tastes."""
    taste = random.integers(0, tastes, n_users)
    level = random.normal(3, 0.8, n_users)
    users = np.repeat(np.arange(n_users), n_sessions * per_session)
    n = len(users)
    others = np.where(random.random(n) < 0.7, taste[users], random.integers(0, tastes, n))
    items = others * PER_TASTE + random.integers(0, PER_TASTE, n)
    ratings = np.clip(np.round(2 * (level[users] + random.normal(0, 0.8, n))) / 2, 0.5, 5)
    place = np.tile(np.arange(n_sessions * per_session), n_users)
    times = 10**9 + place // per_session * 20 * DAY + place % per_session * 60
    unique = ~pd.DataFrame({"user": users, "item": items}).duplicated().to_numpy()
    columns = (column[unique] for column in (users, items, ratings, times))
    return make_events(*columns), tastes * PER_TASTE


@pytest.fixture(scope="module")
def honest():
    return _people(np.random.default_rng(0), 400)


def test_sessions_end_at_long_pauses():
    times = [0, PAUSE, 2 * PAUSE + 1, 5, 6, 9 * PAUSE]
    events = make_events([0, 0, 0, 1, 1, 2], range(6), [3] * 6, times)
    assert session_starts(events).tolist() == [0, 2, 3, 5]
    sessions = find_sessions(events, 6)
    assert sessions.indptr.tolist() == [0, 2, 3, 4]
    assert sessions.n.tolist() == [2, 1, 2, 1]


def test_items_of_the_same_people_lie_together(honest):
    events, n_items = honest
    vectors = choice_vectors(events, n_items + 1)
    assert vectors.shape == (n_items + 1, CHOICE)
    assert not vectors[-1].any()
    lengths = np.linalg.norm(vectors[:-1], axis=1)
    assert (lengths < 1).all()
    alike = (vectors[:-1] / lengths[:, None]) @ (vectors[:-1] / lengths[:, None]).T
    same = np.equal.outer(*[np.arange(n_items) // PER_TASTE] * 2)
    assert alike[same].mean() > alike[~same].mean() + 0.4


def _log_evidence(means, precision, variance):
    """Return the log density of sessions of one person, in one direction."""
    covariance = variance + np.diag(1 / precision)
    return multivariate_normal.logpdf(means, np.zeros(len(means)), covariance)


def _naive_split(means, precision, variance, part):
    total = 0.0
    for d in range(len(variance)):
        x, p, v = means[:, d], precision[:, d], variance[d]
        total += _log_evidence(x[part], p[part], v) + _log_evidence(x[~part], p[~part], v)
        total -= _log_evidence(x, p, v)
    return total


def test_accounts_are_weighed_as_normal_densities_say():
    random = np.random.default_rng(1)
    indptr = np.array([0, 1, 3, 9])
    means, precision = random.normal(size=(9, 2)), random.uniform(0.5, 3, (9, 2))
    variance = np.array([2.0, 0.5])
    out = np.empty((3, 3))
    kernel.weigh_accounts(indptr, precision, means, variance, out)
    assert out[0].tolist() == [0, 0, 0]
    for account in (1, 2):
        own = np.s_[indptr[account] : indptr[account + 1]]
        x, p = means[own], precision[own]
        n = len(x)
        each = [_naive_split(x, p, variance, np.arange(n) == s) for s in range(n)]
        cuts = [_naive_split(x, p, variance, np.arange(n) < k) for k in range(1, n)]
        wanted = [
            np.average(each, weights=p.sum(axis=1)),
            scipy.special.logsumexp(cuts) - np.log(n - 1),
            1 + np.argmax(cuts),
        ]
        assert out[account].tolist() == pytest.approx(wanted)


def test_one_person_is_as_strange_as_drawn_ones():
    random = np.random.default_rng(7)
    indptr, variance = np.array([0, 1, 3, 12]), np.array([2.0, 0.3])
    precision = random.uniform(0.2, 4, (12, 2))
    usual, found, drawn = np.empty((3, 2)), np.empty((3, 3)), []
    kernel.usual_strangeness(indptr, precision, variance, usual)
    owner = np.repeat(np.arange(3), np.diff(indptr))
    for _ in range(20_000):
        centres = random.normal(size=(3, 2)) * np.sqrt(variance)
        means = centres[owner] + random.normal(size=(12, 2)) / np.sqrt(precision)
        kernel.weigh_accounts(indptr, precision, means, variance, found)
        drawn.append(found[:, kernel.STRANGENESS].copy())
    assert usual[0].tolist() == [0, 0]
    assert usual[1:, 0] == pytest.approx(np.mean(drawn, axis=0)[1:], abs=0.01)
    assert usual[1:, 1] == pytest.approx(np.std(drawn, axis=0)[1:], rel=0.05)


def test_two_people_are_told_apart():
    random = np.random.default_rng(8)
    true = np.array([0, 1, 1, 0, 0, 1, 0], bool)
    means = np.where(true[:, None], 3.0, -3.0) + random.normal(size=(7, 2))
    precision, variance = np.ones((7, 2)), np.full(2, 9.0)
    second = np.empty(7, bool)
    evidence = kernel.split_account(precision, means, variance, second)
    assert second.tolist() in (true.tolist(), (~true).tolist())
    assert evidence == pytest.approx(_naive_split(means, precision, variance, true))


def test_shuffled_sessions_are_counted():
    random = np.random.default_rng(2)
    means, precision, variance = random.normal(size=(4, 1)), np.ones((4, 1)), np.ones(1)
    indptr, keys = np.array([0, 4]), np.array([3, 1, 4, 2], np.float32)
    order = np.argsort(keys)
    shuffled = np.empty((1, 3))
    kernel.weigh_accounts(indptr, precision, means[order], variance, shuffled)
    evidence = shuffled[0, kernel.HANDOVER]
    for found, count in ((evidence + 0.01, 0), (evidence, 1), (evidence - 0.01, 1)):
        counts = np.zeros(1, np.int64)
        kernel.count_shuffled(indptr, precision, means, variance, keys, np.array([found]), counts)
        assert counts[0] == count


def test_variances_of_people_moods_and_ratings_are_told_apart():
    random = np.random.default_rng(3)
    n_users, n_sessions = 3000, 5
    n = random.integers(2, 30, n_users * n_sessions)
    centres = random.normal(0, [2.0, 0.0], (n_users, 2))
    moods = random.normal(0, [0.5, 1.0], (len(n), 2))
    scatter = random.normal(0, [1.5, 1.5], (len(n), 2)) / np.sqrt(n)[:, None]
    means = np.repeat(centres, n_sessions, axis=0) + moods + scatter + 7
    indptr = np.arange(n_users + 1) * n_sessions
    sessions = Sessions(indptr, indptr[:0], n, means, 2.25 * np.eye(2), np.empty(0))
    people = compare_people(sessions)
    assert len(people.variance) == 1  # people do not differ in the other direction
    # 2 squared, in units of the noise of a session of 15 ratings
    assert people.variance[0] == pytest.approx(4 / (0.25 + 2.25 / 15), rel=0.1)
    wanted = (0.25 + 2.25 / 15) / (0.25 + 2.25 / n)
    assert np.allclose(people.precision[:, 0], wanted, rtol=0.15)
    assert abs(people.means.mean()) < 0.2


def test_ratings_scatter_as_one_by_one(honest):
    events, n_items = honest
    sessions, vectors = find_sessions(events, n_items), choice_vectors(events, n_items)
    axes = np.eye(len(sessions.scatter))
    wanted = np.zeros(CHOICE)
    for s in range(*sessions.indptr[7:9]):
        own = slice(sessions.first[s], sessions.first[s] + sessions.n[s])
        chosen = vectors[events.items[own]]
        wanted += np.square(chosen - chosen.mean(axis=0)).sum(axis=0)
    assert sessions.squares(axes)[7, :CHOICE] == pytest.approx(wanted)
    free = (sessions.n - 1).sum()
    assert sessions.squares(axes).sum(axis=0) == pytest.approx(np.diag(sessions.scatter) * free)


def test_restless_people_are_not_taken_for_two():
    random = np.random.default_rng(4)
    n_users, n_sessions = 600, 6
    restless = np.arange(n_users) < 100
    scatter = np.where(restless, 9.0, 1.0)[:, None]
    n = np.full(n_users * n_sessions, 12)
    centres = np.repeat(random.normal(0, 1, (n_users, 2)), n_sessions, axis=0)
    size = np.sqrt(np.repeat(scatter, n_sessions, axis=0) / 12)
    means = centres + random.normal(0, 0.3, (len(n), 2)) + random.normal(size=(len(n), 2)) * size
    indptr = np.arange(n_users + 1) * n_sessions
    common = np.eye(2) * scatter.mean()
    taken = Sessions(indptr, indptr[:0], n, means, common, np.empty(0))
    known = taken._replace(squares=lambda axes: 11 * n_sessions * scatter * (axes**2).sum(axis=0))
    of_restless = []
    for sessions in (taken, known):
        people = compare_people(sessions)
        found, usual = np.empty((n_users, 3)), np.empty((n_users, 2))
        given = people.precision, people.means, people.variance
        kernel.weigh_accounts(indptr, *given, found)
        kernel.usual_strangeness(indptr, people.precision, people.variance, usual)
        score = (found[:, kernel.STRANGENESS] - usual[:, 0]) / usual[:, 1]
        of_restless.append(roc_auc_score(restless, score))
    assert of_restless[0] > 0.9  # nothing but their scatter makes them strange
    assert of_restless[1] < 0.75


def test_what_everybody_comes_to_do_is_no_second_person():
    random = np.random.default_rng(5)
    n_users, per_user = 1000, 20
    spans = np.arange(n_users) % 10 == 0  # the only people of both eras
    later = np.tile(np.arange(per_user) >= per_user // 2, n_users)
    era = np.repeat(np.where(spans, 0, np.arange(n_users) % 2), per_user)
    spanning = np.repeat(spans, per_user)
    era += spanning & later
    days = era * 3000 + np.repeat(random.integers(0, 900, n_users), per_user)
    days += np.where(later & ~spanning, 30, 0)
    users = np.repeat(np.arange(n_users), per_user)
    taste = np.repeat(random.integers(0, 5, n_users), per_user)
    items = era * 250 + taste * 50 + random.integers(0, 50, len(users))
    level = np.repeat(random.normal(4, 0.4, n_users), per_user)
    ratings = np.clip(np.round(random.normal(level - era, 0.7)), 1, 5)
    times = 10**9 + days * DAY + np.tile(np.arange(per_user) * 60, n_users)
    unique = ~pd.DataFrame({"user": users, "item": items}).duplicated().to_numpy()
    events = make_events(*(column[unique] for column in (users, items, ratings, times)))
    found = suspected_sharing(events, 500, flagged_alone=True)
    assert len(found) == n_users
    assert not found["flagged"].any()


def test_chance_has_the_tail_of_moods():
    random = np.random.default_rng(6)
    drawn, n_sessions = random.normal(size=(4000, 10)), np.full(4000, 5)
    usual = _chance(random.normal(size=4000) + 3, drawn, n_sessions)
    assert 3 < 1000 * (usual < 0.01).mean() < 15
    moody = random.normal(size=4000) * np.exp(0.8 * random.normal(size=4000))
    assert 1000 * (_chance(moody, drawn, n_sessions) < 0.01).mean() < 15


def _misplaced(events, user, line, truth):
    """Return the share of an account's sessions that are said to be the other person's."""
    first = session_starts(events)
    own = first[(first >= events.indptr[user]) & (first < events.indptr[user + 1])]
    times = pd.to_datetime(events.timestamps[own], unit="s", utc=True)
    wrong = np.mean(times.isin(line["second_sessions"]) != (events.timestamps[own] >= truth["cut"]))
    return min(wrong, 1 - wrong)  # who of the two is the second, nothing says


def test_injected_accounts_are_found(honest):
    events, n_items = honest
    for style in ("mixed", "handover"):
        made = inject_sharing(events, n_items, SharingPlan(40, style), seed=1)
        truth = made.truth["shared_accounts"].set_index("user")
        found = suspected_sharing(made.events, n_items).set_index("user")
        assert len(found) == 360  # the partners have left
        true = found.index.isin(truth.index)
        assert roc_auc_score(true, found["score"]) > 0.9
        assert true[found["flagged"]].mean() >= 0.8
        assert true[:20].mean() > 0.8
        listed = found[found["flagged"]]
        assert len(listed) >= 0.3 * len(truth)
        assert listed["second_share"].between(0, 0.5).all()
        assert listed["second_sessions"].str.len().between(1, 7).all()
        assert found.loc[~found["flagged"], "second_share"].isna().all()
    # Of a hand-over, the sessions on either side of the cut are those of either person.
    wrong = [
        _misplaced(made.events, user, line, truth.loc[user]) for user, line in listed.iterrows()
    ]
    assert np.mean(wrong) < 0.1
    shared = found.loc[truth.index]
    days = (
        shared["handover"] - pd.to_datetime(truth["cut"], unit="s", utc=True).dt.floor("D")
    ).dt.days
    assert (days == 0).mean() > 0.5
    assert (shared["handover_p"] <= 0.05).mean() > 0.4


def test_honest_accounts_are_flagged_at_the_stated_rate(honest):
    events, n_items = honest
    found = suspected_sharing(events, n_items)
    assert not found["flagged"].any()
    assert 0.03 <= (found["p"] <= 0.1).mean() <= 0.12  # scores are never stretched
    # Sessions in any order: the hand-over's chance is what it says.
    assert (found["handover_p"] <= 0.1).mean() == pytest.approx(0.1, abs=0.045)


def test_columns_say_what_they_should(honest):
    events, n_items = honest
    users = events.users
    error = np.where(users == 3, 2.0, 1.0).astype(np.float32)
    residuals = Residuals(users, events.items, events.timestamps, error)
    found = suspected_sharing(events, n_items)
    support = residual_support(residuals, len(events.indptr) - 1)
    assert found["score"].is_monotonic_decreasing
    assert found["expected_false_per_1000"].to_numpy() == pytest.approx(1000 * found["p"])
    assert set(found["n_sessions"]) == set(found["active_days"]) == {8}
    by_user = found.set_index("user")
    assert np.allclose(support[3] / np.delete(support, 3), 2)
    assert found["dispersion_percentile"].between(0, 100).all()
    assert by_user["n_ratings"][5] == np.diff(events.indptr)[5]
    assert found["reason"].str.startswith("its 8 sessions differ more than").all()


def test_short_accounts_are_not_judged():
    random = np.random.default_rng(4)
    events, n_items = _people(random, 50, n_sessions=2)
    found = suspected_sharing(events, n_items, min_days=3)
    assert len(found) == 0
    columns = {"user", "flagged", "reason", "handover_p", "second_sessions", "second_share"}
    assert columns <= set(found.columns)
    assert len(suspected_sharing(events, n_items)) == 50


def test_a_handful_of_ratings_is_no_harm():
    events = make_events([0, 0, 1, 1], [0, 1, 0, 1], [3, 3, 3, 3], [0, 9 * DAY, 0, 9 * DAY])
    found = suspected_sharing(events, 2, min_days=1)
    assert found["score"].tolist() == [0, 0]
    assert not found["flagged"].any()


def test_a_rate_that_is_none_is_refused(honest):
    with pytest.raises(InputError, match="max_q must be a share between 0 and 1, not 0"):
        suspected_sharing(*honest, max_q=0)


def test_the_same_seed_gives_the_same_table(honest):
    one, other = (suspected_sharing(*honest) for _ in range(2))
    assert one.equals(other)


@pytest.mark.movielens
@pytest.mark.parametrize("style", ["mixed", "handover"])
def test_real_accounts_merged(movielens_zip, style):
    events, n_items = read_movielens(movielens_zip)
    areas = []
    for seed in range(2):
        made = inject_sharing(events, n_items, SharingPlan(30, style), seed)
        found = suspected_sharing(made.events, n_items)
        true = found["user"].isin(made.truth["shared_accounts"]["user"])
        assert true.sum() == 30
        areas.append(roc_auc_score(true, found["score"]))
    assert np.mean(areas) > 0.75
