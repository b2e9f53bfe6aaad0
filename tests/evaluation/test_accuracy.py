"""Accuracy against plain pandas."""

import math

import numpy as np
import pandas as pd
import pytest

from mfdask.errors import InputError
from mfdask.evaluation import bin_labels, evaluate
from mfdask.models import ALS
from mfdask.shards import Dataset
from tests.models.conftest import random_ratings


@pytest.fixture(scope="module")
def fitted():
    data = Dataset.from_csr(random_ratings(60, 40, 0.2, 3))
    return ALS(n_factors=2, n_sweeps=3, fidelity=0.1).fit(data), data


def frame(model, data):
    shard = data.shard("users", 0)
    users = np.repeat(np.arange(shard.n_rows), np.diff(shard.indptr))
    found = pd.DataFrame({"user": users, "item": shard.indices, "rating": shard.ratings})
    found["error"] = model.predict(found["user"], found["item"], clip=False) - found["rating"]
    found["clipped"] = model.predict(found["user"], found["item"]) - found["rating"]
    return found


def test_errors_are_those_of_the_predictions(fitted):
    model, data = fitted
    found, wanted = evaluate(model, data, "train"), frame(model, data)
    assert found.n == len(wanted) == data.n_train
    assert found.raw.rmse()[0] == pytest.approx(np.sqrt((wanted["error"] ** 2).mean()))
    assert found.raw.mae()[0] == pytest.approx(wanted["error"].abs().mean())
    assert found.clipped.rmse()[0] == pytest.approx(np.sqrt((wanted["clipped"] ** 2).mean()))
    assert found.by_source == {"mean": 0, "item": 0, "user": 0, "model": data.n_train, "genre": 0}
    assert found.raw.rmse()[0] == pytest.approx(model.history[-1].train_rmse, rel=1e-4)


@pytest.mark.parametrize("side", ["user", "item"])
def test_slices_are_by_training_ratings(fitted, side):
    model, data = fitted
    found, wanted = evaluate(model, data, "train"), frame(model, data)
    n_train = wanted.groupby(side)[side].transform("size")
    label = pd.cut(n_train, [-1, 0, 5, 20, 100, 500, 10**9], labels=bin_labels())
    slices = wanted["error"].pow(2).groupby(label, observed=False)
    errors = getattr(found, f"by_{side}")
    np.testing.assert_array_equal(errors.n, slices.size())
    np.testing.assert_allclose(errors.rmse(), np.sqrt(slices.mean()))


def test_gaussian_nll(fitted):
    model, data = fitted
    found, error = evaluate(model, data, "train"), frame(model, data)["error"]
    n, sse = len(error), (error.astype(float) ** 2).sum()
    nll = found.gaussian_nll()
    assert nll["unit_variance"] == pytest.approx((sse / 2 + n / 2 * math.log(2 * math.pi)) / n)
    assert nll["fitted_variance"] <= nll["unit_variance"]


def test_objective_is_that_of_the_fit(fitted):
    model, data = fitted
    sse = float(evaluate(model, data, "train").raw.squared[0])
    assert model.objective(sse) == pytest.approx(model.history[-1].objective, rel=1e-4)


def test_unknown_ids_are_counted(fitted):
    model, _ = fitted
    larger = Dataset.from_csr(random_ratings(80, 50, 0.2, 4))
    found = evaluate(model, larger, "train")
    shard = larger.shard("users", 0)
    known_user = np.repeat(np.arange(80) < 60, np.diff(shard.indptr))
    known_item = shard.indices < 40
    assert found.by_source == {
        "mean": int((~known_user & ~known_item).sum()),
        "item": int((~known_user & known_item).sum()),
        "user": int((known_user & ~known_item).sum()),
        "model": int((known_user & known_item).sum()),
        "genre": 0,
    }


def test_nothing_held_out_is_said(fitted):
    with pytest.raises(InputError, match=r"no test ratings; ingest it with split"):
        evaluate(*fitted)
