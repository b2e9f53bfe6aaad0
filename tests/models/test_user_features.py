"""Features of users from a file: learned, kept, folded in, and what is refused."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from mfdask.errors import InputError
from mfdask.features.encoder import EVERY_USER, FeatureEncoder, Number
from mfdask.features.equations import Preconditioner
from mfdask.features.file import FeatureFile
from mfdask.features.rated import RatedFeatures, RatedRegression
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.models import ALS, Bayes, load_model, save_model
from mfdask.models.design import unknowns
from mfdask.ratings.splits import Split
from mfdask.recommendation import History, explain, fold_in
from mfdask.shards import Dataset
from tests.naive import rated_features, regress, solve_row
from tests.shards.oracle import memory_source

COLD = slice(90, 100)
POINT = ALS(n_factors=2, n_sweeps=12, fidelity=0.1, user_prior="features")
DRAWN = Bayes(n_factors=2, n_sweeps=60, burn_in=20, user_prior="features")


@pytest.fixture(scope="module")
def world():
    """Return ratings that go by the age of each user, and what each user gives on average.

    Users in `COLD` have no ratings.
    """
    random = np.random.default_rng(11)
    age = random.normal(50, 20, 100)
    true = 3 + 0.03 * (age - 50)
    ratings = true[:, None] + random.normal(0, 0.3, 120) + random.normal(0, 0.3, (100, 120))
    seen = random.random(ratings.shape) < 0.3
    seen[COLD] = False
    return scipy.sparse.csr_array(np.where(seen, ratings, 0).astype(np.float32)), age, true


@pytest.fixture(scope="module")
def file(world, tmp_path_factory):
    """Return the ages as a file, in any order, without user 0 and with a line of no user."""
    place = tmp_path_factory.mktemp("features") / "users.csv"
    frame = pd.DataFrame({"age": world[1], "user_id": range(100), "likes": ["a|b", "b"] * 50})
    frame = pd.concat([frame[:0:-1], pd.DataFrame({"age": [1.0], "user_id": [7777]})])
    frame.to_csv(place, index=False)
    return place


def cold_error(model, true):
    users = np.arange(100)[COLD].repeat(20)
    items = np.tile(np.arange(20), 10)
    return np.sqrt(np.mean((model.predict(users, items) - true[users]) ** 2))


@pytest.mark.parametrize("config", [POINT, DRAWN], ids=["als", "bayes"])
def test_cold_users_are_predicted_by_what_drives_them(config, world, file):
    matrix, _, true = world
    model = config.fit(matrix, user_features=file)
    bias = ALS(n_factors=0, n_sweeps=8, fidelity=0.1).fit(matrix)
    assert cold_error(bias, true) > 0.5
    assert cold_error(model, true) < 0.4  # the items' own .3 is in there
    names = model.user_features.encoder.names
    assert names == [EVERY_USER, "age", "likes=a", "likes=b"]
    everybody = unknowns(model.cold_start_row("users"), model.n_factors + 1)[0]
    np.testing.assert_allclose(everybody, model.user_features.weights[0], rtol=1e-4, atol=1e-5)
    assert model.predict([7777], [3]) == model.predict([123456], [3])


def test_users_and_items_change_places(world, file, tmp_path):
    """Biases alone have one optimum: that of the transposed ratings with the features of items."""
    matrix, age, _ = world
    frame = pd.DataFrame({"item_id": range(100), "age": age, "likes": ["a|b", "b"] * 50})
    frame.iloc[1:].to_csv(tmp_path / "items.csv", index=False)
    shape = {"n_factors": 0, "n_sweeps": 80, "fidelity": 0.1, "bias_reg": 0.2, "reg_scaling": 0.0}
    users = ALS(user_prior="features", **shape).fit(matrix, user_features=file)
    turned = scipy.sparse.csr_array(matrix.T)
    items = ALS(item_prior="features", **shape).fit(turned, item_features=tmp_path / "items.csv")
    np.testing.assert_allclose(users.user_bias, items.item_bias, atol=2e-3)
    np.testing.assert_allclose(users.user_features.weights, items.feature_weights, atol=2e-3)
    assert users.history[-1].objective == pytest.approx(items.history[-1].objective, rel=1e-4)
    assert users.objective(0.0) == users.history[-1].objective


@pytest.mark.parametrize("prior", ["features", "features+rated"])
def test_a_folded_in_user_has_their_features(prior, world, file):
    config = dataclasses.replace(POINT, user_prior=prior, factor_reg=0.4, bias_reg=0.2)
    data = Dataset.from_csr(world[0])
    model = config.fit(data, user_features=file)
    history = History.of_user(data, 5)
    features = model.user_features.of_row(5)
    mean = (features @ model.user_features.weights)[0].astype(float)
    if model.rated_rows is not None:
        said = unknowns(model.rated_rows[history.items], 3)
        mean += said.sum(axis=0) / np.sqrt(len(said))
    fixed = unknowns(model.item_rows, 3)[history.items].astype(float)
    x = np.column_stack([np.ones(len(fixed)), fixed[:, 1:]])
    y = history.ratings - model.mean - fixed[:, 0]
    precision, scale = np.diag([0.2, 0.4, 0.4]), len(y) ** model.estimator.reg_scaling
    wanted = solve_row(x, y, 0.1, precision, mean, np.zeros(3), scale=scale)
    np.testing.assert_allclose(unknowns(fold_in(model, history), 3)[0], wanted, atol=1e-3)
    assert explain(model, history, [3]).user_bias == pytest.approx(wanted[0], abs=1e-3)
    stranger = fold_in(model, dataclasses.replace(history, user=None))
    assert np.abs(unknowns(stranger, 3)[0] - wanted).max() > 1e-3


@pytest.mark.parametrize("config", [POINT, DRAWN], ids=["als", "bayes"])
def test_a_saved_model_is_the_same(config, world, file, tmp_path):
    model = config.fit(world[0], user_features=file)
    save_model(model, tmp_path / "m")
    again = load_model(tmp_path / "m")
    np.testing.assert_array_equal(again.user_features.weights, model.user_features.weights)
    pd.testing.assert_frame_equal(again.user_features.table, model.user_features.table)
    np.testing.assert_array_equal(again.user_rows, model.user_rows)
    one, other = (
        fold_in(m, History.of_user(Dataset.from_csr(world[0]), 5)) for m in (model, again)
    )
    np.testing.assert_allclose(one, other, atol=1e-6)
    refitted = again.refit(Dataset.from_csr(world[0]))
    np.testing.assert_array_equal(refitted.user_rows, model.user_rows)
    assert set(pd.read_parquet(tmp_path / "m" / "user_features.parquet")) == {
        "user_id", "age", "likes",
    }  # fmt: skip


@pytest.mark.parametrize("config", [POINT, DRAWN], ids=["als", "bayes"])
def test_both_sides_over_two_workers(config, client, tmp_path):
    random = np.random.default_rng(2)
    users, items = np.nonzero(random.random((40, 30)) < 0.4)
    frame = pd.DataFrame({"user_id": users, "item_id": items, "rating": users % 5 + 1.0})
    ingest(memory_source(frame), tmp_path / "d", choices=IngestOptions(Split("none"), blocks=2))
    files = {}
    for one, n in (("user", 40), ("item", 30)):
        table = pd.DataFrame({f"{one}_id": range(n), "x": random.normal(size=n)})
        files[f"{one}_features"] = tmp_path / f"{one}.csv"
        table.to_csv(files[f"{one}_features"], index=False)
    config = dataclasses.replace(config, item_prior="features", user_prior="features+rated")
    if isinstance(config, Bayes):
        config = dataclasses.replace(config, n_sweeps=24)
    data = Dataset.open(tmp_path / "d")
    alone = config.fit(data, **files, checkpoint=tmp_path / "c", checkpoint_every=10)
    spread = config.fit(data, **files, client=client)
    resumed = config.fit(data, **files, checkpoint=tmp_path / "c", resume=True)
    for side in ("users", "items"):
        np.testing.assert_array_equal(alone.rows(side), spread.rows(side))
        np.testing.assert_array_equal(alone.rows(side), resumed.rows(side))
    other = {**files, "user_features": files["item_features"]}
    with pytest.raises(InputError, match="of other data or parameters"):
        config.fit(data, **other, checkpoint=tmp_path / "c", resume=True)


def test_numbers_are_scaled_as_asked(world, file, tmp_path):
    column = pd.Series([2.0, 4.0, np.nan, 9.0], name="x")
    table = column.to_frame()
    wanted = {
        "deviation": (column - 5) / np.std([2, 4, 9]),
        "range": (column - 5) / 7,
        "none": column,
    }
    for scale, values in wanted.items():
        found = Number.of(column, scale).encode(table)[:, 0]
        np.testing.assert_allclose(found, values.fillna(0), rtol=1e-6)
    encoder = FeatureEncoder.of(table, "range", EVERY_USER)
    assert FeatureEncoder.from_dict(json.loads(json.dumps(encoder.to_dict()))) == encoder
    model = dataclasses.replace(POINT, feature_scale="none").fit(world[0], user_features=file)
    assert model.user_features.of_row(5)[0, 1] == np.float32(world[1][5])


def test_files_that_do_not_fit(world, file, tmp_path):
    found = FeatureFile.at(file).match(Dataset.from_csr(world[0]), "users")
    assert (found.n_missing, found.n_unknown) == (1, 1)
    with pytest.raises(InputError, match="give user_features, a CSV"):
        POINT.fit(world[0])
    with pytest.raises(InputError, match="the users' prior is 'zero' and follows no file"):
        ALS().fit(world[0], user_features=file)
    (tmp_path / "f.csv").write_text("user_id,x\n1,2\n1,3\n")
    with pytest.raises(InputError, match="user 1 is there twice; give each user one line"):
        POINT.fit(world[0], user_features=tmp_path / "f.csv")
    (tmp_path / "g.csv").write_text("user_id,x\n777,2\n")
    with pytest.raises(InputError, match="is of the users of matrix"):
        POINT.fit(world[0], user_features=tmp_path / "g.csv")


def test_more_features_than_a_full_system_takes_are_searched_for(world, tmp_path):
    tags = ["|".join(f"t{(7 * user + k) % 1100}" for k in range(12)) for user in range(100)]
    tags[99] = "|".join(f"t{k}" for k in range(1100))
    frame = pd.DataFrame({"user_id": range(100), "age": world[1], "tag": tags})
    frame.to_csv(tmp_path / "u.csv", index=False)
    with pytest.raises(InputError, match=r"1,102 features, and 1,024 are the most.*join rated"):
        POINT.fit(world[0], user_features=tmp_path / "u.csv")
    config = dataclasses.replace(POINT, user_prior="features+rated", n_sweeps=8)
    model = config.fit(world[0], user_features=tmp_path / "u.csv")
    assert len(model.user_features.weights) == 1102
    assert cold_error(model, world[2]) < 0.4


def test_the_weights_of_many_features_are_those_of_a_full_system():
    random = np.random.default_rng(4)
    matrix = scipy.sparse.random_array((60, 30), density=0.2, rng=random, format="csr")
    data, n = Dataset.from_csr(matrix), 1200
    dense = random.normal(size=(60, n)).astype(np.float32)
    rows = random.normal(size=(60, 3)).astype(np.float32)
    shards = [data.shard(side, 0) for side in ("users", "items")]
    features = RatedFeatures.of(0.0, [shards[0]], [shards[1]], [dense])
    sums = RatedRegression(features, Preconditioner.of(features), rows)
    rated = rated_features((matrix != 0).toarray())[:, 1:]
    every = np.hstack([dense, rated]).astype(float)
    scale = (matrix != 0).sum(axis=1) > 0
    for _ in range(60):  # each goes on from the one before, as those of sweeps do
        fit = sums.fit(np.diag([0.2, 0.4, 0.4]), 20.0)
        sums = dataclasses.replace(sums, before=fit)
    for k, own in enumerate([0.2, 0.4, 0.4]):
        strength = np.full(every.shape[1], 20.0 / own)
        wanted = regress(every, rows[:, k].astype(float), scale.astype(float), strength)
        away = np.linalg.norm(fit.weights[:, k] - wanted)
        assert away < 0.005 * np.linalg.norm(wanted)
