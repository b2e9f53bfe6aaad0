"""Profile features against their formulas, written out one rating at a time."""

from __future__ import annotations

import math
from statistics import fmean

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from mfdask.downstream.events import all_events
from mfdask.downstream.inject import AttackPlan, inject_attack
from mfdask.shards import Dataset
from tests.trials import profiles
from tests.trials.profiles import (
    NEIGHBOURS,
    SUSPICIOUS,
    nearest_similarities,
    profile_features,
    varselect,
)

N_USERS, N_ITEMS = 40, 30


@pytest.fixture(scope="module")
def ratings():
    """Return `users, items, ratings` in no order: user 3 rates nothing, 4 rates all alike."""
    random = np.random.default_rng(11)
    users, items = np.nonzero(random.random((N_USERS, N_ITEMS)) < 0.4)
    stars = random.integers(1, 11, len(users)) / 2
    stars[users == 4] = 2.5
    order = random.permutation(np.flatnonzero(users != 3))
    return users[order], items[order], stars[order]


@pytest.fixture(scope="module")
def by_user(ratings):
    """Return the ratings of each user, a dictionary each."""
    found = [{} for _ in range(N_USERS)]
    for user, item, stars in zip(*(column.tolist() for column in ratings), strict=True):
        found[user][item] = stars
    return found


def slow_features(by_user, direction):
    """Return the features of each user, NaN without ratings, but for `varselect`."""
    of_item = [[own[i] for own in by_user if i in own] for i in range(N_ITEMS)]
    item_mean = [fmean(values) for values in of_item]
    overall = fmean(stars for own in by_user for stars in own.values())
    lines = []
    for user, own in enumerate(by_user):
        if not own:
            lines.append(dict.fromkeys(set(SUSPICIOUS) - {"varselect"}, math.nan))
            continue
        mean = fmean(own.values())
        gaps = {i: abs(r - item_mean[i]) for i, r in own.items()}
        residue = sum((r - item_mean[i] - mean + overall) ** 2 for i, r in own.items())
        spread = sum((r - mean) ** 2 for r in own.values())
        extreme = (max if direction == "push" else min)(own.values())
        fillers = [(i, r) for i, r in own.items() if r != extreme]
        alike = sorted(similarity(own, other) for v, other in enumerate(by_user) if v != user)
        lines.append(
            {
                "rdma": fmean(gap / len(of_item[i]) for i, gap in gaps.items()),
                "wdma": fmean(gap / len(of_item[i]) ** 2 for i, gap in gaps.items()),
                "hv": residue / spread if spread else math.inf,
                "mud": fmean(len(of_item[i]) for i in own),
                "mean_var": fmean(gaps[i] ** 2 for i, _ in fillers) if fillers else 4.5**2,
                "fmtd": abs(extreme - fmean(r for _, r in fillers)) if fillers else 0.0,
                "deg_sim": fmean(alike[-25:]),
            }
        )
    return lines


def similarity(one, other):
    """Return Pearson's correlation over common items, less for few of them."""
    common = one.keys() & other.keys()
    a, b = ([own[i] - fmean(own.values()) for i in common] if own else [] for own in (one, other))
    size = math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
    product = sum(x * y for x, y in zip(a, b, strict=True))
    return product / size * min(len(common), 50) / 50 if size > 1e-9 else 0.0


@pytest.mark.parametrize("direction", ["push", "nuke"])
@pytest.mark.parametrize("cells", [1 << 21, 3 * N_USERS])
def test_features(direction, cells, ratings, by_user, monkeypatch):
    monkeypatch.setattr(profiles, "_CELLS", cells)  # few: users are compared in blocks
    found = profile_features(*ratings, N_USERS, N_ITEMS, direction)
    assert list(found.columns) == list(SUSPICIOUS)
    assert found.isna().all(axis=1).tolist() == [user == 3 for user in range(N_USERS)]
    for user, wanted in enumerate(slow_features(by_user, direction)):
        line = found.loc[user]
        if wanted["hv"] == math.inf:
            assert user == 4
            assert wanted.pop("hv") > line["hv"] > 1e6
        for name, value in wanted.items():
            assert line[name] == pytest.approx(value, rel=1e-9, nan_ok=True), (user, name)


@pytest.mark.parametrize("n_known", [2, 20, N_USERS - 1])
@pytest.mark.parametrize("cells", [1 << 21, 3 * N_USERS])
def test_what_is_known_of_the_first_users_need_not_be_compared_again(
    n_known, cells, ratings, monkeypatch
):
    monkeypatch.setattr(profiles, "_CELLS", cells)
    users, items, stars = ratings
    matrix = sparse.csr_array((stars, (users, items)), shape=(N_USERS, N_ITEMS))
    known = nearest_similarities(matrix[:n_known])
    assert (np.isfinite(known).sum(axis=1) == min(n_known - 1, NEIGHBOURS)).all()
    found, plain = nearest_similarities(matrix, known), nearest_similarities(matrix)
    np.testing.assert_allclose(np.sort(found), np.sort(plain), rtol=1e-12, atol=1e-15)
    wanted = profile_features(*ratings, N_USERS, N_ITEMS)
    again = profile_features(*ratings, N_USERS, N_ITEMS, nearest=known)
    pd.testing.assert_frame_equal(again, wanted, rtol=1e-12)


def test_varselect(ratings):
    users, items, stars = ratings
    dense = np.zeros((N_USERS, N_ITEMS))
    dense[users, items] = stars
    spread = dense.std(axis=1, keepdims=True)
    scaled = (dense - dense.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)
    _, vectors = np.linalg.eigh(scaled @ scaled.T)
    wanted = (vectors[:, -3:] ** 2).sum(axis=1)
    found = varselect(sparse.csr_array(dense))
    np.testing.assert_allclose(found, wanted, atol=1e-9)
    assert found.sum() == pytest.approx(3)
    assert np.array_equal(found, varselect(sparse.csr_array(dense)))


def test_few_users_and_items():
    found = profile_features([0, 0, 1], [0, 1, 0], [1.0, 5.0, 4.0], 2, 2)
    assert np.isfinite(found.to_numpy()).all()


def test_uniform_fillers_are_found_and_copies_are_not(small_data):
    events = all_events(Dataset.open(small_data))

    def auc(name, plan):
        made = inject_attack(events, 200, plan, 1)
        table = (made.users, made.items, made.ratings)
        score = SUSPICIOUS[name] * profile_features(*table, made.n_users, 200)[name]
        n = len(made.truth["attack_users"])
        return (score.rank()[-n:].mean() - (n + 1) / 2) / (made.n_users - n)

    uniform = AttackPlan("random", fillers="uniform", size=0.1)
    for name in ("rdma", "mud", "varselect"):
        assert auc(name, uniform) > 0.8, name
        assert 0.3 < auc(name, AttackPlan("copy", size=0.1)) < 0.7, name
