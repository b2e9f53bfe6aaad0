"""The few ratios that tell whether a change has made something slower, and the file they are in.

A ratio is that of the quickest round of each: what else runs on a machine mostly adds to a time. In
a round, the median sweep counts: the client may learn of two at once, and the second takes no time.
``python -m mfdask.bench.guard FILE`` prints the file's table as the documentation shows it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from distributed import Client
from threadpoolctl import threadpool_limits

from mfdask.bench.ingest import measure_ingest, spec_of
from mfdask.bench.kernel import BareKernel, numba_threads, sweep_flops
from mfdask.bench.machine import describe_machine, gemm_gflops, gemm_seconds
from mfdask.bench.rounds import Rounds, seconds_of, take_in_turn
from mfdask.bench.sweep import sweep_seconds
from mfdask.cores import n_cores
from mfdask.errors import InputError
from mfdask.files import atomic_file
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.kernels.topn import Rated
from mfdask.models import ALS, IALS, Bayes, FactorModel
from mfdask.models.design import Array
from mfdask.progress import Progress, silent
from mfdask.ratings.splits import Split
from mfdask.ratings.synthetic import open_synthetic
from mfdask.recommendation import Ranking
from mfdask.recommendation.topn import Rows, best_of_rows, rated_by, tiles_of
from mfdask.shards import Dataset

#: Users that NumPy ranks for at a time: scores of 64 MB at a catalogue of 8,000 items.
_USERS_AT_A_TIME = 2_000
_TOP = 10


@dataclass(frozen=True)
class GuardPlan:
    """Options of `measure_guard`.

    Attributes
    ----------
    ratings : int
        Made-up ratings of the data set, of MovieLens 32M's shape.
    n_factors : int
    sweeps : int
        Sweeps of each fit, 2 or more: the first is left out, since it also maps the shards.
    rounds : int
        How often everything is timed, in turn.
    threads : int
        Of everything.
    """

    ratings: int = 3_200_000
    n_factors: int = 20
    sweeps: int = 8
    rounds: int = 3
    threads: int = n_cores()


class Guarded(NamedTuple):
    """A ratio of seconds, and the share by which it may be larger than in the file, by default."""

    what: str
    tolerance: float


#: Smaller is better in each. Whole processes vary more than what is timed within one.
RATIOS = {
    "dask_over_bare": Guarded("a sweep of `als` through Dask, over the bare kernel", 0.3),
    "product_over_sweep": Guarded(
        "operations a second of NumPy's matrix product, over those of the bare kernel", 0.3
    ),
    "bayes_over_als": Guarded("a sweep of `bayes`, over one of `als`", 0.4),
    "ials_over_als": Guarded("a sweep of `ials`, over one of `als`", 0.4),
    "lists_over_numpy": Guarded("top-10 lists, over NumPy's product and `argpartition`", 0.3),
    "ingest_over_pandas": Guarded("`mfdask ingest` of a CSV, over pandas and SciPy", 0.5),
}


def measure_guard(
    client: Client, plan: GuardPlan | None = None, progress: Progress = silent
) -> dict[str, float]:
    """Measure all of `RATIOS` on data made for it, each of the quickest rounds of both.

    Parameters
    ----------
    client : Client
    plan : GuardPlan, optional
    progress : Progress, optional

    Returns
    -------
    dict of str to float
    """
    plan = plan or GuardPlan()
    spec = spec_of(plan.ratings)
    source = f"synthetic:users={spec.users},items={spec.items},ratings={spec.ratings}"
    with tempfile.TemporaryDirectory() as folder:
        options = IngestOptions(Split.parse("none"))
        ingest(open_synthetic(source, 1), Path(folder) / "d", client=client, choices=options)
        data = Dataset.open(Path(folder) / "d")
        taken = take_in_turn(_timed(data, client, plan), plan.rounds, progress)
    read = Rounds(measure_ingest(plan.ratings, plan.rounds, progress=progress)["rounds"])
    return {
        "dask_over_bare": quickest(taken, "als", "bare"),
        "product_over_sweep": _rate_over_sweep(data, plan, taken),
        "bayes_over_als": quickest(taken, "bayes", "als"),
        "ials_over_als": quickest(taken, "ials", "als"),
        "lists_over_numpy": quickest(taken, "lists", "lists_numpy"),
        "ingest_over_pandas": quickest(read, "ingest", "baseline"),
    }


def quickest(taken: Rounds, name: str, other: str) -> float:
    """Return the least seconds of one thing over the least of another."""
    return min(taken.seconds[name]) / min(taken.seconds[other])


def _timed(data: Dataset, client: Client, plan: GuardPlan) -> dict[str, Callable[[], float]]:
    """Compile everything, here and on the workers, and return what is to be timed."""
    als = ALS(n_factors=plan.n_factors, n_sweeps=plan.sweeps)
    bayes = Bayes(n_factors=plan.n_factors, n_sweeps=plan.sweeps, burn_in=0, n_samples=1)
    ials = IALS(n_factors=plan.n_factors, n_sweeps=plan.sweeps)
    kernel = BareKernel(data, als)
    kernel.sweep()
    for estimator in (bayes, ials):
        replace(estimator, n_sweeps=1).fit(data, client=client)
    lists = _Lists(als.fit(data, client=client), data, plan.threads)
    lists.ours()
    return {
        "product": lambda: gemm_seconds(plan.threads),
        "bare": lambda: kernel.seconds(plan.sweeps, plan.threads),
        "als": lambda: sweep_seconds(als.fit(data, client=client)),
        "bayes": lambda: sweep_seconds(bayes.fit(data, client=client)),
        "ials": lambda: sweep_seconds(ials.fit(data, client=client)),
        "lists": lambda: seconds_of(lists.ours),
        "lists_numpy": lambda: seconds_of(lists.numpy),
    }


def _rate_over_sweep(data: Dataset, plan: GuardPlan, taken: Rounds) -> float:
    """Return the product's operations a second over those of a bare sweep."""
    gflop = sweep_flops(data.n_train, data.n_users + data.n_items, plan.n_factors) / 1e9
    return quickest(taken, "bare", "product") * gemm_gflops(1.0) / gflop


class _Lists:
    """The best items of all users, without what they have rated, in two ways."""

    def __init__(self, model: FactorModel, data: Dataset, threads: int) -> None:
        self._model, self._threads = model, threads
        self._rated = rated_by(data, np.arange(data.n_users, dtype=np.int32))
        self._users = np.ascontiguousarray(model.user_rows[:, 1 : model.n_factors + 2])
        # The bias is one more factor, which is 1 for every user.
        bias = np.float32(Ranking().bias_weight) * model.item_bias
        self._items = np.column_stack([bias, model.item_factors])

    def ours(self) -> Rows:
        """Return item rows int32 (users, top), best first."""
        ranking = Ranking(_TOP, min_ratings=0)
        with numba_threads(self._threads):
            tiles = tiles_of(self._model, ranking)
            rows, n_factors = self._model.user_rows, self._model.n_factors
            return best_of_rows(rows, n_factors, tiles, self._rated, _TOP)[1]

    def numpy(self) -> Rows:
        """Return the same, but for ties."""
        with threadpool_limits(self._threads):
            return best_by_numpy(self._users, self._items, self._rated, _TOP)


def best_by_numpy(users: Array, items: Array, rated: Rated, top: int) -> Rows:
    """Return the rows of each user's best items as one would with NumPy alone.

    Parameters
    ----------
    users, items : float32 (n, d)
        A score is the product of two rows.
    rated : Rated
        Left out.
    top : int
        At most the number of items.

    Returns
    -------
    int32 (users, top)
        Best first.
    """
    found = np.empty((len(users), top), np.int32)
    for start in range(0, len(users), _USERS_AT_A_TIME):
        part = slice(start, min(start + _USERS_AT_A_TIME, len(users)))
        scores = users[part] @ items.T
        indptr = rated.indptr[start : part.stop + 1]
        owner = np.repeat(np.arange(len(scores)), np.diff(indptr))
        scores[owner, rated.items[indptr[0] : indptr[-1]]] = -np.inf
        best = np.argpartition(scores, -top, axis=1)[:, -top:]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        found[part] = np.take_along_axis(best, order, axis=1)
    return found


def write_guard(file: Path, ratios: Mapping[str, float], command: str) -> None:
    """Write ratios with their tolerances, the machine and the versions.

    Tolerances that the file has already are kept.

    Raises
    ------
    InputError
        If the file is there and is none of these.
    """
    before = read_guard(file)["ratios"] if file.exists() else {}
    known = {name: before.get(name, {}).get("tolerance", RATIOS[name].tolerance) for name in ratios}
    said = {
        "command": command,
        "machine": describe_machine(),
        "ratios": {
            name: {"value": round(ratio, 3), "tolerance": known[name]}
            for name, ratio in ratios.items()
        },
    }
    with atomic_file(file) as fresh:
        fresh.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def read_guard(file: Path) -> dict[str, Any]:
    """Read what `write_guard` has written: ``command``, ``machine``, ``ratios``.

    Raises
    ------
    InputError
        If the file is missing, or is none of these.
    """
    if not file.is_file():
        raise InputError(f"{file}: there is no such file; name one, or write it with --renew")
    try:
        said: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        whole = {
            name: (float(one["value"]), float(one["tolerance"]))
            for name, one in said["ratios"].items()
        }
        sound = "machine" in said and all(value > 0 <= more for value, more in whole.values())
    except (ValueError, KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        raise InputError(f"{file}: this is no file of ratios; write one with --renew elsewhere")
    return said


def slower(found: Mapping[str, float], file: Path) -> dict[str, str]:
    """Return the ratios that are larger than a file allows, each with a few words.

    Raises
    ------
    InputError
        If the file is missing, is none of these, or has other ratios.
    """
    known = read_guard(file)["ratios"]
    if known.keys() != found.keys():
        other = ", ".join(sorted(known.keys() ^ found.keys()))
        raise InputError(f"{file}: its ratios are not those of today ({other}); --renew them")
    return {
        name: f"{name} {found[name]:.3f}, at most {limit:.3f}"
        for name, one in known.items()
        if found[name] > (limit := one["value"] * (1 + one["tolerance"]))
    }


def as_markdown(said: Mapping[str, Any]) -> str:
    """Return what `read_guard` has read as the table of the documentation."""
    lines = ["| ratio | of what | measured | may grow by |", "|---|---|---|---|"]
    for name, one in said["ratios"].items():
        what = RATIOS[name].what
        lines.append(f"| `{name}` | {what} | {one['value']:.3f} | {one['tolerance']:.0%} |")
    return "\n".join(line.replace("%", " %") for line in lines) + "\n"


if __name__ == "__main__":
    print(as_markdown(read_guard(Path(sys.argv[1]))), end="")
