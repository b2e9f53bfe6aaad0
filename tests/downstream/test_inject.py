"""Attacks are what their truth says, and nothing else is changed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfdask.downstream.events import DAY, PAUSE, active_days, all_events
from mfdask.downstream.inject import KINDS, AttackPlan, inject_attack
from mfdask.downstream.inject.injected import Scale
from mfdask.downstream.inject.recipes import POPULAR_SHARE, SELECTED
from mfdask.downstream.inject.sessions import cut_at_pauses, moved_into
from mfdask.errors import InputError
from mfdask.shards import Dataset
from tests.downstream.tables import N_ITEMS, assert_sound, events_of, table_of


@pytest.fixture(scope="module")
def events(small_data):
    return all_events(Dataset.open(small_data))


@pytest.mark.parametrize("direction", ["push", "nuke"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_attack(kind, direction, events):
    plan = AttackPlan(kind, direction, size=0.1, window_days=30, n_targets=3)
    made = inject_attack(events, N_ITEMS, plan, seed=7)
    n = len(events.items)
    for before, after in zip(events[1:], made.events[1:], strict=True):
        assert np.array_equal(before, after[: len(before)])
    assert_sound(made.events)
    attackers, attacked = made.truth["attack_users"], made.truth["attacked_items"]
    assert attackers["user"].tolist() == list(range(300, 330))
    assert made.n_users == 330
    lengths = np.diff(made.events.indptr)
    assert np.array_equal(lengths[attackers["user"]], lengths[attackers["template"]])
    assert attackers["template"].is_unique
    on_target = np.isin(made.items[n:], attacked["item"])
    assert on_target.sum() == 3 * 30
    wanted = events.ratings.max() if direction == "push" else events.ratings.min()
    assert (made.ratings[n:][on_target] == wanted).all()
    assert np.isin(made.ratings[n:], events.ratings).all()
    (start, end), *others = attacked[["window_start", "window_end"]].to_numpy()
    assert all(np.array_equal(other, (start, end)) for other in others)
    assert end - start == 30 * DAY
    assert start <= made.timestamps[n:].min() <= made.timestamps[n:].max() < end
    known = max(events.timestamps[events.items == item].min() for item in attacked["item"])
    last = events.timestamps.max() + 1
    assert min(known, last - (end - start)) <= start < end <= last
    assert not made.events.held_out[n:].any()


@pytest.mark.parametrize("stars", ["near", "mixed"])
def test_times_of_genuine_users_and_milder_ratings(stars, events):
    plan = AttackPlan("obfuscated", size=0.2, timing="calendar", target_stars=stars)
    made = inject_attack(events, N_ITEMS, plan, seed=7)
    n = len(events.items)
    (target,) = made.truth["attacked_items"].to_dict("records")
    for user, template in made.truth["attack_users"][["user", "template"]].to_numpy():
        times = [
            made.timestamps[slice(*made.events.indptr[[row, row + 1]])] for row in (user, template)
        ]
        assert np.array_equal(*times)
    on_target = made.items[n:] == target["item"]
    given = set(np.unique(made.ratings[n:][on_target]).tolist())
    assert given == ({4.0} if stars == "near" else {4.0, 5.0})
    times = made.timestamps[n:][on_target]
    assert (target["window_start"], target["window_end"]) == (times.min(), times.max() + 1)


def test_targets_are_little_known_and_can_move(events):
    counts = np.bincount(events.items, minlength=N_ITEMS)
    means = np.bincount(events.items, events.ratings, N_ITEMS) / np.maximum(counts, 1)
    possible = set(np.flatnonzero((counts >= 8) & (counts <= 20)))
    for direction, sign in (("push", 1), ("nuke", -1)):
        plan = AttackPlan("copy", direction, n_targets=3, target_ratings=(8, 20))
        attacked = inject_attack(events, N_ITEMS, plan, 1).truth["attacked_items"]
        assert set(attacked["item"]) <= possible
        assert (sign * means[attacked["item"]] <= sign * events.ratings.mean()).all()
        assert attacked["n_before"].tolist() == counts[attacked["item"]].tolist()
    assert (
        inject_attack(events, N_ITEMS, AttackPlan(n_targets=1), 1, exclude=set(range(N_ITEMS - 60)))
        .truth["attacked_items"]["item"]
        .between(N_ITEMS - 60, N_ITEMS)
        .all()
    )


def attack_fillers(events, **options):
    """Return a line for each filler of an attack, and what was made."""
    made = inject_attack(events, N_ITEMS, AttackPlan(**options), seed=3)
    lines = table_of(made.events)[len(events.items) :]
    return lines[~lines["items"].isin(made.truth["attacked_items"]["item"])], made


def test_a_copy_repeats_its_template(events):
    fillers, made = attack_fillers(events, kind="copy", size=0.2)
    templates = made.truth["attack_users"].set_index("user")["template"]
    genuine = table_of(events).set_index(["users", "items"])["ratings"]
    copied = genuine.loc[list(zip(templates[fillers["users"]], fillers["items"], strict=True))]
    assert copied.tolist() == fillers["ratings"].tolist()


def test_what_the_kinds_rate(events):
    counts = np.bincount(events.items, minlength=N_ITEMS)
    means = np.bincount(events.items, events.ratings, N_ITEMS) / np.maximum(counts, 1)
    low, high = events.ratings.min(), events.ratings.max()
    of = {kind: attack_fillers(events, kind=kind, size=0.5)[0] for kind in KINDS}
    assert (of["love-hate"]["ratings"] == low).all()
    assert set(of["segment"]["ratings"]) == {low, high}
    assert of["segment"].groupby("users")["ratings"].agg(lambda r: (r == high).sum()).max() == (
        SELECTED
    )
    n_popular = max(
        round(POPULAR_SHARE * (counts > 0).sum()), of["aop"]["users"].value_counts().max()
    )
    assert counts[of["aop"]["items"]].min() >= np.sort(counts)[::-1][n_popular]
    # Five standard errors of the mean; a rounded rating is at most half a star's step off.
    error = 5 * events.ratings.std() / np.sqrt(len(of["random"]))
    assert of["random"]["ratings"].mean() == pytest.approx(events.ratings.mean(), abs=error + 0.05)
    assert np.corrcoef(of["average"]["ratings"], means[of["average"]["items"]])[0, 1] > 0.3
    assert abs(np.corrcoef(of["random"]["ratings"], means[of["random"]["items"]])[0, 1]) < 0.05
    loved = of["bandwagon"].query("ratings == @high").groupby("items").size()
    known = set(np.argsort(-counts)[:100])
    assert set(loved.nlargest(SELECTED).index) <= known
    assert of["bandwagon"]["ratings"].mean() > of["random"]["ratings"].mean() + 0.2


def test_the_segment_has_the_targets_audience():
    # Users 0-9 rate the target 0 and items 1-40, users 10-59 items 41-80.
    lines = [(u, i) for u in range(10) for i in range(41)]
    lines += [(u, i) for u in range(10, 60) for i in range(41, 81)]
    frame = pd.DataFrame(lines, columns=["user", "item"])
    frame["rating"] = np.where(frame["item"] == 0, 1.0, 4.0)
    frame["timestamp"] = np.arange(len(frame)) * 9000
    plan = AttackPlan("segment", target_ratings=(10, 10), n_targets=1, window_days=2)
    made = inject_attack(events_of(frame), 81, plan, 0)
    lines = table_of(made.events)[len(frame) :]
    assert made.truth["attacked_items"]["item"].tolist() == [0]
    assert lines.query("ratings == 4")["items"].max() <= 40


def test_fillers_are_as_popular_as_anybodys_items(events):
    counts = np.bincount(events.items, minlength=N_ITEMS)

    def popularity(lines):
        return pd.Series(counts[lines["items"]]).groupby(lines["users"].to_numpy()).mean().mean()

    genuine, popular, uniform = (
        popularity(table_of(events)),
        *(
            popularity(attack_fillers(events, kind="random", size=0.3, fillers=fillers)[0])
            for fillers in ("popular", "uniform")
        ),
    )
    assert abs(genuine - popular) < 0.2 * (genuine - uniform)


def test_one_seed_one_attack(events):
    plan = AttackPlan("average")
    one, same, other = (inject_attack(events, N_ITEMS, plan, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one.events, same.events, strict=True))
    assert not np.array_equal(one.timestamps, other.timestamps)
    for name, table in one.truth.items():
        pd.testing.assert_frame_equal(table, same.truth[name])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "bribe"}, "kind must be random or average .*, not 'bribe'"),
        ({"direction": "up"}, "direction must be push or nuke"),
        ({"fillers": "all"}, "fillers must be popular or uniform"),
        ({"size": 0}, "size must be a number above 0, up to 0.5, not 0"),
        ({"size": 0.51}, "to 0.5, not 0.51"),
        ({"size": float("nan")}, "size must .* not nan"),
        ({"window_days": 0}, "window_days must be a number above 0, not 0"),
        ({"window_days": float("inf")}, "window_days must .* not inf"),
        ({"window_days": 1e5}, "the ratings span"),
        ({"n_targets": 0}, "n_targets must be a whole number from 1 up, not 0"),
        ({"n_targets": 201}, "201 targets: only"),
        ({"n_targets": 150, "target_ratings": (1, 9000)}, "150 targets: only"),
        ({"target_ratings": (9, 8)}, r"target_ratings must be 1 or more, in order, not \(9, 8\)"),
    ],
)
def test_attacks_that_cannot_be(options, words, events):
    with pytest.raises(InputError, match=words):
        inject_attack(events, N_ITEMS, AttackPlan(**options), 1)


def test_more_targets_than_anybody_rates():
    frame = pd.DataFrame({"user": range(6), "item": [0, 0, 1, 1, 2, 2], "rating": 3.0})
    frame["timestamp"] = frame["user"] * DAY
    plan = AttackPlan(n_targets=2, target_ratings=(1, 9), window_days=1)
    with pytest.raises(InputError, match="no user has rated more items"):
        inject_attack(events_of(frame), 3, plan, 1)


@given(
    st.lists(st.integers(0, 40), min_size=2, max_size=8, unique=True),
    st.floats(-5, 25),
    st.integers(0, 99),
)
def test_rounding_keeps_the_mean(values, wanted, seed):
    scale = Scale.of(np.array(values, np.float32) / 2)
    drawn = scale.near(np.full(4000, wanted), np.random.default_rng(seed))
    inside = np.clip(wanted, scale.low, scale.high)
    grid = scale.values.tolist()
    below = max(value for value in grid if value <= inside)
    above = min(value for value in grid if value >= inside)
    assert set(drawn.tolist()) <= {below, above}
    # A draw between two values deviates by half their distance at most; six standard errors.
    error = 3 * (above - below) / 4000**0.5
    assert drawn.mean(dtype=np.float64) == pytest.approx(inside, abs=error + 1e-6)


def test_a_scale_without_a_grid():
    scale = Scale.of(np.linspace(1, 5, 1001, dtype=np.float32))
    drawn = scale.near(np.array([0.0, 2.345, 9.0]), np.random.default_rng(0))
    assert drawn.tolist() == pytest.approx([1, 2.345, 5])


@given(
    st.lists(st.integers(0, 3 * PAUSE), min_size=1, max_size=30),
    st.integers(1, 30 * DAY),
    st.integers(0, 99),
)
def test_sessions_moved_into_a_window(gaps, length, seed):
    times = np.cumsum(gaps).astype(np.int64) + 10**9
    start = 5 * 10**8
    moved = moved_into(times, start, start + length, np.random.default_rng(seed))
    assert len(moved) == len(times)
    assert start <= moved[0]
    assert moved[-1] < start + length
    assert (np.diff(moved) >= 0).all()
    sessions = cut_at_pauses(times, times)
    assert [len(s) for s in sessions] == _session_lengths(gaps)
    if len(sessions) == 1 and times[-1] - times[0] < length:
        assert np.array_equal(np.diff(moved), np.diff(times))


def _session_lengths(gaps):
    lengths = [1]
    for gap in gaps[1:]:
        if gap > PAUSE:
            lengths.append(0)
        lengths[-1] += 1
    return lengths


def test_active_days(events):
    table = table_of(events)
    days = (table["timestamps"] // DAY).groupby(table["users"]).nunique()
    found = active_days(events.indptr, events.timestamps)
    assert found.tolist() == days.reindex(range(300), fill_value=0).tolist()
