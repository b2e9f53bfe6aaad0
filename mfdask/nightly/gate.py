"""The quality gate: whether a candidate may take the place of the published model.

A night's held-out ratings are of the night's files, and are as good or as bad as these. So the two
models are also held against the ratings that were held out *before* the night, which no new file
can touch. And what is new among the held-out ratings must be about as predictable as those before:
new people may surprise the published model; but where even the candidate is far off, which has
learned from them, the files are of another nature.

A model that only ranks is judged by its lists for users with held-out ratings, beside those of the
published one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mfdask.errors import InputError
from mfdask.evaluation import RankingPlan, measure_ranking, scorer_of
from mfdask.models import Ability, Model
from mfdask.nightly.config import GateConfig
from mfdask.shards import Dataset

Mask = npt.NDArray[np.bool_]

RMSE, NDCG = "RMSE", "NDCG@10"
HELD_OUT, NEWEST, NEW, BEFORE = "held out", "newest", "new tonight", "held out before"


@dataclass(frozen=True)
class SliceScore:
    """What both models reach on one slice of the held-out ratings.

    Attributes
    ----------
    slice : str
    n : int
        Ratings in it; of a measure of lists, users.
    candidate : float
    published : float or None
        None on the first night.
    metric : str
        RMSE of predictions that are clipped to the rating scale, or NDCG of lists.
    """

    slice: str
    n: int
    candidate: float
    published: float | None
    metric: str = RMSE


@dataclass(frozen=True)
class Verdict:
    """The gate's decision and its reasons.

    Attributes
    ----------
    scores : list of SliceScore
    reasons : list of str
        Why the candidate is refused; empty: it is not.
    """

    scores: list[SliceScore]
    reasons: list[str]

    def facts(self) -> dict[str, Any]:
        """Return it for `release.json`."""
        return {"scores": [asdict(score) for score in self.scores], "reasons": self.reasons}


@dataclass(frozen=True)
class ModelWithData:
    """A model with the data set it was learned from."""

    model: Model
    data: Dataset


def judge(candidate: ModelWithData, published: ModelWithData | None, rules: GateConfig) -> Verdict:
    """Hold a candidate against the published model and the floors.

    By the errors of its predictions; by its lists, where it predicts no ratings.

    Parameters
    ----------
    candidate : ModelWithData
    published : ModelWithData or None
        None on the first night: only the floors count then.
    rules : GateConfig
    """
    reasons = _floors(candidate, published, rules)
    if not candidate.model.can(Ability.RATINGS):
        scores = _score_lists(candidate, published, rules)
        return Verdict(scores, reasons + _judge_lists(scores, rules))
    if published and not published.model.can(Ability.RATINGS):
        published = None
    models = [candidate.model] + ([published.model] if published else [])
    scores = _score(models, candidate.data, _slices(candidate.data, published, rules))
    if published:
        everything = {BEFORE: lambda block: _all(published.data, block)}
        scores += _score(models, published.data, everything)
    reasons += _judge_scores({score.slice: score for score in scores}, rules)
    return Verdict(scores, reasons)


def _floors(
    candidate: ModelWithData, published: ModelWithData | None, rules: GateConfig
) -> list[str]:
    unsound = candidate.model.unsound_sides()
    reasons = [f"some {side} have rows that are not finite" for side in unsound]
    if published is None:
        return reasons
    new, old = candidate.data, published.data
    for what, now, before, share in (
        ("users", new.n_users, old.n_users, rules.coverage),
        ("items", new.n_items, old.n_items, rules.coverage),
        ("training ratings", new.n_train, old.n_train, rules.size),
    ):
        if now < share * before:
            reasons.append(f"{now:,} {what} in place of {before:,}; {share:.0%} must be there")
    return reasons


def _judge_scores(scores: Mapping[str, SliceScore], rules: GateConfig) -> list[str]:
    reasons = []
    for name in (HELD_OUT, NEWEST, BEFORE):
        score = scores.get(name)
        if score is None or score.n < rules.min_ratings or score.published is None:
            continue
        if not score.candidate <= score.published + rules.tolerance:  # a NaN is refused
            reasons.append(
                f"RMSE {score.candidate:.4f} on the ratings {name}, published "
                f"{score.published:.4f}, tolerance {rules.tolerance:g}"
            )
    new, before = scores.get(NEW), scores.get(BEFORE)
    if new and before and new.n >= rules.min_ratings and before.published:
        limit = rules.surprise * before.published
        if not new.candidate <= limit:
            reasons.append(
                f"RMSE {new.candidate:.4f} on the ratings {NEW}, for all that it has learned from "
                f"them, and {before.published:.4f} on those {BEFORE}: new files are of another "
                f"nature (limit {limit:.4f})"
            )
    held_out = scores.get(HELD_OUT)
    if rules.max_rmse and held_out and not held_out.candidate <= rules.max_rmse:
        reasons.append(f"RMSE {held_out.candidate:.4f}, at most {rules.max_rmse:g} is allowed")
    return reasons


def _score_lists(
    candidate: ModelWithData, published: ModelWithData | None, rules: GateConfig
) -> list[SliceScore]:
    """Return what the lists of both models are worth, for users of the candidate's data set.

    None where nothing that is held out is relevant. On the data set before, the candidate's lists
    would be full of what users have rated since.
    """
    data = candidate.data
    plan = RankingPlan(k=(min(10, data.n_items),), n_users=rules.ranking_users)
    models = [candidate.model] + ([published.model] if published else [])
    try:
        found = [measure_ranking(scorer_of(m.align(data), data), data, plan) for m in models]
    except InputError:
        return []
    ndcg = [one.means()["ndcg"] for one in found]
    n = len(found[0].users)
    return [SliceScore(HELD_OUT, n, ndcg[0], ndcg[1] if published else None, NDCG)]


def _judge_lists(scores: list[SliceScore], rules: GateConfig) -> list[str]:
    return [
        f"{NDCG} {score.candidate:.4f} of the lists of {score.n:,} users, published "
        f"{score.published:.4f}, tolerance {rules.ranking_tolerance:g}"
        for score in scores
        if score.published is not None
        and score.n >= rules.min_ratings
        and not score.candidate >= score.published - rules.ranking_tolerance
    ]


def _slices(
    data: Dataset, published: ModelWithData | None, rules: GateConfig
) -> dict[str, Callable[[int], Mask]]:
    """Return the slices of a data set's held-out ratings, each a mask over a block of users."""
    made: dict[str, Callable[[int], Mask]] = {HELD_OUT: lambda block: _all(data, block)}
    blocks = range(data.n_blocks("users"))
    times = [data.timestamps(block, "test") for block in blocks]
    timed = [t for t in times if t is not None]
    if any(len(t) for t in timed):
        since = max(int(t.max()) for t in timed if len(t)) - rules.newest_days * 86_400
        made[NEWEST] = lambda block: np.asarray(timed[block] > since)
    if published:
        known = _keys_of(published.data)
        made[NEW] = lambda block: ~_known(data, block, published.data, *known)
    return made


def _all(data: Dataset, block: int) -> Mask:
    return np.ones(data.shard("users", block, "test").n_ratings, np.bool_)


def _pairs(data: Dataset, block: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return user and item rows of a block's held-out ratings."""
    shard = data.shard("users", block, "test")
    return shard.rows, shard.indices.astype(np.int64)


def _keys_of(data: Dataset) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return the held-out pairs as ascending numbers, and their ratings."""
    keys, ratings = [], []
    for block in range(data.n_blocks("users")):
        users, items = _pairs(data, block)
        keys.append(users * data.n_items + items)  # by user, then item: ascending as they lie
        ratings.append(data.shard("users", block, "test").ratings)
    return np.concatenate(keys), np.concatenate(ratings)


def _known(
    data: Dataset,
    block: int,
    old: Dataset,
    keys: npt.NDArray[np.int64],
    ratings: npt.NDArray[np.float32],
) -> Mask:
    """Whether each held-out rating of a block was held out before, with the same value."""
    users, items = _pairs(data, block)
    users = old.rows_of("users", data.users()["user_id"])[users]
    items = old.rows_of("items", data.items()["item_id"])[items]
    if len(keys) == 0:
        return np.zeros(len(users), np.bool_)
    wanted = users * old.n_items + items
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    same = (keys[place] == wanted) & (ratings[place] == data.shard("users", block, "test").ratings)
    return np.asarray(same & (users >= 0) & (items >= 0))


def _score(
    models: list[Model], data: Dataset, slices: Mapping[str, Callable[[int], Mask]]
) -> list[SliceScore]:
    """Return the RMSE of each model on each slice of a data set's held-out ratings."""
    aligned = [model.align(data) for model in models]
    n = dict.fromkeys(slices, 0)
    squared = {name: np.zeros(len(models)) for name in slices}
    for block in range(data.n_blocks("users")):
        shard, times = data.shard("users", block, "test"), data.timestamps(block, "test")
        predicted = [
            model.predict(shard, times).clip(data.rating_min, data.rating_max) for model in aligned
        ]
        errors = [np.square(own.astype(np.float64) - shard.ratings) for own in predicted]
        for name, mask_of in slices.items():
            mask = mask_of(block)
            n[name] += int(mask.sum())
            squared[name] += [error[mask].sum() for error in errors]
    found = []
    for name, count in n.items():
        if count:
            rmse = [math.sqrt(total / count) for total in squared[name]]
            found.append(SliceScore(name, count, rmse[0], rmse[1] if len(rmse) > 1 else None))
    return found
