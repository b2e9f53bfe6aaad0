"""Popularity, item neighbours and EASE against plain NumPy."""

import numpy as np
import pandas as pd
import psutil
import pytest
import scipy.sparse

from mfdask.errors import InputError, RefusedError
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.models import Ability, item_item, load_model, save_model
from mfdask.models.base import Score
from mfdask.models.item_item import EASE, ItemKNN
from mfdask.models.popularity import Popularity
from mfdask.ratings.formats import open_source
from mfdask.ratings.splits import Split
from mfdask.shards import Dataset
from tests.evaluation.data import frame, random_data
from tests.models.test_time import dated_frame, training
from tests.shards.oracle import memory_source

ALL = [Popularity(), Popularity(liked=3.0), ItemKNN(n_neighbours=4), EASE(liked=3.0)]


@pytest.fixture(scope="module")
def data():
    return random_data()


def matrix(data, liked=None):
    """Return which items each user has rated as high as that, float64 (users, items)."""
    train = frame(data, "train")
    found = np.zeros((data.n_users, data.n_items))
    counted = train[train["rating"] >= (liked or 0)]
    found[counted["user"], counted["item"]] = 1
    return found


def naive_neighbours(x, k, shrinkage):
    """Return the weights of each item, in its column, to its `k` most similar ones."""
    both = x.T @ x
    n = len(both)
    weights = np.zeros((n, n))
    for item in range(n):
        cosine = {
            other: both[item, other] / (np.sqrt(both[item, item] * both[other, other]) + shrinkage)
            for other in range(n)
            if other != item and both[item, other]
        }
        for other in sorted(cosine, key=lambda j, c=cosine: (-np.float32(c[j]), j))[:k]:
            weights[other, item] = cosine[other]
    return weights


def naive_ease(x, regularisation):
    """Return the weights of a ridge regression of each item on all others, one by one."""
    n = x.shape[1]
    weights = np.zeros((n, n))
    for item in range(n):
        others = np.delete(np.arange(n), item)
        own = x[:, others]
        gram = own.T @ own + regularisation * np.eye(n - 1)
        weights[others, item] = np.linalg.solve(gram, own.T @ x[:, item])
    return weights


def scores(model, data):
    return model.align(data).scores(np.arange(data.n_users))


@pytest.mark.parametrize("liked", [None, 3.0])
@pytest.mark.parametrize("cells", [1 << 22, 60])
def test_item_neighbours(data, liked, cells, monkeypatch):
    monkeypatch.setattr(item_item, "_CELLS", cells)
    x = matrix(data, liked)
    model = ItemKNN(n_neighbours=4, shrinkage=2.0, liked=liked).fit(data)
    np.testing.assert_allclose(scores(model, data), x @ naive_neighbours(x, 4, 2.0), rtol=1e-5)


@pytest.mark.parametrize("liked", [None, 3.0])
def test_ease_is_a_ridge_regression_of_each_item_on_the_others(data, liked):
    x = matrix(data, liked)
    model = EASE(regularisation=3.0, liked=liked).fit(data)
    np.testing.assert_allclose(scores(model, data), x @ naive_ease(x, 3.0), atol=1e-5)
    assert (np.diag(model.weights) == 0).all()


@pytest.mark.parametrize("liked", [None, 3.0])
def test_popularity_counts(data, liked):
    found = scores(Popularity(liked=liked).fit(data), data)
    np.testing.assert_array_equal(found, np.tile(matrix(data, liked).sum(axis=0), (30, 1)))


@pytest.mark.parametrize("estimator", ALL, ids=str)
def test_pairs_lists_and_files_agree(data, estimator, tmp_path, monkeypatch):
    monkeypatch.setattr(item_item, "_CELLS", 60)  # a few users at a time
    model = estimator.fit(data)
    table = scores(model, data)
    random = np.random.default_rng(1)
    users = random.integers(-1, data.n_users, 500).astype(np.int32)
    items = random.integers(-1, data.n_items, 500).astype(np.int32)
    known = items >= 0
    if estimator.score is Score.PREFERENCE:
        known &= users >= 0
    wanted = np.where(known, table[users, items], 0)
    np.testing.assert_allclose(model.predict_rows(users, items), wanted, rtol=1e-6)
    assert model.predict_rows(users[:0], items[:0]).shape == (0,)
    save_model(model, tmp_path / "m")
    again = load_model(tmp_path / "m")
    assert again.estimator == estimator
    np.testing.assert_array_equal(scores(again, data), table)
    np.testing.assert_array_equal(scores(again.refit(data), data), table)


@pytest.mark.parametrize("estimator", ALL, ids=str)
def test_somebody_new_is_scored_as_a_user_with_the_same_history(data, estimator):
    model = estimator.fit(data)
    assert model.can(Ability.NEW_USERS)
    train = frame(data, "train")
    own = train[train["user"] == 7]
    history = own["item"].to_numpy(np.int32), own["rating"].to_numpy(np.float32)
    np.testing.assert_allclose(model.scores_of_history(*history), scores(model, data)[7])
    nothing = model.scores_of_history(history[0][:0], history[1][:0])
    assert nothing.shape == (data.n_items,)


@pytest.mark.parametrize("estimator", ALL, ids=str)
def test_a_model_of_other_data_goes_by_ids(data, estimator):
    other = Dataset.from_csr(scipy.sparse.random_array((40, 520), density=0.3, rng=3) * 5)
    model = estimator.fit(other)  # its item 500 is the first of `data`, and so on
    table = scores(model, other)
    found = model.align(data)
    assert (found.users == -1).all()
    wanted = np.zeros((2, data.n_items))
    if estimator.score is Score.COUNT:
        wanted[:, :20] = table[:2, 500:]
    np.testing.assert_array_equal(found.scores(np.array([0, 1])), wanted)


def test_recent_popularity_counts_the_last_days(client, tmp_path):
    n = 60
    times = np.arange(n) * 86_400 + 10**9
    ratings = pd.DataFrame(
        {
            "user_id": np.arange(n) % 7,
            "item_id": np.arange(n) // 2,
            "rating": 4.0,
            "timestamp": times,
        }
    )
    ratings.to_csv(tmp_path / "r.csv", index=False)
    choices = IngestOptions(Split.parse("none"), blocks=2)
    ingest(open_source(str(tmp_path / "r.csv")), tmp_path / "d", client=client, choices=choices)
    data = Dataset.open(tmp_path / "d")
    counts = dict(zip(data.items()["item_id"], Popularity(days=5.0).fit(data).counts, strict=True))
    assert {item: n for item, n in counts.items() if n} == {29: 2, 28: 2, 27: 1}
    weighted = dict(
        zip(data.items()["item_id"], Popularity(half_life=3.0).fit(data).counts, strict=True)
    )
    for item in range(n // 2):
        ages = [n - 1 - place for place in (2 * item, 2 * item + 1)]
        assert weighted[item] == pytest.approx(sum(0.5 ** (age / 3.0) for age in ages))
    both = Popularity(days=5.0, half_life=3.0).fit(data).counts
    assert both.sum() == pytest.approx(sum(0.5 ** (age / 3.0) for age in range(5)))


@pytest.mark.parametrize("liked", [None, 3.0])
def test_histories_count_by_age(liked, client, tmp_path):
    rated = dated_frame()
    choices = IngestOptions(Split.parse("none"), blocks=2)
    ingest(memory_source(rated), tmp_path / "d", client=client, choices=choices)
    data = Dataset.open(tmp_path / "d")
    users, items, ratings, times = training(data)
    counted = ratings >= (liked or 0)
    x = np.zeros((data.n_users, data.n_items))
    x[users[counted], items[counted]] = 0.5 ** ((times.max() - times[counted]) / (30 * 86_400))
    near = ItemKNN(n_neighbours=4, shrinkage=0.5, liked=liked, half_life=30.0).fit(data)
    np.testing.assert_allclose(scores(near, data), x @ naive_neighbours(x, 4, 0.5), rtol=2e-5)
    ease = EASE(regularisation=0.5, liked=liked, half_life=30.0).fit(data)
    np.testing.assert_allclose(scores(ease, data), x @ naive_ease(x, 0.5), atol=1e-4)


def test_bad_input(data, monkeypatch):
    for estimator in (Popularity(liked=9.0), ItemKNN(liked=9.0), EASE(liked=9.0)):
        with pytest.raises(InputError, match="liked 9: no rating of tiny is above 5"):
            estimator.fit(data)
    with pytest.raises(InputError, match="days: tiny has no timestamps"):
        Popularity(days=3.0).fit(data)
    with pytest.raises(InputError, match="half_life: tiny has no timestamps"):
        Popularity(half_life=3.0).fit(data)
    for estimator in (ItemKNN(half_life=3.0), EASE(half_life=3.0)):
        with pytest.raises(InputError, match="half_life: tiny has no timestamps"):
            estimator.fit(data)
    with pytest.raises(InputError, match="regularisation must be a number above 0"):
        EASE(regularisation=0.0)
    few = type("Memory", (), {"available": 1000})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: few)
    with pytest.raises(RefusedError, match=r"kind ease of \d+ items needs at least .* MiB"):
        EASE().fit(data)


def test_one_user_and_one_item():
    one = Dataset.from_csr(scipy.sparse.csr_array([[4.0]]))
    for estimator in ALL:
        found = scores(estimator.fit(one), one)
        assert found.tolist() == [[1.0 if estimator.score is Score.COUNT else 0.0]]
