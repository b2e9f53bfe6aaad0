"""`mfdask anomalies` as a user meets it."""

import json

import pandas as pd
import pytest

from mfdask.ingestion.build import ingest
from mfdask.models import ALS, save_model
from mfdask.ratings.formats import open_source
from mfdask.shards import Dataset
from tests.jobs.helpers import refused

TABLES = ("suspected_attacks", "suspected_sharing", "drifting_items")


@pytest.fixture(scope="module")
def model(small_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "m"
    save_model(ALS(n_factors=3, n_sweeps=3).fit(Dataset.open(small_data)), folder)
    return folder


def test_from_an_attack_to_clean_ratings(mfdask, result_of, small_data, client, tmp_path):
    result_of(
        "inject", small_data, "--out", "injected", "--attack", "copy", "--size", 0.1, "--seed", 1
    )  # fmt: skip
    ingest(open_source("injected"), tmp_path / "d", client=client)
    save_model(ALS(n_factors=3, n_sweeps=5).fit(Dataset.open(tmp_path / "d")), tmp_path / "m")
    arguments = ("anomalies", "m", "d", "--out", "a", "--folds", 2, "--clean-out", "clean")
    said = result_of(*arguments)
    assert json.loads((tmp_path / "a" / "summary.json").read_text()).items() <= said.items()

    truth = tmp_path / "injected" / "truth"
    target = pd.read_parquet(truth / "attacked_items.parquet")["item_id"][0]
    made_up = set(pd.read_parquet(truth / "attack_users.parquet")["user_id"])
    attacks, sharing, drift = (pd.read_parquet(tmp_path / f"a/{name}.parquet") for name in TABLES)
    items, users = (attacks[attacks["entity"] == entity] for entity in ("item", "user"))
    assert items["item_id"].tolist() == [target]
    assert items["user_id"].isna().all()
    assert set(users["user_id"]) <= made_up
    assert len(users) >= 0.9 * len(made_up)
    assert "ratings of 4.5 or more for this item within" in items["reason"].iloc[0]
    assert items["prediction"].iloc[0] > items["prediction_cleaned"].iloc[0] + 0.3
    assert said["attacks"]["users"] == len(users)
    assert said["attacks"]["mean_prediction_change"] > 0.3
    assert said["sharing"]["users"] == len(sharing)
    assert said["drift"]["items"] == len(drift)
    for table in (attacks, sharing, drift):
        assert {"reason", "expected_false_per_1000"} <= set(table)

    ingest(open_source("clean"), tmp_path / "c", client=client)
    cleaned = Dataset.open(tmp_path / "c")
    assert not set(users["user_id"]) & set(cleaned.users()["user_id"])
    assert cleaned.n_train + cleaned.n_test == said["ratings"] - said["attacks"]["ratings_left_out"]
    shown = mfdask(*arguments, "--only", "attacks")  # replaces the tables, and the clean ratings
    assert shown.exit_code == 0, shown.output
    assert "attacked items" in shown.stdout
    assert [path.name for path in sorted((tmp_path / "a").iterdir())] == [
        "attack_groups.parquet", "summary.json", "suspected_attacks.parquet"
    ]  # fmt: skip


def test_nothing_suspected_has_the_same_columns(result_of, model, small_data, tmp_path):
    said = result_of("anomalies", model, small_data, "--only", "attacks", "--fdr", 1e-300)
    assert said["attacks"]["items"] == said["attacks"]["users"] == 0
    assert said["out"].startswith("output/anomalies/")
    table = pd.read_parquet(tmp_path / said["out"] / "suspected_attacks.parquet")
    assert len(table) == 0
    assert table.dtypes.astype(str)[["item_id", "user_id", "reason", "window_start"]].tolist() == [
        "int64", "Int64", "str", "datetime64[ms, UTC]"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--only", "ghosts"), ["--only must be some of attacks,sharing,drift, not 'ghosts'"]),
        (("--only", ","), ["--only must be some of", "not ''"]),
        (("--only", "drift", "--clean-out", "c"), ["--clean-out leaves", "add attacks to --only"]),
        (("--only", "drift", "--folds", "1"), ["--folds must be a whole number from 2 up, not 1"]),
        (("--fdr", "0"), ["--fdr must be a number above 0 and below 1, not 0"]),
        (("--false-per-1000", "-1"), ["--false-per-1000 must be a number from 0 to 1,000, not -1"]),
        (("--false-users-per-1000", "2000"), ["must be a number from 0 to 1,000, not 2000"]),
        (("--out", "taken"), ["taken", "holds no anomalies"]),
        (("--clean-out", "taken"), ["taken", "holds no cleaned ratings"]),
    ],
)
def test_bad_input(options, words, mfdask, model, small_data, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "summary.json").write_text('{"job": "another"}')
    refused(mfdask("anomalies", model, small_data, *options), *words)
    assert not (tmp_path / "output").exists()


def test_data_that_will_not_do(mfdask, model, small_data, client, tmp_path):
    (tmp_path / "plain.csv").write_text("user,item,rating\n1,1,3\n1,2,4\n2,1,5\n2,2,1\n")
    ingest(open_source("plain.csv"), tmp_path / "plain", client=client)
    drift = "--only", "drift"
    refused(mfdask("anomalies", model, "plain", *drift), "no timestamps", "mfdask anomalies")
    ingest(
        open_source("synthetic:users=30,items=20,ratings=300"), tmp_path / "other", client=client
    )
    refused(mfdask("anomalies", model, "other"), "the model was learned from")
    refused(mfdask("anomalies", "none", small_data), "no model there")
