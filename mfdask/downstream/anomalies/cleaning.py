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
from mfdask.kernels.types import Float64s, Int32s
from mfdask.models import Model
from mfdask.shards import Dataset
from mfdask.shards.refs import dataset_ref, executor_for

#: Tells a folder of cleaned ratings from others.
MARK = "cleaned.json"


def write_cleaned(data: Dataset, events: Events, suspects: Int32s, out: Path) -> int:
    """Write all ratings but those of suspected attackers, as a folder that `mfdask ingest` reads.

    All that an attacker has rated goes: the other ratings are there to look honest. Whoever rated
    an attacked item and is not suspected stays, and so do its honest ratings.

    Parameters
    ----------
    data : Dataset
    events : Events
        Its events, of all users.
    suspects : int32 (suspects,)
        User rows.
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
    kept = events.only(~np.isin(events.users, suspects))
    removed = len(events.ratings) - len(kept.ratings)
    said = {
        "data": data.name,
        "fingerprint": data.fingerprint,
        "users_left_out": len(suspects),
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
