"""Lifetime value: active days or amounts, told from what was known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mfdask.downstream.customers import Spend, StudyOptions, study_ltv
from mfdask.downstream.customers.bgnbd import BGNBD, Rhythm
from mfdask.downstream.customers.origins import parse_date
from mfdask.errors import InputError

from .lively import DAY

CUTOFF = "2021-03-01"
CHOICES = StudyOptions(CUTOFF, 60, 3)


@pytest.fixture(scope="module")
def study(data, model, tmp_path_factory):
    return study_ltv(data, model, CHOICES, tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="module")
def spends(ratings):
    """Return amounts: some ratings cost something, at the user's own price."""
    paid = ratings.iloc[::2]
    amounts = 5 + paid["user_id"] % 7
    return pd.DataFrame(
        {"user_id": paid["user_id"], "timestamp": paid["timestamp"], "amount": amounts}
    )


def test_the_label_is_active_days(study, ratings):
    cutoff = parse_date(CUTOFF)
    inside = ratings[ratings["timestamp"].between(cutoff, cutoff + 60 * DAY, inclusive="left")]
    days = (inside["timestamp"] // DAY).groupby(inside["user_id"]).nunique()
    assert study.table["label"].tolist() == [days.get(u, 0) for u in study.table["user_id"]]
    assert (study.table["expected_value"] >= 0).all()
    assert study.slopes == {}


def test_the_baseline_is_bgnbd_on_everybody(study, ratings):
    cutoff = parse_date(CUTOFF)
    known = ratings[ratings["timestamp"] < cutoff].groupby("user_id")["timestamp"]
    returns = known.apply(lambda times: (times // DAY).nunique() - 1).to_numpy(float)
    first, last = known.min().to_numpy(), known.max().to_numpy()
    week = 7 * DAY
    recency = np.where(returns > 0, (last - first) / week, 0)
    rhythm = Rhythm(returns, recency, (cutoff - first) / week)
    fitted = BGNBD.fit(rhythm, modified=study.rhythm["model"] == "MBG/NBD")
    expected = pd.Series(fitted.expected(rhythm, 60 / 7), index=known.min().index)
    own = expected[study.table["user_id"]].to_numpy()
    np.testing.assert_allclose(study.table["expected_days"], own, rtol=1e-2, atol=1e-3)


def test_returning_is_foretold(study):
    metrics = study.evaluation.set_index(["model", "features", "metric"]).sort_index()
    for model, features in (("BG/NBD", "dates"), ("boosting", "rfm")):
        gini = metrics.loc[(model, features, "gini")]
        assert gini["low"] > 0.1
    assert ("BG/NBD", "gain over rfm", "gini") not in metrics.index
    deciles = study.deciles()
    assert deciles[0]["actual"] > 2 * deciles[-1]["actual"]


def test_spend_in_place_of_days(data, model, spends, tmp_path):
    spends.to_parquet(tmp_path / "spend.parquet", index=False)
    spend = Spend.read(f"{tmp_path / 'spend.parquet'}:amount")
    found = study_ltv(data, model, CHOICES, tmp_path, spend=spend).table.set_index("user_id")
    cutoff = parse_date(CUTOFF)

    def sums(start, stop):
        inside = spends[spends["timestamp"].between(start, stop, inclusive="left")]
        total = inside.groupby("user_id")["amount"].sum()
        return total.reindex(found.index, fill_value=0).astype(float).tolist()

    assert found["label"].tolist() == sums(cutoff, cutoff + 60 * DAY)
    assert (found["expected_value"] >= found["expected_value_low"]).all()
    assert (found["expected_value"] <= found["expected_value_high"]).all()
    own = spends[spends["timestamp"] < cutoff]
    days = own.groupby("user_id")["timestamp"].apply(lambda times: (times // DAY).nunique())
    mean = own.groupby("user_id")["amount"].sum() / days
    # Means are drawn towards that of all, the less the more there is of a user.
    shrunk = found["mean_spend"][mean.index]
    assert ((shrunk - mean.mean()).abs() <= (mean - mean.mean()).abs() * 1.1 + 0.5).all()
    assert (found.loc[found.index.difference(mean.index), "basis"] == "none").all()


def test_a_horizon_that_spend_does_not_reach(data, model, spends, tmp_path):
    early = spends[spends["timestamp"] < parse_date("2021-04-01")]
    found = study_ltv(data, model, CHOICES, tmp_path, spend=Spend(early))
    assert found.table["label"].isna().all()
    assert [line["label"] is None for line in found.cohorts] == [False, False, False, True]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_reading_amounts(ending, tmp_path):
    table = pd.DataFrame(
        {
            "user_id": [1, 2, 1],
            "timestamp": ["2021-03-01", "2021-03-02T12:00:00", "2021-03-03 00:00:00+02:00"],
            "price": [1.5, 0, 2],
        }
    )
    path = tmp_path / f"t.{ending}"
    table.to_csv(path, index=False) if ending == "csv" else table.to_parquet(path)
    spend = Spend.read(f"{path}:price")
    first, last = parse_date("2021-03-01"), parse_date("2021-03-03") - 7200
    assert spend.span == (first, last)
    assert spend.between(first, last, [1, 2, 3]).tolist() == [1.5, 0, 0]
    assert spend.between(first, last + 1, [3, 1]).tolist() == [0, 3.5]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("1,10,-2", "row 2: amount is -2, one of 1 .*take a refund off its purchase"),
        ("1,10,", "row 2: amount is nan"),
        ("1,10,inf", "row 2: amount is inf"),
        ("1,10,much", "row 2: amount is much"),
        ("1,,3", "row 2: timestamp is nan"),
        (",10,3", "row 2: user_id is nan"),
    ],
)
def test_bad_amounts(lines, words, tmp_path):
    (tmp_path / "s.csv").write_text(f"user_id,timestamp,amount\n1,5,2\n{lines}\n")
    with pytest.raises(InputError, match=words):
        Spend.read(f"{tmp_path / 's.csv'}:amount")


def test_two_currencies(tmp_path):
    lines = "user_id,timestamp,amount,currency\n1,5,2,EUR\n1,6,2,USD\n"
    (tmp_path / "s.csv").write_text(lines)
    with pytest.raises(InputError, match=r"several currencies \(EUR, USD\); convert them"):
        Spend.read(f"{tmp_path / 's.csv'}:amount")


def test_bad_tables(tmp_path, data, model):
    (tmp_path / "s.csv").write_text("user_id,timestamp,amount\n")
    (tmp_path / "t.csv").write_text("user_id,timestamp,amount\nnobody,never,1\n")
    (tmp_path / "u.csv").write_text("user_id,timestamp,amount\nnobody,2021-01-01,1\n")
    (tmp_path / "v.parquet").write_text("no parquet")
    for option, words in (
        ("s.csv:amount", "holds no line"),
        ("s.csv:price", "no column price, but user_id, timestamp, amount"),
        ("s.csv", "FILE:COLUMN"),
        ("none.csv:x", "no such file"),
        ("t.csv:amount", "timestamp is never"),
        ("v.parquet:x", "cannot be read"),
    ):
        with pytest.raises(InputError, match=words):
            Spend.read(f"{tmp_path}/{option}")
    with pytest.raises(InputError, match="such as 'nobody', has ratings; their ids are written as"):
        study_ltv(data, model, CHOICES, tmp_path, spend=Spend.read(f"{tmp_path}/u.csv:amount"))


def test_nothing_is_spent(data, model, spends, tmp_path):
    spend = Spend(spends.assign(amount=0.0))
    with pytest.raises(InputError, match="are 0: there is nothing to tell apart"):
        study_ltv(data, model, replace(CHOICES, origins=1), tmp_path, spend=spend)
