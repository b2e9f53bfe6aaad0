"""Test ratings that a model was trained on, whose errors would say nothing of new ratings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mfdask.errors import InputError
from mfdask.models import Model
from mfdask.shards import Dataset


def check_leaks(model: Model, data: Dataset, allowed: bool = False) -> int | None:
    """Refuse to test a model on ratings that it was trained on, or may have been.

    Parameters
    ----------
    model : Model
    data : Dataset
        Whose test ratings the model is to be tested on.
    allowed : bool
        Refuse nothing, only count.

    Returns
    -------
    int or None
        The test ratings whose user and item are a training rating of the model; None where its
        training data are not to be found.

    Raises
    ------
    InputError
    """
    leaked = count_leaks(model, data)
    if leaked == 0 or allowed:
        return leaked
    what = (
        "its training data are not where they were, and may hold the test ratings"
        if leaked is None
        else f"{leaked:,} of the {data.n_test:,} test ratings are among those it was trained on"
    )
    raise InputError(
        f"the model was trained on other data ({model.data.name}): {what}; "
        "give the data set that it was trained on, or `allow_leaks`"
    )


def count_leaks(model: Model, data: Dataset) -> int | None:
    """Return how many test ratings of a data set a model was trained on; see `check_leaks`."""
    if model.data.fingerprint == data.fingerprint:
        return 0
    if model.data.address is None:
        return None
    try:
        trained = Dataset.open(model.data.address)
    except InputError:
        return None
    if trained.fingerprint != model.data.fingerprint:
        return None
    tested = _test_keys(data, trained)
    return sum(
        int(np.isin(tested, _training_keys(trained, block), assume_unique=True).sum())
        for block in range(trained.n_blocks("users"))
    )


def _test_keys(data: Dataset, trained: Dataset) -> npt.NDArray[np.int64]:
    """Return the pairs of the test ratings that `trained` knows, as ``user * n_items + item``."""
    users = trained.rows_of("users", data.users()["user_id"])
    items = trained.rows_of("items", data.items()["item_id"])
    keys = []
    for block in range(data.n_blocks("users")):
        shard = data.shard("users", block, "test")
        own, others = users[shard.rows], items[shard.indices]
        keys.append((own * trained.n_items + others)[(own >= 0) & (others >= 0)])
    return np.concatenate(keys)


def _training_keys(trained: Dataset, block: int) -> npt.NDArray[np.int64]:
    shard = trained.shard("users", block)
    return shard.rows * trained.n_items + shard.indices
