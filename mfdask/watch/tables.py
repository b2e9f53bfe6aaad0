"""The tables behind the figures of the progress page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pandas as pd
from distributed import Scheduler

from mfdask.watch.events import Fit

#: States of Dask's tasks, as a reader takes them.
_STATES = {
    "running": ["processing"],
    "waiting": ["waiting", "queued", "no-worker"],
    "done and held": ["memory"],
    "failed": ["erred"],
}


def sweeps_table(fit: Fit | None) -> pd.DataFrame:
    """Return `sweep, train_rmse, test_rmse, seconds, speed` of a fit, a line for each sweep.

    Errors are NaN where a model has none; `speed` is in ratings a second.
    """
    lines = [
        (told.sweep, told.train_rmse, told.test_rmse, told.seconds, told.speed)
        for told in (fit.sweeps if fit else ())
    ]
    names = ["sweep", "train_rmse", "test_rmse", "seconds", "speed"]
    return pd.DataFrame(lines, columns=names).astype("float64").astype({"sweep": "int64"})


def traffic_table(fit: Fit | None, names: Mapping[str, str]) -> pd.DataFrame:
    """Return `sweep, worker, bytes` that each worker of a fit has sent, in each sweep."""
    place = {address: k for k, address in enumerate(names)}
    lines = [
        (told.sweep, names.get(address, address), told.moved[address])
        for told in (fit.sweeps if fit else ())
        for address in sorted(told.moved, key=lambda each: (place.get(each, len(place)), each))
    ]
    table = pd.DataFrame(lines, columns=["sweep", "worker", "bytes"])
    return table.astype({"sweep": "int64", "worker": "str", "bytes": "int64"})


def shards_table(fit: Fit | None, names: Mapping[str, str]) -> pd.DataFrame:
    """Return `worker, users, items`: the blocks of each side that a worker has solved last.

    Once there is a block, workers without one have a line too.
    """
    if fit is None or not fit.solvers:
        names = {}
    solved = Counter((address, side) for (side, _), address in (fit.solvers if fit else {}).items())
    addresses = [*names, *sorted({address for address, _ in solved} - set(names))]
    lines = [
        (names.get(address, address), solved[address, "users"], solved[address, "items"])
        for address in addresses
    ]
    table = pd.DataFrame(lines, columns=["worker", "users", "items"])
    return table.astype({"worker": "str", "users": "int64", "items": "int64"})


def tasks_table(scheduler: Scheduler) -> pd.DataFrame:
    """Return what the scheduler has in hand: `task` (name), and the number in each state."""
    lines = [
        [sum(prefix.states[state] for state in states) for states in _STATES.values()]
        for prefix in scheduler.task_prefixes.values()
    ]
    table = pd.DataFrame(lines, columns=list(_STATES), dtype="int64")
    table.insert(0, "task", pd.Series(list(scheduler.task_prefixes), dtype="str"))
    return table[table[list(_STATES)].any(axis=1)].reset_index(drop=True)


def worker_names(scheduler: Scheduler) -> dict[str, str]:
    """Return the name of each worker by its address, in the order of the names."""
    # Names are numbers or texts, which have no common order.
    workers = sorted(scheduler.workers.items(), key=lambda w: (type(w[1].name) is str, w[1].name))
    return {address: str(worker.name) for address, worker in workers}
