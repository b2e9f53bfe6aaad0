"""Offsets by time: groups, solutions and draws against float64, and what is kept of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mfdask.downstream.anomalies.folds import Fold, without_fold
from mfdask.errors import InputError
from mfdask.evaluation import evaluate, measure_calibration
from mfdask.features.groups import DAY, Grouping, places_among
from mfdask.features.offsets import (
    GroupSums,
    OffsetDraws,
    Offsets,
    TimeOffsets,
    draw_offset_precision,
)
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.models import ALS, Bayes, load_model, save_model
from mfdask.models.design import initial_rows, unknowns
from mfdask.ratings.splits import Split
from mfdask.shards import Dataset
from tests.naive import Naive, offset_posterior
from tests.shards.oracle import memory_source

BOTH = {"time": "user-day,item-period", "period_days": 9}
PENALTIES = {"fidelity": 0.5, "factor_reg": 0.4, "bias_reg": 0.2, "reg_scaling": 0.0}
POINT = ALS(n_factors=2, n_sweeps=6, time_reg=0.3, **PENALTIES, **BOTH)
DRAWN = Bayes(n_factors=2, n_sweeps=14, burn_in=4, start_sweeps=2, **BOTH)


class Killed(Exception):
    pass


def dated_frame(seed=3, n_users=60, n_items=40, share=0.4):
    """Return ratings by users who are of good cheer on some days and cross on others."""
    random = np.random.default_rng(seed)
    users, items = np.nonzero(random.random((n_users, n_items)) < share)
    days = random.integers(0, 5, len(users)) * 7 + users % 7
    mood = random.normal(0, 0.8, (n_users, 50))[users, days]
    taste = random.normal(0, 0.5, (n_users, 2)) @ random.normal(size=(2, n_items))
    value = 3 + mood + taste[users, items] + random.normal(0, 0.4, len(users))
    return pd.DataFrame(
        {
            "user_id": users + 100,
            "item_id": items + 500,
            "rating": np.clip(np.round(2 * value) / 2, 0.5, 5),
            "timestamp": (12_000 + days) * DAY + random.integers(0, DAY, len(users)),
        }
    )


@pytest.fixture(scope="module")
def dated(client, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dated") / "d"
    choices = IngestOptions(Split.parse("random:0.15"), blocks=3)
    ingest(memory_source(dated_frame()), folder, client=client, choices=choices)
    return Dataset.open(folder)


def training(data, part="train"):
    """Return user, item, rating and time of all ratings, in the order of the user shards."""
    shards = [data.shard("users", b, part) for b in range(data.n_blocks("users"))]
    times = [data.timestamps(b, part) for b in range(data.n_blocks("users"))]
    each = ([s.rows for s in shards], [s.indices for s in shards], [s.ratings for s in shards])
    return [np.concatenate(own) for own in (*each, times)]


def assert_same(one, other):
    for side in ("users", "items"):
        np.testing.assert_array_equal(one.rows(side), other.rows(side))
    assert len(one.offsets) == len(other.offsets) == 2
    for own, others in zip(one.offsets, other.offsets, strict=True):
        assert (own.grouping, own.spread) == (others.grouping, others.spread)
        for name in ("keys", "values", "deviations", "covariances"):
            np.testing.assert_array_equal(getattr(own, name), getattr(others, name))


@given(
    rows=hnp.arrays(np.int32, 8, elements=st.integers(0, 2**31 - 2)),
    days=hnp.arrays(np.int64, 8, elements=st.integers(-50_000, 100_000)),
    seconds=st.integers(0, DAY - 1),
    length=st.integers(1, 400),
)
def test_keys_hold_row_and_days(rows, days, seconds, length):
    for grouping in (Grouping("user-day", 1), Grouping("item-period", length)):
        keys = grouping.keys(rows, rows, days * DAY + seconds)
        np.testing.assert_array_equal(grouping.rows(keys), rows)
        since = days - grouping.first_days(keys)
        assert ((since >= 0) & (since < grouping.days)).all()
        known = np.unique(keys)
        np.testing.assert_array_equal(known[places_among(known, keys)], keys)
        assert (places_among(known, grouping.keys(-1 - rows, -1 - rows, days)) == -1).all()
        assert (places_among(known[:0], keys) == -1).all()


def test_item_shards_have_the_times_of_the_same_pairs(dated):
    users, items, _, times = training(dated)
    wanted = dict(zip(zip(users.tolist(), items.tolist(), strict=True), times, strict=True))
    for block in range(dated.n_blocks("items")):
        shard, own = dated.shard("items", block), dated.timestamps(block, side="items")
        pairs = zip(shard.indices.tolist(), shard.rows.tolist(), strict=True)
        assert [wanted[pair] for pair in pairs] == own.tolist()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 10), st.floats(0.01, 10))
def test_offsets_are_those_of_float64(seed, fidelity, precision):
    random = np.random.default_rng(seed)
    groups = random.integers(3, 12, 40).astype(np.int32)
    residuals = random.normal(size=40).astype(np.float32)
    blocks = [GroupSums.of(groups[own], residuals[own]) for own in np.array_split(range(40), 3)]
    sums = GroupSums.joined([*blocks, GroupSums.of(groups[:0], residuals[:0])], 14)
    mean, variance = offset_posterior(residuals, groups, 14, fidelity, precision)
    np.testing.assert_allclose(sums.mean(fidelity, precision), mean, rtol=1e-6, atol=1e-9)
    drawn = [sums.draw(fidelity, precision, random) for _ in range(2)]
    again = np.random.default_rng(seed)
    again.integers(3, 12, 40), again.normal(size=40)
    for own in drawn:
        np.testing.assert_allclose((own - mean) / np.sqrt(variance), again.normal(size=14))


def test_offsets_are_calibrated_by_simulation():
    """A precision and an offset from their prior have uniform ranks among draws given ratings."""
    random, trials, ranks = np.random.default_rng(7), 150, []
    groups = np.repeat(np.arange(12), 5).astype(np.int32)
    for _ in range(trials):
        precision = random.gamma(1.0)
        offsets = random.normal(size=12) / np.sqrt(precision)
        sums = GroupSums.of(groups, offsets[groups] + random.normal(size=60) / np.sqrt(2.0))
        own, found = 1.0, []
        for sweep in range(90):
            drawn = sums.draw(2.0, own, random)
            own = draw_offset_precision(drawn, random)
            if sweep % 10 == 9:
                found.append((own, drawn[3]))
        ranks.append((np.array(found) < (precision, offsets[3])).sum(axis=0))
    for rank in np.array(ranks).T:
        counts = np.bincount(rank // 2, minlength=5)
        assert ((counts - trials / 5) ** 2 / (trials / 5)).sum() < 18.5  # chi-square, 4: p = 0.001


def test_a_fit_is_that_of_float64(dated):
    users, items, ratings, times = training(dated)
    ratings = ratings.astype(np.float64)
    first = {
        side: unknowns(initial_rows(n, 2, 0.1, 42, side), 3)
        for side, n in (("users", dated.n_users), ("items", dated.n_items))
    }
    naive = Naive(
        (users, items, ratings), dated.n_users, dated.n_items, *first.values(), POINT, dated.mean
    )
    groups = [
        np.unique(grouping.keys(users, items, times), return_inverse=True)[1]
        for grouping in POINT.groupings
    ]
    offsets = [np.zeros(own.max() + 1) for own in groups]
    for sweep in range(POINT.n_sweeps):
        for which, own in enumerate(groups if sweep else []):
            rest = offsets[1 - which][groups[1 - which]]
            left = ratings - naive.predict(users, items) - rest
            offsets[which] = offset_posterior(left, own, own.max() + 1, 0.5, 0.3)[0]
        taken = sum(values[own] for values, own in zip(offsets, groups, strict=True))
        naive.triples = users, items, ratings - taken
        naive.half_step("users")
        naive.half_step("items")
    model = POINT.fit(dated)
    for side in ("users", "items"):
        np.testing.assert_allclose(unknowns(model.rows(side), 3), naive.weights[side], atol=2e-4)
    for found, wanted in zip(model.offsets, offsets, strict=True):
        np.testing.assert_allclose(found.values, wanted, atol=2e-4)
    penalty = 0.3 * sum((values**2).sum() for values in offsets)
    assert model.history[-1].objective == pytest.approx(naive.objective() + penalty / 2, rel=1e-4)
    squared = evaluate(model, dated, "train").raw.squared[0]
    assert model.objective(squared) == pytest.approx(model.history[-1].objective, rel=1e-5)
    assert model.history[-1].test_rmse == pytest.approx(evaluate(model, dated).raw.rmse()[0])


def test_the_objective_only_falls(dated):
    objectives = [sweep.objective for sweep in POINT.fit(dated).history]
    assert (np.diff(objectives) < 1e-6 * np.array(objectives[1:])).all()


@pytest.mark.parametrize("config", [POINT, DRAWN])
def test_offsets_gain_what_days_say(config, dated):
    plain = dataclasses.replace(config, n_sweeps=30, time="none")
    timed = dataclasses.replace(config, n_sweeps=30, time="user-day")
    before, after = (evaluate(own.fit(dated), dated).raw.rmse()[0] for own in (plain, timed))
    assert after < 0.85 * before


@pytest.mark.parametrize("config", [POINT, DRAWN])
def test_two_workers_make_the_model_of_one_process(config, dated, client):
    alone = config.fit(dated)
    for exchange in ("whole", "needed"):
        spread = config.fit(dated, client=client, exchange=exchange)
        assert_same(alone, spread)
        assert [s.test_rmse for s in alone.history] == [s.test_rmse for s in spread.history]
        assert [s.objective for s in alone.history] == [s.objective for s in spread.history]


@pytest.mark.parametrize("config", [POINT, DRAWN])
@pytest.mark.parametrize("kill_at", [3, 6])
def test_resumes_bit_for_bit(config, kill_at, dated, tmp_path):
    config = dataclasses.replace(config, n_sweeps=8)

    def progress(stage, done, total, note=""):
        if done == kill_at:
            raise Killed

    with pytest.raises(Killed):
        config.fit(dated, checkpoint=tmp_path / "c", checkpoint_every=1, progress=progress)
    resumed, unbroken = (
        config.fit(dated, checkpoint=tmp_path / "c", resume=resume) for resume in (True, False)
    )
    assert_same(resumed, unbroken)
    assert resumed.history[-1].test_rmse == unbroken.history[-1].test_rmse


@pytest.mark.parametrize("config", [POINT, DRAWN])
def test_it_is_read_back_as_it_was(config, dated, tmp_path):
    model = config.fit(dated)
    save_model(model, tmp_path / "m")
    again = load_model(tmp_path / "m")
    if config is POINT:  # what is not drawn has no deviations
        assert all(own.deviations is None for own in again.offsets)
    assert_same(model, again)
    table = pd.read_parquet(tmp_path / "m" / "user_days.parquet")
    assert list(table)[:3] == ["user_id", "first_day", "offset"]
    frame = dated_frame()
    days = set(zip(frame["user_id"], frame["timestamp"] // DAY, strict=True))
    stored = pd.to_datetime(table["first_day"]).astype("datetime64[s]").astype("int64") // DAY
    assert set(zip(table["user_id"], stored, strict=True)) <= days
    (tmp_path / "m" / "item_periods.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="item_periods"):
        load_model(tmp_path / "m")


def test_a_warm_start_goes_on(dated, tmp_path):
    save_model(dataclasses.replace(POINT, n_sweeps=30).fit(dated), tmp_path / "m")
    warm = dataclasses.replace(POINT, n_sweeps=2).fit(dated, start=tmp_path / "m")
    cold = dataclasses.replace(POINT, n_sweeps=2).fit(dated)
    assert warm.history[0].objective < cold.history[-1].objective


def test_an_unknown_day_adds_nothing_and_is_less_certain(dated):
    model = DRAWN.fit(dated)
    users, items, _, times = training(dated)
    rows = users.astype(np.int32), items.astype(np.int32)
    known, later = model.offsets_at(*rows, times), model.offsets_at(*rows, times + 1000 * DAY)
    assert np.count_nonzero(known) > 0.9 * len(known)
    assert (later == 0).all()
    assert (model.offsets_at(*rows, None) == 0).all()
    np.testing.assert_array_equal(
        model.predict_std(*rows, times + 1000 * DAY), model.predict_std(*rows)
    )
    assert (model.predict_std(*rows, times) < model.predict_std(*rows)).mean() > 0.95
    nobody = np.full(len(times), -1, np.int32)
    assert (model.offsets_at(nobody, nobody, times) == 0).all()


def test_an_offset_shares_its_variance_with_the_bias_of_its_row():
    """Bias and offset of a draw go together: their sum varies as the sums over the draws do."""
    random, draws, grouping = np.random.default_rng(5), 40, Grouping("user-day", 1)
    users, days = np.array([0, 0, 1, 1, 1, 3]), np.array([4, 9, 4, 5, 6, 2])
    keys, items = grouping.keys(users, users, days * DAY), np.zeros((2, 8), np.float32)
    gathered, sums, biases = OffsetDraws([grouping]), [], []
    for _ in range(draws):
        rows = random.normal(size=(4, 8)).astype(np.float32)
        values = (random.normal(size=6) / 2 - rows[users, 0]).astype(np.float32)
        own = {"users": rows, "items": items}
        gathered.add(Offsets([values], [4.0]), [keys], own)
        sums.append(rows[users, 0] + values)
        biases.append(rows[users, 0])
    (found,) = gathered.means([TimeOffsets(grouping, keys, values)], draws)
    added = found.variance(users, users, days * DAY)
    np.testing.assert_allclose(np.var(biases, axis=0) + added, np.var(sums, axis=0), rtol=1e-4)
    assert (added < 0).all()
    np.testing.assert_allclose(found.variance(users, users, (days + 99) * DAY), 0.25)


def test_intervals_cover_what_was_held_out(dated):
    model = dataclasses.replace(DRAWN, n_sweeps=120, burn_in=40).fit(dated)
    found = measure_calibration(model, dated)
    for line in found[found["users"] == "all"].itertuples():
        assert line.covered == pytest.approx(line.interval, abs=0.1)


def test_folds_keep_the_times(dated):
    part = without_fold(dated, Fold(0, 3))
    users, items, _, times = training(part)
    every = dict(zip(zip(*training(dated)[:2], strict=True), training(dated)[3], strict=True))
    assert [every[pair] for pair in zip(users, items, strict=True)] == times.tolist()
    assert POINT.fit(part).offsets[0].grouping.name == "user-day"


@pytest.mark.parametrize("config", [POINT, DRAWN])
def test_ratings_without_times_are_refused(config, ratings):
    with pytest.raises(InputError, match=r"time user-day,item-period: \w+ has no timestamps"):
        config.fit(ratings)
