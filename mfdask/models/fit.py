"""The fit loop of matrix factorisation: sweeps until there are enough, history and checkpoints."""

from __future__ import annotations

import logging
import math
import time
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from mfdask.convergence import ChainMonitor
from mfdask.features.file import FeaturesOf, SideFeatures
from mfdask.features.offsets import TimeOffsets
from mfdask.features.rated import DRAW_STEPS
from mfdask.kernels.rows import MOVED, NORM, PENALTY, SSE, row_width
from mfdask.kernels.types import Float32s, Int64s
from mfdask.models.base import Sweep
from mfdask.models.checkpoint import (
    CheckpointManager,
    fit_identity,
    load_array,
    prior_arrays,
)
from mfdask.models.design import RowPrior, training_bytes
from mfdask.models.exchange import ExchangeMode
from mfdask.models.factor_model import FactorModel
from mfdask.models.registry import check_data
from mfdask.models.store import count_factors
from mfdask.models.sweeps import (
    FitPlan,
    FitState,
    join_rows,
    resumed_state,
    started_state,
    submit_last_users,
    submit_sweep,
    value_of,
)
from mfdask.models.updates import AlternatingUpdates, Collector
from mfdask.progress import Progress, silent
from mfdask.shards import SIDES, Dataset
from mfdask.shards.refs import executor_for

if TYPE_CHECKING:
    from distributed import Client

    from mfdask.watch import ProgressPublisher, SweepEvent

_LOG = logging.getLogger(__name__)


class FitResult(NamedTuple):
    """Rows of both sides, prior of the items and history at the end of a fit.

    Attributes
    ----------
    rows : dict of float32 (n, width)
        Design rows of each side.
    priors : dict of RowPrior
        What each side's prior would be in the next sweep.
    history : list of Sweep
    offsets : tuple of TimeOffsets
        Of each grouping, as the last sweep left them.
    """

    rows: dict[str, Float32s]
    priors: dict[str, RowPrior]
    history: list[Sweep]
    offsets: tuple[TimeOffsets, ...] = ()


class MatrixFactorization(AlternatingUpdates):
    """Matrix factorisation with biases, learned by half-steps over user and item shards."""

    model_type: ClassVar[type[FactorModel]] = FactorModel

    def fit(  # type: ignore[override]
        self,
        data: Dataset | Any,
        *,
        item_features: Path | SideFeatures | None = None,
        user_features: Path | SideFeatures | None = None,
        client: Client | None = None,
        start: Path | None = None,
        checkpoint: Path | None = None,
        checkpoint_every: int = 0,
        resume: bool = False,
        progress: Progress = silent,
        each_sweep: Callable[[Sweep], None] | None = None,
        exchange: ExchangeMode = "auto",
    ) -> FactorModel:
        """Learn a model.

        Parameters
        ----------
        data : Dataset or sparse matrix
            A `scipy.sparse` matrix counts as users x items, its stored values as ratings.
        item_features : Path, optional
            File of item features, CSV or Parquet, for the item prior ``"features"``: the item id,
            and columns of numbers or of values joined by ``|``. Workers read it too.
        user_features : Path, optional
            The same of users, for the user prior ``"features"``.
        client : distributed.Client, optional
            Where the half-steps run; without one, in this process on all its threads.
        start : Path, optional
            Directory of a model with as many factors, whose rows to begin with, by raw id.
        checkpoint : Path, optional
            Folder that keeps the state of an unfinished fit.
        checkpoint_every : int
            Sweeps between two checkpoints; 0 keeps none.
        resume : bool
            Go on from the newest checkpoint, with the same result as an unbroken fit.
        progress : Progress, optional
        each_sweep : callable, optional
            Gets each sweep's line of the history; what it raises ends the fit.
        exchange : {"auto", "whole", "needed"}
            Whether workers get the other side whole, or the rows that their blocks use; auto takes
            what is cheaper. The model is the same.

        Returns
        -------
        FactorModel

        Raises
        ------
        InputError
            If the data cannot be learned from, the item features do not fit them, a checkpoint is
            of another fit, the model to start from has other factors, or a row's equations have no
            solution, naming the row.
        RefusedError
            If workers die again and again.
        """
        if not isinstance(data, Dataset):
            data = Dataset.from_csr(data)
        check_data(self, data)
        own = self.resolved(data)
        scale, priors = own.feature_scale, {"users": own.user_prior, "items": own.item_prior}
        given = {"users": user_features, "items": item_features}
        known = {s: SideFeatures.of(s, priors[s], data, given[s], scale) for s in SIDES}
        features = {side: found for side, found in known.items() if found is not None}
        identity = fit_identity(own.identity(), data.fingerprint, start, features)
        manager = CheckpointManager(checkpoint, checkpoint_every, resume, identity)
        collector = own.collector(data, features)
        with executor_for(data, client) as run:
            plan = FitPlan.make(own, data, run, features, exchange)
            loop = _Loop(plan, manager, collector, own.monitor())
            result = loop.run(start, progress, each_sweep)
        return own.model(data, result, features, collector)

    def collector(self, data: Dataset, features: FeaturesOf) -> Collector | None:
        """Return what gathers draws on the way, if anything does."""
        return None

    @abstractmethod
    def model(
        self, data: Dataset, result: FitResult, features: FeaturesOf, collector: Any
    ) -> FactorModel:
        """Return the model of what a fit ends with."""

    def can_start_from(self, model: Path) -> bool:
        """Whether a model has as many factors."""
        return count_factors(model) == self.n_factors

    def training_bytes(self, n_rows: int) -> int:
        """Return what a fit of so many users and items together holds in memory at least."""
        # A search for weights of what is rated holds ten arrays of them for each side.
        following = sum("rated" in self.follows(side) for side in SIDES)
        own = 10 * following * n_rows * 4 * row_width(self.n_factors)
        return training_bytes(n_rows, self.n_factors, self.n_draws(n_rows)) + own

    def model_bytes(self, n_rows: int) -> int:
        """Return what the model's directory takes at most: ids and titles are guessed."""
        return n_rows * (4 * (self.n_factors + 1) * self.n_draws(n_rows) + 100)


@dataclass
class _Loop:
    """The sweeps of one fit."""

    plan: FitPlan
    manager: CheckpointManager
    collector: Collector | None
    monitor: ChainMonitor | None

    def run(
        self, start: Path | None, progress: Progress, each_sweep: Callable[[Sweep], None] | None
    ) -> FitResult:
        """Sweep until the estimator has enough."""
        plan, estimator, run = self.plan, self.plan.estimator, self.plan.run
        resumed = self.manager.newest()
        history = list(resumed.history) if resumed else []
        if resumed and self.collector:
            self.collector.load(len(history), lambda name: load_array(resumed.folder, name))
        if resumed and self.monitor:
            n = sum(map(estimator.averages, range(1, len(history) + 1)))
            self.monitor.load(n, lambda name: load_array(resumed.folder, name))
        states = [resumed_state(plan, resumed) if resumed else started_state(plan, start)]
        publisher = _publisher(run.client) if run.client else None
        clock, sent = time.perf_counter(), run.bytes_sent()
        while len(history) < estimator.most_sweeps and not estimator.has_enough(history):
            # The next sweep is submitted before the last one is waited for: workers never idle.
            while len(states) <= run.lookahead and states[-1].sweep < estimator.most_sweeps:
                states.append(submit_sweep(plan, states[-1]))
            states.pop(0)
            account = _account(plan, states[0]) | {"rhat": self._judge(states[0])}
            clock, seconds = time.perf_counter(), time.perf_counter() - clock
            before, sent = sent, run.bytes_sent()
            moved = {worker: max(n - before.get(worker, 0), 0) for worker, n in sent.items()}
            history.append(Sweep(seconds=seconds, bytes_moved=sum(moved.values()), **account))
            if history[-1].unsolved and not any(sweep.unsolved for sweep in history[:-1]):
                _warn_of_unsolved(history[-1].sweep)
            note = history[-1].note()
            n = len(history)
            last = n if estimator.has_enough(history) else estimator.most_sweeps
            progress(f"train {estimator.kind}", n, last, note)
            if publisher:
                publisher.tell(_event(plan, history[-1], moved))
            if each_sweep:
                each_sweep(history[-1])
            self._keep(states[0], history)
        priors = {side: value_of(states[0].next_prior(plan, side)) for side in SIDES}
        end = submit_last_users(plan, states[0])
        return FitResult(join_rows(plan, end), priors, history, self._offsets(end))

    def _offsets(self, state: FitState) -> tuple[TimeOffsets, ...]:
        """Return the offsets of a state with their groups."""
        if self.plan.groups is None:
            return ()
        groupings = self.plan.estimator.groupings
        return tuple(map(TimeOffsets, groupings, self._keys, state.offsets.result().values))

    @cached_property
    def _keys(self) -> list[Int64s]:
        """The keys of the groups of each grouping."""
        return [] if self.plan.groups is None else self.plan.groups.keys.result()

    def _judge(self, state: FitState) -> float | None:
        """Return R-hat of the chain so far, where there is one."""
        if not (self.monitor and state.followed):
            return None
        predictions = np.concatenate([block.result() for block in state.followed])
        return self.monitor.add(state.totals.result().fidelity, predictions)

    def _keep(self, state: FitState, history: list[Sweep]) -> None:
        """Gather draws, and write a checkpoint of all that the next sweeps need, when due."""
        plan, collector, sweep = self.plan, self.collector, len(history)
        if collector and collector.wants(sweep):
            priors = {side: value_of(prior) for side, prior in state.priors.items()}
            offsets = None if state.offsets is None else state.offsets.result()
            noise = None if state.noise is None else state.noise.result()
            collector.add(sweep, join_rows(plan, state), priors, offsets, self._keys, noise)
        if not self.manager.due(sweep):
            return
        arrays: dict[str, npt.NDArray[Any]] = dict(join_rows(plan, state))
        for side in plan.following_rated:
            arrays |= prior_arrays(value_of(state.priors[side]), side)
        if state.offsets is not None:
            arrays |= state.offsets.result().arrays(plan.estimator.groupings)
        if collector:
            arrays |= collector.arrays()
        if self.monitor:
            arrays |= self.monitor.arrays()
        if plan.data.n_test and plan.estimator.averages(sweep):
            for b, score in enumerate(state.scores):
                arrays |= score.result().arrays(b)
        self.manager.keep(arrays, history, float(state.totals.result().items[SSE]))


def _warn_of_unsolved(sweep: int) -> None:
    _LOG.warning(
        "after sweep %d: weights of what is rated, and of features beside it, are not solved for "
        "in %d steps, so that draws of them are rough; give numbers among the features like sizes "
        "(`feature_scale` deviation)",
        sweep,
        DRAW_STEPS,
    )


def _account(plan: FitPlan, state: FitState) -> dict[str, Any]:
    """Wait for a sweep, and return its line of the history but for the time it took."""
    data, totals = plan.data, state.totals.result()
    users, items = totals.users, totals.items
    squared_error = items[SSE]
    if plan.estimator.noise_by_user(state.sweep):  # there each user's errors have a weight
        squared_error = state.next_noise.result().squared_error
    moved, norm = users[MOVED] + items[MOVED], users[NORM] + items[NORM]
    penalty = totals.penalty
    for side, sums in (("users", users), ("items", items)):
        # The rows were solved around the weights before; the objective is that of the newest.
        own = value_of(state.learned[side]).penalty if side in state.learned else None
        penalty += sums[PENALTY] if own is None else own
    rated = plan.predicts_ratings
    tested = rated and data.n_test
    return {
        "sweep": state.sweep,
        "objective": float(totals.fidelity * items[SSE] + penalty) / 2,
        "train_rmse": math.sqrt(max(squared_error, 0.0) / plan.n_weighted) if rated else None,
        "test_rmse": math.sqrt(totals.test_squared / data.n_test) if tested else None,
        "moved": math.sqrt(moved / norm) if norm > 0 else 0.0,
        "fidelity": totals.fidelity,
        "test_auc": state.auc.result() if state.auc else None,
        "unsolved": not all(value_of(prior).solved for prior in state.learned.values()),
    }


def _publisher(client: Client) -> ProgressPublisher:
    from mfdask.watch import ProgressPublisher  # here: it loads Dask

    return ProgressPublisher(client)


def _event(plan: FitPlan, sweep: Sweep, moved: dict[str, int]) -> SweepEvent:
    """Return what the dashboard is told of a sweep."""
    from mfdask.watch import SweepEvent

    data, estimator = plan.data, plan.estimator
    return SweepEvent(
        fit=plan.run.token,
        model=estimator.kind,
        data=data.name,
        data_as_of=data.manifest.created,
        sweep=sweep.sweep,
        n_sweeps=estimator.most_sweeps,
        note=sweep.note(),
        train_rmse=sweep.train_rmse,
        test_rmse=sweep.test_rmse,
        seconds=sweep.seconds,
        ratings=data.n_train,
        moved=moved,
    )
