"""The genre prior against the oracle, and what it is for: items that few or none have rated."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from mfdask.errors import InputError
from mfdask.evaluation import evaluate
from mfdask.features.encoder import FeatureEncoder
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.models import ALS, load_model, save_model
from mfdask.ratings.formats import open_source
from mfdask.ratings.splits import Split
from mfdask.shards import Dataset
from tests.models.test_als import naive_fit, triples
from tests.naive import Naive

CONFIG = ALS(
    n_factors=3,
    n_sweeps=3,
    item_prior="genre",
    fidelity=0.1,
    factor_reg=0.05,
    bias_reg=0.015,
    reg_scaling=0.2,
)
SPEC = "synthetic:users=400,items=300,ratings=12000"


@pytest.fixture(scope="module", params=[1, 3])
def data(request, client, tmp_path_factory):
    folder = tmp_path_factory.mktemp("genre") / "d"
    choices = IngestOptions(Split.parse("random:0.2"), blocks=request.param)
    ingest(open_source(SPEC), folder, client=client, choices=choices)
    return Dataset.open(folder)


def matrix_of(data):
    """Return the training ratings as a matrix, with the rows and columns of the data set."""
    import scipy.sparse

    shards = [data.shard("users", b) for b in range(data.n_blocks("users"))]
    return scipy.sparse.vstack(
        [
            scipy.sparse.csr_array((s.ratings, s.indices, s.indptr), shape=(s.n_rows, data.n_items))
            for s in shards
        ],
        format="csr",
    )


def test_shares_of_genres():
    items = pd.DataFrame({"genres": ["b|a", "", "c", "a|d"]})
    assert FeatureEncoder.genres_of(items).names == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(
        FeatureEncoder.genres(["a", "b", "c"]).encode(items),
        np.array([[0.5, 0.5, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]], np.float32),
    )


@pytest.mark.parametrize("scaling", [0.0, 0.5])
def test_agrees_with_the_oracle(scaling, data, client):
    config = dataclasses.replace(CONFIG, reg_scaling=scaling)
    model = config.fit(data, client=client)
    matrix = matrix_of(data)
    features = model.encoder.encode(data.items()).astype(float)
    oracle = naive_fit(config, matrix, features)
    users, items = np.indices(matrix.shape).reshape(2, -1)[:, ::7]
    found = model.predict_rows(users.astype(np.int32), items.astype(np.int32), clip=False)
    np.testing.assert_allclose(found, oracle.predict(users, items), atol=2e-3)
    np.testing.assert_allclose(model.feature_weights, oracle.feature_weights(), atol=2e-3)


def test_workers_and_process_agree(data, client):
    alone, spread = CONFIG.fit(data), CONFIG.fit(data, client=client)
    np.testing.assert_array_equal(alone.item_rows, spread.item_rows)
    np.testing.assert_array_equal(alone.feature_weights, spread.feature_weights)


def test_resumes_bit_for_bit(data, tmp_path):
    shorter = dataclasses.replace(CONFIG, n_sweeps=2)
    shorter.fit(data, checkpoint=tmp_path / "c", checkpoint_every=2)
    resumed = CONFIG.fit(data, checkpoint=tmp_path / "c", resume=True)
    np.testing.assert_array_equal(resumed.item_rows, CONFIG.fit(data).item_rows)


def test_unrated_items_lie_on_their_prior(client, tmp_path):
    few = open_source("synthetic:users=60,items=400,ratings=1300")
    ingest(few, tmp_path / "d", client=client, choices=IngestOptions(Split.parse("random:0.2")))
    model = dataclasses.replace(CONFIG, n_sweeps=30).fit(
        Dataset.open(tmp_path / "d"), client=client
    )
    unrated = np.flatnonzero(model.items["n_train"] == 0)
    assert len(unrated)
    found = model.item_rows[unrated]
    prior = model.rows_of_new_items(model.items.iloc[unrated])
    np.testing.assert_allclose(found, prior, atol=1e-6)
    assert np.abs(found[:, 2:]).max() > 0.01


def test_never_seen_items_are_predicted_by_their_genres(data):
    model = CONFIG.fit(data)
    (row,) = model.rows_of_new_items(pd.DataFrame({"genres": [model.feature_names[0]]}))
    np.testing.assert_allclose(row[0], model.feature_weights[0, 0], rtol=1e-6)
    np.testing.assert_allclose(row[2:5], model.feature_weights[0, 1:], rtol=1e-6)
    unheard = pd.DataFrame({"genres": ["Nobody knows this genre"]})
    assert not model.rows_of_new_items(unheard)[0, 2:].any()


def test_round_trip(data, tmp_path):
    model = CONFIG.fit(data)
    save_model(model, tmp_path / "m")
    again = load_model(tmp_path / "m")
    assert again.feature_names == model.feature_names
    np.testing.assert_array_equal(again.feature_weights, model.feature_weights)
    frame = pd.read_parquet(tmp_path / "m" / "features.parquet")
    assert list(frame) == ["feature", "bias", "f00", "f01", "f02"]


def test_the_objective_only_falls_and_is_that_of_the_model(data):
    model = dataclasses.replace(CONFIG, n_sweeps=12).fit(data)
    values = np.array([sweep.objective for sweep in model.history])
    assert (np.diff(values[1:]) <= 1e-5 * values[0]).all()
    sse = float(evaluate(model, data, "train").raw.squared[0])
    assert model.objective(sse) == pytest.approx(values[-1], rel=0.02)


def test_ratings_without_genres_are_refused(ratings):
    with pytest.raises(InputError, match="no genres"):
        CONFIG.fit(ratings)


def test_the_oracle_of_the_oracle(ratings):
    """Least squares by stacking is the minimum: no nearby weights do better."""
    features = np.random.default_rng(0).random((ratings.shape[1], 4))
    users, items = (np.random.default_rng(1).normal(size=(n, 4)) for n in ratings.shape)
    naive = Naive(triples(ratings), *ratings.shape, users, items, CONFIG, 3.0, features)
    n = np.diff(ratings.tocsc().indptr)
    rated = n > 0
    scale = n[rated] ** CONFIG.reg_scaling

    def penalty(weights):
        away = items[rated] - features[rated] @ weights
        own = CONFIG.weight_reg * (weights**2).sum()
        return scale @ (away**2 @ naive.precision("items")) + own

    best = naive.feature_weights()
    for nudge in np.random.default_rng(2).normal(size=(50, *best.shape)):
        assert penalty(best) < penalty(best + 1e-3 * nudge)
