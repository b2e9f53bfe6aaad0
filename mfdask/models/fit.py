"""The fit loop: sweeps of half-steps, their history, checkpoints, and the model at the end."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from distributed import Client

from mfdask.kernels.rows import MOVED, NORM, PENALTY, SSE
from mfdask.models.checkpoint import Checkpoint, Keeper, load_rows
from mfdask.models.design import Array, initial_rows, join
from mfdask.models.half_step import Moved, ShardRef, StepRule, half_step, open_shard, squared_error
from mfdask.models.model import FactorModel, Sweep
from mfdask.models.parameters import Parameters
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
) -> FactorModel:
    """Learn a model; see `ALS.fit`."""
    run = runner_for(data, client)
    rule = config.rule(data.mean)
    start = keeper.newest()
    history = list(start.history) if start else []
    states = [_begin(run, config, data, start)]
    clock = time.perf_counter()
    while len(history) < config.n_sweeps and not _settled(history, config.tolerance):
        while len(states) <= run.ahead and states[-1].sweep < config.n_sweeps:
            states.append(_submit_sweep(run, rule, data, states[-1]))
        states.pop(0)
        account = _account(run, config, data, states[0])
        clock, seconds = time.perf_counter(), time.perf_counter() - clock
        history.append(Sweep(seconds=seconds, **account))
        progress(f"train {config.kind}", len(history), config.n_sweeps, history[-1].note())
        if keeper.due(len(history)):
            keeper.keep(_gather(run, states[0]), history)
    rows = _gather(run, states[0])
    return FactorModel.learned(config, data, rule.mean_rating, rows, history)


@dataclass(frozen=True)
class _State:
    """Both sides after a sweep, as handles of the runner: each block, and the whole side."""

    sweep: int
    blocks: dict[str, list[Any]]  # Moved
    whole: dict[str, Any]  # Array
    totals: Any = None  # what the sweep moved, for each side
    test_errors: tuple[Any, ...] = ()


def _begin(run: Runner, config: Parameters, data: Dataset, start: Checkpoint | None) -> _State:
    """Place the first rows: random ones, or a checkpoint's."""
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


def _submit_sweep(run: Runner, rule: StepRule, data: Dataset, before: _State) -> _State:
    """Hand over one sweep: users against items, then items against the users just solved."""
    sweep = before.sweep + 1
    blocks, whole = dict(before.blocks), dict(before.whole)
    for side in SIDES:
        blocks[side] = [
            run.submit(
                f"half_step-{side}-{sweep}-{b}",
                _half_step, run.shard(data, side, b), whole[OTHER[side]], block, rule,
            )
            for b, block in enumerate(blocks[side])
        ]  # fmt: skip
        whole[side] = run.submit(f"join-{side}-{sweep}", _join, blocks[side])
    totals = run.submit(f"account-{sweep}", _totals, blocks["users"], blocks["items"])
    test_errors = [
        run.submit(
            f"test_error-{sweep}-{b}",
            _test_error, run.shard(data, "users", b, "test"), block, whole["items"],
            rule.mean_rating,
        )
        for b, block in enumerate(blocks["users"])
        if data.n_test
    ]  # fmt: skip
    return _State(sweep, blocks, whole, totals, tuple(test_errors))


def _account(run: Runner, config: Parameters, data: Dataset, state: _State) -> dict[str, Any]:
    """Wait for a sweep, and return its line of the history but for the time it took."""
    users, items = run.result(state.totals)
    test_error = sum(run.result(error) for error in state.test_errors)
    penalty = users[PENALTY] + items[PENALTY]
    moved, norm = users[MOVED] + items[MOVED], users[NORM] + items[NORM]
    return {
        "sweep": state.sweep,
        "objective": float(config.fidelity * items[SSE] + penalty) / 2,
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


def _cut(rows: Array, start: int, stop: int) -> Moved:
    return Moved(rows[start:stop], np.zeros(4))


def _half_step(shard: Shard | ShardRef, fixed: Array, before: Moved, rule: StepRule) -> Moved:
    return half_step(open_shard(shard), fixed, before.rows, rule)


def _join(blocks: list[Moved]) -> Array:
    return join([block.rows for block in blocks])


def _totals(users: list[Moved], items: list[Moved]) -> list[npt.NDArray[np.float64]]:
    return [np.sum([block.totals for block in side], axis=0) for side in (users, items)]


def _test_error(shard: Shard | ShardRef, users: Moved, items: Array, mean: float) -> float:
    return squared_error(open_shard(shard), users.rows, items, mean)
