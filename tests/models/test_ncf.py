"""NCF: the network against plain loops, its directory, and what a user sees."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
from click.testing import CliRunner

from mfdask.errors import InputError
from mfdask.jobs.cli import main
from mfdask.models import NCF, Ability, load_model, save_model
from mfdask.models.base import Score
from mfdask.shards import Dataset

CONFIG = NCF(n_factors=4, n_layers=2, n_sweeps=12, batch_size=64, learning_rate=0.02, liked=4.0)


@pytest.fixture(scope="module")
def _neural():
    pytest.importorskip("jax", reason="needs JAX: pip install 'mfdask[neural]'")
    pytest.importorskip("optax", reason="needs Optax: pip install 'mfdask[neural]'")


@pytest.fixture(scope="module")
def taste():
    """Return ratings of two tastes: 5 for items of the user's own parity, and 1 for others."""
    random = np.random.default_rng(2)
    own = np.add.outer(np.arange(60), np.arange(40)) % 2
    seen = random.random(own.shape) < 0.5
    seen[7] = seen[:, 11] = False
    return scipy.sparse.csr_array(np.where(seen, 1.0 + 4.0 * own, 0.0))


@pytest.fixture(scope="module")
def models(_neural, taste):
    """Return a model of each form."""
    return {form: replace(CONFIG, form=form).fit(taste) for form in ("explicit", "implicit")}


def by_hand(network, user, item):
    """Return the score of a pair, one number at a time."""
    p, q = network.users[user].astype(float), network.items[item].astype(float)
    k = (len(p) - 1) // 2
    hidden = [*p[k + 1 :], *q[k + 1 :]]
    for layer in network.layers[:-1]:
        sums = [sum(h * w for h, w in zip(hidden, column[:-1], strict=True)) for column in layer.T]
        hidden = [max(one + b, 0.0) for one, b in zip(sums, layer[-1], strict=True)]
    joined = [*(p[1 : k + 1] * q[1 : k + 1]), *hidden]
    last = network.layers[-1][:, 0]
    total = sum(j * w for j, w in zip(joined, last[:-1], strict=True))
    return p[0] + q[0] + total + last[-1]


@pytest.mark.parametrize("form", ["explicit", "implicit"])
def test_predictions_by_hand(form, models):
    model = models[form]
    users, items = np.array([0, 7, 59], np.int32), np.array([3, 11, 0], np.int32)
    wanted = [model.mean + by_hand(model.network, u, i) for u, i in zip(users, items, strict=True)]
    found = model.predict_rows(users, items, clip=False)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    nobody = model.predict_rows(np.array([-1], np.int32), np.array([7], np.int32), clip=False)
    nothing = model.network._replace(users=np.zeros((1, model.network.users.shape[1])))
    np.testing.assert_allclose(nobody, model.mean + by_hand(nothing, 0, 7), atol=1e-4)


def test_ratings_are_learned(models):
    model = models["explicit"]
    last = model.history[-1]
    assert last.train_rmse < 0.5
    assert last.test_rmse is None
    assert model.score is Score.STARS
    assert model.can(Ability.RATINGS)
    everything = model.predict(np.repeat(np.arange(60), 40), np.tile(np.arange(40), 60))
    assert 1 <= everything.min() < 2
    assert 4 < everything.max() <= 5


def test_liked_items_come_first(models, taste):
    model = models["implicit"]
    assert model.score is Score.LOG_ODDS
    assert not model.can(Ability.RATINGS)
    data = Dataset.from_csr(taste)
    scores = model.align(data).scores(np.arange(60))
    likes = np.add.outer(np.arange(60), np.arange(40)) % 2 == 1
    known = np.arange(40) != 11
    right = [
        (scores[u][likes[u] & known][:, None] > scores[u][~likes[u] & known]).mean()
        for u in range(60)
        if u != 7
    ]
    assert np.mean(right) > 0.9


@pytest.mark.parametrize("form", ["explicit", "implicit"])
def test_the_seed_decides(form, models, taste):
    model = models[form]
    same, other = (replace(model.estimator, seed=seed).fit(taste) for seed in (42, 1))
    for mine, again in zip(model.network.layers, same.network.layers, strict=True):
        np.testing.assert_array_equal(mine, again)
    np.testing.assert_array_equal(model.network.users, same.network.users)
    assert (model.network.users != other.network.users).any()


def test_a_model_is_read_without_the_libraries(models, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", None)
    for form, model in models.items():
        save_model(model, tmp_path / form)
        again = load_model(tmp_path / form)
        assert again.estimator == model.estimator
        users, items = np.arange(40, dtype=np.int32), np.arange(40, dtype=np.int32)
        np.testing.assert_array_equal(
            again.predict_rows(users, items), model.predict_rows(users, items)
        )
    names = {file.name for file in (tmp_path / form).iterdir()}
    assert names >= {"layer-0.npy", "layer-2.npy", "users.parquet"}


def test_without_the_libraries_it_says_what_to_install(small_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "jax", None)
    done = CliRunner().invoke(main, ["train", str(small_data), "--model", "ncf"])
    assert done.exit_code == 2
    assert "pip install 'mfdask[neural]'" in done.stderr.strip().splitlines()[-1]


@pytest.mark.usefixtures("_neural")
@pytest.mark.parametrize(
    ("config", "matrix", "options", "words"),
    [
        (CONFIG, np.eye(4), {"resume": True}, "begins afresh"),
        (CONFIG, np.eye(4), {}, "liked 4: no rating of .* is above 1"),
        (NCF(), np.ones((3, 4)), {}, "no user has both a liked item and one"),
        (NCF(form="explicit", learning_rate=1e30), np.diag([1.0, 2, 3]), {}, "diverge in sweep"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(config, matrix, options, words):
    with pytest.raises(InputError, match=words):
        config.fit(scipy.sparse.csr_array(matrix), **options)


@pytest.mark.usefixtures("_neural")
def test_jobs_take_it(small_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        done = CliRunner().invoke(main, [*map(str, words), "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout.splitlines()[-1])

    options = ["--model", "ncf", "--factors", 4, "--sweeps", 2]
    made = run("train", small_data, *options, "--out", "m")
    assert 0 < made["test_auc"] < 1
    explicit = run("train", small_data, *options, "--form", "explicit", "--out", "e")
    assert 0 < explicit["test_rmse"] < 2
    lists = ["--data", small_data, "--min-ratings", 1, "--top", 5, "--out", "r"]
    assert run("recommend", "m", *lists)["users"] == 300
    assert run("evaluate", "e", small_data)["test_rmse"] == pytest.approx(explicit["test_rmse"])
