"""What is put into made-up ratings is what the latent features find."""

from __future__ import annotations

from sklearn.metrics import roc_auc_score

from mfdask.downstream.customers import StudyOptions, study_churn
from mfdask.models import ALS
from mfdask.shards import Dataset

from .lively import made_up, taken_in

CONFIG = ALS(n_factors=3, n_sweeps=8, fidelity=1.0, factor_reg=1.0, bias_reg=1.0)


def test_tastes_that_turned_have_drifted(client, tmp_path):
    data = Dataset.open(taken_in(made_up(users=200, turn_day=300), tmp_path / "r", client))
    # Recent ratings, of the last 180 days, are those from day 305 on.
    choices = StudyOptions("2021-04-30", 60, 0)
    table = study_churn(data, CONFIG.fit(data), choices, tmp_path).table.dropna(subset="drift")
    enough = table[(table["tenure_days"] > 250) & (table["ratings"] > 45)]
    turned = enough["user_id"] % 2 == 1
    assert min(turned.sum(), (~turned).sum()) > 15
    assert roc_auc_score(turned, enough["drift"]) > 0.9


def test_a_taste_that_drives_away_is_a_gain(client, tmp_path):
    ratings = made_up(users=500, seed=5, taste_drives_away=2.0)
    data = Dataset.open(taken_in(ratings, tmp_path / "r", client))
    study = study_churn(data, CONFIG.fit(data), StudyOptions("2021-07-01", 90, 4), tmp_path)
    metrics = study.evaluation.set_index(["model", "features", "metric"]).sort_index()
    for model in ("logistic", "boosting"):
        assert metrics.loc[(model, "gain over rfm", "roc_auc")]["low"] > 0
