"""Run a search: trials, one or several at a time, and a fit with the best parameters."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from mfdask.errors import InputError
from mfdask.files import file_lock
from mfdask.models import ALS, Estimator, Model, check_data
from mfdask.models.base import Sweep
from mfdask.parameters import Parametrised, parameter
from mfdask.progress import Progress, silent
from mfdask.shards import Dataset
from mfdask.tuning.holdout import hold_out
from mfdask.tuning.objective import TuningObjective
from mfdask.tuning.space import Point, SearchSpace, configured

if TYPE_CHECKING:
    from distributed import Client

    from mfdask.tuning.study import Attempt, Record

SAMPLERS = ("grid", "random", "tpe")


@dataclass(frozen=True)
class Settings(Parametrised):
    """Options of a search."""

    sampler: str = parameter("tpe", "How points are chosen.", choices=SAMPLERS)
    n_trials: int | None = parameter(
        None,
        "Trials in all, with those of earlier runs.  [default: the whole grid, or 30]",
        "trials",
        at_least=1,
    )
    validation: float = parameter(
        0.1, "Share of the training ratings that trials are scored on.", above=0, below=1
    )
    seed: int = parameter(
        42, "Seed of the validation part, the search and the first factors.", at_least=0
    )
    prune: bool = parameter(True, "Give up a trial that does worse than the median of the others.")
    objective: str | None = parameter(
        None,
        "What trials are scored by: rmse, auc, or precision, recall, ndcg, map, mrr or hit_rate of "
        "lists, such as ndcg@10.  [default: rmse; of models that only rank ndcg@10]",
        metavar="METRIC[@K]",
    )
    threshold: float | None = parameter(
        None,
        "Validation ratings this high are relevant, where lists are measured.  [default: as "
        "`mfdask evaluate`]",
    )
    jobs: int = parameter(
        1, "Trials at a time: on small data, as many as there are workers.", at_least=1
    )


@dataclass(frozen=True)
class Tuned:
    """The result of a search.

    Attributes
    ----------
    trials : DataFrame
        One line a trial, see `Record.table`.
    fresh : int
        How many of them this run made.
    point : dict of str to float
        The best trial's.
    best : Estimator
        With the best parameters.
    objective : TuningObjective
    validation : float
        The objective of the best trial after its last sweep.
    model : Model
        The best parameters, learned from the whole training part.
    test : float or None
        Its objective on the test part, if there is one.
    """

    trials: pd.DataFrame
    fresh: int
    point: Point
    best: Estimator
    objective: TuningObjective
    validation: float
    model: Model
    test: float | None


def tune(
    data: Dataset,
    search: SearchSpace,
    study: Path,
    *,
    base: Estimator | None = None,
    settings: Settings | None = None,
    item_features: Path | None = None,
    user_features: Path | None = None,
    client: Client | None = None,
    progress: Progress = silent,
) -> Tuned:
    """Find the parameters that do best on a validation part of the training ratings.

    The test part is not read before the best parameters are known; then the model is learned once
    more, from the whole training part.

    Parameters
    ----------
    data : Dataset
        On disk.
    search : SearchSpace
    study : Path
        SQLite file; a search that is there already, over the same data, carries on.
    base : Estimator, optional
        The parameters that are not searched; by default those of `ALS`.
    settings : Settings, optional
    item_features : Path, optional
        The file that a model of kind features follows.
    user_features : Path, optional
        The file that a user prior of features follows.
    client : distributed.Client, optional
        Where the trials run; without one, in this process.
    progress : Progress, optional

    Raises
    ------
    InputError
        If Optuna is missing, the file is no study, a parameter is out of its range, or no trial
        came to its end.
    RefusedError
        If another process is searching in this study, or the disk has no room.
    """
    base, settings = base or ALS(), settings or Settings()
    search.check(base)
    asked = settings.objective or TuningObjective.default(base)
    objective = TuningObjective.parse(asked, settings.threshold)
    objective.check(base, data)
    files = {"item_features": item_features, "user_features": user_features}
    features = {name: path for name, path in files.items() if path is not None}
    check_data(base, data)
    if data.address is None:
        raise InputError(f"{data.name}: tuning needs a data set on disk; make one with ingest")
    with (
        file_lock(study, "searching in"),
        _record(data, search, base, settings, study, objective) as record,
    ):
        n_trials = settings.n_trials or (None if settings.sampler == "grid" else 30)
        positions = record.open_positions(n_trials)
        if positions:
            place = study.with_name(f".{study.name}.validation")
            try:
                held = hold_out(data, place, settings.validation, settings.seed)
                trials = _Trials(record, held, base, objective, features, client, progress)
                trials.run(positions, settings.jobs)
            finally:
                shutil.rmtree(place, ignore_errors=True)
        best, table = record.best(), record.table()
    assert best.value is not None
    config = configured(base, best.params)
    model = config.fit(data, client=client, progress=progress, **features)
    test = objective.of(model, data)
    return Tuned(table, len(positions), best.params, config, objective, best.value, model, test)


@contextmanager
def _record(
    data: Dataset,
    search: SearchSpace,
    base: Estimator,
    settings: Settings,
    file: Path,
    objective: TuningObjective,
) -> Iterator[Record]:
    """Open the record of this search, and of no other."""
    try:
        from mfdask.tuning import study  # here: Optuna is not always installed
    except ModuleNotFoundError as error:
        raise InputError(
            f"tuning needs {error.name}, which is missing: pip install 'mfdask[tune]'"
        ) from error
    what = {
        "data": data.fingerprint,
        "grids": [{k: asdict(axis) for k, axis in grid.items()} for grid in search.grids],
        "base": base.parameters(),
        "sampler": settings.sampler,
        "validation": settings.validation,
        "seed": settings.seed,
        "prune": settings.prune,
    }
    if not objective.of_ratings:  # searches of before have none
        what |= {"objective": str(objective), "threshold": objective.threshold, "kind": base.kind}
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    with study.open_study(file, f"{data.name}-{digest[:12]}", settings.prune, objective) as opened:
        yield study.Record(opened, search, settings.sampler, settings.seed, objective)


class _Worse(Exception):
    """Ends the fit of a trial that does worse than most."""


class _Interrupted(Exception):
    """Ends the fits under way when the search is interrupted."""


@dataclass(frozen=True)
class _Trials:
    """Runs trials in threads; the cluster, or this process, does their work."""

    record: Record
    held: Dataset
    base: Estimator
    objective: TuningObjective
    features: dict[str, Path]
    client: Client | None
    progress: Progress
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, positions: list[int], jobs: int) -> None:
        """Run the trials of all positions, `jobs` at a time.

        An interrupt ends those that are under way; the next run repeats them.
        """
        waiting, running = list(positions), set[Future[None]]()
        self.progress("trials", 0, len(positions))
        # Kernels in this process take all its threads: two at once would be in each other's way.
        jobs = jobs if self.client else 1
        with ThreadPoolExecutor(jobs) as pool:
            try:
                while waiting or running:
                    while waiting and len(running) < jobs:
                        running.add(pool.submit(self._try, self.record.ask(waiting.pop(0))))
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
                    n_done = len(positions) - len(waiting) - len(running)
                    self.progress("trials", n_done, len(positions), self._note())
            except BaseException:
                self.stop.set()
                raise

    def _note(self) -> str:
        try:
            return f"best {self.objective.label} {self.record.best().value:.4f}"
        except InputError:
            return ""

    def _try(self, trial: Attempt) -> None:
        """Run one trial and record how it ended; one that is interrupted is left open."""

        def watch(sweep: Sweep) -> None:
            if trial.report(sweep) and sweep.sweep < config.most_sweeps:
                raise _Worse
            if self.stop.is_set():
                raise _Interrupted

        config = configured(self.base, trial.params)
        try:
            model = config.fit(self.held, client=self.client, each_sweep=watch, **self.features)
            value = self.objective.of(model, self.held)
        except _Worse:
            trial.give_up()
        except InputError as error:
            trial.fail(error)
        except _Interrupted:
            return
        else:
            trial.complete(value)
