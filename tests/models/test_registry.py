"""Kinds of model: found by their names, ours and those of others, with nothing changed for them."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from click.testing import CliRunner

from mfdask.errors import InputError
from mfdask.jobs.cli import main
from mfdask.models import Ability, FactorModel, check_data, kind_of, kinds, load_model
from mfdask.shards import Dataset
from tests.models.item_means import ItemMeans, ItemMeansModel


@pytest.fixture
def result_of(tmp_path, monkeypatch):
    """Return a function that runs a job with ``--json`` and returns the object it prints."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        done = CliRunner().invoke(main, [*map(str, arguments), "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout.splitlines()[-1])

    return run


def rated_items(data, row):
    """Return the items that a user has rated, in either part."""
    found = []
    for block, part in itertools.product(range(data.n_blocks("users")), ("train", "test")):
        shard = data.shard("users", block, part)
        found.append(shard.indices[shard.rows == row])
    return np.concatenate(found)


def test_our_kinds():
    of_factors = {"als", "bias", "genre", "features", "bayes", "bpr", "ials"}
    assert set(kinds()) == of_factors | {"ncf", "popularity", "itemknn", "ease"}
    assert kind_of("bias").configure({}).kind == "bias"
    for name, kind in kinds().items():
        given = {"n_factors": 0} if name == "bias" else {}
        assert kind.estimator(**{**kind.settled, **given}).kind == name
        for preset in kind.estimator.presets:
            assert kind.configure({}, preset).kind == name
    with pytest.raises(InputError, match="no kind of model is called 'sum'"):
        kind_of("sum")
    with pytest.raises(InputError, match="burn_in says nothing to a model of kind als"):
        kind_of("als").configure({"burn_in": 3})
    with pytest.raises(InputError, match="preset small: a model of kind bayes has none"):
        kind_of("bayes").configure({}, "small")


@pytest.mark.usefixtures("item_means_registered")
def test_ours_are_not_replaced():
    assert kind_of("als").estimator is not ItemMeans
    assert kinds()["item-means"].estimator is ItemMeans
    assert list(kinds())[-1] == "item-means"


@pytest.mark.usefixtures("item_means_registered")
def test_another_kind_does_all_there_is_to_do(result_of, small_data, tmp_path):
    made = result_of("train", small_data, "--model", "item-means", "--strength", 2, "--out", "m")
    assert made["options"]["strength"] == 2
    model, data = load_model(tmp_path / "m"), Dataset.open(small_data)
    assert isinstance(model, ItemMeansModel)
    assert model.estimator == ItemMeans(strength=2.0)
    assert [ability for ability in Ability if model.can(ability)] == [Ability.RATINGS]
    again = model.refit(data)
    np.testing.assert_array_equal(again.means, model.means)

    measured = result_of("evaluate", "m", small_data, "--ranking")
    assert measured["test_rmse"] == pytest.approx(made["test_rmse"], rel=1e-6)
    assert measured["objective"] is None
    result_of("train", small_data, "--sweeps", 3, "--factors", 3, "--out", "als")
    compared = result_of("compare", "m", "als", small_data, "--resamples", 10)
    names = [one["model"] for one in compared["models"]]
    assert names == ["m", "als", "popularity", "popularity, 365 days"]

    result_of("recommend", "m", "--data", small_data, "--min-ratings", 1, "--top", 3, "--out", "r")
    lists = pd.read_parquet(tmp_path / "r")
    assert lists.groupby("user_id").size().eq(3).all()
    items = model.rows_of("items", lists["item_id"])
    np.testing.assert_allclose(lists["score"], model.means[items])
    for user, own in list(lists.groupby("user_id"))[:20]:
        rated = rated_items(data, model.rows_of("users", [user])[0])
        free = np.setdiff1d(np.flatnonzero(model.items["n_train"] >= 1), rated)
        assert own["score"].to_list() == sorted(model.means[free], reverse=True)[:3]

    result_of("anomalies", "m", small_data, "--folds", 2, "--out", "a")
    page = result_of("report", "--data", small_data, "--model", "m", "--out", "r.html")
    assert any(name.startswith("residual") for name in page["figures"])


@pytest.mark.usefixtures("item_means_registered")
@pytest.mark.parametrize(
    "words", ["similar m id:1", "embed m", "densify m", "polarity m", "recommend m --rated id:1=5"]
)
def test_what_it_cannot_do_is_told(words, result_of, small_data):
    result_of("train", small_data, "--model", "item-means", "--out", "m")
    done = CliRunner().invoke(main, words.split())
    assert done.exit_code == 2
    *purpose, line = done.stderr.strip().splitlines()
    assert "needs a model that" in line
    assert "item-means" in line
    assert len(purpose) <= 1


@pytest.fixture
def counts():
    """Return counts in memory, as a log is ingested."""
    return Dataset.from_csr(sp.csr_array([[3.0, 1.0, 0.0], [0.0, 2.0, 1.0]]), "counts")


@pytest.mark.usefixtures("item_means_registered")
def test_models_that_predict_ratings_refuse_what_are_none(counts):
    equal = Dataset.from_csr(sp.csr_array([[4.0, 4.0], [0.0, 4.0]]) * 1.0)
    rating = [kind.configure({}) for kind in kinds().values() if kind.learns_from_ratings]
    assert {"als", "bias", "bayes", "genre", "features", "item-means"} <= {e.kind for e in rating}
    for estimator in rating:
        with pytest.raises(InputError, match=rf"counts.* of kind {estimator.kind} .*co-ratings"):
            check_data(estimator, counts)
        if estimator.needs_item_features or estimator.kind == "item-means":
            continue  # a file is wanted first; another package's may check or not
        with pytest.raises(InputError, match=r"all its ratings are 4, .*take .*co-ratings"):
            estimator.fit(equal)
        with pytest.raises(InputError, match="matrix: holds counts"):
            estimator.fit(counts)


@pytest.mark.usefixtures("item_means_registered")
def test_a_model_that_ranks_learns_from_counts(result_of, tmp_path):
    assert not kinds()["co-ratings"].learns_from_ratings
    (tmp_path / "log.csv").write_text("user,item\n1,7\n1,7\n1,8\n2,7\n2,9\n3,9\n")
    columns = ("--columns", "user=user,item=item", "--split", "none")
    result_of("ingest", "log.csv", *columns, "--out", "d")
    result_of("train", "d", "--model", "co-ratings", "--out", "m")
    assert load_model(tmp_path / "m").kind == "co-ratings"


def test_what_factor_models_can_do():
    abilities = {name: kind.configure({}).abilities for name, kind in kinds().items()}
    assert Ability.FACTORS not in abilities["bias"]
    assert Ability.NEW_ITEMS in abilities["genre"]
    assert Ability.NEW_ITEMS not in abilities["als"]
    assert Ability.DEVIATIONS in abilities["bayes"]
    assert Ability.OBJECTIVE not in abilities["bayes"]
    assert Ability.SINGLE_VECTORS not in abilities["bayes"]
    for name in ("als", "bias", "genre", "features", "bayes", "bpr"):
        assert issubclass(kind_of(name).estimator.model_type, FactorModel)
    for name in ("popularity", "itemknn", "ease"):
        assert abilities[name] == {Ability.NEW_USERS}
