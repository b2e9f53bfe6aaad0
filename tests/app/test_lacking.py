"""Pages of data without times, titles, genres or years: each says what it lacks."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from mfdask.app.behind import ratings_of_user
from mfdask.app.pages import pages_of
from mfdask.app.site import Shown, Site
from mfdask.app.tables import Suspects
from mfdask.models import ALS, IALS
from mfdask.shards import Dataset
from tests.app.serving import page_at


@pytest.fixture(scope="module")
def bare_site(tmp_path_factory):
    """Return a site of two models of nothing but ratings, with a table of a suspect."""
    rng = np.random.default_rng(3)
    ratings = rng.integers(1, 6, (40, 25)) * (rng.random((40, 25)) < 0.6)
    data = Dataset.from_csr(sparse.csr_array(ratings.astype(np.float64)))
    models = {"stars": ALS(n_factors=3, n_sweeps=2).fit(data),
              "ranks": IALS(n_factors=3, n_sweeps=2).fit(data)}  # fmt: skip
    folder = tmp_path_factory.mktemp("bare")
    suspects = pd.DataFrame({"entity": ["user"], "user_id": [data.users()["user_id"][4]]})
    suspects.to_parquet(folder / "suspected_attacks.parquet")
    return Site(Shown(models, data), None, folder)


def words_of(page):
    """Return all that a page says."""
    roots = [page.notice, *(card.root for card in page.cards)]
    texts = [
        str(getattr(model, "text", "")) + str(getattr(model, "title", ""))
        for root in roots
        for model in root.references()
    ]
    return re.sub("<[^>]*>", " ", " ".join(texts))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("for-you", "no titles"),
        ("for-you", "no genres"),
        ("for-you", "no years"),
        ("map", "no titles"),
        ("map", "no genres"),
        ("new-item", "places items that nobody has rated"),
        ("ab", "nothing is held out"),
    ],
)
def test_what_is_lacking_is_said(bare_site, path, words):
    (page_type,) = (each for each in pages_of(bare_site) if each.path == path)
    assert words in words_of(page_at(page_type, bare_site))


def test_a_map_without_genres_shows_items_by_their_ids(bare_site):
    (page_type,) = (each for each in pages_of(bare_site) if each.path == "map")
    page = page_at(page_type, bare_site)
    assert page.notice.text == ""


def test_ratings_without_times(bare_site):
    page = page_at(Suspects, bare_site)
    page.act({"do": "lines-pick", "line": "0"})
    assert "the data set has no times" in page.about.text
    user = bare_site.fixed.data.users()["user_id"][4]
    assert ratings_of_user(bare_site.fixed, user)["when"].isna().all()
