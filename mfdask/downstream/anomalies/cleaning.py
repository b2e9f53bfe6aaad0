"""Ratings without those of suspected attackers, and predictions of attacked items without them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from distributed import Client

from mfdask.downstream.anomalies.folds import without
from mfdask.downstream.anomalies.residuals import MOST_SWEEPS, Refitter
from mfdask.downstream.events import Events
from mfdask.downstream.ratings_folder import write_ratings_folder
from mfdask.files import atomic_directory, check_place, file_lock
from mfdask.kernels.types import Bools, Float64s, Int32s
from mfdask.models import Model
from mfdask.shards import Dataset
from mfdask.shards.refs import dataset_ref, executor_for

#: Tells a folder of cleaned ratings from others.
MARK = "cleaned.json"
#: What of suspected attackers is left out.
WAYS = ("accounts", "targets")


def dishonest(events: Events, suspects: Int32s, items: Int32s, way: str) -> Bools:
    """Return which ratings are to be left out, bool (ratings,).

    ``"accounts"``: all of the suspects, since an attacker's other ratings are there to look
    honest. ``"targets"``: theirs of suspected items, which costs less where somebody is wrongly
    suspected. Others who rated a suspected item keep their ratings.
    """
    suspected = np.zeros(len(events.indptr) - 1, bool)
    suspected[suspects - events.start] = True
    found = np.repeat(suspected, np.diff(events.indptr))
    if way == "targets":
        found[found] = np.isin(events.items[found], items)
    return found


def write_cleaned(data: Dataset, events: Events, left_out: Bools, out: Path) -> int:
    """Write all ratings but some, as a folder that `mfdask ingest` reads.

    Parameters
    ----------
    data : Dataset
    events : Events
        Its events, of all users.
    left_out : bool (ratings,)
        See `dishonest`.
    out : Path
        Cleaned ratings that are there already are replaced.

    Returns
    -------
    int
        Ratings left out.

    Raises
    ------
    InputError
        If `out` holds something else.
    RefusedError
        If the disk is too small, or another process is writing there.
    """
    check_place(out, MARK, "cleaned ratings", "clean_out")
    kept = events.only(~left_out)
    removed = len(events.ratings) - len(kept.ratings)
    said = {
        "data": data.name,
        "fingerprint": data.fingerprint,
        "users_left_out": int(
            (np.diff(events.indptr) > 0).sum() - (np.diff(kept.indptr) > 0).sum()
        ),
        "ratings_left_out": removed,
    }
    with file_lock(out, "writing"), atomic_directory(out) as fresh:
        write_ratings_folder(data, kept, data.users()["user_id"], fresh)
        (fresh / MARK).write_text(json.dumps(said, indent=1) + "\n")
    return removed


def predictions_without(
    model: Model, data: Dataset, suspects: Int32s, items: Int32s, client: Client | None = None
) -> pd.DataFrame:
    """Return what items are predicted, on average, with and without suspected attackers.

    The model is learned twice more for this, as a point estimate, so that they differ in nothing
    but the suspects' ratings.

    Parameters
    ----------
    model : Model
    data : Dataset
        What it was learned from.
    suspects : int32 (suspects,)
        User rows.
    items : int32 (items,)
    client : distributed.Client, optional
        Where the models are learned; without one, in this process.

    Returns
    -------
    DataFrame
        `item`, and `prediction` and `prediction_cleaned`: mean predictions for all users but the
        suspects, in stars, not clipped.
    """
    with executor_for(data, client) as run:
        given = dataset_ref(run, data), model.refitter(MOST_SWEEPS), suspects, items
        arguments = [(*given, cleaned) for cleaned in (False, True)]
        found, cleaned = run.map("predict", _mean_predictions, arguments)
    return pd.DataFrame({"item": items, "prediction": found, "prediction_cleaned": cleaned})


def _mean_predictions(
    data: Dataset, refit: Refitter, suspects: Int32s, items: Int32s, cleaned: bool
) -> Float64s:
    """Learn a model, with or without the suspects, and return the items' mean predictions."""
    gone = np.zeros(data.n_users, bool)
    gone[suspects] = True
    if cleaned:
        data = without(data, lambda shard: gone[shard.rows], "suspects")
    return refit(data).mean_predictions(np.flatnonzero(~gone).astype(np.int32), items)
