"""Shared accounts, drifts and the mix trap change what their truth says, and nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mfdask.downstream.events import DAY, active_days, all_events
from mfdask.downstream.inject import (
    DriftPlan,
    MixPlan,
    SharingPlan,
    inject_drift,
    inject_mix,
    inject_sharing,
)
from mfdask.downstream.inject.drift import effect
from mfdask.errors import InputError
from mfdask.shards import Dataset
from tests.downstream.tables import N_ITEMS, assert_sound, events_of, table_of


@pytest.fixture(scope="module")
def events(small_data):
    return all_events(Dataset.open(small_data))


@pytest.fixture(scope="module")
def people():
    """Return events of 60 users who rate on some days, in sessions."""
    random, lines = np.random.default_rng(8), []
    for user in range(60):
        n = int(random.integers(8, 60))
        sessions = np.sort(random.integers(0, 400, 8)) * DAY
        times = random.choice(sessions, n) + random.integers(0, 1500, n)
        items = random.permutation(N_ITEMS)[:n]
        lines += zip([user] * n, items, random.integers(1, 11, n) / 2, times, strict=True)
    return events_of(pd.DataFrame(lines, columns=["user", "item", "rating", "timestamp"]))


@pytest.mark.parametrize("partners", ["random", "alike"])
@pytest.mark.parametrize("style", ["mixed", "handover"])
def test_shared_accounts(style, partners, people):
    plan = SharingPlan(12, style, partners)
    made = inject_sharing(people, N_ITEMS, plan, seed=4)
    assert_sound(made.events)
    before, after = (dict(list(table_of(e).groupby("users"))) for e in (people, made.events))
    accounts = made.truth["shared_accounts"]
    assert len(accounts) == 12
    touched = set(accounts["user"]) | set(accounts["partner"])
    assert len(touched) == 24
    for user in set(before) - touched:
        assert before[user].equals(after[user].set_index(before[user].index))
    for line in accounts.itertuples():
        assert line.partner not in after
        own, other, now = before[line.user], before[line.partner], after[line.user]
        assert now["timestamps"].tolist() == own["timestamps"].tolist()
        came = ~now["items"].isin(own["items"])
        assert line.share == came.mean()
        assert 0.2 <= line.share <= 0.8
        assert line.n_ratings == len(now)
        assert line.cut == now["timestamps"][came].min()
        assert _stars(now[came]) <= _stars(other)
        assert _stars(now[~came]) <= _stars(own)
        if style == "handover":
            assert now["timestamps"][~came].max() <= line.cut
    assert active_days(people.indptr, people.timestamps)[list(touched)].min() >= 3


def _stars(table):
    return set(zip(table["items"], table["ratings"], strict=True))


def test_partners_of_the_same_time(people):
    middle = pd.Series([np.median(t) for _, t in table_of(people).groupby("users")["timestamps"]])

    def apart(partners):
        made = inject_sharing(people, N_ITEMS, SharingPlan(12, partners=partners), seed=4)
        pairs = made.truth["shared_accounts"]
        return np.abs(middle[pairs["user"]].array - middle[pairs["partner"]].array).mean()

    assert apart("alike") < 0.3 * apart("random")


def test_a_partner_who_has_nothing_new():
    # Both have rated the same items: nothing can change hands.
    lines = [(user, item, 3.0 + user, item * DAY) for user in (0, 1) for item in range(6)]
    frame = pd.DataFrame(lines, columns=["user", "item", "rating", "timestamp"])
    with pytest.raises(InputError, match="1 shared accounts: in these data only 0"):
        inject_sharing(events_of(frame), 6, SharingPlan(1), 0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_accounts": 0}, "n_accounts must .* not 0"),
        ({"n_accounts": 31}, "31 shared accounts: in these data"),
        ({"min_days": 0}, "min_days must .* not 0"),
        ({"style": "all"}, "style must be mixed or handover"),
        ({"partners": "friends"}, "partners must be random or alike"),
        ({"min_share": 0.6}, "min_share must be a number above 0, up to 0.5, not 0.6"),
    ],
)
def test_sharing_that_cannot_be(options, words, people):
    with pytest.raises(InputError, match=words):
        inject_sharing(people, N_ITEMS, SharingPlan(**options), 1)


# Drift


@pytest.mark.parametrize("shape", ["step", "ramp"])
@pytest.mark.parametrize("size", [0.25, 1.0])
def test_drift(size, shape, events):
    made = inject_drift(events, N_ITEMS, DriftPlan(20, size, shape), seed=5)
    truth = made.truth["drifting_items"].set_index("item")
    assert set(truth["size"]) == {-size, size}
    elsewhere = ~np.isin(events.items, truth.index)
    assert np.array_equal(events.ratings[elsewhere], made.ratings[elsewhere])
    assert np.isin(made.ratings, events.ratings).all()
    for name in ("indptr", "items", "timestamps", "held_out"):
        assert np.array_equal(getattr(events, name), getattr(made.events, name))
    for item, line in truth.iterrows():
        own = events.items == item
        times, moved = events.timestamps[own], (made.ratings - events.ratings)[own]
        assert (moved[times < line["begin"]] == 0).all()
        assert (moved * np.sign(line["size"]) >= 0).all()
        assert line["shift"] == pytest.approx(moved[times >= line["end"]].mean())
        assert line["n_before"] == (times < line["begin"]).sum() >= 0.09 * own.sum()
        assert line["n_after"] == (times >= line["end"]).sum() >= 0.09 * own.sum()
        assert (line["begin"] == line["end"]) == (shape == "step")


@pytest.mark.parametrize("shape", ["step", "ramp"])
def test_drift_has_the_size_it_says(shape):
    # Ratings of 3 on a scale of 1 to 5 in whole stars: no clipping, all rounding.
    random = np.random.default_rng(0)
    ends = pd.DataFrame({"user": [0, 1], "item": [1, 1], "rating": [1.0, 5.0], "timestamp": 0})
    main = pd.DataFrame({"user": range(2, 4002), "item": 0, "rating": 3.0})
    main["timestamp"] = random.integers(0, 1000 * DAY, 4000)
    some = pd.DataFrame({"user": [0, 1, 0], "item": [2, 3, 3], "rating": [2.0, 4.0, 3.0]})
    events = events_of(pd.concat([ends, main, some.assign(timestamp=1)]))
    made = inject_drift(events, 4, DriftPlan(1, 0.25, shape, "up", 1000), seed=1)
    (line,) = made.truth["drifting_items"].to_dict("records")
    moved = (made.ratings - events.ratings)[events.items == 0]
    times = events.timestamps[events.items == 0]
    share = effect(times, line["begin"], line["end"])
    # The standard deviation of a rounded rating is at most half a star; five standard errors.
    assert moved.mean() == pytest.approx(0.25 * share.mean(), abs=5 * 0.5 / 4000**0.5)
    assert line["shift"] == pytest.approx(0.25, abs=5 * 0.5 / line["n_after"] ** 0.5)
    middle = (line["begin"] + line["end"]) / 2
    assert effect(np.array([middle]), line["begin"], line["end"])[0] == (
        1.0 if shape == "step" else pytest.approx(0.5)
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_items": 0}, "n_items must .* not 0"),
        ({"size": 0}, "size must be a number above 0, not 0"),
        ({"size": float("nan")}, "size must .* not nan"),
        ({"size": 7}, "the scale is 0.5-5"),
        ({"shape": "wave"}, "shape must be step or ramp"),
        ({"direction": "left"}, "direction must be both or up or down"),
        ({"min_ratings": 1}, "min_ratings must be a whole number from 2 up, not 1"),
        ({"n_items": 100, "min_ratings": 100}, "100 items of 100 ratings or more: there are"),
    ],
)
def test_drifts_that_cannot_be(options, words, events):
    with pytest.raises(InputError, match=words):
        inject_drift(events, N_ITEMS, DriftPlan(**options), 1)


# The mix trap


@pytest.fixture(scope="module")
def additive():
    """Return events of 400 users whose ratings are a kindness, an item's level and noise."""
    random = np.random.default_rng(6)
    kind, good = random.normal(0, 0.7, 400), random.normal(0, 0.3, 40)
    users, items = (grid.ravel() for grid in np.indices((400, 40)))
    ratings = 3 + kind[users] + good[items] + random.normal(0, 0.5, len(users))
    frame = pd.DataFrame({"user": users, "item": items, "rating": ratings})
    frame["timestamp"] = random.integers(0, 1000 * DAY, len(users))
    return events_of(frame), kind


@pytest.mark.parametrize(("direction", "sign"), [("harsher", -1), ("kinder", 1)])
def test_the_audience_changes_and_no_opinion(direction, sign, additive):
    events, kind = additive
    made = inject_mix(events, 40, MixPlan(12, direction), seed=2)
    assert_sound(made.events)
    left = table_of(made.events).merge(table_of(events))
    assert len(left) == len(made.items)  # all that is left is as it was
    gone = len(events.items) - len(made.items)
    truth = made.truth["mixed_items"]
    assert truth["n_removed"].sum() == gone
    assert (truth["n_before"] + truth["n_after"] + truth["n_removed"] == 400).all()
    assert (truth["direction"] == direction).all()
    assert (sign * truth["shift"] > 0.3).all()
    opinions = left.assign(opinion=left["ratings"] - kind[left["users"]])
    for line in truth.itertuples():
        of = opinions[opinions["items"] == line.item]
        late = of["timestamps"] >= line.cut
        assert (late.sum(), (~late).sum()) == (line.n_after, line.n_before)
        # Noise of 0.5 in two halves of 100: five standard errors.
        step = of["opinion"][late].mean() - of["opinion"][~late].mean()
        assert abs(step) < 5 * 0.5 * (2 / 100) ** 0.5


def test_no_rating_is_chosen_for_what_it_is():
    # All are equally kind and rate two items: who was harsh once is not a harsh person.
    random = np.random.default_rng(9)
    users, items = np.repeat(np.arange(3000), 2), np.tile([0, 1], 3000)
    ratings = 3 + random.normal(0, 1, 6000)
    times = random.integers(0, 1000 * DAY, 6000)
    columns = {"user": users, "item": items, "rating": ratings, "timestamp": times}
    made = inject_mix(events_of(pd.DataFrame(columns)), 2, MixPlan(1, "harsher"), 3)
    # The means of two halves of 750 after, of 1,500 before: five standard errors.
    assert abs(made.truth["mixed_items"]["shift"][0]) < 5 * (2 / 750 + 2 / 1500) ** 0.5


def test_both_directions(events):
    made = inject_mix(events, N_ITEMS, MixPlan(15), seed=2)
    truth = made.truth["mixed_items"]
    assert set(truth["direction"]) == {"harsher", "kinder"}
    assert (truth["n_removed"] >= 29).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_items": 0}, "n_items must .* not 0"),
        ({"direction": "up"}, "direction must be both or harsher or kinder"),
        ({"min_ratings": 3}, "min_ratings must be a whole number from 4 up, not 3"),
        ({"n_items": 201}, "201 items of 60 ratings or more"),
    ],
)
def test_mixes_that_cannot_be(options, words, events):
    with pytest.raises(InputError, match=words):
        inject_mix(events, N_ITEMS, MixPlan(**options), 1)
