"""Cross-fitted residuals: each rating less the prediction of a model that has not seen it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from distributed import Client

from mfdask.downstream.anomalies.folds import Fold, without_fold
from mfdask.downstream.events import Events, all_events, require_timestamps, user_cuts
from mfdask.downstream.ordering import order_by
from mfdask.errors import InputError, require
from mfdask.kernels.profiles import others_mean
from mfdask.kernels.types import Float64s, Int32s, Int64s
from mfdask.models import Model
from mfdask.models.design import Array
from mfdask.progress import Progress, silent
from mfdask.shards import Dataset
from mfdask.shards.refs import dataset_ref, executor_for

#: Sweeps of a refit at most: ALS has settled by then, and a Bayesian model counts its samples so.
MOST_SWEEPS = 10
#: Ratings' worth of the common variance that is mixed into each user's own.
_SHRINK = 10.0


#: Learns a model again from other data, see `Model.refitter`.
Refitter = Callable[..., Model]


class Residuals(NamedTuple):
    """All ratings of a data set, by user and then by time, as `Events` are.

    Attributes
    ----------
    users, items : int32 (ratings,)
        Rows of the data set.
    timestamps : int64 (ratings,)
        Seconds since 1970.
    error : float32 (ratings,)
        ``r - r_hat`` in stars, unclipped, `r_hat` of a model that has not seen the rating.
    """

    users: Int32s
    items: Int32s
    timestamps: Int64s
    error: Array


def cross_fitted_residuals(
    model: Model,
    data: Dataset,
    folds: int = 5,
    client: Client | None = None,
    progress: Progress = silent,
) -> Residuals:
    """Hold every rating against a model that has not seen it; see `residuals_to_come`."""
    with residuals_to_come(model, data, folds, client, progress) as found:
        return found(all_events(data))


@contextmanager
def residuals_to_come(
    model: Model,
    data: Dataset,
    folds: int = 5,
    client: Client | None = None,
    progress: Progress = silent,
) -> Iterator[Callable[[Events], Residuals]]:
    """Begin to hold every rating against a model that has not seen it.

    The held-out ratings of `data` are held against `model`. The training ratings are dealt into
    `folds` parts, and each part is held against `model` learned again from the others, as a point
    estimate (`Estimator.point_estimate`) from random first rows: one that set out from the rows of
    `model` would remember what those have seen.

    Parameters
    ----------
    model : Model
        Learned from `data`.
    data : Dataset
        With timestamps.
    folds : int
        2 or more; a refit costs a training run in memory.
    client : distributed.Client, optional
        Where the refits run, each on one worker, while the block does something else; without one,
        they run in this process before the block does.
    progress : Progress, optional

    Yields
    ------
    callable
        Waits for the refits; takes the events of `data`, of all users, and returns `Residuals`.

    Raises
    ------
    InputError
        If there are fewer than 2 folds or no timestamps, or `model` is of other data.
    """
    require(folds >= 2, "folds", folds, "2 or more")
    require_timestamps(data, "anomalies")
    if model.data.fingerprint != data.fingerprint:
        raise InputError(
            f"the model was learned from {model.data.name}, not from {data.name} as it is there: "
            "nobody can tell which ratings it has seen; train a model on this data set"
        )
    refit = model.refitter(MOST_SWEEPS)
    with _predictions_to_come(data, refit, folds, client, progress) as refitted:
        yield lambda events: _residuals(model, refitted(), events)


def _residuals(model: Model, refitted: Array, events: Events) -> Residuals:
    """Take predictions from all ratings: those of refits, in the order of the user shards."""
    users, held_out = events.users, np.flatnonzero(events.held_out)
    rows = users[held_out], events.items[held_out]
    predicted = np.empty(len(users), np.float32)
    predicted[held_out] = model.predict_rows(*rows, clip=False)
    predicted[held_out] += model.offsets_at(*rows, events.timestamps[held_out])
    done = 0
    for places in _in_shard_order(events):
        predicted[places] = refitted[done : done + len(places)]
        done += len(places)
    error = np.subtract(events.ratings, predicted, out=predicted)
    return Residuals(users, events.items, events.timestamps, error)


def cross_fitted_predictions(
    data: Dataset,
    refit: Refitter,
    folds: int,
    client: Client | None = None,
    progress: Progress = silent,
) -> Array:
    """Return what models learned again predict for training ratings that they have not seen.

    float32 (n_train,), in the order of the user shards; `residuals_to_come` says the rest.
    """
    with _predictions_to_come(data, refit, folds, client, progress) as refitted:
        return refitted()


@contextmanager
def _predictions_to_come(
    data: Dataset, refit: Refitter, folds: int, client: Client | None, progress: Progress
) -> Iterator[Callable[[], Array]]:
    """Begin with `cross_fitted_predictions`, and yield what waits for them."""
    with executor_for(data, client, progress) as run:
        source = dataset_ref(run, data)
        arguments = [(source, refit, Fold(k, folds)) for k in range(folds)]
        handles = run.submit_each("cross-fit", _fold_predictions, arguments)
        with run.cancelling(handles):
            yield lambda: _merged(data, run.finish("cross-fit", handles))


def _fold_predictions(data: Dataset, refit: Refitter, fold: Fold) -> Array:
    """Learn without a fold and return the predictions for it, in the order of the user shards."""
    aligned = refit(without_fold(data, fold)).align(data)
    found = []
    for block in range(data.n_blocks("users")):
        shard, times = data.shard("users", block), data.timestamps(block)
        own = fold.of(shard)
        own_times = None if times is None else times[np.flatnonzero(own)]
        found.append(aligned.predict(shard.only(own), own_times))
    return np.concatenate(found)


def _merged(data: Dataset, parts: list[Array]) -> Array:
    """Return the predictions of all folds in the order of the user shards."""
    predicted = np.empty(data.n_train, np.float32)
    blocks = [data.shard("users", block) for block in range(data.n_blocks("users"))]
    for k, part in enumerate(parts):
        fold = Fold(k, len(parts))
        own = np.concatenate([fold.of(shard) for shard in blocks])
        predicted[np.flatnonzero(own)] = part
    return predicted


def _in_shard_order(events: Events) -> Iterator[Int64s]:
    """Yield places of the training ratings, by user and item as the shards hold them."""
    for first, last in itertools.pairwise(user_cuts(events).tolist()):
        lengths = np.diff(events.indptr[first : last + 1])
        begin, end = events.indptr[first], events.indptr[last]
        order = order_by(np.repeat(np.arange(len(lengths)), lengths), events.items[begin:end])
        yield begin + order[~events.held_out[begin:end][order]]


def user_variance(users: Int32s, error: Array) -> Float64s:
    """Return the shrunken variance of the other errors of each rating's user, float64."""
    square = np.square(error, dtype=np.float64)
    prior, found = max(square.mean(), np.finfo(np.float64).tiny), np.empty(len(users))
    others_mean(users, square, int(users.max(initial=-1)) + 1, prior, _SHRINK, found)
    return found
