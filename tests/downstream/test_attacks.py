"""Attacks that are there are found, and what is honest is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mfdask.downstream.anomalies.attacks import AttackLimits, extreme_ratings, suspected_attacks
from mfdask.downstream.anomalies.bursts import Bursts, Chosen, Timeline, find_bursts
from mfdask.downstream.anomalies.cleaning import (
    dishonest,
    predictions_without,
    write_cleaned,
)
from mfdask.downstream.anomalies.control import FalseAlarms, scores_of
from mfdask.downstream.anomalies.evidence import Surprise, add_profiles
from mfdask.downstream.anomalies.members import suspects_of
from mfdask.downstream.events import Events, all_events
from mfdask.downstream.inject import AttackPlan, inject_attack
from mfdask.errors import InputError
from mfdask.ingestion.build import ingest
from mfdask.models import ALS
from mfdask.ratings.formats import open_source
from mfdask.shards import Dataset
from tests.downstream.test_bursts import Line, make_events, some_lines


@pytest.fixture(scope="module")
def data(small_data):
    return Dataset.open(small_data)


@pytest.fixture(scope="module")
def events(data):
    return all_events(data)


@pytest.fixture(scope="module")
def attacked(events, data):
    return inject_attack(events, data.n_items, AttackPlan("copy", size=0.05), seed=3)


@pytest.fixture(scope="module")
def movielens(movielens_zip, client, tmp_path_factory):
    folder = tmp_path_factory.mktemp("movielens") / "d"
    source = open_source(str(movielens_zip), cache_dir=folder.parent)
    ingest(source, folder, client=client)
    data = Dataset.open(folder)
    return all_events(data), data.n_items


def attackers(injected):
    found = np.zeros(injected.n_users, bool)
    found[injected.truth["attack_users"]["user"]] = True
    return found


@pytest.mark.movielens
def test_nobody_is_suspected_among_real_ratings(movielens):
    events, n_items = movielens
    found = suspected_attacks(events, n_items)
    assert 1000 * len(found.items) / n_items <= 5
    assert 1000 * len(found.users) / (len(events.indptr) - 1) <= 5


@pytest.mark.movielens
@pytest.mark.parametrize("direction", ["push", "nuke"])
@pytest.mark.parametrize("kind", ["copy", "aop", "love-hate"])
def test_attacks_among_real_ratings_are_found(movielens, kind, direction):
    events, n_items = movielens
    injected = inject_attack(events, n_items, AttackPlan(kind, direction, 0.05), seed=4)
    found = suspected_attacks(injected.events, n_items)
    truth = attackers(injected)
    assert roc_auc_score(truth, found.scores.users) >= 0.95
    assert set(injected.truth["attacked_items"]["item"]) <= set(found.items["item"])
    assert found.items["direction"].iloc[0] == direction
    suspected = found.users["user"].unique()
    assert truth[suspected].mean() >= 0.9
    assert len(suspected) >= 0.9 * truth.sum()


def release(seed, n_users, item):
    """Return ratings of a new item by honest users: most within ten days, a third of them high."""
    random = np.random.default_rng(seed)
    users = random.choice(n_users, 60, replace=False).tolist()
    early, late = 100 + random.exponential(6, 50), random.uniform(120, 199, 10)
    stars = np.where(random.random(60) < 0.3, 5.0, 3.0).tolist()
    halves = np.append(early, late).astype(int).tolist()
    return [Line(u, item, s, h) for u, s, h in zip(users, stars, halves, strict=True)]


def test_a_release_is_no_attack_but_one_on_it_is():
    honest = [*some_lines(6), *release(6, 80, 12)]
    assert suspected_attacks(make_events(honest, 80), 13).items.empty
    attack = [Line(80 + k, 12, 5.0, 150 + k % 10) for k in range(30)]
    found = suspected_attacks(make_events(honest + attack, 110), 13)
    assert found.items["item"].tolist() == [12]
    assert set(found.users["user"]) >= set(range(80, 110))


def test_the_columns_tell_what_was_found(attacked, data):
    found = suspected_attacks(attacked.events, data.n_items)
    (target,) = attacked.truth["attacked_items"].to_dict("records")
    line = found.items.iloc[0]
    assert (line["item"], line["direction"]) == (target["item"], "push")
    assert line["window_start"] < target["window_end"]
    assert line["window_end"] > target["window_start"]
    inside = (
        (attacked.items == line["item"])
        & (attacked.ratings >= 4.5)
        & (attacked.timestamps >= line["window_start"])
        & (attacked.timestamps <= line["window_end"])
    )
    assert line["n_extreme"] == inside.sum()
    times = attacked.timestamps[inside]
    assert (line["window_start"], line["window_end"]) == (times.min(), times.max())
    assert set(found.users["user"]) >= set(attacked.users[inside])
    assert (found.users["honest_share"].dropna() <= AttackLimits.honest_share).all()
    assert line["score"] == found.items["score"].max()
    assert found.scores.items[line["item"]] == line["evidence"] == found.scores.items.max()
    assert found.items["q"].dropna().between(0, AttackLimits.fdr).all()  # some have no burst


def test_the_same_again_and_a_stricter_rule(attacked, data):
    first, again = (suspected_attacks(attacked.events, data.n_items) for _ in range(2))
    pd.testing.assert_frame_equal(first.users, again.users)
    strict = suspected_attacks(attacked.events, data.n_items, AttackLimits(fdr=1e-300))
    assert len(strict.items) == len(strict.users) == 0
    assert list(strict.users) == list(first.users)
    assert np.array_equal(strict.scores.items, first.scores.items)


def test_ratings_that_are_all_alike_are_refused(events, data):
    alike = events._replace(ratings=np.full_like(events.ratings, 4.0))
    with pytest.raises(InputError, match="all ratings are 4"):
        suspected_attacks(alike, data.n_items)


def test_ratings_without_a_middle():
    """Thumbs up or down: there are no plain ratings to tell what is usual."""
    random = np.random.default_rng(9)
    lines = [
        line._replace(rating=float(random.random() < 0.7)) for line in some_lines(9, n_users=80)
    ]
    attack = [Line(80 + k, 11, 1.0, 150 + k % 10) for k in range(30)]
    found = suspected_attacks(make_events(lines + attack, 110), 12)
    assert found.items["item"].tolist() == [11]
    assert suspected_attacks(make_events(lines, 80), 12).items.empty


@pytest.mark.parametrize(
    ("values", "high", "low"),
    [
        (np.arange(1, 11) / 2, [4.5, 5], [0.5, 1]),
        (np.arange(1, 6), [5], [1]),
        (np.arange(0, 101), list(range(89, 101)), list(range(12))),
    ],
)
def test_what_is_extreme_on_any_scale(values, high, low):
    found = extreme_ratings(values.astype(np.float32))
    assert values[found["push"]].tolist() == high
    assert values[found["nuke"]].tolist() == low


def bursts_table(*lines):
    names = ["item", "direction", "score", "n_expected"]
    return pd.DataFrame(lines, columns=names).assign(dispersion=0.01)


def test_a_stronger_burst_explains_a_weaker_one():
    bursts = bursts_table((7, "push", 30.0, 0.1), (8, "nuke", 8.0, 0.1), (9, "push", 3.0, 0.1))
    rated = {0: range(12), 1: [*range(9), 50, 51], 2: [3, *range(20, 26)]}
    members = pd.DataFrame(
        [(user, burst) for burst, users in rated.items() for user in users],
        columns=["user", "burst"],
    )
    found = suspects_of(bursts, members, 0.2).set_index("user")
    assert set(found.index) == {*range(12), *range(20, 26)}  # but not 50 and 51
    assert found["burst"].to_dict() == {
        **dict.fromkeys(range(12), 0),
        **dict.fromkeys(range(20, 26), 2),
    }
    assert found["n_items"][[0, 3, 10, 20]].tolist() == [2, 3, 1, 1]
    assert found["honest_share"][[0, 20]].tolist() == pytest.approx([0.1 / 12, 0.1 / 6])


def test_members_are_no_suspects_where_many_are_honest():
    bursts = bursts_table((7, "push", 2.0, 3.0))
    members = pd.DataFrame({"user": range(12), "burst": 0})
    assert suspects_of(bursts, members, 0.2).empty
    assert len(suspects_of(bursts, members, 0.25)) == 12
    assert suspects_of(bursts[:0], members[:0], 0.2).empty


def test_agreement_is_against_the_level_elsewhere(events, data):
    line = Timeline.of(events, data.n_items)
    ratings = events.ratings[line.order]
    chosen = Chosen.of(line, ratings >= 4.5, ratings == 3)
    bursts = find_bursts(chosen, line)
    surprise = Surprise(events, data.n_items)
    found = surprise.agreement(line.order[chosen.places], bursts)
    burst, member = bursts.members()
    mean = events.ratings.mean()
    frame = pd.DataFrame({"user": events.users, "item": events.items, "rating": events.ratings})
    by_user = frame.groupby("user")["rating"].agg(["sum", "size"])
    level = (by_user["sum"] + 5 * mean) / (by_user["size"] + 5)
    frame["above"] = frame["rating"] - frame["user"].map(level)
    for k in (0, len(found) // 2):
        inside = line.order[chosen.places[member[burst == k]]]
        elsewhere = frame[(frame["item"] == bursts.item[k]) & ~frame.index.isin(inside)]["above"]
        z = frame["above"][inside] - elsewhere.sum() / (len(elsewhere) + 5)
        wanted = z.sum() / frame["above"].std(ddof=0) / np.sqrt(len(inside))
        assert found[k] == pytest.approx(wanted, rel=1e-4)


def test_profiles(events, data):
    popularity = np.bincount(events.items, minlength=data.n_items) / len(events.items)
    users = [3, 10, 17]
    start, stop = np.quantile(events.timestamps, [0.3, 0.8]).astype(int)
    target = int(events.items[events.indptr[3]])
    suspects = pd.DataFrame(
        {
            "user": users, "direction": "push", "burst": 0, "item": target,
            "window_start": start, "window_end": stop,
        }
    )  # fmt: skip
    found = add_profiles(suspects, events, data.n_items)
    rated = [events.items[slice(*events.indptr[[user, user + 1]])].tolist() for user in users]
    for k, user in enumerate(users):
        others = [rated[j] for j in range(3) if j != k]
        common = sum(item in other for other in others for item in rated[k] if item != target)
        likely = sum(popularity[item] for item in rated[k] if item != target)
        wanted = common / (likely * sum(map(len, others)))
        assert found["resemblance"][k] == pytest.approx(wanted)
        times = events.timestamps[slice(*events.indptr[[user, user + 1]])]
        assert found["share_in_window"][k] == ((times >= start) & (times < stop)).mean()
    assert np.isnan(add_profiles(suspects[:1], events, data.n_items)["resemblance"][0])
    assert list(add_profiles(suspects[:0], events, data.n_items)) == list(found)


def test_false_alarms_are_counted():
    honest = FalseAlarms.of([np.array([0, 0, 2.0, 5.0]), np.array([0, 3.0, 0, 0])])
    assert honest.rows == 8
    assert honest.per_1000([0.5, 2.0, 2.5, 9.0]).tolist() == [375, 375, 250, 0]


def test_scores_are_the_strongest_bursts(events, data):
    line = Timeline.of(events, data.n_items)
    ratings = events.ratings[line.order]
    chosen = Chosen.of(line, ratings >= 4, ratings == 3)
    bursts = find_bursts(chosen, line)
    bursts = Bursts(*bursts[:-1], np.random.default_rng(7).uniform(0, 9, len(bursts.score)))
    found = scores_of(bursts, chosen, line)
    items, users = np.zeros(data.n_items), np.zeros(line.n_users)
    for burst, member in zip(*bursts.members(), strict=True):
        if bursts.score[burst] >= 1:
            item, user, score = (
                bursts.item[burst],
                line.users(chosen.places[member]),
                bursts.score[burst],
            )
            items[item], users[user] = max(items[item], score), max(users[user], score)
    assert np.array_equal(found.items, items)
    assert np.array_equal(found.users, users)


def test_events_without_users(events):
    kept = ~np.isin(events.users, [0, 7, 299])
    found = events.only(kept)
    assert np.array_equal(found.users, events.users[kept])
    assert np.array_equal(found.timestamps, events.timestamps[kept])
    assert isinstance(found, Events)


def test_cleaned_ratings_are_read_again(events, data, client, tmp_path):
    gone = np.array([2, 5], np.int32)
    which = dishonest(events, gone, gone, "accounts")
    left_out = write_cleaned(data, events, which, tmp_path / "clean")
    again = ingest(open_source(str(tmp_path / "clean")), tmp_path / "d", client=client)
    assert again.counts.kept == len(events.ratings) - left_out
    assert again.counts.users == data.n_users - 2
    assert left_out == np.isin(events.users, gone).sum()
    write_cleaned(data, events, ~which, tmp_path / "clean")  # replaces it
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match="holds no cleaned ratings"):
        write_cleaned(data, events, which, tmp_path / "other")


def test_predictions_return_to_what_they_were(data, events):
    """Without the suspects a model predicts what one that never saw them does."""
    model = ALS(n_factors=3, n_sweeps=4).fit(data)
    suspects = np.arange(0, data.n_users, 3, dtype=np.int32)
    items = np.array([1, 40, 41], np.int32)
    found = predictions_without(model, data, suspects, items)
    honest = np.setdiff1d(np.arange(data.n_users), suspects).astype(np.int32)
    mean = [model.predict_rows(honest, np.full_like(honest, i), clip=False).mean() for i in items]
    assert found["prediction"].to_numpy() == pytest.approx(mean, abs=1e-4)
    assert (found["prediction"] - found["prediction_cleaned"]).abs().min() > 1e-3
    nobody = predictions_without(model, data, suspects[:0], items)
    assert nobody["prediction"].to_numpy() == pytest.approx(nobody["prediction_cleaned"].to_numpy())
