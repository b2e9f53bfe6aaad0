"""Ratings without suspected attackers, and what an attacked item is predicted without them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from distributed import Client

from mfdask.downstream.anomalies.folds import without
from mfdask.downstream.anomalies.residuals import refit_parameters
from mfdask.downstream.events import Events
from mfdask.downstream.ratings_folder import write_ratings_folder
from mfdask.files import atomic_directory, check_place, file_lock
from mfdask.kernels.types import Float64s, Int32s
from mfdask.models import ALS, FactorModel
from mfdask.models.design import swap_bias_columns
from mfdask.models.parameters import Parameters
from mfdask.models.runner import runner_for
from mfdask.shards import Dataset

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
    check_place(out, MARK, "cleaned ratings", "--clean-out")
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
    model: FactorModel, data: Dataset, suspects: Int32s, items: Int32s, client: Client | None = None
) -> pd.DataFrame:
    """Return what items are predicted, on average, with and without suspected attackers.

    Two plain ALS models with the parameters of `model` are learned for this, so that they differ
    in nothing but the suspects' ratings.

    Parameters
    ----------
    model : FactorModel
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
    run = runner_for(data, client)
    handles = [
        run.submit(
            f"predict-{name}", _mean_predictions, run.dataset(data), refit_parameters(model),
            suspects, items, name == "cleaned",
        )
        for name in ("all", "cleaned")
    ]  # fmt: skip
    found = [run.result(handle) for handle in handles]
    return pd.DataFrame({"item": items, "prediction": found[0], "prediction_cleaned": found[1]})


def _mean_predictions(
    source: Dataset | str, config: Parameters, suspects: Int32s, items: Int32s, cleaned: bool
) -> Float64s:
    """Learn a model, with or without the suspects, and return the items' mean predictions."""
    data = Dataset.open(source) if isinstance(source, str) else source
    gone = np.zeros(data.n_users, bool)
    gone[suspects] = True
    if cleaned:
        data = without(data, lambda shard: gone[shard.rows], "suspects")
    model = ALS(**config.parameters()).fit(data)
    user = swap_bias_columns(model.user_rows[~gone]).mean(axis=0, dtype=np.float64)
    predicted: Float64s = model.mean + model.item_rows[items] @ user
    return predicted
