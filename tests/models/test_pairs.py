"""What the public functions of a model do with pairs that are not as they should be."""

import numpy as np
import pytest

from mfdask.errors import InputError
from mfdask.models import ALS, Bayes
from mfdask.shards import Dataset
from tests.models.item_means import ItemMeans


@pytest.fixture(
    scope="module",
    params=[
        ALS(n_factors=2, n_sweeps=2),
        Bayes(n_factors=2, n_sweeps=4, burn_in=1),
        ItemMeans(),
    ],
    ids=["als", "bayes", "item-means"],
)
def model(request, small_data):
    return request.param.fit(Dataset.open(small_data))


def test_one_user_is_paired_with_all_items(model):
    user, items = model.users["user_id"][3], model.items["item_id"].to_numpy()
    wanted = model.predict([user] * len(items), items)
    np.testing.assert_array_equal(model.predict(user, items), wanted)
    np.testing.assert_array_equal(model.predict([user], items), wanted)
    np.testing.assert_array_equal(model.predict_table(user, items)["prediction"], wanted)


def test_one_item_is_paired_with_all_users(model):
    users, item = model.users["user_id"].to_numpy(), model.items["item_id"][2]
    wanted = model.predict(users, [item] * len(users))
    np.testing.assert_array_equal(model.predict(users, item), wanted)
    assert (model.predict_table(users, item)["item_id"] == item).all()


def test_other_lengths_are_refused(model):
    with pytest.raises(InputError, match="2 users beside 3 items; give pairs, or one of either"):
        model.predict([1, 2], [1, 2, 3])


def test_ids_of_the_wrong_type_are_refused(model):
    with pytest.raises(InputError, match="ids of users are numbers here; 'a' and others"):
        model.predict(["a", "b"], [1, 2])
    with pytest.raises(InputError, match="ids of items are numbers here; '1' and others"):
        model.predict([1], "1")
    assert len(model.predict([], [])) == 0


@pytest.mark.parametrize(
    ("users", "items", "message"),
    [
        ([0, 1], [0, 1, 2], "2 users beside 3 items"),
        ([10**6], [0], "rows of users must be from -1"),
        ([0], [10**6], "rows of items must be from -1"),
        ([-2], [0], "rows of users must be from -1"),
        ([0.5], [0], "rows of users must be whole numbers"),
        ([[0]], [0], "rows of users must be whole numbers in one dimension"),
    ],
)
def test_rows_that_are_not_there_reach_no_kernel(model, users, items, message):
    with pytest.raises(InputError, match=message):
        model.checked_pairs(users, items)
    if isinstance(model.estimator, ItemMeans):
        return
    with pytest.raises(InputError, match=message):
        model.predict_rows(users, items)
    if isinstance(model.estimator, Bayes):
        with pytest.raises(InputError, match=message):
            model.predict_std(users, items)


def test_means_of_rows_that_are_not_there_are_refused(model):
    if isinstance(model.estimator, ItemMeans):
        pytest.skip("means of its own predictions, one by one")
    with pytest.raises(InputError, match="rows of users must be from -1"):
        model.mean_predictions(np.array([10**6]), np.array([0]))
    with pytest.raises(InputError, match="rows of items must be from -1"):
        model.mean_predictions(np.array([0]), np.array([10**6]))
