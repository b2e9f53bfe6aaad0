"""The fit loop: sweeps of half-steps, their history, checkpoints, and the model at the end."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from distributed import Client

from mfdask.kernels.rows import MOVED, NORM, PENALTY, SSE
from mfdask.models.checkpoint import Checkpoint, Keeper, load_rows
from mfdask.models.design import Array, initial_rows, join
from mfdask.models.features import genre_names, genre_shares
from mfdask.models.half_step import Moved, ShardRef, StepRule, half_step, open_shard, squared_error
from mfdask.models.model import FactorModel, Sweep
from mfdask.models.parameters import Parameters
from mfdask.models.prior import FeatureSums, RowPrior, feature_sums, fit_weights
from mfdask.models.runner import Runner, runner_for
from mfdask.progress import Progress
from mfdask.shards import Dataset, Shard

SIDES = ("users", "items")
OTHER = {"users": "items", "items": "users"}


def fit(
    config: Parameters,
    data: Dataset,
    client: Client | None,
    keeper: Keeper,
    progress: Progress,
    each_sweep: Callable[[Sweep], None] | None = None,
) -> FactorModel:
    """Learn a model; see `ALS.fit`."""
    plan = _Plan.make(config, data, client)
    run = plan.run
    start = keeper.newest()
    history = list(start.history) if start else []
    states = [_begin(plan, start)]
    clock = time.perf_counter()
    while len(history) < config.n_sweeps and not _settled(history, config.tolerance):
        while len(states) <= run.ahead and states[-1].sweep < config.n_sweeps:
            states.append(_submit_sweep(plan, states[-1]))
        states.pop(0)
        account = _account(plan, states[0])
        clock, seconds = time.perf_counter(), time.perf_counter() - clock
        history.append(Sweep(seconds=seconds, **account))
        progress(f"train {config.kind}", len(history), config.n_sweeps, history[-1].note())
        if each_sweep:
            each_sweep(history[-1])
        if keeper.due(len(history)):
            keeper.keep(_gather(run, states[0]), history)
    rows = _gather(run, states[0])
    weights = run.result(_item_prior(plan, states[0])).weights if plan.feature_names else None
    return FactorModel.learned(
        config, data, plan.rule.mean_rating, rows, history, plan.feature_names, weights
    )


@dataclass(frozen=True)
class _Plan:
    """What all sweeps of a fit have in common."""

    config: Parameters
    data: Dataset
    run: Runner
    rule: StepRule
    prior: RowPrior  # of rows that are drawn to zero
    feature_names: list[str]
    features: list[Any]  # handles, one a block of items; None without features

    @classmethod
    def make(cls, config: Parameters, data: Dataset, client: Client | None) -> _Plan:
        run = runner_for(data, client)
        names = genre_names(data.items()) if config.item_prior == "genre" else []
        bounds = data.bounds("items").tolist()
        features = [
            run.submit(f"features-{b}", _item_features, run.dataset(data), names, start, stop)
            if names
            else None
            for b, (start, stop) in enumerate(itertools.pairwise(bounds))
        ]
        return cls(config, data, run, config.rule(data.mean), config.prior(), names, features)


@dataclass(frozen=True)
class _State:
    """Both sides after a sweep, as handles of the runner: each block, and the whole side."""

    sweep: int
    blocks: dict[str, list[Any]]  # Moved
    whole: dict[str, Any]  # Array
    totals: Any = None  # what the sweep moved, for each side
    test_errors: tuple[Any, ...] = ()


def _begin(plan: _Plan, start: Checkpoint | None) -> _State:
    """Place the first rows: random ones, or a checkpoint's."""
    run, config, data = plan.run, plan.config, plan.data
    blocks, whole = {}, {}
    for side, n in zip(SIDES, (data.n_users, data.n_items), strict=True):
        if start:
            whole[side] = run.submit(f"load-{side}", load_rows, start.folder, side)
        else:
            whole[side] = run.submit(
                f"start-{side}",
                initial_rows, n, config.n_factors, config.init_scale, config.seed, side,
            )  # fmt: skip
        bounds = data.bounds(side).tolist()
        blocks[side] = [
            run.submit(f"cut-{side}-{b}", _cut, whole[side], bounds[b], bounds[b + 1])
            for b in range(data.n_blocks(side))
        ]
    return _State(len(start.history) if start else 0, blocks, whole)


def _submit_sweep(plan: _Plan, before: _State) -> _State:
    """Hand over one sweep: users against items, then items against the users just solved."""
    run, data = plan.run, plan.data
    sweep = before.sweep + 1
    blocks, whole = dict(before.blocks), dict(before.whole)
    priors = {"users": plan.prior, "items": _item_prior(plan, before)}
    features = {"users": [None] * data.n_blocks("users"), "items": plan.features}
    for side in SIDES:
        blocks[side] = [
            run.submit(
                f"half_step-{side}-{sweep}-{b}",
                _half_step, run.shard(data, side, b), whole[OTHER[side]], block,
                plan.rule, priors[side], features[side][b],
            )
            for b, block in enumerate(blocks[side])
        ]  # fmt: skip
        whole[side] = run.submit(f"join-{side}-{sweep}", _join, blocks[side])
    totals = run.submit(f"account-{sweep}", _totals, blocks["users"], blocks["items"])
    test_errors = [
        run.submit(
            f"test_error-{sweep}-{b}",
            _test_error, run.shard(data, "users", b, "test"), block, whole["items"],
            plan.rule.mean_rating,
        )
        for b, block in enumerate(blocks["users"])
        if data.n_test
    ]  # fmt: skip
    return _State(sweep, blocks, whole, totals, tuple(test_errors))


def _item_prior(plan: _Plan, state: _State) -> Any:
    """Return the items' prior, given the items as they are: a handle where it is learned."""
    if not plan.feature_names:
        return plan.prior
    run, data = plan.run, plan.data
    sums = [
        run.submit(
            f"feature_sums-{state.sweep}-{b}",
            _feature_sums, run.shard(data, "items", b), features, block,
            plan.config.n_factors + 1, plan.config.reg_scaling,
        )
        for b, (features, block) in enumerate(
            zip(plan.features, state.blocks["items"], strict=True)
        )
    ]  # fmt: skip
    return run.submit(
        f"feature_weights-{state.sweep}", _learned_prior, sums, plan.prior, plan.config.weight_reg
    )


def _account(plan: _Plan, state: _State) -> dict[str, Any]:
    """Wait for a sweep, and return its line of the history but for the time it took."""
    run, data = plan.run, plan.data
    users, items = run.result(state.totals)
    test_error = sum(run.result(error) for error in state.test_errors)
    penalty = users[PENALTY] + items[PENALTY]
    moved, norm = users[MOVED] + items[MOVED], users[NORM] + items[NORM]
    return {
        "sweep": state.sweep,
        "objective": float(plan.config.fidelity * items[SSE] + penalty) / 2,
        "train_rmse": math.sqrt(max(items[SSE], 0.0) / data.n_train),
        "test_rmse": math.sqrt(test_error / data.n_test) if data.n_test else None,
        "moved": math.sqrt(moved / norm) if norm > 0 else 0.0,
    }


def _settled(history: list[Sweep], tolerance: float) -> bool:
    """Whether the last sweep lowered the objective by less than `tolerance` of it."""
    if tolerance == 0 or len(history) < 2:
        return False
    before, after = history[-2].objective, history[-1].objective
    return before - after < tolerance * before


def _gather(run: Runner, state: _State) -> dict[str, Array]:
    return {side: run.result(state.whole[side]) for side in SIDES}


def _item_features(source: Dataset | str, names: list[str], start: int, stop: int) -> Array:
    data = source if isinstance(source, Dataset) else Dataset.open(source)
    return genre_shares(data.items()["genres"].iloc[start:stop], names)


def _cut(rows: Array, start: int, stop: int) -> Moved:
    return Moved(rows[start:stop], np.zeros(4))


def _half_step(
    shard: Shard | ShardRef,
    fixed: Array,
    before: Moved,
    rule: StepRule,
    prior: RowPrior,
    features: Array | None,
) -> Moved:
    return half_step(open_shard(shard), fixed, before.rows, rule, prior, features)


def _feature_sums(
    shard: Shard | ShardRef, features: Array, block: Moved, d: int, reg_scaling: float
) -> FeatureSums:
    n_ratings = np.diff(open_shard(shard).indptr)
    return feature_sums(features, block.rows, n_ratings, d, reg_scaling)


def _learned_prior(sums: list[FeatureSums], plain: RowPrior, weight_reg: float) -> RowPrior:
    return RowPrior(plain.precision, fit_weights(sums, plain.precision, weight_reg))


def _join(blocks: list[Moved]) -> Array:
    return join([block.rows for block in blocks])


def _totals(users: list[Moved], items: list[Moved]) -> list[npt.NDArray[np.float64]]:
    return [np.sum([block.totals for block in side], axis=0) for side in (users, items)]


def _test_error(shard: Shard | ShardRef, users: Moved, items: Array, mean: float) -> float:
    return squared_error(open_shard(shard), users.rows, items, mean)
