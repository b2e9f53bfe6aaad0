"""`mfdask compare` and `mfdask evaluate --ranking` as a user meets them."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from mfdask.models import ALS, save_model
from mfdask.shards import Dataset
from tests.jobs.helpers import refused


@pytest.fixture(scope="module")
def models(small_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    data = Dataset.open(small_data)
    for k in (0, 4):
        save_model(ALS(n_factors=k, n_sweeps=4).fit(data), folder / f"k{k}")
    other = Dataset.from_csr(scipy.sparse.diags_array([3.0, 3, 3, 3, 3, 2]))
    save_model(ALS(n_factors=2, n_sweeps=2).fit(other), folder / "other")
    return folder


def test_compare(result_of, models, small_data):
    found = result_of(
        "compare", models / "k0", models / "k4", small_data, "--resamples", 50, "--at", 5,
        "--out", "sub/found.parquet",
    )  # fmt: skip
    names = ["k0", "k4", "popularity", "popularity, 365 days"]
    assert [one["model"] for one in found["models"]] == names
    assert all(one["same_data"] for one in found["models"])
    assert (found["k"], found["threshold"], found["resamples"]) == (5, 4.0, 50)
    table = pd.read_parquet("sub/found.parquet")
    wanted = table.astype(object).where(table.notna(), None).to_dict("records")
    assert found["figures"] == wanted
    lines = {(one["model"], one["metric"], one["slice"]): one for one in found["figures"]}
    for name in ("k0", "k4"):
        single = result_of(
            "evaluate", models / name, small_data, "--ranking", "--at", 5, "--users", 10**6
        )
        assert lines[name, "rmse", "all"]["value"] == pytest.approx(single["test_rmse"])
        for metric, value in single["ranking"]["model"].items():
            assert lines[name, metric, "all"]["value"] == pytest.approx(value)
        for metric, value in single["ranking"]["popularity"].items():
            assert lines["popularity", metric, "all"]["value"] == pytest.approx(value)
        assert lines[name, "ndcg", "all"]["n"] == single["ranking"]["users"]
    assert lines["popularity", "rmse", "all"]["value"] is None


def test_tables_are_shown(mfdask, models, small_data):
    arguments = ("compare", models / "k4", models / "other", small_data, "--resamples", 20)
    refused(
        mfdask(*arguments), "trained on other data", "may hold the test ratings", "--allow-leaks"
    )
    done = mfdask(*arguments, "--allow-leaks")
    assert done.exit_code == 0, done.output
    for words in ("difference to k4", "NDCG at 10", "popularity, 365 days", "RMSE, users 6-20"):
        assert words in done.stdout
    assert "other was trained on other data" in " ".join(done.stdout.split())
    shown = mfdask("evaluate", models / "k4", small_data, "--ranking", "--users", 20)
    words = " ".join(shown.stdout.split())
    assert "candidates: the whole catalogue; 4 or more is relevant" in words
    assert "20 users" in words


def test_errors_on_training_ratings_are_not_shown_as_held_out(mfdask, result_of):
    source = "synthetic:users=60,items=40,ratings=900"
    for seed in (1, 2):
        options = ("--split", "random:0.2", "--seed", seed, "--out", f"d{seed}")
        assert mfdask("ingest", source, *options).exit_code == 0
    assert mfdask("train", "d1", "--sweeps", 1, "--out", "m").exit_code == 0
    refused(mfdask("evaluate", "m", "d2"), "test ratings are among those it was trained on")
    found = result_of("evaluate", "m", "d2", "--allow-leaks")
    assert 0 < found["leaked"] < found["n"]
    shown = mfdask("evaluate", "m", "d2", "--allow-leaks").stdout
    assert re.search(rf"of them in its training +│ +{found['leaked']} ", shown)
    assert result_of("evaluate", "m", "d1")["leaked"] == 0
    (one, *_) = result_of("compare", "m", "d2", "--resamples", 9, "--allow-leaks")["models"]
    assert one["leaked"] == found["leaked"]


def test_ranking_is_asked_for(result_of, models, small_data):
    assert "ranking" not in result_of("evaluate", models / "k4", small_data)


def test_models_of_one_name_are_told_apart(result_of, models, small_data, tmp_path):
    shutil.copytree(models / "k4", tmp_path / "k4")
    found = result_of("compare", models / "k4", "k4", small_data, "--resamples", 20)
    assert [one["model"] for one in found["models"]][:3] == [
        str(models / "k4"), "k4", "popularity",
    ]  # fmt: skip
    differences = [
        one["difference"]
        for one in found["figures"]
        if not one["model"].startswith("popularity") and one["difference"] is not None
    ]
    np.testing.assert_array_equal(differences, 0)


@pytest.mark.parametrize("command", [("compare",), ("evaluate", "--ranking")])
def test_bad_input(mfdask, models, small_data, command):
    def run(*options):
        return mfdask(*command, models / "k4", small_data, *options)

    refused(run("--at", 0), "--at must be a whole number from 1 up, not 0")
    refused(run("--at", "5,5"), "--at must be different numbers")
    refused(run("--at", 201), "--at must be 200 or less, the items of synthetic")
    refused(run("--negatives", 200), "--negatives must be less than the 200 items")
    refused(run("--threshold", 11), "--threshold must be 5 or less, the largest rating")
    refused(run("--users", 0), "--users must be a whole number from 1 up, not 0")
    refused(mfdask("compare", "nothing", small_data), "no model there", "mfdask train")


def test_a_model_is_compared_once(mfdask, models, small_data):
    refused(mfdask("compare", models / "k4", models / "k4", small_data), "k4: is given twice")


def test_a_model_that_only_ranks_stands_beside_others(mfdask, result_of, models, small_data):
    result_of("train", small_data, "--model", "itemknn", "--liked", 3, "--out", "knn")
    alone = result_of("evaluate", "knn", small_data, "--at", "10,5")
    assert alone["score"] == "preference"
    assert "test_rmse" not in alone
    assert alone["ranking"]["lengths"] == [10, 5]
    both = result_of("compare", models / "k4", "knn", small_data, "--resamples", 20, "--at", "10,5")
    lines = {(one["model"], one["metric"], one["k"]): one for one in both["figures"]}
    assert lines["knn", "rmse", None]["value"] is None
    for figure in alone["ranking"]["figures"]:
        if figure["model"] == "model":
            line = lines["knn", figure["metric"], figure["k"]]
            assert line["value"] == pytest.approx(figure["value"])
    only = result_of("compare", "knn", small_data, "--resamples", 20)
    assert "rmse" not in {one["metric"] for one in only["figures"]}
    shown = mfdask("evaluate", "knn", small_data).stdout
    assert "RMSE" not in shown
    assert "hit rate at 10" in shown


def test_sampled_negatives_are_said_to_be_optimistic(mfdask, result_of, models, small_data):
    for command in (("evaluate", models / "k4"), ("compare", models / "k4")):
        options = (small_data, "--negatives", 9, *(["--ranking"] * (command[0] == "evaluate")))
        shown = " ".join(mfdask(*command, *options).stdout.split())
        assert "each held-out item and 9 sampled ones" in shown
        assert "optimistic beside the whole catalogue" in shown
    found = result_of("evaluate", models / "k4", small_data, "--ranking", "--negatives", 9)
    whole = result_of("evaluate", models / "k4", small_data, "--ranking")
    assert found["ranking"]["model"]["hit_rate"] > whole["ranking"]["model"]["hit_rate"]
    assert found["options"]["negatives"] == 9
    again = result_of("evaluate", models / "k4", "--config", write(whole["options"]), small_data)
    assert again["ranking"] == whole["ranking"]


def write(options):
    """Write a file of options, as `--json` tells them."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in options.items()]
    Path("options.toml").write_text("\n".join(lines))
    return "options.toml"
