"""`mfdask churn` as a user meets it."""

import pandas as pd
import pytest

SHORT = ("--horizon", 60, "--origins", 3)


def test_a_table_for_today(result_of, lively, tmp_path):
    said = result_of("churn", *lively, *SHORT)
    assert said["out"] == "output/churn/ratings.parquet"
    table = pd.read_parquet(tmp_path / said["out"])
    assert len(table) == said["users"] > said["cohort"] == (table["basis"] == "features").sum()
    assert table["label"].isna().all()
    assert set(table["scored_by"]) == {said["scored_by"], said["others"]["model"]}
    cohort = {"cutoff": said["cutoff"], "users": said["cohort"], "label": None}
    assert said["cohorts"][-1] == cohort
    assert set(said["calibration"]) == {"intercept", "slope"}
    evaluation = pd.read_parquet(tmp_path / said["evaluation"])
    assert evaluation.to_dict("records") == said["metrics"]
    assert set(said["calibration_slopes"]) == {
        f"{model}, {features}"
        for model in ("logistic", "boosting")
        for features in ("rfm", "rfm + latent")
    }
    assert sum(line["users"] for line in said["deciles"]) == sum(
        line["users"] for line in said["cohorts"][1:-1]
    )
    names = {path.name for path in (tmp_path / "output/churn").iterdir()}
    beside = {f"ratings.{what}.parquet" for what in ("evaluation", "deciles", "survival")}
    assert names == {"ratings.parquet", *beside}
    deciles = pd.read_parquet(tmp_path / "output/churn/ratings.deciles.parquet")
    assert deciles.to_dict("records") == said["deciles"]


def test_what_is_shown(mfdask, lively):
    arguments = ("--cutoff", "2021-03-01", "--origins", 1, "--out", "c.parquet")
    shown = mfdask("churn", *lively, *SHORT, *arguments)
    assert shown.exit_code == 0, shown.stderr
    words = " ".join(shown.stdout.split())
    for word in (
        "2021-03-01, 60 days ahead",
        "ROC AUC",
        "gain over rfm",
        "by deciles",
        "c.parquet",
    ):
        assert word in words


def test_features_alone(result_of, lively, tmp_path):
    arguments = ("--origins", 0, "--cutoff", "2021-03-01", "--out", "f.parquet")
    said = result_of("churn", *lively, *arguments)
    assert said["evaluation"] is None
    assert said["metrics"] == said["deciles"] == []
    assert (pd.read_parquet(tmp_path / "f.parquet")["basis"] == "rhythm").all()


def test_a_table_for_a_spreadsheet(result_of, mfdask, lively, tmp_path):
    arguments = ("--origins", 0, "--cutoff", "2021-03-01")
    said = result_of("churn", *lively, *arguments, "--format", "csv")
    assert said["out"] == "output/churn/ratings.csv"
    assert len(pd.read_csv(tmp_path / said["out"])) == said["users"]
    result_of("churn", *lively, *arguments, "--out", "c.xlsx")
    assert (tmp_path / "c.xlsx").read_bytes().startswith(b"PK")
    done = mfdask("churn", *lively, *arguments, "--out", "c.xlsx", "--format", "csv")
    assert done.exit_code == 2
    assert "its ending is not that of --format csv" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--cutoff", "tomorrow"), "--cutoff tomorrow: write the date as YYYY-MM-DD"),
        (("--cutoff", "1990-01-01"), "outside the data"),
        (("--horizon", "0"), "--horizon must be a whole number from 1 up, not 0"),
        (("--min-cohort", "1"), "--min-cohort must be a whole number from 2 up, not 1"),
        (("--factors-as-of", "fold-in"), "seen the future"),
        (("--out", "."), "is a folder"),
    ],
)
def test_bad_input(options, words, mfdask, lively, tmp_path):
    done = mfdask("churn", *lively, "--origins", 1, *options)
    assert done.exit_code == 2, done.output
    assert words in done.stderr
    assert not done.stdout
    assert not list(tmp_path.rglob("*.parquet"))


def test_no_room_on_the_disk(mfdask, lively, monkeypatch):
    monkeypatch.setattr("mfdask.files.free_bytes", lambda path: 1000)
    done = mfdask("churn", *lively, *SHORT)
    assert done.exit_code == 3
    assert "what was known at a cut-off needs" in done.stderr
