"""Item features from a file: their encoder, what they are for, and files that are none."""

import json

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from mfdask.errors import InputError
from mfdask.evaluation import evaluate
from mfdask.features.encoder import EVERY_ITEM, MAX_FEATURES, FeatureEncoder
from mfdask.features.file import FeatureFile, read_features
from mfdask.models import ALS, Bayes, load_model, save_model
from mfdask.recommendation.explain import explain
from mfdask.recommendation.fold_in import History
from mfdask.shards import Dataset

CONFIG = ALS(n_factors=2, n_sweeps=8, item_prior="features", fidelity=0.1, weight_reg=0.01)
BAYES = Bayes(n_factors=2, n_sweeps=40, burn_in=10, item_prior="features")
COLD = slice(80, 100)  # of the 100 items below

columns = st.lists(
    st.tuples(
        st.none() | st.sampled_from(["a", "b", "b|a", "a|a|c", "", "|", "d|"]),
        st.none() | st.floats(-1e6, 1e6, width=32),
    ),
    min_size=1,
    max_size=8,
)


def encoded(tag, size, sizes, tags):
    """Return the features of one item, by the book."""
    own = {value for value in (tag or "").split("|") if value}
    mean, spread = (np.mean(sizes), np.std(sizes)) if sizes else (0, 1)
    number = 0 if size is None else (size - mean) / (spread or 1)
    return [1, *((value in own) / max(len(own), 1) for value in tags), number]


@hypothesis.given(columns)
def test_coding_by_the_book_and_by_json(lines):
    table = pd.DataFrame(lines, columns=["tag", "size"]).astype({"tag": "str", "size": "float64"})
    tags = sorted({value for tag, _ in lines for value in (tag or "").split("|")} - {""})
    sizes = [size for _, size in lines if size is not None]
    encoder = FeatureEncoder.of(table)
    assert encoder.names == [EVERY_ITEM, *(f"tag={value}" for value in tags), "size"]
    found = encoder.encode(table)
    assert found.dtype == np.float32
    wanted = [encoded(tag, size, sizes, tags) for tag, size in lines]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    again = FeatureEncoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert again == encoder
    np.testing.assert_array_equal(again.encode(table), found)


def test_what_is_not_known_is_left_out():
    encoder = FeatureEncoder.of(pd.DataFrame({"tag": ["a|b", "c"], "size": [1.0, 3.0]}))
    new = pd.DataFrame({"tag": ["a|x", "x", None]}, dtype="str")
    np.testing.assert_array_equal(
        encoder.encode(new), [[1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [1, 0, 0, 0, 0]]
    )
    with pytest.raises(InputError, match="'size': numbers are wanted"):
        encoder.encode(pd.DataFrame({"size": ["big"]}))


def test_a_constant_column_is_zero():
    encoder = FeatureEncoder.of(pd.DataFrame({"same": [4, 4], "none": [np.nan, np.nan]}))
    np.testing.assert_array_equal(encoder.encode(pd.DataFrame({"same": [4, 4]}))[:, 1:], 0)


@pytest.fixture(scope="module")
def world():
    """Return ratings that go by a number of each item, the number, and each item's true mean.

    Items in `COLD` have no ratings.
    """
    random = np.random.default_rng(11)
    budget = random.normal(50, 20, 100)
    true = 3 + 0.03 * (budget - 50)
    ratings = true + random.normal(0, 0.3, (120, 1)) + random.normal(0, 0.3, (120, 100))
    seen = random.random(ratings.shape) < 0.3
    seen[:, COLD] = False
    matrix = scipy.sparse.csr_array(np.where(seen, ratings, 0).astype(np.float32))
    return matrix, budget, true


@pytest.fixture(scope="module")
def file(world, tmp_path_factory):
    """Return the numbers as a file, in any order, without item 0 and with one of no item."""
    place = tmp_path_factory.mktemp("features") / "items.csv"
    frame = pd.DataFrame({"budget": world[1], "item_id": range(100), "set": ["a|b", "b"] * 50})
    frame = pd.concat([frame[:0:-1], pd.DataFrame({"budget": [1.0], "item_id": [7777]})])
    frame.to_csv(place, index=False)
    return place


def cold_error(model, true):
    users = np.arange(100).repeat(20)
    items = np.tile(np.arange(100)[COLD], 100)
    return np.sqrt(np.mean((model.predict(users, items) - true[items]) ** 2))


@pytest.mark.parametrize("config", [CONFIG, BAYES], ids=["als", "bayes"])
def test_cold_items_are_predicted_by_what_drives_them(config, world, file):
    matrix, _, true = world
    model = config.fit(matrix, item_features=file)
    bias = ALS(n_factors=0, n_sweeps=8, fidelity=0.1).fit(matrix)
    assert cold_error(bias, true) > 0.5
    assert cold_error(model, true) < 0.35  # the users' own .3 is in there
    dear, cheap = model.rows_of_new_items(pd.DataFrame({"budget": [90.0, 10.0]}))[:, 0]
    assert dear - cheap == pytest.approx(0.03 * 80, rel=0.15)
    assert model.feature_names == [EVERY_ITEM, "budget", "set=a", "set=b"]


def test_what_the_file_lacks_has_what_all_items_have(world, file):
    matrix = world[0].copy().tolil()
    matrix[:, 0] = 0
    model = CONFIG.fit(scipy.sparse.csr_array(matrix), item_features=file)
    everybody = model.feature_weights[0]
    np.testing.assert_allclose(model.item_rows[0, [0, 2, 3]], everybody, rtol=1e-6)
    np.testing.assert_array_equal(model.cold_start_row("items")[0], model.item_rows[0])
    (known, unknown) = model.predict([5, 5], [0, 123456])
    assert known == unknown


def test_the_file_is_held_against_the_items(world, file):
    found = FeatureFile.at(file).match(Dataset.from_csr(world[0]))
    assert (found.n_missing, found.n_unknown) == (1, 1)
    np.testing.assert_allclose(found.table["budget"][1:], world[1][1:])
    assert found.table.iloc[0].isna().all()


def test_parquet_says_the_same(world, file, tmp_path):
    frame = pd.read_csv(file).assign(new=True)
    frame.to_parquet(tmp_path / "items.parquet", index=False)
    table = FeatureFile.at(tmp_path / "items.parquet").match(Dataset.from_csr(world[0])).table
    csv = FeatureFile.at(file).match(Dataset.from_csr(world[0])).table
    pd.testing.assert_frame_equal(table[["budget", "set"]], csv)
    assert table["new"].isna().tolist() == [True] + [False] * 99


def test_ids_of_text_keep_their_zeros(tmp_path):
    (tmp_path / "f.csv").write_text("film,size\n007,1\n7,2\n")
    table = read_features(FeatureFile.at(tmp_path / "f.csv"), whole_ids=False)
    assert table.index.tolist() == ["007", "7"]


@pytest.mark.parametrize("config", [CONFIG, BAYES], ids=["als", "bayes"])
def test_round_trip(config, world, file, tmp_path):
    model = config.fit(world[0], item_features=file)
    save_model(model, tmp_path / "m")
    again = load_model(tmp_path / "m")
    assert again.encoder == model.encoder
    pd.testing.assert_frame_equal(again.item_features, model.item_features)
    np.testing.assert_array_equal(again.feature_weights, model.feature_weights)
    new = pd.DataFrame({"set": ["a"], "budget": [70]})
    found, wanted = again.rows_of_new_items(new), model.rows_of_new_items(new)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    stored = pd.read_parquet(tmp_path / "m" / "item_features.parquet")
    assert list(stored) == ["item_id", "budget", "set"]


def test_a_model_that_does_not_say_its_coding_has_genres(small_data, tmp_path):
    model = ALS(n_factors=2, n_sweeps=2, item_prior="genre").fit(Dataset.open(small_data))
    save_model(model, tmp_path / "m")
    said = json.loads((tmp_path / "m" / "model.json").read_text())
    del said["coding"], said["crc32"]
    (tmp_path / "m" / "model.json").write_text(json.dumps(said))
    assert load_model(tmp_path / "m").encoder == model.encoder


def test_the_objective_is_that_of_the_model(world, file):
    model = CONFIG.fit(world[0], item_features=file)
    data = Dataset.from_csr(world[0])
    sse = float(evaluate(model, data, "train").raw.squared[0])
    assert model.objective(sse) == pytest.approx(model.history[-1].objective, rel=0.02)


def test_features_add_up_to_the_score_of_a_cold_item(world, file):
    model = CONFIG.fit(world[0], item_features=file)
    why = explain(model, History.of(model, {3: 2.5, 4: 4.0}), [90])
    assert set(why.genres["genre"]) == {EVERY_ITEM, "budget", "set=a", "set=b"}
    total = why.mean + why.user_bias + why.genres["part"].sum()
    assert total == pytest.approx(why.items["score"][0], abs=1e-5)


@pytest.fixture(scope="module")
def genre_file(small_data, tmp_path_factory):
    place = tmp_path_factory.mktemp("genres") / "items.parquet"
    Dataset.open(small_data).items()[["item_id", "genres"]].to_parquet(place, index=False)
    return place


def test_genres_from_a_file_do_what_genres_do(small_data, genre_file):
    data = Dataset.open(small_data)
    given = ALS(n_factors=3, item_prior="features", fidelity=0.02)
    known = ALS(n_factors=3, item_prior="genre", fidelity=0.02)
    found = given.fit(data, item_features=genre_file)
    wanted = known.fit(data)
    assert found.feature_names[1:] == [f"genres={name}" for name in wanted.feature_names]
    rmse = [model.history[-1].test_rmse for model in (found, wanted)]
    assert rmse[0] == pytest.approx(rmse[1], abs=0.005)  # all items have a feature in common


def test_workers_and_process_agree(small_data, genre_file, client):
    data = Dataset.open(small_data)
    alone = CONFIG.fit(data, item_features=genre_file)
    spread = CONFIG.fit(data, item_features=genre_file, client=client)
    np.testing.assert_array_equal(alone.item_rows, spread.item_rows)


def test_goes_on_with_the_same_file_only(world, file, tmp_path):
    kept = {"checkpoint": tmp_path / "c", "checkpoint_every": 8}
    whole = CONFIG.fit(world[0], item_features=file, **kept)
    resumed = CONFIG.fit(world[0], item_features=file, checkpoint=tmp_path / "c", resume=True)
    np.testing.assert_array_equal(resumed.item_rows, whole.item_rows)
    other = tmp_path / "other.csv"
    other.write_text(file.read_text() + "2.0,8888,a\n")
    with pytest.raises(InputError, match="other data or parameters"):
        CONFIG.fit(world[0], item_features=other, checkpoint=tmp_path / "c", resume=True)


def test_a_file_that_changes_on_the_way_is_noticed(file, tmp_path):
    (tmp_path / "f.csv").write_text(file.read_text())
    named = FeatureFile.at(tmp_path / "f.csv")
    (tmp_path / "f.csv").write_text("item_id,budget\n1,2\n")
    with pytest.raises(InputError, match="was changed"):
        read_features(named, whole_ids=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("item_id\n1\n", "no column beside the ids"),
        ("item_id,size\n", "none of its 0 ids"),
        ("film,size\n1001,2\n1002,3\n", "none of its 2 ids in column 'film'"),
        ("item_id,size\n1,2\n1,3\n", "item 1 is there twice"),
        ("item_id,size\n1,2\nx1,3\n", r"item_id 'x1' \(item 2\) is no whole number"),
        ("item_id,size\n1.5,2\n", r"'1.5' \(item 1\) is no whole number"),
        ("item_id,size\n,2\n", "is no whole number"),
        ("item_id,size\n1,inf\n", "'size': a number is infinite"),
        ("item_id,new\n1,True\n2,\n", "'new': neither numbers nor text"),
        ("item_id,size\n1,2,3,4\n1,2\n5,6,7,8,9,9\n", "cannot be read"),
    ],
)
def test_bad_files(text, message, world, tmp_path):
    (tmp_path / "f.csv").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        CONFIG.fit(world[0], item_features=tmp_path / "f.csv")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pd.to_datetime(["2020-01-01"] * 3), "'made': neither numbers nor text"),
        ([[1], [2], [3]], "'made': neither numbers nor text"),
        (["|", "", "|"], "say nothing of any item"),
    ],
)
def test_bad_columns(column, message, world, tmp_path):
    frame = pd.DataFrame({"item_id": [1, 2, 3], "made": column})
    frame.to_parquet(tmp_path / "f.parquet", index=False)
    with pytest.raises(InputError, match=message):
        CONFIG.fit(world[0], item_features=tmp_path / "f.parquet")


def test_too_many_features():
    titles = pd.DataFrame({"title": [f"film {n}" for n in range(MAX_FEATURES)], "size": 1})
    with pytest.raises(InputError, match=f"column 'title' alone has {MAX_FEATURES:,} values"):
        FeatureEncoder.of(titles)


def test_the_file_and_the_prior_go_together(world, file, tmp_path):
    with pytest.raises(InputError, match="give item_features, a CSV"):
        CONFIG.fit(world[0])
    with pytest.raises(InputError, match="the items' prior is 'zero'"):
        ALS().fit(world[0], item_features=file)
    with pytest.raises(InputError, match="cannot be read"):
        CONFIG.fit(world[0], item_features=tmp_path / "nothing.csv")
    with pytest.raises(InputError, match="zero or genre or features"):
        ALS(item_prior="title")
