"""The tasks of a fit: its first rows, each sweep, and what a sweep takes from the one before.

Everything between two waits is submitted as tasks, and the tasks' handles are the state: on a
cluster, rows go from worker to worker and never through the client.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mfdask.convergence import followed_ratings
from mfdask.cores import one_blas_thread
from mfdask.errors import InputError
from mfdask.execution import Executor
from mfdask.features.equations import Preconditioner, RowFit
from mfdask.features.file import FeaturesOf, SideFeatures
from mfdask.features.groups import RatingGroups
from mfdask.features.noise import Noise
from mfdask.features.offsets import Offsets
from mfdask.features.rated import RatedFeatures, RatedRegression
from mfdask.features.weights import RatingWeights
from mfdask.kernels.types import Float32s, Int64s
from mfdask.models import half_step as tasks
from mfdask.models.base import Ability
from mfdask.models.checkpoint import (
    Checkpoint,
    load_offsets,
    load_prior,
    load_rows,
    load_score,
)
from mfdask.models.design import FeatureSums, RowPrior, initial_rows, unknowns
from mfdask.models.exchange import BlockPlacement, ExchangeMode, place_blocks
from mfdask.models.half_step import Totals, UpdateConfig
from mfdask.models.sampling import auc_of_blocks, draw_pairs_of, shards_of
from mfdask.models.store import count_factors, load_side
from mfdask.models.updates import AlternatingUpdates
from mfdask.shards import OTHER, SIDES, Dataset
from mfdask.shards.refs import dataset_ref, shard_ref


@dataclass(frozen=True)
class FitPlan:
    """Parameters that all sweeps of a fit share."""

    estimator: AlternatingUpdates
    data: Dataset
    run: Executor
    config: UpdateConfig
    features: dict[str, list[Any]]  # handles, one a block of the side; None without features
    grams: dict[str, Any]  # of the features of a side whose prior is learned; see `learned`
    placement: dict[str, BlockPlacement]  # what the blocks of a side are given of the other
    observed: dict[str, list[Any]]  # training shards as half-steps take them
    followed: dict[int, Int64s]  # ratings in blocks of users, to judge a chain by
    groups: RatingGroups | None = None  # of ratings that have an offset in common
    pairs: Any = None  # held out, to be ranked right, where feedback is implicit

    @classmethod
    def make(
        cls,
        estimator: AlternatingUpdates,
        data: Dataset,
        run: Executor,
        known: FeaturesOf,
        exchange: ExchangeMode,
    ) -> FitPlan:
        """Place the shards, and submit what all sweeps share."""
        placement = place_blocks(run, data, estimator.n_factors, exchange)
        features: dict[str, list[Any]] = {side: [None] * data.n_blocks(side) for side in SIDES}
        source = dataset_ref(run, data)
        for side, own in known.items():
            blocks = [(own, source, *rows) for rows in pairwise(data.bounds(side).tolist())]
            features[side] = run.submit_each(f"features-{side}", encode_rows, blocks)
        config = estimator.update_config(data.mean)
        groups = None
        if estimator.groupings:
            homes = {side: placement[side].home for side in SIDES}
            groups = RatingGroups.submit(run, data, estimator.groupings, homes)
        pairs = None
        if config.unrated_weight and data.n_test:
            parts = (shards_of(run, data, part) for part in ("train", "test"))
            rule = estimator.liked, estimator.seed
            pairs = run.submit("pairs", draw_pairs_of, *rule, *parts, data.n_items)
        followed = followed_ratings(data, estimator.seed) if estimator.monitor() else {}
        shared = followed, groups, pairs
        plan = cls(estimator, data, run, config, features, {}, placement, {}, *shared)
        for side in SIDES:
            plan.observed[side] = plan.observe(side, plan.weights)
        for side in filter(estimator.learns, SIDES):
            if side in plan.following_rated:
                sources = estimator.reg_scaling, *plan.rated_sources[side]
                plan.grams[side] = run.submit(f"gram-{side}", _rated_preconditioner, *sources)
                continue
            each = zip(plan.shards(side), features[side], repeat(estimator.reg_scaling))
            plan.grams[side] = run.submit_each(f"gram-{side}", tasks.block_gram, each)
        return plan

    @cached_property
    def weights(self) -> RatingWeights | None:
        """What training ratings weigh; None where each weighs 1."""
        estimator = self.estimator
        return RatingWeights.of(self.data, estimator.half_life, estimator.relative_weights)

    def observe(self, side: str, weights: RatingWeights | None, when: str = "") -> list[Any]:
        """Return the training shards of a side as half-steps take them; `when` names the tasks."""
        shards, home = self._mapped(side, "train"), self.placement[side].home
        if weights is not None:
            each = zip(repeat(dataset_ref(self.run, self.data)), shards, repeat(weights))
            name = f"weighted-{side}{when}"
            shards = self.run.submit_each(name, tasks.weighted_block, each, home)
        if self.config.unrated_weight:
            given = zip(repeat(self.estimator), shards)
            name = f"observed-{side}{when}"
            shards = self.run.submit_each(name, tasks.observed_block, given, home)
        return shards

    @cached_property
    def n_weighted(self) -> float:
        """Number of training ratings by their weights."""
        return self.data.n_train if self.weights is None else self.weights.total(self.data)

    @property
    def following_rated(self) -> list[str]:
        """The sides whose prior follows what is rated."""
        return [side for side in SIDES if "rated" in self.estimator.follows(side)]

    @property
    def predicts_ratings(self) -> bool:
        """Whether there are ratings to predict, and not preferences."""
        return Ability.RATINGS in self.estimator.abilities

    @property
    def scale(self) -> tuple[float, float]:
        """The least and the greatest rating."""
        return self.data.rating_min, self.data.rating_max

    def shards(self, side: str, part: str = "train") -> list[Any]:
        """Return what tasks are given to have the shards of a side."""
        return self.observed[side] if part == "train" else self._mapped(side, part)

    def _mapped(self, side: str, part: str) -> list[Any]:
        if (side, part) not in self._shards:
            self._shards[side, part] = [
                shard_ref(self.run, self.data, side, b, part, self.placement[side].packed(b))
                for b in range(self.data.n_blocks(side))
            ]
        return self._shards[side, part]

    @cached_property
    def _shards(self) -> dict[tuple[str, str], list[Any]]:
        """By side and part; in a local fit they are mapped once, and not in each sweep."""
        return {}

    @cached_property
    def rated_sources(self) -> dict[str, tuple[list[Any], list[Any], list[Any]]]:
        """What `RatedFeatures` of each side are made of; shards are opened once."""
        shards = {
            side: [shard_ref(self.run, self.data, side, b) for b in range(self.data.n_blocks(side))]
            for side in SIDES
        }
        return {side: (shards[side], shards[OTHER[side]], self.features[side]) for side in SIDES}

    def groups_of(self, side: str, part: str = "train") -> Iterable[Any]:
        """Return the groups of the ratings of each block of a side, None without offsets."""
        if self.groups is None:
            return repeat(None)
        return self.groups.test if part == "test" else self.groups.of_side(side)

    def next_offsets(self, state: FitState, prior: Any, noise: Iterable[Any]) -> Any:
        """Return the offsets for the sweep after a state; at a random start they stay 0.

        `noise` is what each block of users is given of it.
        """
        offsets, sweep = state.offsets, state.sweep + 1
        if self.groups is None or state.totals is None:
            return offsets
        for which, grouping in enumerate(self.estimator.groupings):
            each = zip(
                self.shards("users"), state.blocks["users"], state.given,
                repeat(self.config.mean_rating), self.groups.users, repeat(offsets), repeat(which),
                noise,
            )  # fmt: skip
            name, home = f"{grouping.name}-{sweep}", self.placement["users"].home
            sums = self.run.submit_each(f"group-sums-{name}", tasks.group_sums, each, home)
            given = self.estimator, which, sweep, sums, prior, offsets
            offsets = self.run.submit(f"offsets-{name}", tasks.update_offsets, *given)
        return offsets

    def next_noise(
        self,
        sweep: int,
        users: list[Any],
        given: list[Any],
        totals: Any,
        offsets: Any,
    ) -> Any:
        """Return the noise for the sweep after this one, None where it is not drawn."""
        run, estimator = self.run, self.estimator
        if estimator.noise is None:
            return None
        errors = []
        if totals is not None and estimator.noise_by_user(sweep + 1):
            mean, groups = repeat(self.config.mean_rating), self.groups_of("users")
            each = zip(self.shards("users"), users, given, mean, groups, repeat(offsets))
            home = self.placement["users"].home
            errors = run.submit_each(f"errors-{sweep}", tasks.user_errors, each, home)
        known = sweep + 1, totals, self.data.n_train, errors
        return run.submit(f"noise-{sweep}", tasks.draw_noise, estimator, *known)

    def noise_of(self, sweep: int, noise: Any) -> dict[str, Iterable[Any]]:
        """Return what the blocks of each side are given of the users' noise in a sweep."""
        if not self.estimator.noise_by_user(sweep):
            return {side: repeat(None) for side in SIDES}
        name = f"noise-{sweep}"
        roots = self.run.submit(f"roots-{name}", tasks.noise_roots, noise)
        blocks = self.cut("users", roots, name)
        return {
            "users": [[block] for block in blocks],
            "items": self.hand_over(name, "users", blocks),
        }

    def cut(self, side: str, whole: Any, name: str | None = None) -> list[Any]:
        """Return the blocks of a whole side, each at its home; `name` is that of what is cut."""
        each = [(whole, *rows) for rows in pairwise(self.data.bounds(side).tolist())]
        home = self.placement[side].home
        return self.run.submit_each(f"cut-{name or side}", tasks.cut_block, each, home)

    def join(self, name: str, blocks: list[Any]) -> Any:
        """Return the blocks of a side as one."""
        return self.run.submit(f"join-{name}", tasks.join_blocks, blocks)

    def hand_over(self, name: str, side: str, blocks: list[Any]) -> list[Any]:
        """Return what each block of the other side is given of a side's rows, which have a name."""
        own, other = self.placement[side], self.placement[OTHER[side]]
        if not other.pieces:
            # Joined once where all is in one place; where it is not, one worker would have to send
            # the joined side to all others.
            alone = len(self.run.workers) < 2
            whole = self.join(name, blocks) if alone else blocks
            return [whole] * self.data.n_blocks(OTHER[side])
        given = []
        for g, (group, pieces) in enumerate(zip(other.groups, other.pieces, strict=True)):
            stem, each = f"parcel-{name}-{g}", zip(blocks, pieces, strict=True)
            parcels = self.run.submit_each(stem, tasks.take_rows, each, own.home)
            given += [parcels] * len(group)
        return given

    def sums(self, sweep: int, side: str, blocks: list[Any]) -> list[Any]:
        """Return the blocks with their sums, or the sums alone where blocks do not travel."""
        if not self.placement[OTHER[side]].pieces:
            return blocks
        stem, home = f"totals-{side}-{sweep}", self.placement[side].home
        return self.run.submit_each(stem, tasks.totals_of, zip(blocks), home)

    def beside(self, sweep: int, side: str, prior: Any, others: list[Any]) -> Any:
        """Return the prior of a side beside the blocks of the other, as far as these join it."""
        if not self.config.unrated_weight:
            return prior
        each, home = zip(others, repeat(self.config)), self.placement[OTHER[side]].home
        sums = self.run.submit_each(f"unrated-{side}-{sweep}", tasks.unrated_block, each, home)
        return self.run.submit(f"beside-{side}-{sweep}", tasks.with_unrated, prior, sums)

    def learned(self, sweep: int, side: str, blocks: list[Any], noise: Any, before: Any) -> Any:
        """Return the prior of a side for the sweep after this one, learned from its rows."""
        estimator, scaling = self.estimator, self.estimator.reg_scaling
        name, known = f"prior-{side}-{sweep}", (estimator, side, sweep + 1, noise, before)
        if side in self.following_rated:
            # One task has all of a side, and the other side's has another worker meanwhile.
            given = self.grams[side], blocks, *self.rated_sources[side]
            return self.run.submit(name, _learn_rated_prior, *known, *given)
        each = zip(
            self.shards(side),
            self.features[side],
            self.grams[side],
            blocks,
            repeat(estimator.n_factors + 1),
            repeat(scaling),
            strict=False,
        )
        sums = self.run.submit_each(f"feature_sums-{side}-{sweep}", tasks.block_sums, each)
        return self.run.submit(name, _learn_prior, *known, sums)


def _learn_prior(
    estimator: AlternatingUpdates,
    side: str,
    sweep: int,
    noise: Noise | None,
    before: RowPrior,
    sums: list[FeatureSums],
) -> RowPrior:
    return estimator.learned_prior(side, sweep, FeatureSums.total(sums), noise, before)


def _learn_rated_prior(
    estimator: AlternatingUpdates,
    side: str,
    sweep: int,
    noise: Noise | None,
    before: RowPrior,
    preconditioner: Preconditioner,
    blocks: list[tasks.BlockUpdate],
    *sources: list[Any],
) -> RowPrior:
    """Learn the weights of all features of a side, and with them the means of its rows."""
    rows = np.concatenate([unknowns(block.rows, estimator.n_factors + 1) for block in blocks])
    begin = None
    if before.rated is not None and before.means is not None:
        weights = np.concatenate([before.weights.astype(np.float32), before.rated])
        begin = RowFit(weights, before.means)
    features = RatedFeatures.of(estimator.reg_scaling, *sources)
    sums = RatedRegression(features, preconditioner, rows, begin)
    with one_blas_thread():
        return estimator.learned_prior(side, sweep, sums, noise, before)


def _rated_preconditioner(reg_scaling: float, *sources: list[Any]) -> Preconditioner:
    with one_blas_thread():
        return Preconditioner.of(RatedFeatures.of(reg_scaling, *sources))


@dataclass(frozen=True)
class FitState:
    """Both sides after a sweep, as handles."""

    sweep: int
    blocks: dict[str, list[Any]]  # BlockUpdate
    given: list[Any]  # what each block of users is given of the items' rows
    scores: list[Any]  # BlockScore, one a block of users; None before the first sweep
    totals: Any  # Totals; None at a random start
    priors: dict[str, Any]  # what the rows were drawn to
    learned: dict[str, Any]  # RowPrior for the next sweep, of each side that learns one
    followed: list[Any]  # predictions of `FitPlan.followed`, one array a block
    offsets: Any = None  # Offsets, where there are any
    noise: Any = None  # what the rows were drawn with, where it is drawn
    next_noise: Any = None  # Noise for the next sweep; None at a random start
    auc: Any = None  # of held-out pairs, where feedback is implicit
    is_last: bool = False  # the users' blocks are solved once more

    @property
    def name(self) -> str:
        """What tells tasks on its blocks apart from those of other states."""
        return f"{self.sweep}-last" if self.is_last else str(self.sweep)

    @classmethod
    def make(
        cls,
        plan: FitPlan,
        sweep: int,
        blocks: dict[str, list[Any]],
        given: list[Any],
        scores: list[Any],
        totals: Any,
        priors: dict[str, Any] | None = None,
        offsets: Any = None,
        noise: Any = None,
        auc: Any = None,
        followed: list[Any] | None = None,
    ) -> FitState:
        """Return the state after a sweep, and submit what the next one's priors are learned by."""
        estimator = plan.estimator
        priors = {side: estimator.prior(side) for side in SIDES} | (priors or {})
        next_noise = plan.next_noise(sweep, blocks["users"], given, totals, offsets)
        learned = {
            side: plan.learned(sweep, side, blocks[side], next_noise, priors[side])
            for side in filter(estimator.learns, SIDES)
        }
        own = offsets, noise, next_noise, auc
        return cls(sweep, blocks, given, scores, totals, priors, learned, followed or [], *own)

    def next_prior(self, plan: FitPlan, side: str) -> Any:
        """Return a side's prior for the next sweep, a handle where it is learned."""
        return self.learned[side] if side in self.learned else plan.estimator.prior(side)


def value_of(prior: Any) -> RowPrior:
    """Return a prior itself, waited for where it is a handle."""
    found: RowPrior = prior if isinstance(prior, RowPrior) else prior.result()
    return found


def started_state(plan: FitPlan, start: Path | None) -> FitState:
    """Place the first rows: random ones, or those of the model to start from."""
    run, estimator, data = plan.run, plan.estimator, plan.data
    if start is not None:
        check_start(start, estimator.n_factors)
    whole = {}
    for side, n in zip(SIDES, (data.n_users, data.n_items), strict=True):
        shape = (n, estimator.n_factors, estimator.init_scale, estimator.seed, side)
        whole[side] = run.submit(f"start-{side}", initial_rows, *shape)
        if start is not None:
            known = (str(start.absolute()), dataset_ref(run, data), side, whole[side])
            whole[side] = run.submit(f"warm-{side}", warm_rows, *known)
    blocks = {side: plan.cut(side, whole[side]) for side in SIDES}
    given = plan.hand_over("items-0", "items", blocks["items"])
    totals = None
    if start is not None:
        each = zip(plan.shards("users"), blocks["users"], given, repeat(plan.config.mean_rating))
        errors = run.submit_each("start_error", tasks.block_error, each)
        totals = run.submit("start_account", Totals.of_errors, errors)
    offsets = None
    if plan.groups is not None:
        first = plan.groups.keys, estimator.first_offset_precision
        offsets = run.submit("start-offsets", Offsets.first, *first)
    scores = [None] * data.n_blocks("users")
    return FitState.make(plan, 0, blocks, given, scores, totals, offsets=offsets)


def check_start(path: Path, n_factors: int) -> None:
    """Refuse to start from a model with other factors, or from none."""
    found = count_factors(path)
    if found != n_factors:
        raise InputError(
            f"{path}: has {found} factors and this fit {n_factors}; give `n_factors` {found}, or "
            "start from another model"
        )


def warm_rows(path: str, data: Dataset, side: str, rows: Float32s) -> Float32s:
    """Put the rows of a model, by raw id, in place of those of `rows` that it knows."""
    ids, known = load_side(path, side)
    wanted = (data.users() if side == "users" else data.items()).iloc[:, 0]
    found = ids.get_indexer(pd.Index(wanted))
    warm = rows.copy()
    warm[found >= 0] = known[found[found >= 0]]
    return warm


def encode_rows(features: SideFeatures, data: Dataset, start: int, stop: int) -> Float32s:
    """Return the features of a block of rows, float32 (rows, features)."""
    return features.encode(data, slice(start, stop))


def resumed_state(plan: FitPlan, resumed: Checkpoint) -> FitState:
    """Place the rows of a checkpoint."""
    run, data, folder = plan.run, plan.data, resumed.folder
    sweep = len(resumed.history)
    blocks = {
        side: plan.cut(side, run.submit(f"load-{side}", load_rows, folder, side)) for side in SIDES
    }
    given = plan.hand_over(f"items-{sweep}", "items", blocks["items"])
    scores: list[Any] = [None] * data.n_blocks("users")
    if data.n_test and plan.estimator.averages(sweep):
        scores = run.submit_each("load-tested", load_score, zip(repeat(folder), range(len(scores))))
    known = [resumed.squared_error], resumed.history[-1].fidelity
    totals = run.submit("load-account", Totals.of_errors, *known)
    priors = {side: load_prior(plan.estimator, folder, side) for side in plan.following_rated}
    offsets = None
    if groupings := plan.estimator.groupings:
        offsets = run.submit("load-offsets", load_offsets, folder, groupings)
    return FitState.make(plan, sweep, blocks, given, scores, totals, priors, offsets)


def submit_sweep(plan: FitPlan, before: FitState) -> FitState:
    """Submit one sweep: users against items, then items against the users just solved."""
    run, sweep = plan.run, before.sweep + 1
    blocks, given = dict(before.blocks), before.given
    priors = {side: before.next_prior(plan, side) for side in SIDES}
    noise = plan.noise_of(sweep, before.next_noise)
    offsets = plan.next_offsets(before, priors["users"], noise["users"])
    for side in SIDES:
        beside = priors[side], offsets, noise[side]
        blocks[side] = _half_step(plan, sweep, side, plan.shards(side), blocks, given, *beside)
        given = plan.hand_over(f"{side}-{sweep}", side, blocks[side])
    scores = _score(plan, before, sweep, blocks["users"], given, offsets)
    sums = [plan.sums(sweep, side, blocks[side]) for side in SIDES]
    totals = run.submit(f"account-{sweep}", tasks.add_up, *sums, scores, priors["items"], offsets)
    auc = None
    if plan.pairs is not None:
        auc = run.submit(f"auc-{sweep}", auc_of_blocks, plan.pairs, *map(blocks.get, SIDES))
    followed = _follow(plan, sweep, blocks["users"], given)
    own = priors, offsets, before.next_noise, auc, followed
    return FitState.make(plan, sweep, blocks, given, scores, totals, *own)


def submit_last_users(plan: FitPlan, state: FitState) -> FitState:
    """Submit the users' rows that a fit ends with, if their newest ratings are to weigh more."""
    recency = plan.estimator.recency
    if recency is None or not plan.data.manifest.has_timestamps:
        return state
    side, sweep = "users", state.sweep + 1
    weights = replace(plan.weights or RatingWeights(), recency=recency)
    shards, prior = plan.observe(side, weights, "-last"), state.next_prior(plan, side)
    beside = prior, state.offsets, plan.noise_of(sweep, state.next_noise)[side], "-last"
    users = _half_step(plan, sweep, side, shards, state.blocks, state.given, *beside)
    return replace(state, blocks=state.blocks | {side: users}, is_last=True)


def _half_step(
    plan: FitPlan,
    sweep: int,
    side: str,
    shards: list[Any],
    blocks: dict[str, list[Any]],
    given: list[Any],
    prior: Any,
    offsets: Any,
    noise: Iterable[Any],
    when: str = "",
) -> list[Any]:
    """Submit the half-step of a side, and return its new blocks; `when` names the tasks.

    `given` and `noise` are what each of its blocks is given of the other side's rows, and of the
    users' noise.
    """
    prior = plan.beside(sweep, side, prior, blocks[OTHER[side]])
    each = zip(
        shards, given, blocks[side], repeat(plan.config), repeat(prior), plan.features[side],
        repeat(plan.estimator.key(side, sweep)), plan.groups_of(side), repeat(offsets), noise,
    )  # fmt: skip
    stem, home = f"half_step-{side}-{sweep}{when}", plan.placement[side].home
    return plan.run.submit_each(stem, tasks.update_block, each, home)


def _follow(plan: FitPlan, sweep: int, users: list[Any], given: list[Any]) -> list[Any]:
    """Predict the few ratings that a chain is judged by, if its draws count."""
    if not plan.estimator.averages(sweep):
        return []
    shards, home = plan.shards("users"), plan.placement["users"].home
    mean = plan.config.mean_rating
    return [
        plan.run.submit(
            f"followed-{sweep}-{b}",
            tasks.predict_followed,
            *(shards[b], users[b], given[b], mean, places),
            home=home(b),
        )
        for b, places in plan.followed.items()
    ]


def _score(
    plan: FitPlan, before: FitState, sweep: int, users: list[Any], given: list[Any], offsets: Any
) -> list[Any]:
    """Predict the test ratings of each block of users, if there are any to be predicted."""
    if not (plan.data.n_test and plan.predicts_ratings):
        return [None] * len(users)
    averaged = plan.scale if plan.estimator.averages(sweep) else None
    earlier = before.scores if averaged else repeat(None)
    mean, shards = repeat(plan.config.mean_rating), plan.shards("users", "test")
    groups = plan.groups_of("users", "test")
    each = zip(shards, users, given, mean, repeat(averaged), earlier, groups, repeat(offsets))
    home = plan.placement["users"].home
    return plan.run.submit_each(f"test-{sweep}", tasks.score_block, each, home)


def join_rows(plan: FitPlan, state: FitState) -> dict[str, Float32s]:
    """Return the whole sides, joined anew where blocks were handed over in parcels."""
    joined = [plan.join(f"{side}-{state.name}", state.blocks[side]) for side in SIDES]
    return dict(zip(SIDES, (handle.result() for handle in joined), strict=True))
