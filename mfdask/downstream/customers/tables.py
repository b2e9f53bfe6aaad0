"""Feature tables of the users of a cohort, for each cut-off."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from distributed import Client

from mfdask.downstream.customers.density import log_neighbour_distance
from mfdask.downstream.customers.latent import factor_names, latent
from mfdask.downstream.customers.origins import Origins, day_of
from mfdask.downstream.customers.past import (
    BYTES_PER_RATING,
    HistoryAsOf,
    chosen_users,
    histories_as_of,
    write_past,
)
from mfdask.downstream.customers.refit import (
    Frame,
    FrozenItems,
    freeze_items,
    refit_warm,
    version_of,
)
from mfdask.downstream.customers.rfm import (
    ACTIVE_WITHIN,
    MIN_ACTIVE_DAYS,
    RFM,
    in_cohort,
    midnights,
    rfm,
)
from mfdask.downstream.events import Activity, actions_of_block
from mfdask.errors import InputError
from mfdask.execution import Executor, executor
from mfdask.files import require_space
from mfdask.kernels.types import Bools, Int64s
from mfdask.models import Ability, FactorModel, Model
from mfdask.models.factor_model import require_factors
from mfdask.models.store import save_model
from mfdask.progress import Progress, silent
from mfdask.shards import Dataset
from mfdask.shards.refs import dataset_ref, executor_for, let_go


@dataclass(frozen=True)
class FeatureTable:
    """Features of the users at a cut-off.

    Attributes
    ----------
    cutoff : int
        Seconds since 1970.
    cohort : DataFrame
        `user_id` and the features of each user of the cohort, ascending by id.
    everyone : DataFrame
        `user_id` and the features `RFM` of every user who had done anything.
    version : str
        Of the factors.
    """

    cutoff: int
    cohort: pd.DataFrame
    everyone: pd.DataFrame
    version: str

    @property
    def latent_columns(self) -> list[str]:
        """Return the features that rest on the factors."""
        return [str(name) for name in self.cohort if name not in (*RFM, "user_id")]


def feature_tables(
    data: Dataset,
    model: Model,
    origins: Origins,
    as_of: str,
    scratch: Path,
    client: Client | None = None,
    progress: Progress = silent,
) -> list[FeatureTable]:
    """Make the feature table of each cut-off, ascending.

    Parameters
    ----------
    data : Dataset
        On disk, with times.
    model : Model
        Gives the parameters, or the item side, see `as_of`; `refit.check_model` has passed it.
    origins : Origins
    as_of : {"refit", "fold-in"}
        Where the item side of each cut-off comes from.
    scratch : Path
        A folder that the workers can write to and read from; what is put there is gone at the end.
    client : distributed.Client, optional
        Where the blocks are worked on; without one, in this process.
    progress : Progress, optional

    Raises
    ------
    RefusedError
        If the disk is too small.
    """
    learned = require_factors(model, "a table about users", Ability.SINGLE_VECTORS)
    n_ratings = data.n_train + data.n_test
    require_space(scratch, n_ratings * BYTES_PER_RATING, "what was known at a cut-off")
    with (
        tempfile.TemporaryDirectory(dir=scratch, prefix=".past-") as folder,
        executor_for(data, client) as run,
    ):
        habits = _habits(data, origins.all, run)
        lenses = _lenses(data, learned, origins, as_of, habits, Path(folder).absolute(), run)
        tables = []
        for k, (own, (known, past, lens)) in enumerate(zip(habits, lenses, strict=True), 1):
            tables.append(_table(own, known, past, lens, run))
            note = f"{day_of(known.cutoff)}: {len(tables[-1].cohort):,} users"
            progress("features", k, len(origins.all), note)
    return tables


def _habits(data: Dataset, cutoffs: tuple[int, ...], run: Executor) -> list[pd.DataFrame]:
    """Return `user_id` and the features `RFM` at each cut-off, by rows of the data set."""
    arguments = [
        (dataset_ref(run, data), block, cutoffs) for block in range(data.n_blocks("users"))
    ]
    found = run.map("dates", block_habits, arguments)
    ids = data.users()["user_id"]
    tables = (pd.concat(each) for each in zip(*found, strict=True))
    return [pd.concat([ids.loc[table.index], table], axis=1) for table in tables]


def block_habits(data: Dataset, block: int, cutoffs: tuple[int, ...]) -> list[pd.DataFrame]:
    """Return a block's share of `_habits`."""
    edges, first = [*chain(*map(midnights, cutoffs))], int(data.bounds("users")[block])
    activity = Activity.of(*actions_of_block(data, block), edges)
    found = (rfm(activity, cutoff) for cutoff in cutoffs)
    return [pd.DataFrame(features, index=rows + first) for rows, features in found]


def _chosen(habits: pd.DataFrame, ids: pd.Series) -> Bools:
    """Tell from whom factors are learned: the cohort, and others."""
    n_events, needed = np.zeros(len(ids), np.int64), np.zeros(len(ids), bool)
    n_events[habits.index] = habits["ratings"]
    needed[habits.index] = in_cohort(habits)
    return chosen_users(n_events, needed, ids)


def _lenses(
    data: Dataset,
    model: FactorModel,
    origins: Origins,
    as_of: str,
    habits: list[pd.DataFrame],
    folder: Path,
    run: Executor,
) -> Iterator[tuple[HistoryAsOf, Dataset, FrozenItems]]:
    """Yield what was known at each cut-off, and the item side as of it, the oldest first."""
    frame, start = None, None
    seen = [] if as_of == "refit" else [model.data.fingerprint]
    ids = data.users()["user_id"]
    with executor(run.client, parallel=False) as aside:
        chosen = [_chosen(own, ids) for own in habits]
        histories = histories_as_of(data, origins.all, aside, chosen)
    for k, known in enumerate(histories):
        with executor(run.client, parallel=False) as aside:
            past = write_past(data, known, folder / f"{k}", aside)
        if as_of == "refit":
            fitted = refit_warm(model, past, start, run.client)
            start = folder / f"model-{k}"
            save_model(fitted, start)
            rows = frame.turn(fitted) if frame else fitted.item_rows
            # What a refit's vectors depend on: its past, and through the axes all pasts before.
            seen.append(past.fingerprint)
            frame = Frame.of(fitted, rows)
        else:
            fitted, rows = model, np.ascontiguousarray(model.item_rows[known.rows["items"]])
        version = version_of(fitted, seen, as_of)
        yield known, past, freeze_items(fitted, rows, version, folder / f"{k}.npy")
        let_go(run)
        shutil.rmtree(folder / f"{k}")


def _table(
    habits: pd.DataFrame, known: HistoryAsOf, past: Dataset, lens: FrozenItems, run: Executor
) -> FeatureTable:
    source, bounds = dataset_ref(run, past), past.bounds("users")
    mine = np.zeros(int(habits.index.max()) + 1, bool)
    mine[habits.index] = in_cohort(habits)
    of_cohort = np.flatnonzero(mine[known.rows["users"]])  # in the order of the past
    cuts = np.searchsorted(of_cohort, bounds)
    arguments = [
        (source, block, of_cohort[a:b] - bounds[block], known.cutoff, lens)
        for block, (a, b) in enumerate(pairwise(cuts.tolist()))
    ]
    blocks = run.map(f"features-{known.cutoff}", block_features, arguments)
    features = pd.concat(blocks, ignore_index=True)
    vectors = features[factor_names(lens.estimator.n_factors)].to_numpy()
    features["log_neighbour_distance"] = log_neighbour_distance(vectors)
    own = habits.loc[known.rows["users"][of_cohort]].reset_index(drop=True)
    cohort = pd.concat([own, features], axis=1).sort_values("user_id", ignore_index=True)
    everyone = habits.sort_values("user_id", ignore_index=True)
    return FeatureTable(known.cutoff, cohort, everyone, lens.version)


def block_features(
    past: Dataset, block: int, rows: Int64s, cutoff: int, lens: FrozenItems
) -> pd.DataFrame:
    """Return the features that rest on factors, of some rows of a block, from 0."""
    shard, times = past.shard("users", block), past.timestamps(block)
    return pd.DataFrame(latent(shard, np.asarray(times), rows, cutoff, lens))


def require_cohort(table: FeatureTable, least: int) -> None:
    """Refuse a cohort that is too small to say anything of.

    Raises
    ------
    InputError
        Says how many users there are.
    """
    if len(table.cohort) < least:
        raise InputError(
            f"the cohort at {day_of(table.cutoff)} has {len(table.cohort):,} of "
            f"{len(table.everyone):,} users ({MIN_ACTIVE_DAYS} or more active days, the last one "
            f"within {ACTIVE_WITHIN} days), fewer than {least}; choose another `cutoff`, or lower "
            "`min_cohort`"
        )
