"""What is injected is what the truth says, and nothing else is changed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfdask.downstream.events import Events, all_events
from mfdask.downstream.inject import (
    KINDS,
    AttackPlan,
    DriftPlan,
    MixPlan,
    Plan,
    SharingPlan,
    inject,
    inject_attack,
    inject_drift,
    inject_mix,
    inject_sharing,
    write_injected,
)
from mfdask.downstream.inject.drift import effect
from mfdask.downstream.inject.injected import DAY, Scale
from mfdask.downstream.inject.recipes import POPULAR_SHARE, SELECTED
from mfdask.downstream.inject.sessions import PAUSE, active_days, cut_at_pauses, moved_into
from mfdask.downstream.inject.write import new_ids
from mfdask.errors import InputError
from mfdask.ratings.formats import open_source
from mfdask.shards import Dataset
from mfdask.shards.build import ingest

N_ITEMS = 200


@pytest.fixture(scope="module")
def events(small_data):
    return all_events(Dataset.open(small_data))


def events_of(frame):
    """Make events of a table of `user, item, rating, timestamp`."""
    frame = frame.sort_values(["user", "timestamp", "item"])
    lengths = np.bincount(frame["user"])
    return Events(
        0,
        np.append(0, np.cumsum(lengths)),
        frame["item"].to_numpy(np.int32),
        frame["rating"].to_numpy(np.float32),
        frame["timestamp"].to_numpy(np.int64),
        np.zeros(len(frame), bool),
    )


def table_of(events):
    """Return a line for each event."""
    names = ["items", "ratings", "timestamps", "held_out"]
    columns = {name: getattr(events, name) for name in names}
    return pd.DataFrame({"users": events.users, **columns})


def assert_sound(events):
    """Assert the order of events, and that nobody rates an item twice."""
    table = table_of(events)
    in_order = table.sort_values(["users", "timestamps", "items"], ignore_index=True)
    pd.testing.assert_frame_equal(table, in_order)
    assert not table.duplicated(["users", "items"]).any()


# Attacks


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
    assert events.timestamps.min() <= start < end <= events.timestamps.max() + 1
    assert not made.events.held_out[n:].any()


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


def test_fillers_by_popularity(events):
    counts = np.bincount(events.items, minlength=N_ITEMS)
    popular, uniform = (
        counts[attack_fillers(events, kind="random", fillers=fillers)[0]["items"]].mean()
        for fillers in ("popular", "uniform")
    )
    genuine = counts[events.items].mean()
    assert uniform < popular < 1.1 * genuine
    assert genuine - popular < 0.5 * (genuine - uniform)


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
        ({"kind": "bribe"}, "'bribe': give one of random, average"),
        ({"direction": "up"}, "give push or nuke"),
        ({"fillers": "all"}, "give popular or uniform"),
        ({"size": 0}, "attack size 0"),
        ({"size": 0.51}, "up to 0.5"),
        ({"size": float("nan")}, "attack size nan"),
        ({"window_days": 0}, "window of 0 days"),
        ({"window_days": 1e5}, "the ratings span"),
        ({"n_targets": 0}, "0 targets"),
        ({"n_targets": 201}, "201 targets: only"),
        ({"n_targets": 150, "target_ratings": (1, 9000)}, "150 targets: only"),
        ({"target_ratings": (9, 8)}, "9 to 8 ratings"),
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


# Scale and sessions


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
    assert active_days(events).tolist() == days.reindex(range(300), fill_value=0).tolist()


# Shared accounts


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
    assert active_days(people)[list(touched)].min() >= 3


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
        ({"n_accounts": 0}, "0 shared accounts"),
        ({"n_accounts": 31}, "31 shared accounts: in these data"),
        ({"min_days": 0}, "0 active days"),
        ({"style": "all"}, "give mixed or handover"),
        ({"partners": "friends"}, "give random or alike"),
        ({"min_share": 0.6}, "share of each person 0.6"),
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
        ({"n_items": 0}, "0 drifting items"),
        ({"size": 0}, "drift of 0 stars"),
        ({"size": float("nan")}, "drift of nan stars"),
        ({"size": 7}, "the scale is 0.5-5"),
        ({"shape": "wave"}, "give step or ramp"),
        ({"direction": "left"}, "give both, up or down"),
        ({"min_ratings": 1}, "give at least 2"),
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


def test_both_directions(events):
    made = inject_mix(events, N_ITEMS, MixPlan(15), seed=2)
    truth = made.truth["mixed_items"]
    assert set(truth["direction"]) == {"harsher", "kinder"}
    assert (truth["n_removed"] >= 29).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_items": 0}, "0 items of mixed audience"),
        ({"direction": "up"}, "give both, harsher or kinder"),
        ({"min_ratings": 3}, "give at least 4"),
        ({"n_items": 201}, "201 items of 60 ratings or more"),
    ],
)
def test_mixes_that_cannot_be(options, words, events):
    with pytest.raises(InputError, match=words):
        inject_mix(events, N_ITEMS, MixPlan(**options), 1)


# All together, and on disk


ALL = Plan(SharingPlan(5), MixPlan(5), DriftPlan(5), AttackPlan("average", n_targets=2))


def test_no_item_for_two_things(events):
    for seed in range(5):
        truth = inject(events, N_ITEMS, ALL, seed).truth
        items = pd.concat([table["item"] for table in truth.values() if "item" in table])
        assert len(items) == 12
        assert items.is_unique


def test_nothing_to_inject(events):
    with pytest.raises(InputError, match="nothing to inject"):
        inject(events, N_ITEMS, Plan(), 1)
    with pytest.raises(InputError, match="seed -1"):
        inject(events, N_ITEMS, ALL, -1)


def test_what_is_written_ingests(client, small_data, events, tmp_path):
    data = Dataset.open(small_data)
    made = inject(events, data.n_items, ALL, seed=9)
    out = tmp_path / "injected"
    truth = write_injected(data, made, ALL, 9, out)
    manifest = ingest(open_source(str(out)), tmp_path / "d", client=client)
    assert manifest.counts.kept == manifest.counts.read == len(made.ratings)
    again = Dataset.open(tmp_path / "d")
    attackers = truth["attack_users"]["user_id"]
    old, new = (set(side.users()["user_id"]) for side in (data, again))
    assert new - old == set(attackers)
    assert old - new == set(truth["shared_accounts"]["partner_id"])
    assert set(truth["attack_users"]["template_id"]) <= old
    _same_ratings(data, made, attackers, again)
    described = (side.items().set_index("item_id").sort_index() for side in (data, again))
    one, other = (table[["title", "year", "genres"]] for table in described)
    pd.testing.assert_frame_equal(one, other)
    for name, table in truth.items():
        on_disk = pd.read_parquet(out / "truth" / f"{name}.parquet")
        pd.testing.assert_frame_equal(on_disk, table, check_dtype=False)
        rows = made.truth[name]
        for column in {"item", "user", "partner"} & set(rows):
            side = "items" if column == "item" else "users"
            found = again.rows_of(side, table[f"{column}_id"])
            assert ((found >= 0) == (column != "partner")).all()


def _same_ratings(data, made, attackers, again):
    """Assert that a data set holds just the ratings that were made."""
    users = np.append(data.users()["user_id"], attackers)
    items = data.items()["item_id"].to_numpy()
    read = all_events(again)
    columns = (
        (users[made.users], items[made.items], made.ratings, made.timestamps),
        (
            again.users()["user_id"].to_numpy()[read.users],
            again.items()["item_id"].to_numpy()[read.items],
            read.ratings,
            read.timestamps,
        ),
    )
    one, other = (set(zip(*(c.tolist() for c in table), strict=True)) for table in columns)
    assert one == other


def test_string_ids_stay(client, events, tmp_path):
    table = table_of(events)[:4000]
    table["users"] = [f'u "{user}", 0' for user in table["users"]]
    table["items"] = [f"{item:05d}" for item in table["items"]]
    table.drop(columns="held_out").to_csv(tmp_path / "r.csv", index=False)
    columns = dict(zip(("user", "item", "rating", "timestamp"), table, strict=False))
    ingest(open_source(str(tmp_path / "r.csv"), columns=columns), tmp_path / "d", client=client)
    data = Dataset.open(tmp_path / "d")
    plan = Plan(attack=AttackPlan("copy", target_ratings=(1, 50)))
    made = inject(all_events(data), data.n_items, plan, 3)
    truth = write_injected(data, made, plan, 3, tmp_path / "out")
    assert not (tmp_path / "out" / "movies.csv").exists()
    ingest(open_source(str(tmp_path / "out")), tmp_path / "again", client=client)
    again = Dataset.open(tmp_path / "again")
    _same_ratings(data, made, truth["attack_users"]["user_id"], again)


def test_ids_of_made_up_users():
    assert new_ids(pd.Series([3, 9, 4]), 2).tolist() == [10, 11]
    names = new_ids(pd.Series(["a", "attacker-1"], dtype="str"), 2)
    assert names.tolist() == ["attacker-x1", "attacker-x2"]
    assert new_ids(pd.Series([1]), 0).tolist() == []
    with pytest.raises(InputError, match="leaves no larger ids"):
        new_ids(pd.Series([2**63 - 1]), 1)


def test_other_folders_are_left_alone(small_data, events, tmp_path):
    (tmp_path / "thesis").mkdir()
    data, plan = Dataset.open(small_data), Plan(attack=AttackPlan())
    made = inject(events, data.n_items, plan, 1)
    with pytest.raises(InputError, match="holds no injected ratings"):
        write_injected(data, made, plan, 1, tmp_path / "thesis")
    out = tmp_path / "injected"
    write_injected(data, made, plan, 1, out)
    first = (out / "ratings.csv").read_bytes()
    write_injected(data, made, plan, 1, out)  # again, in its place
    assert (out / "ratings.csv").read_bytes() == first
