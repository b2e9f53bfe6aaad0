"""The page *For you*, without a browser."""

from __future__ import annotations

import re
from html import unescape

import pytest

from mfdask.app.for_you import ForYou
from mfdask.app.site import Shown, Site
from mfdask.recommendation import History, Ranking, recommend, recommend_new
from tests.app.serving import page_at
from tests.report.hostile import TEXTS


def titles(html):
    """Return the titles of a list, in order."""
    return [unescape(t) for t in re.findall(r'class="what"><bdi>(.*?)</bdi>', html, re.DOTALL)]


def names(table):
    return [title or f"item {key}" for key, title in table[["item_id", "title"]].itertuples(False)]


def rate(page, item, rating=4):
    page.act({"do": "rate", "item": str(item), "rating": str(rating)})


def test_lists_follow_the_ratings(small_site):
    page = page_at(ForYou, small_site, "least=0")
    models = small_site.fixed.models
    items = small_site.fixed.items["item_id"].tolist()
    assert "begins with the first rating" in page.lists["stars"].text
    rate(page, items[3], 5)
    rate(page, items[7], 2)
    for name, model in models.items():
        history = History.of(model, {items[3]: 5, items[7]: 2})
        wanted = recommend_new(model, history, Ranking(min_ratings=0))
        assert titles(page.lists[name].text) == names(wanted)
    assert page.query.value == f"rated={items[3]}%3A5&rated={items[7]}%3A2&least=0"
    again = page_at(ForYou, small_site, page.query.value)
    assert titles(again.lists["ranks"].text) == titles(page.lists["ranks"].text)
    page.act({"do": "drop", "item": str(items[3])})
    page.act({"do": "drop", "item": str(items[7])})
    assert "begins with the first rating" in page.lists["stars"].text


def test_a_known_user(small_site):
    shown = small_site.fixed
    user = shown.models["stars"].users["user_id"].tolist()[5]
    page = page_at(ForYou, small_site, f"user={user}&least=0&variety=0.3")
    for name, model in shown.models.items():
        wanted = recommend(model, [user], shown.data, Ranking(min_ratings=0, variety=0.3))
        assert titles(page.lists[name].text) == names(wanted)
    rate(page, shown.items["item_id"].tolist()[0])
    assert page.user == ""
    page.known.value = "no such"
    assert "user no such" in page.notice.text or "whole numbers" in page.notice.text
    page.act({"do": "clear"})
    assert page.notice.text == ""


def test_filters(movielens_site):
    page = page_at(ForYou, movielens_site, "rated=1:5&genre=Comedy&from=1990&to=1999&least=20")
    assert page.notice.text == ""
    shown = movielens_site.fixed
    listed = titles(page.lists["genre"].text)
    items = shown.items.set_index("title").loc[listed]
    assert len(items) == 10
    assert items["genres"].str.contains("Comedy").all()
    assert items["year"].between(1990, 1999).all()
    page.act({"do": "genre", "name": "Comedy"})
    assert "genre" not in page.query.value
    page.act({"do": "genre", "name": "Horror"})
    page.least.value = 290
    page.least.trigger("value_throttled", 20, 290)
    assert "no item to offer" in page.lists["genre"].text


def test_titles_as_one_types(movielens_site):
    page = page_at(ForYou, movielens_site)
    assert "Rated most, to begin with" in page.hits.text
    page.search.value_input = "toy st"
    assert titles(page.hits.text)[:2] == ["Toy Story (1995)", "Toy Story 2 (1999)"]
    page.search.value_input = "zzzz"
    assert "No title has that" in page.hits.text
    titles_of = movielens_site.fixed.titles
    items = movielens_site.fixed.items
    assert items["title"].iloc[titles_of.search("matrix")[0]] == "Matrix, The (1999)"
    assert items["title"].iloc[titles_of.search("the matrix (1999)")[0]] == "Matrix, The (1999)"
    assert items["item_id"].iloc[titles_of.search("318")[0]] == 318
    assert titles_of.search("") == titles_of.search("!?") == []


@pytest.mark.parametrize(
    "query", ["rated=none:3", "rated=1:99", "least=-3", "variety=x", "genre=Q"]
)
def test_what_an_address_cannot_mean(query, small_site):
    page = page_at(ForYou, small_site, query)
    assert "in the address" in page.notice.text
    assert page.rated == {}


def test_hostile_texts_are_texts(hostile_site):
    ids = [f"{text} {k}" for k, text in enumerate(TEXTS)]
    page = page_at(ForYou, hostile_site)
    assert page.notice.text == ""
    for item in ids:
        rate(page, item)
    html = page.hits.text + page.own.text + page.genres.text
    page.act({"do": "drop", "item": ids[0]})
    html += "".join(place.text for place in page.lists.values())
    for tag in ("<img", "<script", "<!--"):
        assert tag not in html
    assert TEXTS[1] in titles(html)
    page = page_at(ForYou, hostile_site, page.query.value)
    assert set(page.rated) == set(ids[1:])


def test_without_data_titles_or_genres(small_site):
    models = {name: model for name, model in small_site.fixed.models.items() if name != "pairs"}
    page = page_at(ForYou, Site(Shown(models, None)))
    assert "data set is not here" in next(
        place.text for card in page.cards for place in card.root.select({"name": "lacking"})
    )
    user = models["stars"].users["user_id"].tolist()[0]
    page = page_at(ForYou, Site(Shown(models, None)), f"user={user}&least=0")
    assert len(titles(page.lists["stars"].text)) == 10
