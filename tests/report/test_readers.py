"""Reports by reader: the verdict and its numbers against what pandas makes of the same tables."""

import numpy as np
import pandas as pd
import pytest

from mfdask.errors import InputError
from mfdask.evaluation.accuracy import evaluate
from mfdask.figures.figure import Figure, Section
from mfdask.nightly import journal
from mfdask.nightly.paths import NightlyPaths
from mfdask.report.inputs import Inputs
from mfdask.report.page import page
from mfdask.report.readers.crm import customers_table
from mfdask.report.readers.sections import READERS, sections_for
from mfdask.report.report import figures_of


def numbers_of(section: Section) -> pd.DataFrame:
    """Return the numbers of a summary by what they are."""
    assert section.name == "summary"
    (part,) = section.parts
    assert isinstance(part, Figure)
    return part.table().set_index("what")


@pytest.fixture
def customers(tmp_path):
    """Return tables of churn and ltv, of some users each, with a test of what scored them."""
    users = np.arange(1, 41)
    chance = np.linspace(0.99, 0.01, 40)
    churn = pd.DataFrame({"user_id": users, "p_churn": chance, "scored_by": "logistic, rfm"})
    churn["risk"] = np.select([chance >= 2 / 3, chance >= 1 / 3], ["high", "medium"], "low")
    churn["reason"] = "<b>why</b>"
    churn.to_parquet(tmp_path / "churn.parquet")
    tested = pd.DataFrame({"model": ["logistic", "boosting"], "features": "rfm"})
    tested = tested.assign(metric="roc_auc", value=[0.7, 0.9], low=0.6, high=0.8)
    tested.to_parquet(tmp_path / "churn.evaluation.parquet")
    value = np.where(users == 30, 100.0, 1.0)
    ltv = pd.DataFrame({"user_id": users[::-1], "expected_value": value[::-1], "segment": "low"})
    ltv.to_parquet(tmp_path / "ltv.parquet")
    return tmp_path / "churn.parquet", tmp_path / "ltv.parquet"


def test_whom_to_call(customers):
    table = customers_table(*customers)
    assert (
        table["user_id"].iloc[0] == 30
    )  # of whom most is to come, though others are likelier gone
    churn, ltv = (pd.read_parquet(file).set_index("user_id") for file in customers)
    stake = churn["p_churn"] * ltv["expected_value"].reindex(churn.index)
    np.testing.assert_allclose(table["at_stake"], stake.sort_values(ascending=False))
    assert customers_table(customers[0], None)["user_id"].tolist() == churn.index.tolist()
    assert customers_table(None, customers[1])["user_id"].iloc[0] == 30


def test_crm(customers):
    sections = list(sections_for("crm", None, Inputs(churn=customers[0], ltv=customers[1])))
    numbers = numbers_of(sections[0])["value"]
    churn = pd.read_parquet(customers[0])
    assert numbers["users at high risk"] == (churn["risk"] == "high").sum()
    assert numbers["ROC AUC of churn"] == 0.7  # of what scored the table, not the best one
    assert numbers["value expected of all"] == 139
    assert "0.700 (0.600 to 0.800)" in sections[0].intro
    bands = next(part for part in sections[1].parts if part.name == "bands").table()
    assert bands["users"].sum() == 40
    names = [part.name for part in figures_of(sections)]
    assert {"bands", "call-list", "churn-metrics"} <= set(names)
    assert len(set(names)) == len(names)
    text = page("t", [], sections)
    assert "<b>why" not in text


def test_fraud(data, tmp_path):
    ids = data.items()["item_id"]
    attacks = pd.DataFrame(
        {
            "entity": ["item", "user", "user"],
            "item_id": [ids[3], ids[3], ids[3]],
            "user_id": pd.array([None, 7, 9], dtype="Int64"),
            "title": "<i>T</i>",
            "window_start": pd.Timestamp("2020-01-01", tz="UTC"),
            "window_end": pd.Timestamp("2020-01-02", tz="UTC"),
            "prediction": 4.5,
            "prediction_cleaned": 3.25,
        }
    )
    attacks.to_parquet(tmp_path / "suspected_attacks.parquet")
    groups = pd.DataFrame({"group": [1, 2], "n_members": [2, 5], "n_targets": [1, 1]})
    groups.to_parquet(tmp_path / "attack_groups.parquet")
    sections = list(sections_for("fraud", data, Inputs(anomalies=tmp_path)))
    found = numbers_of(sections[0])["found"]
    assert found["attacked items"] == 1
    assert found["suspected accounts"] == 2
    assert found["accounts in the largest group"] == 5
    assert found["shared accounts"] == 0
    assert "2 accounts in 2 groups, on 1 item" in sections[0].intro
    assert "4.50 stars, and 3.25 without the suspects" in sections[0].intro
    assert "attack-groups" in [part.name for part in sections[1].parts]
    assert "<i>T" not in page("t", [], sections)


def test_model(data, models):
    sections = list(sections_for("model", data, Inputs(models=models)))
    table = numbers_of(sections[0])
    rmse = {name: float(evaluate(model, data).raw.rmse()[0]) for name, model in models.items()}
    for name, own in rmse.items():
        assert table.loc["test RMSE (stars)", name] == pytest.approx(own)
    errors = [data.shard("users", k, "test").ratings - data.mean for k in range(2)]
    mean = np.sqrt(np.square(np.concatenate(errors).astype(np.float64)).mean())
    assert table.loc["test RMSE (stars)", "the mean alone"] == pytest.approx(mean)
    assert sections[0].intro.startswith(f"{min(rmse, key=rmse.get)} predicts")
    assert [section.name for section in sections[:2]] == ["summary", "training"]


def test_data(data):
    summary, section = sections_for("data", data, Inputs())
    value = numbers_of(summary)["value"]
    users, items = data.users(), data.items()
    n_users, n_items = (table["n_train"] + table["n_test"] for table in (users, items))
    assert value["ratings"] == n_users.sum()
    assert value["items without"] == (n_items == 0).sum()
    assert value["users with fewer than 5 ratings"] == ((n_users > 0) & (n_users < 5)).sum()
    assert section.name == "data"


def test_night(tmp_path):
    home = NightlyPaths(tmp_path)
    (summary,) = sections_for("night", None, Inputs(home=home))
    assert "no night yet" in summary.intro
    line = {
        "run": 1, "status": "refused", "reason": "RMSE <1>", "version": "000001", "bad": {},
        "ended": "2026-01-02T03:04:05+00:00", "seconds": {"train": 2.0, "gate": 1.5},
        "memory_bytes": {"train": 3 << 20}, "files": [], "intake": {"read": 7},
        "scores": [{"slice": "held out", "candidate": 0.9, "published": 0.8, "metric": "RMSE"}],
    }  # fmt: skip
    journal.append(home.journal, line)
    sections = list(sections_for("night", None, Inputs(home=home)))
    value = numbers_of(sections[0])["value"]
    assert value["seconds of the last night"] == 3.5
    assert value["peak memory of the last night (MiB)"] == 3
    assert value["  refused"] == 1
    assert "refused, because RMSE <1>." in sections[0].intro
    assert "RMSE on held-out ratings is 0.9000, before 0.8000." in sections[0].intro
    assert "RMSE <1>" not in page("t", [], sections)


@pytest.mark.parametrize("reader", READERS)
def test_what_is_missing_is_named(reader):
    with pytest.raises(InputError, match=f"a report for {reader} needs"):
        list(sections_for(reader, None, Inputs()))
