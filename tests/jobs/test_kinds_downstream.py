"""Downstream jobs on every kind of model: they learn it again as it was, or say why they cannot."""

from __future__ import annotations

import pandas as pd
import pytest

from mfdask.models import Ability, load_model
from mfdask.shards import Dataset
from tests.jobs.helpers import refused

#: Options of each kind that make it quick.
OWN = {
    "als": ["--factors", 3, "--sweeps", 3],
    "bias": ["--sweeps", 3],
    "features": ["--factors", 3, "--sweeps", 3, "--item-features", "items.csv"],
    "bayes": ["--factors", 2, "--sweeps", 6, "--burn-in", 2],
    "ials": ["--factors", 3, "--sweeps", 3, "--liked", 3],
}


@pytest.fixture(params=list(OWN))
def learned(request, result_of, lively, tmp_path):
    """Return a kind, a model of it in the empty folder, and its data set."""
    _, data = lively
    ids = Dataset.open(data).items()["item_id"]
    pd.DataFrame({"item_id": ids, "size": range(len(ids))}).to_csv("items.csv", index=False)
    result_of("train", data, "--model", request.param, *OWN[request.param], "--out", "m")
    (tmp_path / "items.csv").unlink()  # what a model needs to be learned again is in it
    return request.param, data


def test_anomalies(learned, mfdask, result_of, tmp_path):
    kind, data = learned
    words = ["anomalies", "m", data, "--folds", 2, "--out", "a"]
    if load_model(tmp_path / "m").can(Ability.RATINGS):
        assert result_of(*words)["model"] == kind
    else:
        refused(mfdask(*words), "a search for anomalies needs a model that predicts ratings")


@pytest.mark.parametrize("job", ["churn", "ltv"])
def test_customers(learned, job, mfdask, result_of, tmp_path):
    kind, data = learned
    words = [job, "m", data, "--origins", 2, "--horizon", 30, "--out", "t.parquet"]
    if load_model(tmp_path / "m").can(Ability.SINGLE_VECTORS):
        found = result_of(*words)
        assert found["model_version"].startswith(f"{kind}-refit-")
    else:
        refused(mfdask(*words), "a table about users needs a model that describes each user by one")
