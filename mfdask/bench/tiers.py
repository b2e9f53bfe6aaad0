"""Times of one sweep of the same equations in several implementations (tiers).

The slow tiers would take hours for a sweep. Each stops at its budget, having visited rows spread
evenly over both sides, and says on how many ratings it was measured. What a whole sweep would take
follows from the seconds per row and per rating that fit the visited rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter
from typing import NamedTuple

import numpy as np

from mfdask.bench.textbook import (
    Interpreted,
    TextbookRule,
    TextbookSide,
    random_start,
    update_rows_compiled,
    update_rows_numpy,
)
from mfdask.kernels.rows import Block
from mfdask.kernels.types import Int64s
from mfdask.progress import Progress, silent

#: Updates rows `first` to `last - 1` of one side.
Update = Callable[[int, int], None]

#: Rows to a call of the compiled tier, so that calling costs nothing beside the work.
COMPILED_BATCH = 512
#: A sweep of the caller's is timed so many times, if the budget allows; the median counts.
REPEATS = 5


@dataclass(frozen=True)
class Tier:
    """One way to do a sweep, and how long it takes.

    Attributes
    ----------
    name, what : str
    seconds_measured : float
        Time spent on the rows that were visited.
    ratings_measured, ratings_total : int
        Ratings of the visited rows, and of all: each counts twice in a sweep, once on each side.
    seconds_scaled : float
        A whole sweep. Equal to `seconds_measured` where all rows were visited.
    speedup : float
        Against the first tier.
    """

    name: str
    what: str
    seconds_measured: float
    ratings_measured: int
    ratings_total: int
    seconds_scaled: float
    speedup: float


class TierSweep(NamedTuple):
    """A tier that the caller brings: `run` does one whole sweep."""

    name: str
    what: str
    run: Callable[[], object]


class _Timing(NamedTuple):
    seconds: float
    ratings: int
    scaled: float


class _Plain(NamedTuple):
    """A tier of this module: the updates of both sides, and how many rows a call is given."""

    name: str
    what: str
    make: Callable[[], tuple[Update, Update]]
    batch: int


def measure_tiers(
    users: Block,
    items: Block,
    n_factors: int,
    seed: int,
    budget_seconds: float,
    sweeps: Sequence[TierSweep] = (),
    progress: Progress = silent,
) -> list[Tier]:
    """Time a sweep of ALS (the paper's Algorithm 1) in each tier.

    Parameters
    ----------
    users, items : Block
        The same ratings, by user and by item.
    n_factors : int
        At least 1.
    seed : int
        Of the factors that every tier of this module starts from.
    budget_seconds : float
        After so long a tier stops, at the end of a row (compiled: of a few hundred rows).
    sweeps : sequence of TierSweep
        Further tiers, each called once to warm up and then timed, such as the project's own
        kernel with one thread, with all threads, and through Dask.
    progress : Progress
        Told of every tier.

    Returns
    -------
    list of Tier
        Interpreted, dual CSR, compiled, and then `sweeps`.
    """
    n = len(users.ratings) + len(items.ratings)
    timings: list[_Timing] = []
    tiers: list[_Plain | TierSweep] = [*_plain_tiers(users, items, n_factors, seed), *sweeps]
    for done, tier in enumerate(tiers):
        progress("tiers", done, len(tiers), tier.name)
        if isinstance(tier, TierSweep):
            timings.append(_time_sweep(tier.run, n, budget_seconds))
        else:
            timings.append(_time_plain(tier, (users.indptr, items.indptr), budget_seconds))
    progress("tiers", len(tiers), len(tiers))
    slowest = timings[0].scaled
    return [
        Tier(tier.name, tier.what, t.seconds, t.ratings, n, t.scaled, slowest / t.scaled)
        for tier, t in zip(tiers, timings, strict=True)
    ]


def _plain_tiers(users: Block, items: Block, n_factors: int, seed: int) -> list[_Plain]:
    """List the tiers of this module, slowest first; each makes its data when its turn comes."""
    rule = TextbookRule(n_factors, float(np.mean(users.ratings, dtype=np.float64)))

    def start() -> tuple[TextbookSide, TextbookSide]:
        n_users, n_items = len(users.indptr) - 1, len(items.indptr) - 1
        return random_start(n_users, n_factors, seed), random_start(n_items, n_factors, seed + 1)

    def interpreted() -> tuple[Update, Update]:
        state = Interpreted(users, start(), rule)
        return state.update_users, state.update_items

    def on_arrays(update: Callable[..., None]) -> tuple[Update, Update]:
        p, q = start()
        return (
            partial(update, block=users, fixed=q, rule=rule, moving=p),
            partial(update, block=items, fixed=p, rule=rule, moving=q),
        )

    return [
        _Plain(
            "interpreted",
            "plain Python, ratings by user only: an item's raters are searched for",
            interpreted,
            batch=1,
        ),
        _Plain(
            "dual CSR",
            "ratings by user and by item, a few NumPy calls for each row",
            partial(on_arrays, update_rows_numpy),
            batch=1,
        ),
        _Plain(
            "compiled",
            "the interpreted tier's own lines compiled by Numba, by user and by item, one thread",
            partial(on_arrays, update_rows_compiled),
            batch=COMPILED_BATCH,
        ),
    ]


def _time_sweep(run: Callable[[], object], n_ratings: int, budget_seconds: float) -> _Timing:
    """Time whole sweeps: the median of a few, after one to warm up."""
    run()
    seconds: list[float] = []
    while not seconds or (len(seconds) < REPEATS and sum(seconds) < budget_seconds):
        began = perf_counter()
        run()
        seconds.append(perf_counter() - began)
    return _Timing(median(seconds), n_ratings, median(seconds))


def _time_plain(tier: _Plain, indptrs: tuple[Int64s, Int64s], budget_seconds: float) -> _Timing:
    """Time both half-steps, each within half of the budget."""
    users, items = (
        _time_half(update, indptr, tier.batch, budget_seconds / 2)
        for update, indptr in zip(tier.make(), indptrs, strict=True)
    )
    return _Timing(
        users.seconds + items.seconds, users.ratings + items.ratings, users.scaled + items.scaled
    )


def _time_half(update: Update, indptr: Int64s, batch: int, budget_seconds: float) -> _Timing:
    """Update batches of rows spread evenly over a side until all are done or time is up."""
    update(0, 0)  # compiles, where there is something to compile
    rows = len(indptr) - 1
    visits: list[tuple[int, int, float]] = []
    spent = 0.0
    for first in batch * _spread(-(-rows // batch)):
        last = min(int(first) + batch, rows)
        began = perf_counter()
        update(int(first), last)
        seconds = perf_counter() - began
        visits.append((last - int(first), int(indptr[last] - indptr[first]), seconds))
        spent += seconds
        if spent >= budget_seconds:
            break
    ratings = sum(visit[1] for visit in visits)
    return _Timing(spent, ratings, _scale(visits, rows, int(indptr[-1])))


def _spread(n: int) -> Int64s:
    """Put 0 to ``n - 1`` into an order of which each beginning is spread evenly over them all.

    Multiples of the golden ratio, taken without their whole parts, fill the gaps they leave.
    """
    parts = np.arange(1, n + 1) * ((np.sqrt(5) - 1) / 2) % 1
    return np.argsort(np.argsort(parts, kind="stable"), kind="stable")


def _scale(visits: Sequence[tuple[int, int, float]], rows: int, ratings: int) -> float:
    """Return the seconds for all rows, from visits of (rows, ratings, seconds).

    A visit is taken to cost ``a * rows + b * ratings``; `a` and `b` are such that the visits to
    short rows and those to long rows both add up. If all were visited, it is their sum.
    """
    table = np.array(visits, dtype=np.float64)
    if table[:, 0].sum() == rows:
        return float(table[:, 2].sum())
    by_length = table[np.argsort(table[:, 1] / table[:, 0], kind="stable")]
    middle = len(table) // 2
    groups = np.array([by_length[:middle].sum(axis=0), by_length[middle:].sum(axis=0)])
    counts, seconds = groups[:, :2], groups[:, 2]
    if abs(np.linalg.det(counts)) > 0:
        costs = np.linalg.solve(counts, seconds)
        if costs.min() >= 0:
            return float(costs @ (rows, ratings))
    return float(seconds.sum() * ratings / counts[:, 1].sum())
