"""Lists of known users against sorting all predictions."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from mfdask.errors import InputError
from mfdask.models import ALS, save_model
from mfdask.recommendation import Ranking, recommend, write_recommendations
from mfdask.recommendation import batch as batch_module
from mfdask.shards import Dataset

LOOSE = Ranking(top=7, min_ratings=0)


def sorted_lists(model, data, ranking):
    """Return ``{user: [(item, score)]}`` by sorting every score of every user, float64."""
    items = model.items
    good = (items["n_train"] >= ranking.min_ratings) & ~items["item_id"].isin(ranking.deny)
    if ranking.allow is not None:
        good &= items["item_id"].isin(ranking.allow)
    scores = (
        model.mean
        + model.user_bias[:, None].astype(float)
        + ranking.bias_weight * model.item_bias.astype(float)
        + model.user_factors.astype(float) @ model.item_factors.T.astype(float)
    )
    scores[:, ~good.to_numpy()] = -np.inf
    if data is not None:
        for block, part in itertools.product(range(data.n_blocks("users")), ("train", "test")):
            shard = data.shard("users", block, part)
            for row, (a, b) in enumerate(itertools.pairwise(shard.indptr)):
                scores[shard.start + row, shard.indices[a:b]] = -np.inf
    lists = {}
    for user, own in zip(model.users["user_id"], scores, strict=True):
        order = np.argsort(-own, kind="stable")[: ranking.top]
        order = order[np.isfinite(own[order])]
        lists[user] = list(zip(items["item_id"].to_numpy()[order], own[order], strict=True))
    return lists


def assert_same(table, wanted):
    """Assert that a table holds the wanted lists; near-equal scores may have changed places."""
    found = dict(list(table.groupby("user_id")))
    assert set(found) == {user for user, own in wanted.items() if own}
    for user, lines in found.items():
        items, scores = zip(*wanted[user], strict=True)
        assert lines["rank"].tolist() == list(range(1, len(items) + 1))
        np.testing.assert_allclose(lines["score"], scores, rtol=1e-5)
        assert sorted(lines["item_id"]) == sorted(items)


@pytest.mark.parametrize(
    "ranking",
    [
        LOOSE,
        Ranking(top=3, min_ratings=20, bias_weight=1),
        dataclasses.replace(LOOSE, bias_weight=-0.5),
        dataclasses.replace(LOOSE, top=10_000),
    ],
)
def test_lists_are_those_of_sorting_everything(ranking, model, data):
    table = recommend(model, model.users["user_id"], data, ranking)
    assert_same(table, sorted_lists(model, data, ranking))


def test_rated_items_may_be_offered(model):
    table = recommend(model, model.users["user_id"], None, LOOSE)
    assert_same(table, sorted_lists(model, None, LOOSE))


def test_lists_of_items(model, data):
    ids = model.items["item_id"].tolist()
    ranking = dataclasses.replace(LOOSE, allow=tuple(ids[5:30]), deny=tuple(ids[:10]))
    table = recommend(model, model.users["user_id"], data, ranking)
    assert_same(table, sorted_lists(model, data, ranking))
    assert set(table["item_id"]) <= set(ids[10:30])


def test_equal_scores_go_by_row(model):
    rows = model.item_rows.copy()
    rows[:] = rows[3]
    level = dataclasses.replace(model, item_rows=rows)
    table = recommend(level, model.users["user_id"][:2], None, Ranking(top=5, min_ratings=0))
    assert table["item_id"].tolist() == 2 * model.items["item_id"][:5].tolist()
    assert table["score"].nunique() == 2


def test_a_score_with_full_bias_is_the_prediction(model, data):
    table = recommend(
        model, model.users["user_id"][:9], data, Ranking(min_ratings=0, bias_weight=1)
    )
    predicted = model.predict(table["user_id"], table["item_id"], clip=False)
    np.testing.assert_allclose(table["score"], predicted, rtol=1e-5)


def test_users_come_in_the_order_asked_for(model, data):
    ids = model.users["user_id"][[250, 3, 120]].tolist()
    table = recommend(model, ids, data, LOOSE)
    assert table["user_id"].drop_duplicates().tolist() == ids


def test_the_source_says_what_a_score_rests_on(model, genre_model):
    def unrated(learned):
        users, items = learned.users.copy(), learned.items.copy()
        users.loc[0, "n_train"] = items.loc[0, "n_train"] = 0
        return dataclasses.replace(learned, users=users, items=items)

    two = dataclasses.replace(LOOSE, allow=tuple(model.items["item_id"][:2]))
    for learned, sources in (
        (unrated(model), {"mean", "item", "user", "model"}),
        (unrated(genre_model), {"genre", "item", "model"}),
    ):
        table = recommend(learned, learned.users["user_id"][:2], None, two)
        cold = table["item_id"] == learned.items["item_id"][0]
        new = table["user_id"] == learned.users["user_id"][0]
        assert set(table["source"]) == sources
        assert set(table["source"][~cold & new]) == {"item"}
        assert set(table["source"][cold & ~new]) == sources & {"genre", "user"}
        assert set(table["source"][~cold & ~new]) == {"model"}


@pytest.mark.parametrize("several", [False, True])
def test_written_lists_are_the_same(
    several, model_folder, model, data, client, tmp_path, monkeypatch
):
    monkeypatch.setattr(batch_module, "BLOCK_USERS", 64)
    calls = []
    counts = write_recommendations(
        model_folder,
        tmp_path / "out",
        data,
        LOOSE,
        client=client if several else None,
        progress=lambda *call: calls.append(call[:3]),
    )
    assert len(list((tmp_path / "out").glob("part-*.parquet"))) == 5
    assert calls == [("recommend", done, 5) for done in range(6)]
    written = pd.read_parquet(tmp_path / "out")
    assert counts == (300, len(written), 0, 0, 200)
    described = ["item_id", "title", "year", "genres"]
    assert list(written) == ["user_id", "rank", *described, "score", "source"]
    own = model.items.set_index("item_id")["title"]
    assert written["title"].tolist() == own[written["item_id"]].tolist()
    wanted = recommend(model, model.users["user_id"], data, LOOSE)
    pd.testing.assert_frame_equal(written, wanted)


def test_a_failed_run_leaves_the_lists_before_it(model_folder, data, tmp_path, monkeypatch):
    write_recommendations(model_folder, tmp_path / "out", data, LOOSE)
    before = pd.read_parquet(tmp_path / "out")

    def fail(*args):
        raise RuntimeError

    monkeypatch.setattr(batch_module, "rank_rows", fail)
    with pytest.raises(RuntimeError):
        write_recommendations(model_folder, tmp_path / "out", data, LOOSE)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out"), before)
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_other_things_are_not_replaced(model_folder, data, tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="holds no recommendations"):
        write_recommendations(model_folder, tmp_path / "mine", data)


def test_other_data_are_refused_by_fingerprint(model, data):
    other = dataclasses.replace(model.data, fingerprint="f" * 64)
    with pytest.raises(InputError, match=f"ffffffffffff.*{data.fingerprint[:12]}"):
        recommend(dataclasses.replace(model, data=other), model.users["user_id"], data)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"top": 0}, "top must be a whole number from 1 up, not 0"),
        ({"bias_weight": float("nan")}, "bias_weight must be a number, not nan"),
        ({"min_ratings": -1}, "min_ratings must be a whole number from 0 up, not -1"),
        ({"min_ratings": 10**6}, "no item to offer"),
        ({"allow": ()}, "no item to offer"),
        ({"allow": (10**7,)}, "item 10000000: not among the items"),
        ({"deny": (10**7, 10**8)}, "item 10000000 and 1 more"),
    ],
)
def test_bad_rankings(options, words, model):
    with pytest.raises(InputError, match=words):
        recommend(model, model.users["user_id"][:1], None, Ranking(**options))


def test_no_users(model_folder, tmp_path):
    with pytest.raises(InputError, match="no users"):
        write_recommendations(model_folder, tmp_path / "out", None, LOOSE, user_ids=[])


def test_unknown_users(model, data):
    with pytest.raises(InputError, match="user -5: not among the users"):
        recommend(model, [-5], data)


def test_a_matrix_in_memory(ratings_model):
    model, data = ratings_model
    assert isinstance(data, Dataset)
    assert data.path is None
    assert_same(recommend(model, range(40), data, LOOSE), sorted_lists(model, data, LOOSE))


@pytest.mark.parametrize("ratings", [[[4.0, 2.0]], [[4.0], [2.0]]])
def test_one_user_and_one_item_have_rated_everything(ratings, tmp_path):
    data = Dataset.from_csr(scipy.sparse.csr_array(np.array(ratings, np.float32)))
    learned = ALS(n_factors=1, n_sweeps=2).fit(data)
    save_model(learned, tmp_path / "m")
    for ranking in (LOOSE, dataclasses.replace(LOOSE, variety=0.5)):
        table = recommend(learned, range(len(ratings)), data, ranking, learned)
        assert not len(table)
        assert {"item_id", "score", "stars"} <= set(table)
        assert len(recommend(learned, range(len(ratings)), None, ranking)) == 2
    counts = write_recommendations(tmp_path / "m", tmp_path / "out", data, LOOSE)
    assert counts == (len(ratings), 0, len(ratings), 0, len(ratings[0]))


def test_the_stars_beside_a_list_are_of_the_same_items(model, ratings_model):
    other, _ = ratings_model
    stranger = dataclasses.replace(
        other, items=other.items.assign(item_id=-1 - other.items["item_id"])
    )
    with pytest.raises(InputError, match="knows none of the items"):
        recommend(model, model.users["user_id"][:1], None, LOOSE, stranger)
