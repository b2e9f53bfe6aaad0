"""Labels: what happened after a cut-off. Nothing else reads beyond one."""

from __future__ import annotations

import numpy as np
import pandas as pd
from distributed import Client

from mfdask.downstream.customers.origins import Origins
from mfdask.downstream.customers.spend import Spend
from mfdask.downstream.events import Activity, actions_of_block
from mfdask.kernels.types import Int64s
from mfdask.shards import Dataset
from mfdask.shards.refs import dataset_ref, executor_for


def future_days(data: Dataset, origins: Origins, client: Client | None = None) -> pd.DataFrame:
    """Count on how many UTC days each user acts in the horizon after each cut-off.

    Returns
    -------
    DataFrame
        One line a user, by `user_id`; one int64 column a cut-off whose horizon has passed.
    """
    cutoffs = [cutoff for cutoff in origins.all if origins.passed(cutoff)]
    with executor_for(data, client) as run:
        source, blocks = dataset_ref(run, data), range(data.n_blocks("users"))
        arguments = [(source, block, cutoffs, origins.horizon) for block in blocks]
        days = np.concatenate(run.map("future", _block_days, arguments))
    return pd.DataFrame(days, index=pd.Index(data.users()["user_id"]), columns=cutoffs)


def future_spend(data: Dataset, origins: Origins, spend: Spend) -> pd.DataFrame:
    """Return what each user spends in the horizon after each cut-off, as `future_days`."""
    users = pd.Index(data.users()["user_id"])
    passed = [cutoff for cutoff in origins.all if origins.passed(cutoff)]
    columns = {c: spend.between(c, c + origins.horizon, users) for c in passed}
    return pd.DataFrame(columns, index=users)


def _block_days(data: Dataset, block: int, cutoffs: list[int], horizon: int) -> Int64s:
    """Return the active days of a block's users after each cut-off, int64 (users, cutoffs)."""
    ends = [cutoff + horizon for cutoff in cutoffs]
    found = Activity.of(*actions_of_block(data, block), [*cutoffs, *ends])
    before, after = (found.days[:, [*map(found.before, each)]] for each in (cutoffs, ends))
    return (after - before).astype(np.int64)
