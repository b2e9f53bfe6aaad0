"""Benchmark of the bytes that workers exchange in a sweep, measured and expected."""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import Any

from distributed import Client

from mfdask.bench.rounds import take_in_turn
from mfdask.bench.sweep import sweep_seconds
from mfdask.errors import InputError
from mfdask.execution import executor
from mfdask.models import ALS
from mfdask.models.exchange import ExchangeCost, ExchangeMode, expected, used_rows
from mfdask.progress import Progress, silent
from mfdask.shards import OTHER, SIDES, Dataset

_WAYS: tuple[ExchangeMode, ...] = ("whole", "needed")


def measure_exchange(
    data: Dataset,
    client: Client,
    n_factors: int = 20,
    sweeps: int = 8,
    rounds: int = 3,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Fit in either way, in turn, and count the bytes that go from worker to worker.

    Parameters
    ----------
    data : Dataset
        In a folder.
    client : Client
        Of two workers or more.
    n_factors : int
    sweeps : int
        Of each fit, 2 or more: the first, in which blocks find their places, is left out.
    rounds : int
    progress : Progress, optional

    Returns
    -------
    dict
        ``workers``; ``sides``, for each the rows that are handed to it, the mean share of them
        that a worker's blocks use (``fill``), and whether ``auto`` would take parcels; and
        ``ways``, for each the bytes of a sweep (median over all sweeps, over all workers), those
        expected, and the seconds (median over the rounds of their medians).

    Raises
    ------
    InputError
        If there is one worker, or a side has fewer blocks than there are workers.
    """
    with executor(client) as run:
        n_workers = len(run.workers)
        _check(data, n_workers)
        used = {side: used_rows(run, data, side) for side in SIDES}
    costs = {side: expected(data, side, n_factors, used[side], n_workers) for side in SIDES}
    moved: dict[str, list[int]] = {way: [] for way in _WAYS}

    def fit(way: ExchangeMode) -> float:
        model = ALS(n_factors=n_factors, n_sweeps=sweeps).fit(data, client=client, exchange=way)
        moved[way] += [sweep.bytes_moved for sweep in model.history[1:]]
        return sweep_seconds(model)

    taken = take_in_turn({way: partial(fit, way) for way in _WAYS}, rounds, progress)
    return {
        "data": data.name,
        "ratings": data.n_train,
        "factors": n_factors,
        "workers": n_workers,
        "blocks": {side: data.n_blocks(side) for side in SIDES},
        "sides": {side: _handed(data, side, used[side], costs[side]) for side in SIDES},
        "ways": {
            way: {
                "bytes_moved": median(moved[way]),
                "expected": n_workers * sum(getattr(cost, way) for cost in costs.values()),
                "seconds": taken.median(way),
            }
            for way in _WAYS
        },
        "rounds": {"seconds": taken.seconds, "bytes_moved": moved},
    }


def _check(data: Dataset, n_workers: int) -> None:
    if n_workers < 2:
        raise InputError("one worker has nobody to send to; give --workers 2 or more")
    fewest = min(data.n_blocks(side) for side in SIDES)
    if fewest < n_workers:
        raise InputError(
            f"{data.name}: {fewest} blocks cannot keep {n_workers} workers busy; ingest it with "
            f"--blocks {2 * n_workers}"
        )


def _handed(data: Dataset, side: str, used: list[int], cost: ExchangeCost) -> dict[str, Any]:
    rows = int(data.bounds(OTHER[side])[-1])
    return {
        "rows": rows,
        "fill": sum(used) / len(used) / rows,
        "parcels": cost.parcels,
        "auto": "needed" if cost.prefers_needed else "whole",
    }
