"""The real ratings as events, without ingest."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pandas as pd
import scipy.sparse

from mfdask.downstream.anomalies.residuals import (
    Residuals,
    cross_fitted_predictions,
)
from mfdask.downstream.events import Events, all_events
from mfdask.models import ALS
from mfdask.shards import Dataset

CONFIG = ALS(
    n_factors=10, n_sweeps=10, fidelity=1.0, factor_reg=0.08, bias_reg=0.04, reg_scaling=1.0
)


def make_events(users, items, ratings, timestamps):
    """Return events of arrays in any order; every user must have some."""
    users, items, timestamps = np.asarray(users), np.asarray(items), np.asarray(timestamps)
    order = np.lexsort((items, timestamps, users))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(users))]).astype(np.int64)
    return Events(
        0, indptr, items[order].astype(np.int32), np.asarray(ratings, np.float32)[order],
        timestamps[order].astype(np.int64), np.zeros(len(order), bool),
    )  # fmt: skip


def read_events(path):
    """Return the events of MovieLens' zip file, or of a data set, and the number of items."""
    if path.endswith(".zip"):
        return read_movielens(path)
    data = Dataset.open(path)
    return all_events(data), data.n_items


def read_movielens(path):
    """Return the events of MovieLens' zip file, and the number of items."""
    with zipfile.ZipFile(path) as archive:
        name = next(each for each in archive.namelist() if each.endswith("ratings.csv"))
        table = pd.read_csv(io.BytesIO(archive.read(name)))
    users, items = (pd.factorize(table[each])[0] for each in ("userId", "movieId"))
    events = make_events(users, items, table["rating"], table["timestamp"])
    return events, int(items.max()) + 1


def residuals_of(events, n_items, config=CONFIG):
    """Return cross-fitted residuals of events in memory."""
    shape = len(events.indptr) - 1, n_items
    matrix = scipy.sparse.csr_array((events.ratings, (events.users, events.items)), shape=shape)
    predicted = np.empty(len(events.items), np.float32)
    in_matrix_order = np.lexsort((events.items, events.users))
    predicted[in_matrix_order] = cross_fitted_predictions(Dataset.from_csr(matrix), config.fit, 5)
    error = events.ratings - predicted
    return Residuals(events.users, events.items, events.timestamps, error)
