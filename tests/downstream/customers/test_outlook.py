"""The purchase models against their definitions, and what they say of everybody."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mfdask.downstream.customers import StudyOptions, study_churn, study_ltv, with_suggestions
from mfdask.downstream.customers.bgnbd import BGNBD, Rhythm
from mfdask.downstream.customers.everyone import shifted
from mfdask.downstream.customers.gamma_gamma import Amounts, GammaGamma
from mfdask.downstream.customers.metrics import Recalibration, calibrate
from mfdask.downstream.customers.outlook import Purchases
from mfdask.downstream.customers.reasons import contributions, in_words
from mfdask.downstream.customers.result import risks, segments
from mfdask.models.popularity import Popularity
from tests.downstream.customers.test_ltv_bgnbd import simulate

MODELS = [BGNBD(0.6, 9.0, 0.5, 1.0, modified) for modified in (False, True)]
RHYTHM = Rhythm(*np.array([[0, 0, 5, 12], [0, 0, 20, 30], [4, 30, 39, 31.0]]))


@pytest.mark.parametrize("model", MODELS)
def test_draws_have_the_means_of_the_formulas(model):
    random = np.random.default_rng(0)
    drawn = model.draw_returns(RHYTHM, 13.0, 40_000, random)
    np.testing.assert_allclose(drawn.mean(axis=0), model.expected(RHYTHM, 13.0), rtol=0.05)
    none = model.chance_of_none(RHYTHM, 13.0)
    np.testing.assert_allclose((drawn == 0).mean(axis=0), none, atol=0.01)
    for n in (0, 1, 4):
        more = model.chance_of_more(RHYTHM, 13.0, np.full(4, float(n)))
        np.testing.assert_allclose((drawn > n).mean(axis=0), more, atol=0.01)
    for share in (0.05, 0.5, 0.95, 0.999):
        told = model.quantile(RHYTHM, 13.0, share)
        assert (model.chance_of_more(RHYTHM, 13.0, told) <= 1 - share).all()
        above = told > 0
        fewer = Rhythm(*(values[above] for values in RHYTHM))
        assert (model.chance_of_more(fewer, 13.0, told[above] - 1) > 1 - share).all()
        assert ((drawn <= told).mean(axis=0) > share - 0.01).all()
    low, high = (model.chance_of_none(RHYTHM, 13.0, q) for q in (0.95, 0.05))
    assert (low < none).all()
    assert (none < high).all()
    active = model.survival(RHYTHM, np.array([0.0, 10.0, 50.0]), 2000, random)
    assert active[0] == pytest.approx(model.still_active(RHYTHM).mean())
    assert (np.diff(active) < 0).all()


def test_who_has_never_returned_may_have_left_by_the_modified_model_alone():
    plain, modified = (model.still_active(RHYTHM) for model in MODELS)
    assert (plain[:2] == 1).all()
    assert (modified[:2] < 1).all()
    assert modified[1] < modified[0]


def test_customers_who_may_leave_at_once_are_told_from_others():
    """Simulated by either definition, the model of that definition is the likelier one."""
    for modified in (False, True):
        ages = np.random.default_rng(1).uniform(20, 60, 4000)
        rhythm, _ = simulate(MODELS[modified], ages, 0.0, 1)
        table = pd.DataFrame(
            {
                "active_days": rhythm.frequency + 1,
                "recency_days": 7 * (rhythm.age - rhythm.recency),
                "tenure_days": 7 * rhythm.age,
            }
        )
        assert Purchases(table, 90.0).likelier() is modified


def test_amounts_come_back():
    random, model = np.random.default_rng(3), GammaGamma(6.0, 4.0, 15.0)
    n = random.integers(1, 9, 20_000).astype(float)
    rates = random.gamma(model.q, 1 / model.gamma, len(n))
    amounts = Amounts(n, random.gamma(model.p * n) / rates / n)
    found = GammaGamma.fit(amounts)
    np.testing.assert_allclose(found, model, rtol=0.1)
    # The expectation is that of the customer's own mean, by groups of what was seen.
    own, told = model.p / rates, model.expected(amounts)
    for group in np.array_split(np.argsort(amounts.mean), 5):
        assert own[group].mean() == pytest.approx(told[group].mean(), rel=0.03)
    sums = model.draw_sums(Amounts(n[:3], amounts.mean[:3]), np.full((40_000, 3), 2.0), random)
    np.testing.assert_allclose(sums.mean(axis=0), 2 * told[:3], rtol=0.05)
    assert (model.draw_sums(Amounts(n[:3], amounts.mean[:3]), np.zeros((5, 3)), random) == 0).all()


def test_discounting():
    table = pd.DataFrame({"active_days": [3.0], "recency_days": 10.0, "tenure_days": 100.0})
    found = [Purchases(table, 365.25).outlook(True, rate)["discounted"].item() for rate in (0, 0.2)]
    assert found[0] == 1
    assert 1 / 1.2 < found[1] < 1


@pytest.mark.parametrize("line", [(0.0, 1.0), (0.5, 1.0), (-0.3, 0.6)])
def test_recalibration_finds_the_line(line):
    random = np.random.default_rng(4)
    score = random.uniform(0.05, 0.95, 40_000)
    truth = Recalibration(*line).apply(score)
    found = calibrate((random.random(len(score)) < truth).astype(float), score)
    assert found == pytest.approx(line, abs=0.05)
    np.testing.assert_allclose(found.apply(score), truth, atol=0.02)


def test_few_labels_move_little():
    found = calibrate(np.array([1.0, 1.0]), np.array([0.1, 0.2]))
    assert 0 < found.intercept < 1
    assert shifted(0.5, 0.2, 0.2) == pytest.approx(0.5)


def test_bands():
    assert risks(np.array([0.1, 0.34, 0.66, 0.7])).tolist() == ["low", "medium", "medium", "high"]
    assert segments(np.arange(10.0)).tolist() == ["low"] * 5 + ["middle"] * 4 + ["high"]
    assert set(segments(np.zeros(10))) == {"low"}


def test_reasons_are_the_largest_parts():
    features = pd.DataFrame(
        {"recency_days": [1.0, 5, 90], "ratings": [4.0, 4, 4], "p00": [0, 0, 1]}
    )
    added = contributions(lambda x: (x["recency_days"] - x["p00"]).to_numpy() / 100, features)
    assert added["recency_days"].tolist() == pytest.approx([-0.04, 0, 0.85])
    told = in_words(added, features, "{:+.2f}")
    assert told[0] == "last active 1 day ago (-0.04)"
    assert told[2] == "last active 90 days ago (+0.85)"  # the rest is too little to name


def test_items_are_suggested_to_those_at_risk(data, model, tmp_path):
    found = study_churn(data, model, StudyOptions("2021-03-01", 60, 0), tmp_path)
    ranking = Popularity().fit(data)
    table = with_suggestions(found, ranking, data).table
    at_risk = table["risk"] != "low"
    assert table["suggested_1"].notna().tolist() == at_risk.tolist()
    assert (table["suggested_1"] != table["suggested_2"])[at_risk].all()
    pd.testing.assert_frame_equal(table[found.table.columns], found.table)


def test_everybody_is_there(data, model, ratings, tmp_path):
    found = study_churn(data, model, StudyOptions("2021-03-01", 60, 2), tmp_path)
    cutoff = pd.Timestamp("2021-03-01").timestamp()
    known = ratings[ratings["timestamp"] < cutoff]["user_id"].unique()
    assert found.table["user_id"].tolist() == sorted(known)
    assert set(found.table["basis"]) == {"features", "rhythm"}
    ends = found.table[["p_churn_low", "p_churn", "p_churn_high"]].to_numpy()
    assert (np.diff(ends, axis=1) >= 0).all()
    others = found.table[found.table["basis"] == "rhythm"]
    assert abs(others["p_churn"].mean() - others["label"].mean()) < 0.2
    week_0 = found.survival[found.survival["week"] == 0]
    assert week_0["users"].sum() == len(found.table)


def test_features_are_made_once(data, model, tmp_path):
    choices = StudyOptions("2021-03-01", 60, 2, features=str(tmp_path / "kept"))
    first = study_churn(data, model, choices, tmp_path)
    again = study_churn(data, model, choices, tmp_path / "nowhere")  # nothing is written there
    pd.testing.assert_frame_equal(first.table, again.table, check_exact=True)
    assert study_ltv(data, model, choices, tmp_path / "nowhere").table["basis"].notna().all()
    (kept,) = (tmp_path / "kept").iterdir()
    (kept / "tables.json").write_text("{")
    study_churn(data, model, choices, tmp_path)
    study_churn(data, model, replace(choices, origins=1), tmp_path)
    (other,) = (tmp_path / "kept").iterdir()
    assert other != kept
