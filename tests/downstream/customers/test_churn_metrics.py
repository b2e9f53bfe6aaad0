"""Metrics are those of scikit-learn, and a weight is a number of times."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from mfdask.downstream.customers.metrics import (
    by_decile,
    calibration_slope,
    churn_measure,
    value_measure,
)


def drawn(seed, n=60, steps=8):
    """Return labels, scores with ties, and weights that are whole numbers."""
    rng = np.random.default_rng(seed)
    score = rng.integers(1, steps, n) / steps
    label = (rng.random(n) < score).astype(float)
    label[:2] = 0, 1
    weight = rng.integers(0, 4, n).astype(float)
    weight[:2] = 1
    return label, score, weight


def one(measure, weight):
    """Return the metrics of one resample."""
    return measure(weight[None])[0]


@given(st.integers(0, 10_000))
def test_churn_metrics(seed):
    label, score, weight = drawn(seed)
    auc, average, _, brier = one(churn_measure(label, score), weight)
    assert auc == pytest.approx(roc_auc_score(label, score, sample_weight=weight))
    assert average == pytest.approx(average_precision_score(label, score, sample_weight=weight))
    assert brier == pytest.approx(brier_score_loss(label, score, sample_weight=weight))


@given(st.integers(0, 10_000))
def test_a_weight_is_a_number_of_times(seed):
    label, score, weight = drawn(seed)
    again = np.repeat(np.arange(len(label)), weight.astype(int))
    for measure in (churn_measure, value_measure):
        repeated = one(measure(label[again], score[again]), np.ones(len(again)))
        np.testing.assert_allclose(one(measure(label, score), weight), repeated)


def test_lift_of_the_highest_tenth():
    label = np.zeros(40)
    score = np.arange(40.0)
    label[[39, 38, 5, 4]] = 1  # two of the four highest, four of forty
    lift = one(churn_measure(label, score), np.ones(40))[2]
    assert lift == pytest.approx((2 / 4) / (4 / 40))
    tied = one(churn_measure(label, np.zeros(40)), np.ones(40))[2]
    assert tied == pytest.approx(1)


def test_one_class_has_no_metrics():
    assert np.isnan(one(churn_measure(np.ones(5), np.arange(5.0)), np.ones(5))).all()


def test_gini_and_errors():
    label = np.array([0.0, 1, 2, 10])
    perfect = one(value_measure(label, 3 * label), np.ones(4))
    assert perfect[0] == pytest.approx(1)
    assert perfect[1] == pytest.approx(np.sqrt(np.mean((2 * label) ** 2)))
    assert perfect[2:] == pytest.approx([np.mean(2 * label), 3])
    assert one(value_measure(label, -label), np.ones(4))[0] == pytest.approx(-1)
    assert one(value_measure(label, np.ones(4)), np.ones(4))[0] == pytest.approx(0)
    nothing = one(value_measure(np.zeros(4), label), np.ones(4))
    assert np.isnan(nothing).tolist() == [True, False, False, True]


@pytest.mark.parametrize("slope", [0.5, 1.0, 2.0])
def test_calibration_slope(slope):
    rng = np.random.default_rng(4)
    odds = rng.normal(size=4000)
    label = (rng.random(4000) < expit(slope * odds)).astype(float)
    found = calibration_slope(label, expit(odds))
    wanted = LogisticRegression(C=1e9).fit(odds[:, None], label).coef_[0, 0]
    assert found == pytest.approx(wanted, rel=1e-3)
    assert found == pytest.approx(slope, abs=0.2)


def test_no_calibration_slope():
    label = np.array([0.0, 0, 1, 1])
    for score in ([0.1, 0.2, 0.8, 0.9], [0.5] * 4):
        assert np.isnan(calibration_slope(label, np.array(score)))
    assert np.isnan(calibration_slope(np.ones(4), np.array([0.1, 0.2, 0.8, 0.9])))


def test_deciles():
    rng = np.random.default_rng(6)
    score = rng.random(1003)
    deciles = by_decile(2 * score, score)
    assert sum(tenth["users"] for tenth in deciles) == 1003
    said = [tenth["predicted"] for tenth in deciles]
    assert said == sorted(said, reverse=True)
    assert [tenth["actual"] for tenth in deciles] == pytest.approx([2 * one for one in said])
    assert len(by_decile(score[:3], score[:3])) == 3
