"""Look-alikes and polarity against plain NumPy."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mfdask.errors import InputError
from mfdask.models import ALS
from mfdask.recommendation import polarity, similar
from mfdask.recommendation.neighbours import enough_ratings


def test_similar_items(model):
    ids = model.items["item_id"]
    norm = np.linalg.norm(model.item_factors, axis=1)
    cosine = model.item_factors @ model.item_factors[17] / (np.maximum(norm, 1e-9) * norm[17])
    enough = (model.items["n_train"] >= 30).to_numpy()
    cosine[~enough] = -2
    cosine[17] = -2
    order = np.argsort(-cosine)[:5]
    found = similar(model, ids[17], top=5, min_ratings=30)
    assert found["item_id"].tolist() == ids[order].tolist()
    np.testing.assert_allclose(found["cosine"], cosine[order], rtol=1e-4)


def test_polarity(model):
    norm = np.linalg.norm(model.item_factors, axis=1)
    rows = np.flatnonzero(model.items["n_train"] >= 40)
    order = rows[np.argsort(-norm[rows])]
    most, least = polarity(model, top=3, min_ratings=40)
    assert most.index.tolist() == order[:3].tolist()
    assert least.index.tolist() == order[:-4:-1].tolist()
    np.testing.assert_allclose(most["polarity"], norm[order[:3]], rtol=1e-5)


@pytest.mark.parametrize(
    ("counts", "at_most", "least"),
    [
        ([2000] * 100, 1000, 1000),
        ([2000] * 100, 100, 100),
        ([2000] * 99 + [60], 1000, 50),
        ([2000] * 99, 1000, 1),
        ([7] * 5 + [3] * 200, 1000, 1),
    ],
)
def test_how_many_ratings_are_enough_follows_the_data(counts, at_most, least, model):
    items = pd.DataFrame({"item_id": range(len(counts)), "n_train": counts})
    assert enough_ratings(replace(model, items=items), at_most) == least


def test_by_default_the_fewest_ratings_follow_the_data(model):
    item = model.items["item_id"][17]
    least = enough_ratings(model)
    assert (polarity(model)[0]["n_train"] >= least).all()
    pd.testing.assert_frame_equal(
        similar(model, item), similar(model, item, min_ratings=enough_ratings(model, 100))
    )


def test_no_item_is_both_most_and_least(model):
    most, least = polarity(model, top=10_000, min_ratings=0)
    assert len(most) + len(least) == len(model.items)
    assert not set(most.index) & set(least.index)


def test_bad_input(model, data):
    item = model.items["item_id"][0]
    with pytest.raises(InputError, match="item -1"):
        similar(model, -1)
    with pytest.raises(InputError, match="top must be 1 or more, not 0"):
        similar(model, item, top=0, min_ratings=0)
    with pytest.raises(InputError, match=r"min_ratings must be .* or less, .* not 100000"):
        polarity(model, min_ratings=100_000)
    bias = ALS(n_factors=0, n_sweeps=2).fit(data)
    with pytest.raises(InputError, match="needs a model that has factors"):
        similar(bias, item)
