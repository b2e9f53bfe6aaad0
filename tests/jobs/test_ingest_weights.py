"""Weights of ratings as a user gives them: ingest, check, inspect, train, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mfdask.shards import Dataset
from tests.jobs.helpers import refused


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Return a file of ratings with a column of weights, one of which is bad."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(3)
    users, items = np.nonzero(random.random((30, 20)) < 0.5)
    frame = pd.DataFrame(
        {"user": users, "item": items, "rating": random.integers(1, 6, len(users))}
    )
    frame["sure"] = random.integers(1, 5, len(users)) / 2
    frame.loc[5, "sure"] = 0
    frame.to_csv("r.csv", index=False)
    return frame


def test_weights_are_kept_and_shown(table, result_of, mfdask):
    checked = result_of("check", "r.csv", "--weight", "sure")
    assert checked["weights"] is True
    assert "weight sure" in checked["read_as"]
    said = result_of("ingest", "r.csv", "--weight", "sure", "--out", "d", "--split", "none")
    assert said["rejected"] == 1
    mean = table["sure"].drop(5).mean()
    assert said["mean_weight"] == pytest.approx(mean)
    assert result_of("inspect", "d")["mean_weight"] == pytest.approx(mean)
    assert f"{mean:.4g}" in mfdask("inspect", "d").stdout
    assert Dataset.open("d", verify=True).weights(0).sum() == table["sure"].sum()
    columns = ("--columns", "weight=sure", "--split", "none")
    result_of("ingest", "r.csv", *columns, "--out", "e")
    one, other = (json.loads(Path(f"{d}/manifest.json").read_text()) for d in "de")
    assert one["fingerprint"] == other["fingerprint"]


def test_models_use_them_or_say_that_they_do_not(table, result_of, mfdask):
    small = ("--factors", 2, "--sweeps", 3)
    rmse = {}
    for name, options in {"w": ("--weight", "sure"), "p": ()}.items():
        made = ("--split", "random:0.2", "--out", name, "--max-rejected", 0.1)
        result_of("ingest", "r.csv", *options, *made)
        rmse[name] = result_of("train", name, "--out", f"m{name}", *small)["train_rmse"]
    assert rmse["w"] != rmse["p"]
    assert json.loads(Path("mw/model.json").read_text())["data"]["mean_weight"] > 0
    done = mfdask("train", "w", "--out", "b", "--model", "bpr", *small)
    assert done.exit_code == 0, done.output
    assert done.stderr.count("kind bpr does not use") == 1


def test_what_is_refused(table, result_of, mfdask):
    both = ("--weight", "sure", "--columns", "weight=rating")
    refused(mfdask("ingest", "r.csv", *both), "names another column; give one")
    refused(mfdask("ingest", "r.csv", "--weight", "w"), "no column 'w'", "meant as weight")
    refused(mfdask("ingest", "r.csv", "--weight", "sure", "--repeats", "sum"), "has no weights")
    result_of("ingest", "r.csv", "--weight", "sure", "--out", "d")
    refused(mfdask("ingest", "r.csv", "--into", "d"), "has no weights", "weight=NAME")
    table.assign(user=table["user"] + 100).to_csv("more.csv", index=False)
    said = result_of("ingest", "more.csv", "--into", "d", "--weight", "sure")
    assert (said["files_taken"], said["rejected"]) == (1, 2)
    table[["user", "item"]].iloc[:3].to_csv("gone.csv", index=False)
    assert result_of("ingest", "gone.csv", "--into", "d", "--withdraw")["withdrawn"] == 3
