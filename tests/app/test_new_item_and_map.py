"""The pages *A new item* and *The map*, without a browser."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfdask.app.map import Map
from mfdask.app.new_item import NewItem, parts_of_new, predictions_of_new
from mfdask.app.places import (
    MOST_POINTS,
    Places,
    View,
    path_of_user,
    titles_of_items,
)
from mfdask.app.site import Shown, Site
from mfdask.errors import InputError
from mfdask.models import ALS
from mfdask.models.design import swap_bias_columns
from mfdask.recommendation import similar
from mfdask.report.model.axes import meaning_of_axes
from mfdask.report.model.item_map import placed
from tests.app.serving import page_at


@pytest.fixture(scope="module")
def genre_model(movielens_site):
    return movielens_site.fixed.models["genre"]


def test_a_new_item_is_predicted_as_the_model_does(genre_model):
    item = pd.DataFrame([{"genres": "Comedy|Romance"}])
    row = swap_bias_columns(genre_model.rows_of_new_items(item))[0]
    wanted = genre_model.mean + genre_model.user_rows @ row
    found = predictions_of_new(genre_model, item)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    for user in (0, 17):
        parts = parts_of_new(genre_model, item, user)
        assert sorted(parts["feature"]) == ["Comedy", "Romance"]
        whole = genre_model.mean + genre_model.user_rows[user, 0]
        whole += parts[["everybody", "taste"]].to_numpy().sum()
        assert whole == pytest.approx(found[user], abs=1e-4)


def test_the_page_of_a_new_item(movielens_site, genre_model):
    page = page_at(NewItem, movielens_site, "has=genres%3DComedy&user=17")
    assert page.notice.text == ""
    assert page.parts.table()["feature"].tolist() == ["Comedy"]
    assert page.stars.table()["users"].sum() == len(genre_model.users)
    page.act({"do": "genres", "name": "Horror"})
    assert sorted(page.parts.table()["feature"]) == ["Comedy", "Horror"]
    assert page.query.value == "has=genres%3DComedy&has=genres%3DHorror&user=17"
    page.act({"do": "genres", "name": "Comedy"})
    page.act({"do": "genres", "name": "no such"})
    assert page.parts.table()["feature"].tolist() == ["Horror"]
    best = int(predictions_of_new(genre_model, page._item()).argmax())
    assert f"<bdi>{genre_model.users['user_id'].iloc[best]}</bdi>" in page.who.text
    page.user.value = "999999"
    assert "user 999999: not among" in page.notice.text


def test_models_that_place_no_new_items(small_site):
    assert "none of the models places items" in page_at(NewItem, small_site).notice.text


def some_places(n, seed=0):
    random = np.random.default_rng(seed)
    n_train = np.sort(random.integers(1, 1000, n))[::-1].copy()
    return Places(
        np.arange(n),
        *random.normal(size=(2, n)),
        n_train,
        ["a", "b", "others"],
        random.integers(0, 3, n),
        pd.DataFrame({"title": ["a"], "x": [0.0], "y": [0.0]}),
    )


@given(st.integers(4, 3000), st.floats(0.01, 1.5))
def test_all_items_of_a_window_are_in_its_circles(n, half):
    places = some_places(n)
    view = View(-half, half, -half, half)
    titles = pd.Series([f"t{k}" for k in range(n)])
    circles = places.circles(view, titles)
    inside = places.inside(view)
    assert circles["n"].sum() == len(inside)
    assert len(circles) <= max(MOST_POINTS, 40 * 26)
    alone = circles[circles["row"] >= 0]
    assert (alone["n"] == 1).all()
    np.testing.assert_allclose(alone["x"], places.x[alone["row"]])
    if len(inside) <= MOST_POINTS:
        assert sorted(circles["row"]) == sorted(inside)


def test_labels_do_not_overlap_and_the_most_rated_is_there():
    places = some_places(500)
    view = places.whole()
    titles = pd.Series([f"title number {k}" for k in range(500)])
    labels = places.labels(view, titles, 900, 500)
    assert labels["label"].iloc[0] == titles[places.inside(view)[0]]
    x = (labels["x"] - view.left) / (view.right - view.left) * 900
    y = (labels["y"] - view.bottom) / (view.top - view.bottom) * 500
    for i in range(len(labels)):
        for j in range(i):
            assert abs(x[i] - x[j]) > 80 or abs(y[i] - y[j]) > 18


def test_what_the_axes_mean():
    places = some_places(400)
    items = pd.DataFrame(
        {
            "n_train": places.n_train,
            "year": np.round(1990 + 10 * places.x),
            "genres": np.where(places.y > 0, "Up|Both", "Both"),
        }
    )
    found = meaning_of_axes(places.x, places.y, items).set_index("feature")
    assert found.loc["year", "across"] > 0.99
    assert found.loc["Up", "up"] > 0.7
    assert "Both" not in found.index  # the same for all
    assert abs(found.loc["popularity", "up"]) < 0.2


def test_places_are_those_of_the_report(movielens_site, genre_model):
    places = Places.of(genre_model, "pca")
    assert len(places.rows) == (genre_model.items["n_train"] > 0).sum()
    assert (np.diff(places.n_train) <= 0).all()
    few = placed(genre_model, "tsne")
    assert len(Places.of(genre_model, "tsne").rows) == (few["kind"] == "item").sum()


def test_the_map(movielens_site, genre_model):
    page = page_at(Map, movielens_site, "item=1&user=17")
    assert page.notice.text == ""
    near = similar(genre_model, 1, top=10, min_ratings=20)
    assert re.findall(r'data-item="(\d+)"', page.near.text) == [str(i) for i in near["item_id"]]
    assert len(page.plane.path.data["x"]) >= 2
    assert len(page.plane.genres.data["label"]) > 5
    assert len(page.plane.names.data["label"]) == 0
    for _ in range(6):
        page.act({"do": "zoom", "by": "0.6"})
    assert len(page.plane.names.data["label"]) > 3
    assert len(page.plane.genres.data["label"]) == 0
    again = page_at(Map, movielens_site, page.query.value)
    np.testing.assert_allclose(again.plane.view, page.plane.view, rtol=1e-2, atol=1e-3)
    page.act({"do": "zoom", "by": "all"})
    assert "view" not in page.query.value
    page.plane.source.selected.indices = [0]
    page.method.value = "tsne"
    assert page.notice.text == ""
    assert len(page.places.rows) < len(genre_model.items)


@pytest.mark.parametrize("query", ["view=1,2", "view=a,b,c,d", "view=2,1,0,1", "method=umap"])
def test_what_an_address_of_the_map_cannot_mean(query, small_site):
    assert "in the address" in page_at(Map, small_site, query).notice.text


def test_what_the_map_lacks(small_site, hostile_site):
    flat = ALS(n_factors=1, n_sweeps=1).fit(small_site.fixed.data)
    assert "two factors or more" in page_at(Map, Site(Shown({"m": flat}, None))).notice.text
    model = {"m": small_site.fixed.models["stars"]}
    assert "needs the models' data set" in _plain(
        page_at(Map, Site(Shown(model, None)), "user=1").notice.text
    )
    assert page_at(Map, small_site, "item=none").notice.text != ""
    page = page_at(Map, hostile_site)
    assert "<img" not in page.near.text + page.hits.text


def _plain(text):
    return text.replace("&#x27;", "'")


def test_a_path_goes_with_time(movielens_site, genre_model):
    data = movielens_site.fixed.data
    places = Places.of(genre_model, "pca")
    path = path_of_user(places, data, 3)
    assert path["when"].is_monotonic_increasing
    assert 2 <= len(path) <= 8
    with pytest.raises(InputError, match="too few ratings"):
        path_of_user(some_places(1), data, 3)


def test_titles_of_items_without():
    items = pd.DataFrame({"item_id": [1, 2], "title": ["A", None]})
    assert titles_of_items(items).tolist() == ["A", "item 2"]
    assert titles_of_items(items[["item_id"]]).tolist() == ["item 1", "item 2"]
