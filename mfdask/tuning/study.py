"""The record of a search: an Optuna study in a SQLite file.

Each trial has a position: its place in the search. A position that a kill cut short is given to a
fresh trial, whose draws depend on the seed, the position, and what is finished.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from mfdask.errors import InputError
from mfdask.models.base import Sweep
from mfdask.tuning.objective import TuningObjective
from mfdask.tuning.space import Axis, Point, Range, SearchSpace

optuna.logging.set_verbosity(optuna.logging.WARNING)

POSITION, ERROR, SECONDS = "position", "error", "seconds"
TRAIN_RMSE, SWEEPS = "train_rmse", "sweeps"
#: Trials that must be finished before others are cut short against them.
_BEFORE_PRUNING = 5
#: Sweeps in which every trial is let be: the first ones say little.
_WARM_UP = 4


class Attempt:
    """A trial under way; it may be told of from another thread than the record's."""

    def __init__(self, study: optuna.Study, trial: Trial, objective: TuningObjective) -> None:
        self.params: Point = trial.params
        self._study = study
        self._trial = trial
        self._objective = objective
        self._train_rmse: float | None = None
        self._sweeps = 0
        self._began = time.perf_counter()

    def report(self, sweep: Sweep) -> bool:
        """Record a sweep's errors, and return whether the trial does worse than most.

        Lists are measured after the last sweep alone: by them, no trial is cut short.
        """
        self._train_rmse, self._sweeps = sweep.train_rmse, sweep.sweep
        if not self._objective.of_ratings:
            return False
        assert sweep.test_rmse is not None
        self._trial.report(sweep.test_rmse, sweep.sweep)
        return bool(self._trial.should_prune())

    def complete(self, value: float | None) -> None:
        """Record the objective on the validation part after the last sweep."""
        self._end(TrialState.COMPLETE, value)

    def give_up(self) -> None:
        """Record that the trial was pruned."""
        self._end(TrialState.PRUNED)

    def fail(self, error: Exception) -> None:
        """Record why the trial cannot be done: it is not repeated."""
        self._trial.set_user_attr(ERROR, str(error))
        self._end(TrialState.FAIL)

    def _end(self, state: TrialState, value: float | None = None) -> None:
        self._trial.set_user_attr(TRAIN_RMSE, self._train_rmse)
        self._trial.set_user_attr(SWEEPS, self._sweeps)
        self._trial.set_user_attr(SECONDS, time.perf_counter() - self._began)
        self._study.tell(self._trial, value, state)


class Record:
    """The trials of one search."""

    def __init__(
        self,
        study: optuna.Study,
        search: SearchSpace,
        sampler: str,
        seed: int,
        objective: TuningObjective,
    ) -> None:
        self.study = study
        self.objective = objective
        self._axes = {name: _distribution(axis) for name, axis in search.axes().items()}
        self._points = search.points() if sampler == "grid" else None
        self._sampler = sampler
        self._seed = seed
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            study.tell(trial.number, state=TrialState.FAIL)

    def finished(self) -> list[FrozenTrial]:
        """Return the finished trials, in their positions' order; one that a kill cut is none."""
        trials = [t for t in self.study.get_trials(deepcopy=False) if _is_finished(t)]
        return sorted(trials, key=lambda trial: int(trial.user_attrs[POSITION]))

    def open_positions(self, n_trials: int | None) -> list[int]:
        """Return the positions below `n_trials` that are not finished; of a grid at most all."""
        if self._points is not None:
            n_trials = min(n_trials or len(self._points), len(self._points))
        assert n_trials is not None
        done = {trial.user_attrs[POSITION] for trial in self.finished()}
        return [position for position in range(n_trials) if position not in done]

    def ask(self, position: int) -> Attempt:
        """Begin the trial of a position."""
        self.study.sampler = self._make_sampler(position)
        trial = self.study.ask(self._axes)
        trial.set_user_attr(POSITION, position)
        return Attempt(self.study, trial, self.objective)

    def best(self) -> FrozenTrial:
        """Return the best complete trial, of equally good ones the first.

        Raises
        ------
        InputError
            If none is complete.
        """
        finished = self.finished()
        complete = [trial for trial in finished if trial.state == TrialState.COMPLETE]
        if not complete:
            why = next((t.user_attrs[ERROR] for t in finished if ERROR in t.user_attrs), "no trial")
            raise InputError(f"no trial came to its end: {why}")
        sign = 1 if self.objective.of_ratings else -1
        return min(complete, key=lambda trial: sign * float(trial.value or 0.0))

    def table(self) -> pd.DataFrame:
        """Return one line a finished trial.

        `trial` (the position), `state`, a column for each parameter, the objective, such as
        `validation_rmse` (of the last sweep that it came to) or `validation_ndcg@10`, `train_rmse`,
        `sweeps`, `seconds`, `error`.
        """
        name = f"validation_{self.objective}"
        return pd.DataFrame([_line(trial, name) for trial in self.finished()])

    def _make_sampler(self, position: int) -> BaseSampler:
        if self._points is not None:
            return _AtPoint(self._points[position])
        seed = (self._seed * 1_000_003 + position) % 2**32
        return RandomSampler(seed) if self._sampler == "random" else TPESampler(seed=seed)


class _AtPoint(BaseSampler):
    """Draws one given point."""

    def __init__(self, point: Point) -> None:
        self._point = point

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Draw each parameter for itself."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw nothing together."""
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> float | None:
        """Return the point's value."""
        return self._point[param_name]


@contextmanager
def open_study(
    file: Path, name: str, prune: bool, objective: TuningObjective
) -> Iterator[optuna.Study]:
    """Open a study in a SQLite file, made where it is not there yet.

    Raises
    ------
    InputError
        If the file is no study, or cannot be written.
    """
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if prune:
        pruner = optuna.pruners.MedianPruner(_BEFORE_PRUNING, n_warmup_steps=_WARM_UP)
    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{file.absolute()}")
    except (SQLAlchemyError, RuntimeError) as error:
        line = str(error).splitlines()[0]
        raise InputError(f"{file}: is no study of Optuna ({line}); give another `study`") from error
    try:
        yield optuna.create_study(
            storage=storage,
            study_name=name,
            pruner=pruner,
            load_if_exists=True,
            direction="minimize" if objective.of_ratings else "maximize",
        )
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _distribution(axis: Axis) -> BaseDistribution:
    if not isinstance(axis, Range):
        return CategoricalDistribution(axis.values)
    if axis.whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)


def _is_finished(trial: FrozenTrial) -> bool:
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or ERROR in trial.user_attrs


def _line(trial: FrozenTrial, objective: str) -> dict[str, Any]:
    said, steps = trial.user_attrs, trial.intermediate_values
    return {
        "trial": said[POSITION],
        "state": trial.state.name.lower(),
        **trial.params,
        objective: steps[max(steps)] if steps else trial.value,
        "train_rmse": said.get(TRAIN_RMSE),
        "sweeps": said.get(SWEEPS, max(steps, default=0)),
        "seconds": said.get(SECONDS),
        "error": said.get(ERROR),
    }
