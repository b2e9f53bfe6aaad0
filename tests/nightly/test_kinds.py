"""Nights of every kind of model, and of one that another package brings."""

from __future__ import annotations

import pandas as pd
import pytest

from mfdask.errors import InputError
from mfdask.models import load_model
from tests.models.item_means import ItemMeansModel

#: What else a kind needs to be quick here.
OWN = {
    "als": {"tau": 0.02},
    "bias": {},
    "features": {"item-features": "items.csv"},
    "bayes": {"sweeps": 6, "burn-in": 2, "time": "user-day"},
    "ials": {"sweeps": 3, "liked": 3.0},
}


@pytest.fixture
def items(nights):
    """Write a file of item features beside the configuration."""
    ids = nights.ratings["item_id"].unique()
    table = pd.DataFrame({"item_id": ids, "size": ids % 7})
    table.to_csv(nights.folder / "items.csv", index=False)


@pytest.mark.usefixtures("items")
@pytest.mark.parametrize("kind", list(OWN))
def test_two_nights(nights, kind):
    factors = {} if kind == "bias" else {"factors": 3}
    training = {"model": kind, **factors, **OWN[kind]}
    nights.arrive("one.csv", 0, 9_000)
    assert nights.run_with(training)["status"] == "published"
    nights.arrive("two.csv", 9_000, 11_000)
    line = nights.run_with(training)
    assert (line["status"], line["kind"]) == ("published", kind)


@pytest.mark.usefixtures("items")
def test_a_sampler_of_item_features(nights):
    training = {"model": "bayes", "factors": 2, "sweeps": 4, "burn-in": 1}
    training |= {"item-prior": "features", "item-features": "items.csv"}
    nights.arrive("one.csv", 0, 9_000)
    assert nights.run_with(training)["status"] == "published"
    assert load_model(nights.home.root / "model").feature_names == ["every item", "size"]


def test_a_night_with_user_features(nights):
    ids = nights.ratings["user_id"].unique()
    table = pd.DataFrame({"user_id": ids, "age": ids % 5})
    table.to_csv(nights.folder / "users.csv", index=False)
    training = {"model": "als", "factors": 2, "sweeps": 2, "user-prior": "features"}
    with pytest.raises(
        InputError, match=r"training.user-features: this model needs a file of user"
    ):
        nights.config_with(training)
    nights.arrive("one.csv", 0, 9_000)
    assert nights.run_with(training | {"user-features": "users.csv"})["status"] == "published"
    assert load_model(nights.home.root / "model").user_features.encoder.names == [
        "every user",
        "age",
    ]


@pytest.mark.parametrize(
    "training",
    [{"model": "features"}, {"model": "bayes", "item-prior": "features"}],
)
def test_features_need_their_file(nights, training):
    with pytest.raises(InputError, match=r"training.item-features: this model needs a file"):
        nights.config_with(training)


def test_a_file_that_nothing_follows(nights):
    with pytest.raises(InputError, match=r"training.item-features: this model follows no file"):
        nights.config_with({"model": "als", "item-features": "items.csv"})


def test_a_parameter_of_another_kind(nights):
    with pytest.raises(InputError, match=r"training.burn-in: no such key"):
        nights.config_with({"model": "als", "burn-in": 3})
    with pytest.raises(InputError, match=r"training.factors must be a whole number from 0 to 256"):
        nights.config_with({"model": "als", "factors": 300})
    with pytest.raises(InputError, match="no kind of model is called 'sum'"):
        nights.config_with({"model": "sum"})


@pytest.mark.usefixtures("item_means_registered")
def test_a_kind_of_another_package(nights):
    training = {"model": "item-means", "strength": 3.0}
    nights.arrive("one.csv", 0, 9_000)
    line = nights.run_with(training)
    assert (line["status"], line["kind"]) == ("published", "item-means")
    nights.arrive("two.csv", 9_000, 12_000)
    assert nights.run_with(training)["status"] == "published"
    assert isinstance(load_model(nights.home.root / "model"), ItemMeansModel)
