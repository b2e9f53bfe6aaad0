"""The churn table: nothing leaks, nothing is found where there is nothing to find."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfdask.downstream.customers import StudyOptions, study_churn
from mfdask.downstream.customers.churn import KIND, churn_candidates
from mfdask.downstream.customers.columns import description
from mfdask.downstream.customers.future import future_days
from mfdask.downstream.customers.origins import Origins, Span, parse_date, timestamp
from mfdask.downstream.customers.past import histories_as_of, write_past
from mfdask.downstream.customers.rfm import RFM
from mfdask.downstream.customers.rolling import evaluate_candidates, forecasts
from mfdask.downstream.customers.tables import feature_tables
from mfdask.downstream.events import warn_of_lost_repeats
from mfdask.errors import InputError
from mfdask.execution import LocalExecutor
from mfdask.ingestion.build import ingest
from mfdask.models import ALS
from mfdask.ratings.formats import open_source
from mfdask.shards import Dataset
from tests.naive import values_of_pairs
from tests.shards.oracle import ratings_of, same_ratings

from .lively import DAY, LENGTH, START, taken_in

CUTOFF = "2021-03-01"
CHOICES = StudyOptions(CUTOFF, 60, 3)


@pytest.fixture(scope="module")
def study(data, model, tmp_path_factory):
    return study_churn(data, model, CHOICES, tmp_path_factory.mktemp("scratch"))


def test_columns_and_label(study, ratings):
    table = study.table
    assert table.columns[:3].tolist() == ["user_id", "event_timestamp", "created_timestamp"]
    assert table.columns[-4:].tolist() == [
        "log_neighbour_distance", "scored_by", "model_version", "label",
    ]  # fmt: skip
    assert all(description(name) for name in table)
    cutoff = parse_date(CUTOFF)
    assert (table["event_timestamp"] == timestamp(cutoff)).all()
    assert (table["created_timestamp"] == timestamp(ratings["timestamp"].max())).all()
    inside = ratings["timestamp"].between(cutoff, cutoff + 60 * DAY, inclusive="left")
    seen = ratings["user_id"][inside].unique()
    assert table["label"].tolist() == (~table["user_id"].isin(seen)).astype(int).tolist()
    assert table["p_churn"].between(0, 1).all()
    cohort = table[table["basis"] == "features"]
    assert cohort.drop(columns="label").notna().all(axis=None)
    assert table[["p_churn_low", "p_churn_high", "risk", "reason", *RFM]].notna().all(axis=None)


def test_active_days_to_come(data, ratings):
    origins = CHOICES.cutoffs(Span.of(data))
    found = future_days(data, origins)
    for cutoff in origins.all:
        inside = ratings[ratings["timestamp"].between(cutoff, cutoff + 60 * DAY, inclusive="left")]
        days = (inside["timestamp"] // DAY).groupby(inside["user_id"]).nunique()
        assert found[cutoff].sort_index().tolist() == [
            days.get(user, 0) for user in sorted(ratings["user_id"].unique())
        ]


def test_later_ratings_change_nothing(study, data, ratings, model, client, tmp_path):
    """Half of the future is cut off, so that users, items, counts and the order of rows differ."""
    cutoff = parse_date(CUTOFF)
    early = ratings[ratings["timestamp"] < cutoff + 30 * DAY]
    fewer = Dataset.open(taken_in(early, tmp_path / "r", client, blocks=3))
    assert fewer.users()["user_id"].tolist() != data.users()["user_id"].tolist()
    config = ALS(n_factors=3, n_sweeps=4)
    earlier = study_churn(fewer, config.fit(fewer), CHOICES, tmp_path, client=client)
    assert earlier.table["label"].isna().all()
    same = earlier.table.columns.drop(["created_timestamp", "label"])
    pd.testing.assert_frame_equal(earlier.table[same], study.table[same], check_exact=True)


def repeating(ratings):
    """Return ratings of which pairs come again, and others of the same past.

    The future of the others is shuffled, and longer by events of the pairs of the past.
    """
    cutoff = parse_date(CUTOFF)
    several = ratings.assign(item_id=ratings["item_id"] % 30)
    is_past = several["timestamp"] < cutoff
    past, future = several[is_past], several[~is_past]
    draw = np.random.default_rng(0)
    columns = {name: draw.permutation(future[name]) for name in ("item_id", "rating")}
    more = past.assign(timestamp=past["timestamp"] + 400 * DAY, rating=0.5)
    later = more[more["timestamp"] >= cutoff]
    return several, pd.concat([later, future.assign(**columns), past])


@pytest.mark.parametrize("repeats", ["latest", "sum", "count"])
def test_a_past_is_the_same_whatever_comes_again(repeats, ratings, client, tmp_path):
    pasts, run = [], LocalExecutor()
    for k, frame in enumerate(repeating(ratings)):
        folder = taken_in(frame, tmp_path / f"r{k}", client, blocks=2 + k, repeats=repeats)
        data = Dataset.open(folder)
        (known,) = histories_as_of(data, (parse_date(CUTOFF),), run)
        pasts.append(write_past(data, known, tmp_path / f"p{k}", run))
    assert pasts[0].manifest.files == pasts[1].manifest.files  # to the bit
    assert any(name.startswith("repeats/") for name in pasts[0].manifest.files)
    several = repeating(ratings)[0].query("timestamp < @parse_date(@CUTOFF)")
    same_ratings(ratings_of(pasts[0], "train"), values_of_pairs(several, repeats))


def test_a_future_of_repeats_changes_nothing(ratings, client, tmp_path):
    studies = []
    for k, frame in enumerate(repeating(ratings)):
        data = Dataset.open(taken_in(frame, tmp_path / f"r{k}", client))
        assert data.manifest.counts.repeat_events > 0
        model = ALS(n_factors=3, n_sweeps=2).fit(data)
        studies.append(study_churn(data, model, CHOICES, tmp_path, client=client))
    one, two = (study.table for study in studies)
    same = one.columns.drop(["created_timestamp", "label"])
    pd.testing.assert_frame_equal(one[same], two[same], check_exact=True)
    assert one["basis"].nunique() == 2
    cutoff = parse_date(CUTOFF)
    times = ratings[ratings["timestamp"] < cutoff].groupby("user_id")["timestamp"]
    assert one["ratings"].tolist() == times.size()[one["user_id"]].tolist()
    since = (cutoff - times.max()) / DAY
    assert one["recency_days"].tolist() == pytest.approx(since[one["user_id"]].tolist())


def test_a_data_set_of_before_has_lost_its_repeats(ratings, client, tmp_path, caplog):
    folder = taken_in(ratings.assign(item_id=ratings["item_id"] % 30), tmp_path / "r", client)
    data = Dataset.open(folder)
    counts = replace(data.manifest.counts, repeat_events=None)
    data.manifest = replace(data.manifest, counts=counts)
    with caplog.at_level(logging.WARNING, "mfdask"):
        warn_of_lost_repeats(data, "churn")
    share = 100 * counts.duplicates / len(ratings)
    assert f"({share:.1f} %) have been replaced by later ones" in caplog.text


def test_a_fold_in_that_has_seen_nothing(ratings, client, tmp_path):
    folder = taken_in(ratings, tmp_path / "r", client, split="time:0.6")
    data = Dataset.open(folder)
    model = ALS(n_factors=3, n_sweeps=4).fit(data)
    choices = replace(CHOICES, as_of="fold-in", origins=1)
    seen = Span.of(data, ("train",)).last
    assert seen < choices.cutoffs(Span.of(data)).all[0]
    found = study_churn(data, model, choices, tmp_path)
    assert found.table["model_version"].str.startswith("als-fold-in-").all()
    with pytest.raises(InputError, match=r"up to 2020-1.*seen the future; use refit"):
        study_churn(data, model, replace(choices, cutoff="2020-10-01"), tmp_path)


def test_users_with_means_of_their_own_are_refused(data, tmp_path):
    model = ALS(n_factors=2, n_sweeps=1, user_prior="rated").fit(data)
    with pytest.raises(InputError, match="train a model with user_prior zero"):
        study_churn(data, model, CHOICES, tmp_path)


def test_shuffled_labels_are_not_foretold(data, model, tmp_path):
    origins = CHOICES.cutoffs(Span.of(data))
    tables = feature_tables(data, model, origins, "refit", tmp_path)
    candidates = churn_candidates(tables[0].latent_columns)
    rng = np.random.default_rng(2)
    labelled = {
        each.cutoff: each.cohort.assign(label=rng.permutation(np.arange(len(each.cohort)) % 3 == 0))
        for each in tables
    }
    found = forecasts(labelled, origins, candidates, 20)
    metrics = evaluate_candidates(found, candidates, KIND.measure, KIND.metrics).set_index(
        ["model", "features", "metric"]
    )
    for candidate in candidates:
        auc = metrics.loc[(candidate.model, candidate.features, "roc_auc")]
        assert auc["low"] < 0.5 < auc["high"]
        assert abs(auc["value"] - 0.5) < 0.15


def test_dates_foretell_who_leaves(study):
    metrics = study.evaluation.set_index(["model", "features", "metric"]).sort_index()
    auc = metrics.loc[("logistic", "rfm", "roc_auc")]
    assert auc["low"] > 0.5
    gains = metrics.loc[("logistic", "gain over rfm")]
    plain, full = metrics.loc[("logistic", "rfm")], metrics.loc[("logistic", "rfm + latent")]
    pd.testing.assert_series_equal(gains["value"], full["value"] - plain["value"])
    assert (gains["low"] <= gains["value"]).all()
    assert (gains["value"] <= gains["high"]).all()
    assert set(study.slopes) == set(study.forecasts[0].scores)


def test_only_the_past_is_learned_from(study):
    cutoffs = [each.cutoff for each in study.forecasts]
    sizes = [line["users"] for line in study.cohorts]
    assert len(cutoffs) == 3  # the first has nothing before it
    assert [each.trained_on for each in study.forecasts] == np.cumsum(sizes)[:3].tolist()


@given(
    horizon=st.integers(1, 400),
    step=st.integers(1, 400),
    n=st.integers(0, 12),
    day=st.integers(1, LENGTH),
)
def test_labels_end_before_tests_begin(horizon, step, n, day):
    span = Span(START + 5000, START + LENGTH * DAY + 5000)
    cutoff = pd.Timestamp(START + day * DAY, unit="s").date().isoformat()
    origins = Origins.choose(span, cutoff, horizon, n, step)
    assert origins.all[-1] == START + day * DAY
    assert all(cutoff % DAY == 0 and cutoff > span.first for cutoff in origins.all)
    assert np.all(np.diff(origins.all) == step * DAY)
    for test in origins.all:
        assert all(train + horizon * DAY <= test for train in origins.before(test))
    assert len(origins.earlier) == min(n, (day - 1) // step)


def test_latest_is_a_whole_day(data, ratings):
    origins = StudyOptions().cutoffs(Span.of(data))
    assert origins.cutoff == ratings["timestamp"].max() // DAY * DAY
    assert origins.passed(origins.earlier[-1])
    assert not origins.passed(origins.cutoff)


def test_features_alone(data, model, tmp_path):
    found = study_churn(data, model, replace(CHOICES, origins=0), tmp_path)
    assert found.evaluation is None
    assert found.table["scored_by"].unique().tolist() == [found.rhythm["model"]]
    assert found.table["p_churn"].between(0, 1).all()
    assert found.table["label"].notna().all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cutoff": "2019-12-31"}, "cutoff 2019-12-31: outside the data, which go from 2020-"),
        ({"cutoff": "2031-01-01"}, "outside the data"),
        ({"cutoff": "1st of May"}, "YYYY-MM-DD"),
        ({"horizon_days": 0}, "horizon_days must be a whole number from 1 up, not 0"),
        ({"origins": -1}, "origins must be a whole number from 0 up, not -1"),
        ({"step_days": 0}, "step_days must be a whole number from 1 up, not 0"),
        ({"min_cohort": 5000}, "of 1.. users .* fewer than 5000"),
        ({"cutoff": "2020-02-01", "origins": 1}, "fewer than 20; choose another cutoff"),
        ({"horizon_days": 400, "origins": 1}, "hold 4 users, fewer than 20"),
        ({"cutoff": "latest", "origins": 1}, "no cut-off has both"),
        ({"as_of": "fold-in"}, "it has seen the future"),
    ],
)
def test_bad_input(changes, words, data, model, tmp_path):
    with pytest.raises(InputError, match=words):
        study_churn(data, model, replace(CHOICES, **changes), tmp_path)


@pytest.mark.parametrize("changes", [{"as_of": "now"}, {"min_cohort": 1}])
def test_bad_choices(changes):
    with pytest.raises(InputError, match=next(iter(changes.values())).__str__()):
        StudyOptions(**changes)


def test_everybody_has_left(ratings, client, tmp_path):
    early = ratings[ratings["timestamp"] < parse_date("2021-01-01")]
    last = pd.DataFrame([(999, 1, 3.0, parse_date("2021-12-01"))], columns=early.columns)
    data = Dataset.open(taken_in(pd.concat([early, last]), tmp_path / "r", client))
    model = ALS(n_factors=2, n_sweeps=1).fit(data)
    with pytest.raises(InputError, match=r"all .* labels .* are 1: .* other horizon_days than 30"):
        study_churn(data, model, StudyOptions("2021-02-01", 30, 1), tmp_path)


def test_models_that_cannot_serve(data, tmp_path):
    sparse = pytest.importorskip("scipy.sparse")
    other = ALS(n_factors=2, n_sweeps=1).fit(sparse.csr_array(np.diag([1.0, 2, 3])))
    with pytest.raises(InputError, match="learned from"):
        study_churn(data, other, CHOICES, tmp_path)
    bias = ALS(n_factors=0, n_sweeps=1).fit(data)
    with pytest.raises(InputError, match="kind bias"):
        study_churn(data, bias, CHOICES, tmp_path)


def test_ratings_without_times(tmp_path):
    sparse = pytest.importorskip("scipy.sparse")
    data = Dataset.from_csr(sparse.csr_array(np.diag([1.0, 2, 3])))
    with pytest.raises(InputError, match="no timestamps, which `mfdask churn`"):
        study_churn(data, ALS(n_factors=1, n_sweeps=1).fit(data), CHOICES, tmp_path)


@pytest.mark.movielens
def test_real_ratings(movielens_zip, client, tmp_path):
    ingest(open_source(str(movielens_zip)), tmp_path / "d", client=client)
    data = Dataset.open(tmp_path / "d")
    model = ALS(n_factors=5, n_sweeps=3).fit(data)
    found = study_churn(data, model, StudyOptions(origins=3), tmp_path)
    # Hardly anybody there comes back on three days: what this says is that it can say little.
    assert [line["users"] for line in found.cohorts] == [20, 23, 25, 22]
    metrics = found.evaluation.set_index(["model", "features", "metric"]).sort_index()
    auc = metrics.loc[("logistic", "rfm", "roc_auc")]
    assert auc["high"] - auc["low"] > 0.2
