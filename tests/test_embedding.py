"""Items and genres in a plane."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mfdask.embedding import embed
from mfdask.errors import InputError
from mfdask.features.encoder import FeatureEncoder
from mfdask.models import ALS, FactorModel
from mfdask.models.base import DataFacts
from mfdask.models.design import pack

GENRES = ["Action|Drama", "Drama", "", "Comedy", "Action", "Comedy|Drama", "Action", "Drama"]


def model_of(n_factors, weights=False, ids=None):
    """Return a model with random factors and known genres."""
    random = np.random.default_rng(3)
    factors = random.normal(size=(8, n_factors)).astype(np.float32)
    names = ["Action", "Comedy", "Drama"]
    return FactorModel(
        estimator=ALS(n_factors=n_factors, item_prior="genre" if weights else "zero"),
        mean=3.5,
        user_rows=pack(np.zeros(2, np.float32), np.zeros((2, n_factors), np.float32)),
        item_rows=pack(np.zeros(8, np.float32), factors),
        users=pd.DataFrame({"user_id": [1, 2], "n_train": [5, 6]}),
        items=pd.DataFrame(
            {
                "item_id": ids or list(range(10, 18)),
                "title": [f"film {n}" for n in range(8)],
                "year": pd.array([1990] * 8, "Int16"),
                "genres": GENRES,
                "n_train": [9, 8, 7, 6, 5, 4, 3, 0],
            }
        ),
        data=DataFacts("d", "f", 42, 0, 0.5, 5.0),
        history=[],
        encoder=FeatureEncoder.genres(names) if weights else None,
        feature_weights=random.normal(size=(3, n_factors + 1)).astype(np.float32)
        if weights
        else None,
    )


def points(table, kind):
    return table.loc[table["kind"] == kind, ["x", "y"]].to_numpy()


def test_direct_is_the_factors_and_their_means():
    model = model_of(2)
    found = embed(model, "direct", min_ratings=0)
    np.testing.assert_array_equal(points(found, "item"), model.item_factors)
    genres = found[found["kind"] == "genre"]
    assert genres["title"].tolist() == ["Action", "Comedy", "Drama"]
    assert genres["item_id"].isna().all()
    assert genres["n_train"].tolist() == [9 + 5 + 3, 6 + 4, 9 + 8 + 4 + 0]
    action = model.item_factors[[0, 4, 6]].mean(axis=0)
    np.testing.assert_allclose(points(genres, "genre")[0], action, rtol=1e-6)


def test_a_genre_model_gives_its_own_weights():
    model = model_of(2, weights=True)
    found = points(embed(model, "direct"), "genre")
    np.testing.assert_array_equal(found, model.feature_weights[:, 1:])


def test_pca_is_the_plane_of_most_variance():
    model = model_of(5)
    found = embed(model, "pca", min_ratings=0)
    factors = model.item_factors.astype(np.float64)
    centred = factors - factors.mean(axis=0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ axes[:2].T
    got = points(found, "item")
    np.testing.assert_allclose(np.abs(got), np.abs(expected), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose((got**2).sum(axis=0), values[:2] ** 2, rtol=1e-4)
    # Linear: the mean of a genre's items is the mean of their points.
    np.testing.assert_allclose(points(found, "genre")[1], got[[3, 5]].mean(axis=0), atol=1e-5)


def test_tsne_is_finite_and_the_same_again():
    model = model_of(5)
    one, again = embed(model, "tsne", seed=1), embed(model, "tsne", seed=1)
    pd.testing.assert_frame_equal(one, again)
    assert np.isfinite(one[["x", "y"]].to_numpy()).all()


def test_few_ratings_leave_an_item_out():
    model = model_of(3)
    assert 17 not in embed(model)["item_id"].dropna().tolist()
    found = embed(model, min_ratings=5)
    assert found.loc[found["kind"] == "item", "item_id"].tolist() == [10, 11, 12, 13, 14]


def test_ids_keep_their_kind():
    assert embed(model_of(3))["item_id"].dtype == "Int64"
    found = embed(model_of(3, ids=list("abcdefgh")))
    assert found["item_id"][0] == "a"
    assert pd.isna(found["item_id"].iloc[-1])


def test_a_model_whose_items_have_no_genres():
    model = model_of(3)
    bare = replace(model, items=model.items.assign(genres=""))
    assert (embed(bare)["kind"] == "item").all()


@pytest.mark.parametrize(
    ("n_factors", "options", "words"),
    [
        (3, {"method": "direct"}, "with 2"), (1, {"method": "pca"}, "two factors or more"),
        (0, {"method": "tsne"}, "has factors"), (3, {"method": "umap"}, "direct or pca or tsne"),
        (3, {"min_ratings": 8}, "leaves 2 of 8"), (3, {"min_ratings": -1}, "0 or more"),
    ],
)  # fmt: skip
def test_what_cannot_be_placed(n_factors, options, words):
    with pytest.raises(InputError, match=words):
        embed(model_of(n_factors), **options)
