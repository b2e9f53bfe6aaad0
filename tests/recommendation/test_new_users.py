"""Lists and reasons for somebody new, from a model of every kind that takes them in."""

import dataclasses

import numpy as np
import pytest

from mfdask.errors import InputError
from mfdask.models import BPR, Ability, kind_of, kinds, load_model, save_model
from mfdask.recommendation import History, Ranking, explain_user, recommend_new
from mfdask.recommendation.fold_in import predict_new
from mfdask.recommendation.reasons import explain_new

SMALL = {"n_factors": 4, "n_sweeps": 3, "burn_in": 1, "n_samples": 2}
TAKERS = [
    name
    for name, kind in kinds().items()
    if Ability.NEW_USERS in kind.configure({}).abilities and name != "features"  # wants a file
]
RANKERS = [name for name in TAKERS if not kinds()[name].learns_from_ratings]


@pytest.fixture(scope="module")
def models(data):
    """Return what learns a small model of a kind, once."""
    made = {}

    def model_of(name):
        if name not in made:
            if name == "ncf":
                pytest.importorskip("optax", reason="needs Optax: pip install 'mfdask[neural]'")
            kind = kind_of(name)
            given = {key: n for key, n in SMALL.items() if key in kind.open_parameters}
            made[name] = kind.configure(given).fit(data)
        return made[name]

    return model_of


def history_of(model):
    ids = model.items["item_id"].tolist()
    return History.of(model, {ids[9]: 5.0, ids[2]: 4.0, ids[40]: 4.5})


def test_all_kinds_take_them_in():
    """What ranks all does, too."""
    own = {
        name for name, kind in kinds().items() if kind.estimator.__module__.startswith("mfdask.")
    }
    assert own - {"features"} <= set(TAKERS)


@pytest.mark.parametrize("name", TAKERS)
def test_their_lists(name, models):
    model, ranking = models(name), Ranking(top=6, min_ratings=0)
    history = history_of(model)
    found = recommend_new(model, history, ranking)
    assert found["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert not set(found.index) & set(history.items)
    assert np.isfinite(found["score"]).all()
    assert found["score"].is_monotonic_decreasing
    assert found.equals(recommend_new(model, history, ranking))
    if not model.can(Ability.RATINGS):
        np.testing.assert_allclose(
            predict_new(model, history, found["item_id"]), found["score"], rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("name", TAKERS)
def test_their_reasons(name, models):
    model, ranking = models(name), Ranking(top=4, min_ratings=0)
    history = history_of(model)
    found = recommend_new(model, history, ranking)
    why = explain_new(model, history, found["item_id"], ranking)
    np.testing.assert_allclose(why.items["score"], found["score"], rtol=1e-3, atol=1e-4)
    assert len(why.rated) == 4 * len(history.items)
    assert np.isfinite(why.rated["part"]).all()
    if name not in ("popularity", "bias"):  # whose lists are the same for everybody
        assert why.rated["part"].any()


@pytest.mark.parametrize("name", RANKERS)
def test_reasons_of_a_known_user(name, models, data):
    model = models(name)
    user, items = model.users["user_id"][3], model.items["item_id"][[1, 8]]
    why = explain_user(model, user, data, items)
    parts = why.rated.groupby("item_id", sort=False)["part"].sum().to_numpy()
    total = why.mean + why.user_bias + why.items["item"] + parts + why.items["rest"]
    np.testing.assert_allclose(total, why.items["score"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(why.items["score"], model.predict(user, items), rtol=1e-4)


@pytest.mark.parametrize(("name", "n_sweeps"), [("bpr", 200), ("ncf", 20)])
def test_what_was_learned_of_a_user_is_learned_of_them_again(name, n_sweeps, models, data):
    """Lists of a user who is folded in are nearer to their own than to those of others."""
    estimator = dataclasses.replace(models(name).estimator, n_sweeps=n_sweeps)
    model = estimator.fit(data)
    users = np.arange(40)
    own = model.align(data).scores(users)
    again = np.stack([
        predict_new(model, History.of_user(data, user), model.items["item_id"]) for user in users
    ])  # fmt: skip
    alike = np.corrcoef(own - own.mean(axis=0), again - again.mean(axis=0))[:40, 40:]
    assert (alike.argmax(axis=1) == users).mean() > 0.8


@pytest.mark.parametrize("name", ["bpr", "ncf"])
def test_a_model_read_again_makes_the_same_lists(name, models, tmp_path):
    model, ranking = models(name), Ranking(top=5, min_ratings=0)
    save_model(model, tmp_path / "m")
    again, history = load_model(tmp_path / "m"), history_of(model)
    assert type(again) is type(model)
    lists = [recommend_new(own, history, ranking) for own in (model, again)]
    assert lists[0]["item_id"].tolist() == lists[1]["item_id"].tolist()
    np.testing.assert_array_equal(lists[0]["score"], lists[1]["score"])


@pytest.mark.parametrize("name", ["bpr", "ncf"])
@pytest.mark.parametrize("rated", ["nothing liked", "all"])
def test_who_gives_nothing_to_learn_from_is_offered_what_people_at_large_are(name, rated, models):
    model = models(name)
    model = dataclasses.replace(model, estimator=dataclasses.replace(model.estimator, liked=4.0))
    n = 3 if rated == "nothing liked" else len(model.items)
    stars = np.full(n, 1.0 if rated == "nothing liked" else 5.0, np.float32)
    history = History(np.arange(n, dtype=np.int32), stars)
    found = recommend_new(model, history, Ranking(top=5, min_ratings=0))
    assert len(found) == min(5, len(model.items) - n)
    assert np.isfinite(found["score"]).all()


@pytest.mark.parametrize("negatives", ["uniform", "popularity"])
def test_ratings_that_are_not_liked_add_nothing(negatives, data):
    model = BPR(n_factors=3, n_sweeps=2, liked=4.0, negatives=negatives).fit(data)
    stars = np.array([5, 1, 4.5], np.float32)
    shares = model.shares_of_history(np.array([2, 9, 40], np.int32), stars)
    assert shares[[0, 2], 1:].all()
    assert not shares[1].any()
    assert not shares[:, 0].any()


def test_a_model_that_cannot_is_refused_with_those_that_can(data):
    model = BPR(n_factors=3, n_sweeps=1, user_reg=0.0).fit(data)
    words = "takes in users .* of kind bpr with these parameters does not; train one of kind .*ials"
    with pytest.raises(InputError, match=words):
        recommend_new(model, history_of(model))
