"""Off-policy estimates and sequential intervals against simulated truth."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mfdask.errors import InputError
from mfdask.evaluation.abtest import ABOptions, compare_by_clicks
from mfdask.evaluation.click_test import ClickModel, daily, decided, simulated_arms
from mfdask.evaluation.off_policy import LoggedEvents, Ratio, effective_events, estimates
from mfdask.evaluation.sequential import (
    Arms,
    always_valid_room,
    fixed_room,
    users_needed,
)
from mfdask.models import ALS
from mfdask.models.popularity import Popularity
from mfdask.shards import Dataset

N_TYPES, N_ITEMS, K = 4, 12, 3


def world(seed):
    """Return chances of a like and of being shown, by type of user, and two models' lists."""
    random = np.random.default_rng(seed)
    like = random.uniform(0.05, 0.9, (N_TYPES, N_ITEMS))
    shown = random.dirichlet(np.full(N_ITEMS, 3.0), N_TYPES) * 0.7 + 0.3 / N_ITEMS
    lists = np.stack([np.argsort(-random.normal(size=(N_TYPES, N_ITEMS)))[:, :K] for _ in "ab"])
    return like, shown, lists


def truths(like, shown, lists):
    """Return what each estimator estimates, over types that are equally frequent."""
    own = np.take_along_axis
    even = own(like, lists, 1).mean()
    share = own(shown, lists, 1)
    return {
        "replay": (share * own(like, lists, 1)).sum() / share.sum(),
        "inverse propensity": even,
        "self-normalised": even,
    }


def drawn(random, like, shown, n_users):
    """Draw users, of 2 to 8 events each."""
    kinds = random.integers(N_TYPES, size=n_users)
    user = np.repeat(np.arange(n_users), random.integers(2, 9, n_users))
    kind = kinds[user]
    at = (random.random((len(user), 1)) > shown[kind].cumsum(axis=1)).sum(axis=1)
    item = at.clip(max=N_ITEMS - 1)
    reward = (random.random(len(user)) < like[kind, item]).astype(float)
    return LoggedEvents(user, reward, shown[kind, item]), kind, item


def on_lists(lists, kind, item):
    return (lists[kind] == item[:, None]).any(axis=1)


def test_intervals_cover_the_truth():
    """Over 1,000 simulations 95 % of the intervals do, to 2 points."""
    like, shown, lists = world(1)
    wanted = [truths(like, shown, own) for own in lists]
    hits = {(name, part): 0 for name in wanted[0] for part in ("a", "b", "difference")}
    random, n = np.random.default_rng(2), 1000
    for _ in range(n):
        events, kind, item = drawn(random, like, shown, 300)
        a, b = (estimates(events, on_lists(own, kind, item), K) for own in lists)
        for name in a:
            found = {
                "a": (a[name].interval(0.05), wanted[0][name]),
                "b": (b[name].interval(0.05), wanted[1][name]),
                "difference": (
                    b[name].beyond(a[name], 0.05), wanted[1][name] - wanted[0][name],
                ),
            }  # fmt: skip
            for part, (interval, truth) in found.items():
                hits[name, part] += interval.low <= truth <= interval.high
    assert {
        key: round(100 * hit / n) for key, hit in hits.items() if abs(hit / n - 0.95) > 0.02
    } == {}


def test_estimates_by_hand():
    events = LoggedEvents(np.array([0, 0, 1]), np.array([1.0, 0, 1]), np.array([0.5, 0.25, 0.1]))
    found = estimates(events, np.array([True, True, False]), 2)
    assert found["replay"].value == 0.5
    assert found["inverse propensity"].value == pytest.approx((1 / 0.5 / 2) / 3)
    assert found["self-normalised"].value == pytest.approx(1 / (1 + 2))
    assert effective_events(events, np.array([True, True, False])) == pytest.approx(36 / 20)
    nothing = estimates(events, np.zeros(3, bool), 2)
    assert np.isnan(nothing["replay"].value)
    assert nothing["inverse propensity"].value == 0
    assert effective_events(events, np.zeros(3, bool)) == 0


def test_the_variance_of_a_mean_is_the_usual_one():
    values = np.random.default_rng(3).normal(size=50)
    low, high = Ratio.of(values, np.ones(50)).interval(0.05)[1:]
    assert (high - low) / 2 == pytest.approx(2.0096 * values.std(ddof=1) / np.sqrt(50), rel=1e-4)


def test_users_that_a_test_needs():
    assert users_needed(0.10, 0.20) == 3841  # Fleiss, Levin & Paik: .10 against .12
    assert users_needed(0.10, -0.20) == pytest.approx(3213, abs=2)
    n = users_needed(0.3, 0.1)
    clicks = ClickModel(users_a_day=2 * n, days=1)
    arms = simulated_arms((0.3, 0.33), clicks, 4000, 5)
    assert (np.abs(arms.difference) > fixed_room(arms, 0.05)).mean() == pytest.approx(0.8, abs=0.02)
    for rate, lift in ((0, 0.1), (1, 0.1), (0.5, 0), (0.5, 1.5), (0.5, -1)):
        with pytest.raises(InputError):
            users_needed(rate, lift)


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_looking_every_day_keeps_the_level(rate):
    arms = simulated_arms((rate, rate), ClickModel(users_a_day=400, days=200), 1000, 6)
    found = decided(arms, 0.05, 0.05 * rate).iloc[-1]
    assert found["always_valid"] <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 1000)
    assert found["fixed"] > 0.25  # which is why


def test_always_valid_intervals_cover_at_all_looks():
    arms = simulated_arms((0.2, 0.22), ClickModel(users_a_day=400, days=200), 1000, 7)
    room = always_valid_room(arms, 0.05, 0.02)
    assert (np.abs(arms.difference - 0.02) <= room).all(axis=1).mean() >= 0.94
    assert (decided(arms, 0.05, 0.02)["always_valid"].diff().dropna() >= 0).all()
    assert decided(arms, 0.05, 0.02)["always_valid"].iloc[-1] > 0.9


def test_the_interval_is_that_of_the_mixture():
    """Its end is where the likelihood ratio, mixed over a normal density, reaches 1 / level."""
    arms = Arms(*(np.array([value]) for value in (500.0, 100.0, 480.0, 120.0)))
    tau, level, variance = 0.03, 0.05, float(arms.variance[0])
    room = float(always_valid_room(arms, level, tau)[0])
    effects = np.linspace(-1, 1, 400_001)
    density = np.exp(-0.5 * (effects / tau) ** 2) / (tau * np.sqrt(2 * np.pi))
    ratio = np.exp((effects * room - effects**2 / 2) / variance)
    mixed = (ratio * density).sum() * (effects[1] - effects[0])
    assert mixed == pytest.approx(1 / level, rel=1e-3)


def test_click_model_by_hand():
    model = ClickModel(click_liked=0.5, click_rated=0.2, click_other=0.1, patience=1)
    liked, rated = np.array([[1.0, 0, 0]]), np.array([[0.0, 1, 0]])
    wanted = 1 - (1 - 0.5) * (1 - 0.2 / 2) * (1 - 0.1 / 3)
    assert model.visit_rates(liked, rated)[0] == pytest.approx(wanted)
    # By enumeration of who looks and who clicks.
    total = 0.0
    for looks in itertools.product((0, 1), repeat=3):
        chance = np.prod([(1 / r if look else 1 - 1 / r) for r, look in enumerate(looks, 1)])
        none = np.prod(
            [(1 - p if look else 1) for p, look in zip((0.5, 0.2, 0.1), looks, strict=True)]
        )
        total += chance * (1 - none)
    assert wanted == pytest.approx(total)


@pytest.fixture(scope="module")
def compared(small_data):
    data = Dataset.open(small_data)
    models = ALS(n_factors=4, n_sweeps=4).fit(data), Popularity().fit(data)
    options = ABOptions(k=5, threshold=3.5)
    return data, models, options, compare_by_clicks(models, data, options)


def test_against_lists_made_by_hand(compared):
    data, models, _, found = compared
    weight = data.items()["n_train"].to_numpy() + 1.0
    tops, on, wanted = [0.0, 0.0], [0, 0], 0
    for row, user in enumerate(data.users()["user_id"]):
        block = int(np.searchsorted(data.bounds("users"), row, side="right")) - 1
        train, test = (data.shard("users", block, part) for part in ("train", "test"))
        here = slice(*test.indptr[row - test.start : row - test.start + 2])
        own = train.indices[slice(*train.indptr[row - train.start : row - train.start + 2])]
        for m, model in enumerate(models):
            scores = model.predict(user, data.items()["item_id"], clip=False).astype(float)
            scores[own] = -np.inf
            best = np.argsort(-scores, kind="stable")[:5]
            for item, rating in zip(test.indices[here], test.ratings[here], strict=True):
                if item in best:
                    on[m] += 1
                    chance = weight[item] / (weight.sum() - weight[own].sum())
                    tops[m] += (rating >= 3.5) / (5 * chance)
        wanted += len(test.indices[here])
    assert found.n_events == wanted == data.n_test
    assert [n for n, _ in found.on_list] == on
    line = found.estimates.set_index("estimator").loc["inverse propensity"]
    np.testing.assert_allclose([line["a"], line["b"]], np.array(tops) / wanted, rtol=1e-9)
    assert line["difference"] == pytest.approx(line["b"] - line["a"])


def test_a_model_against_itself(compared):
    data, models, options, _ = compared
    found = compare_by_clicks((models[0], models[0]), data, options)
    assert (found.estimates["difference"] == 0).all()
    assert found.lift == 0
    assert found.needed["measured"] is None
    assert found.decided["always_valid"].iloc[-1] <= 0.07


def test_a_sample_of_users(compared):
    data, models, _, whole = compared
    found = compare_by_clicks(models, data, ABOptions(k=5, threshold=3.5, n_users=20))
    assert found.n_users == 20
    assert found.n_events < whole.n_events
    assert len(daily(simulated_arms((0.1, 0.1), ClickModel(), 1, 0), 0.05, 0.01)) == 28
