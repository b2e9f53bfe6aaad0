"""The fit loop: sweeps of half-steps, their history, checkpoints, and the rows at the end."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt
from distributed import Client

from mfdask.features.file import ItemFeatures
from mfdask.kernels.rows import MOVED, NORM, PENALTY, SSE
from mfdask.models import tasks
from mfdask.models.checkpoint import Checkpoint, CheckpointManager, load_array, load_rows
from mfdask.models.design import Array, initial_rows
from mfdask.models.exchange import BlockPlacement, ExchangeMode, place_blocks
from mfdask.models.fitted import FitResult, Sweep
from mfdask.models.half_step import UpdateConfig
from mfdask.models.method import Method
from mfdask.models.prior import RowPrior
from mfdask.models.runner import Runner, runner_for
from mfdask.models.sides import OTHER, SIDES
from mfdask.progress import Progress, silent
from mfdask.shards import Dataset


class Collector(Protocol):
    """Gathers what is to be kept of the sweeps on the way."""

    def wants(self, sweep: int) -> bool:
        """Whether the rows after a sweep are to be added."""

    def add(self, rows: dict[str, Array], priors: dict[str, RowPrior]) -> None:
        """Take the rows of both sides, and the priors that they were drawn from."""

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what was gathered, for a checkpoint."""

    def load(self, sweep: int, read: Callable[[str], npt.NDArray[Any]]) -> None:
        """Take back what a checkpoint after `sweep` holds."""


def fit(
    method: Method,
    data: Dataset,
    client: Client | None,
    keeper: CheckpointManager,
    features: ItemFeatures | None,
    *,
    start: Path | None = None,
    progress: Progress = silent,
    each_sweep: Callable[[Sweep], None] | None = None,
    collector: Collector | None = None,
    exchange: ExchangeMode = "auto",
) -> FitResult:
    """Run a method's sweeps; see `ALS.fit`."""
    plan = _Plan.make(method, data, client, features, exchange)
    run = plan.run
    resumed = keeper.newest()
    history = list(resumed.history) if resumed else []
    if resumed and collector:
        collector.load(len(history), lambda name: load_array(resumed.folder, name))
    states = [_resume(plan, resumed) if resumed else _begin(plan, start)]
    clock, sent = time.perf_counter(), run.sent()
    while len(history) < method.n_sweeps and not _settled(history, method.tolerance):
        while len(states) <= run.ahead and states[-1].sweep < method.n_sweeps:
            states.append(_submit_sweep(plan, states[-1]))
        states.pop(0)
        account = _account(plan, states[0])
        clock, seconds = time.perf_counter(), time.perf_counter() - clock
        before, sent = sent, run.sent()
        moved = {worker: max(n - before.get(worker, 0), 0) for worker, n in sent.items()}
        history.append(Sweep(seconds=seconds, bytes_moved=sum(moved.values()), **account))
        progress(f"train {method.kind}", len(history), method.n_sweeps, history[-1].note())
        run.tell(method, data, history[-1], moved)
        if each_sweep:
            each_sweep(history[-1])
        if collector and collector.wants(len(history)):
            priors = {side: run.result(prior) for side, prior in states[0].priors.items()}
            collector.add(_gather(plan, states[0]), priors)
        if keeper.due(len(history)):
            _keep(plan, states[0], keeper, history, collector)
    item_prior = method.prior("items")
    if method.learns("items"):
        item_prior = run.result(_prior(plan, states[0], "items"))
    return FitResult(_gather(plan, states[0]), item_prior, history, features)


@dataclass(frozen=True)
class _Plan:
    """What all sweeps of a fit have in common."""

    method: Method
    data: Dataset
    run: Runner
    rule: UpdateConfig
    features: dict[str, list[Any]]  # handles, one a block of the side; None without features
    grams: dict[str, list[Any]]  # of the features of a side whose prior is learned
    reach: dict[str, BlockPlacement]  # what the blocks of a side are given of the other

    @classmethod
    def make(
        cls,
        method: Method,
        data: Dataset,
        client: Client | None,
        followed: ItemFeatures | None,
        exchange: ExchangeMode,
    ) -> _Plan:
        run = runner_for(data, client)
        reach = place_blocks(run, data, method.n_factors, exchange)
        features: dict[str, list[Any]] = {side: [None] * data.n_blocks(side) for side in SIDES}
        if followed:
            bounds = data.bounds("items").tolist()
            features["items"] = [
                run.submit(f"features-{b}", tasks.encode_items, followed, run.dataset(data), *rows)
                for b, rows in enumerate(itertools.pairwise(bounds))
            ]
        grams = {
            side: [
                run.submit(
                    f"gram-{side}-{b}",
                    tasks.gram_of, run.shard(data, side, b, "train", reach[side].packed(b)), own,
                    method.reg_scaling,
                )
                for b, own in enumerate(features[side])
            ]
            for side in SIDES
            if method.learns(side)
        }  # fmt: skip
        return cls(method, data, run, method.rule(data.mean), features, grams, reach)

    @property
    def scale(self) -> tuple[float, float]:
        return self.data.rating_min, self.data.rating_max

    def shard(self, side: str, block: int, part: str = "train") -> Any:
        return self.run.shard(self.data, side, block, part, self.reach[side].packed(block))


@dataclass(frozen=True)
class _State:
    """Both sides after a sweep, as handles of the runner."""

    sweep: int
    blocks: dict[str, list[Any]]  # Moved
    given: list[Any]  # what each block of users is given of the items' rows
    tested: list[Any]  # Tested, one a block of users; None before the first sweep
    totals: Any  # Totals; None at a random start
    priors: dict[str, Any]  # what the rows were drawn to


def _begin(plan: _Plan, start: Path | None) -> _State:
    """Place the first rows: random ones, or those of the model to start from."""
    run, method, data = plan.run, plan.method, plan.data
    if start is not None:
        tasks.check_start(start, method.n_factors)
    whole = {}
    for side, n in zip(SIDES, (data.n_users, data.n_items), strict=True):
        whole[side] = run.submit(
            f"start-{side}",
            initial_rows, n, method.n_factors, method.init_scale, method.seed, side,
        )  # fmt: skip
        if start is not None:
            whole[side] = run.submit(
                f"warm-{side}",
                tasks.warm_rows, str(start.absolute()), run.dataset(data), side, whole[side],
            )  # fmt: skip
    blocks = {side: _cut(plan, side, whole[side]) for side in SIDES}
    given = _hand_over(plan, 0, "items", blocks["items"])
    totals = None
    if start is not None:
        errors = [
            run.submit(
                f"start_error-{b}", tasks.squared_error_of, plan.shard("users", b), block,
                given[b], plan.rule.mean_rating,
            )
            for b, block in enumerate(blocks["users"])
        ]  # fmt: skip
        totals = run.submit("start_account", tasks.start_totals, errors)
    return _State(0, blocks, given, [None] * data.n_blocks("users"), totals, {})


def _resume(plan: _Plan, resumed: Checkpoint) -> _State:
    """Place the rows of a checkpoint."""
    run, data = plan.run, plan.data
    whole = {side: run.submit(f"load-{side}", load_rows, resumed.folder, side) for side in SIDES}
    sweep = len(resumed.history)
    blocks = {side: _cut(plan, side, whole[side]) for side in SIDES}
    given = _hand_over(plan, sweep, "items", blocks["items"])
    tested = [None] * data.n_blocks("users")
    if data.n_test and plan.method.averages(sweep):
        tested = [
            run.submit(f"load-tested-{b}", tasks.load_tested, resumed.folder, b)
            for b in range(data.n_blocks("users"))
        ]
    totals = run.submit("load-account", tasks.start_totals, [resumed.squared_error])
    return _State(sweep, blocks, given, tested, totals, {})


def _cut(plan: _Plan, side: str, whole: Any) -> list[Any]:
    bounds = itertools.pairwise(plan.data.bounds(side).tolist())
    return [
        plan.run.submit(f"cut-{side}-{b}", tasks.cut, whole, *rows, home=plan.reach[side].home(b))
        for b, rows in enumerate(bounds)
    ]


def _hand_over(plan: _Plan, sweep: int, side: str, blocks: list[Any]) -> list[Any]:
    """Return what each block of the other side is given of a side's rows."""
    reach, n_others = plan.reach[OTHER[side]], plan.data.n_blocks(OTHER[side])
    if not reach.pieces:
        # Joined once where all is in one place; where it is not, one worker would have to send
        # the joined side to all others.
        alone = len(plan.run.workers) < 2
        return [_join(plan, sweep, side, blocks) if alone else blocks] * n_others
    given = []
    for g, (group, pieces) in enumerate(zip(reach.groups, reach.pieces, strict=True)):
        parcels = [
            plan.run.submit(
                f"parcel-{side}-{sweep}-{c}-{g}", tasks.take_rows, block, rows,
                home=plan.reach[side].home(c),
            )
            for c, (block, rows) in enumerate(zip(blocks, pieces, strict=True))
        ]  # fmt: skip
        given += [parcels] * len(group)
    return given


def _join(plan: _Plan, sweep: int, side: str, blocks: list[Any]) -> Any:
    return plan.run.submit(f"join-{side}-{sweep}", tasks.join_blocks, blocks)


def _submit_sweep(plan: _Plan, before: _State) -> _State:
    """Hand over one sweep: users against items, then items against the users just solved."""
    run, data, method = plan.run, plan.data, plan.method
    sweep = before.sweep + 1
    blocks, given = dict(before.blocks), before.given
    priors = {side: _prior(plan, before, side) for side in SIDES}
    for side in SIDES:
        blocks[side] = [
            run.submit(
                f"half_step-{side}-{sweep}-{b}",
                tasks.move, plan.shard(side, b), given[b], block, plan.rule,
                priors[side], plan.features[side][b], method.key(side, sweep),
                home=plan.reach[side].home(b),
            )
            for b, block in enumerate(blocks[side])
        ]  # fmt: skip
        given = _hand_over(plan, sweep, side, blocks[side])
    averaged = plan.scale if method.averages(sweep) else None
    tested = [
        run.submit(
            f"test-{sweep}-{b}",
            tasks.predict_test, plan.shard("users", b, "test"), block, given[b],
            plan.rule.mean_rating, averaged, before.tested[b] if averaged else None,
            home=plan.reach["users"].home(b),
        )
        if data.n_test
        else None
        for b, block in enumerate(blocks["users"])
    ]  # fmt: skip
    sums = [_sums(plan, sweep, side, blocks[side]) for side in SIDES]
    totals = run.submit(f"account-{sweep}", tasks.add_up, *sums, tested, priors["items"])
    return _State(sweep, blocks, given, tested, totals, priors)


def _sums(plan: _Plan, sweep: int, side: str, blocks: list[Any]) -> list[Any]:
    """Return the blocks with their sums, or the sums alone where blocks do not travel."""
    reach = plan.reach[side]
    if not plan.reach[OTHER[side]].pieces:
        return blocks
    return [
        plan.run.submit(f"totals-{side}-{sweep}-{b}", tasks.totals_of, block, home=reach.home(b))
        for b, block in enumerate(blocks)
    ]


def _prior(plan: _Plan, state: _State, side: str) -> Any:
    """Return a side's prior for the next sweep: a handle where it is learned from its rows."""
    method, run, data = plan.method, plan.run, plan.data
    if not method.learns(side):
        return method.prior(side)
    sums = [
        run.submit(
            f"feature_sums-{side}-{state.sweep}-{b}",
            tasks.sum_features, plan.shard(side, b), plan.features[side][b], gram, block,
            method.n_factors + 1, method.reg_scaling,
        )
        for b, (gram, block) in enumerate(zip(plan.grams[side], state.blocks[side], strict=True))
    ]  # fmt: skip
    return run.submit(
        f"prior-{side}-{state.sweep}",
        tasks.learn_prior, method, side, state.sweep + 1, sums, state.totals, data.n_train,
    )  # fmt: skip


def _account(plan: _Plan, state: _State) -> dict[str, Any]:
    """Wait for a sweep, and return its line of the history but for the time it took."""
    data, totals = plan.data, plan.run.result(state.totals)
    users, items = totals.users, totals.items
    moved, norm = users[MOVED] + items[MOVED], users[NORM] + items[NORM]
    penalty = users[PENALTY] + items[PENALTY]
    return {
        "sweep": state.sweep,
        "objective": float(totals.fidelity * items[SSE] + penalty) / 2,
        "train_rmse": math.sqrt(max(items[SSE], 0.0) / data.n_train),
        "test_rmse": math.sqrt(totals.test_squared / data.n_test) if data.n_test else None,
        "moved": math.sqrt(moved / norm) if norm > 0 else 0.0,
        "fidelity": totals.fidelity,
    }


def _settled(history: list[Sweep], tolerance: float) -> bool:
    """Whether the last sweep lowered the objective by less than `tolerance` of it."""
    if tolerance == 0 or len(history) < 2:
        return False
    before, after = history[-2].objective, history[-1].objective
    return before - after < tolerance * before


def _gather(plan: _Plan, state: _State) -> dict[str, Array]:
    """Return the whole sides, joined anew where blocks were handed over in parcels."""
    return {
        side: plan.run.result(_join(plan, state.sweep, side, state.blocks[side])) for side in SIDES
    }


def _keep(
    plan: _Plan,
    state: _State,
    keeper: CheckpointManager,
    history: list[Sweep],
    collector: Collector | None,
) -> None:
    """Write a checkpoint of all that the next sweeps need."""
    run = plan.run
    arrays: dict[str, npt.NDArray[Any]] = dict(_gather(plan, state))
    if collector:
        arrays |= collector.arrays()
    if plan.data.n_test and plan.method.averages(state.sweep):
        for b, tested in enumerate(state.tested):
            arrays |= run.result(tested).arrays(b)
    keeper.keep(arrays, history, float(run.result(state.totals).items[SSE]))
