"""`mfdask ltv` as a user meets it."""

import pandas as pd
import pytest

from tests.downstream.customers.lively import made_up


def test_active_days(result_of, lively, tmp_path):
    said = result_of(
        "ltv", *lively, "--horizon", 60, "--origins", 2, "--out", "l.parquet"
    )  # fmt: skip
    table = pd.read_parquet(tmp_path / "l.parquet")
    assert len(table) == said["users"]
    assert {line["metric"] for line in said["metrics"]} == {"gini", "rmse", "mae", "ratio"}
    assert said["calibration_slopes"] == {}
    assert {line["model"] for line in said["metrics"]} == {"BG/NBD", "MBG/NBD", "boosting"}


def test_spend(result_of, lively, tmp_path):
    ratings = made_up()
    paid = ratings.assign(price=2.5)[["user_id", "timestamp", "price"]]
    paid.to_csv(tmp_path / "paid.csv", index=False)
    said = result_of(
        "ltv", *lively, "--horizon", 60, "--origins", 2, "--spend", "paid.csv:price",
        "--cutoff", "2021-03-01", "--out", "l.parquet",
    )  # fmt: skip
    table = pd.read_parquet(tmp_path / "l.parquet")
    assert said["others"]["model"] in ("BG/NBD", "MBG/NBD")
    assert (table["label"] % 2.5 == 0).all()
    assert table["label"].max() > 0


@pytest.mark.parametrize(
    ("lines", "option", "words"),
    [
        ("1,5,-1", "s.csv:amount", "row 1: amount is -1"),
        ("1,5,", "s.csv:amount", "row 1: amount is nan"),
        ("1,5,1", "s.csv:cost", "no column cost"),
        ("1,5,1", "amount", "FILE:COLUMN"),
        ("x,5,1", "s.csv:amount", "such as 'x', has ratings; their ids are written as 1"),
        ("990001,5,1", "s.csv:amount", "such as 990001, has ratings; their ids are written as 1"),
    ],
)
def test_bad_spend(lines, option, words, mfdask, lively, tmp_path):
    (tmp_path / "s.csv").write_text(f"user_id,timestamp,amount\n{lines}\n")
    done = mfdask("ltv", *lively, "--spend", option)
    assert done.exit_code == 2, done.output
    assert words in done.stderr


def test_the_ending_is_a_form(mfdask, lively, tmp_path):
    done = mfdask("ltv", *lively, "--out", "v.foo")
    assert done.exit_code == 2, done.output
    assert "v.foo: its ending says the form; choose .parquet, .csv, .xlsx" in done.stderr
    assert not (tmp_path / "v.foo").exists()
