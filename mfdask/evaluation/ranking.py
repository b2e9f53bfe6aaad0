"""Ranking of a data set's candidates for its users, held against their test ratings.

The candidates of a user are all items of the data set but those of their training ratings, or, with
`RankingPlan.negatives`, each test item with a few others. A test item is relevant if it is rated at
or above the threshold. The metrics are those of `list_metrics`, averaged over the users that have a
relevant test item.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from mfdask.errors import InputError
from mfdask.evaluation.list_metrics import (
    Placed,
    gini,
    information_of,
    judge_lists,
    judge_ranks,
    judge_scores,
    tail_of,
)
from mfdask.evaluation.negatives import draw_negatives, judge_among
from mfdask.evaluation.ranking_plan import RankingPlan
from mfdask.kernels.ranking import place_items
from mfdask.kernels.types import Bools, Float32s, Float64s, Int32s, Int64s
from mfdask.progress import Progress, silent
from mfdask.shards import Dataset, Shard

#: Rows of the data set's users to their scores, float32 (users, items), which may be overwritten.
Scorer = Callable[[Int64s], Float32s]

#: Of some users: the number of the user, the item, and the rating, ascending by user.
_Ratings: TypeAlias = tuple[Int64s, Int32s, Float64s]

#: Scores held at a time: 16 MiB, and some 50 MiB of what is made of them.
_CELLS = 1 << 22


@dataclass(frozen=True, eq=False)
class RankingResult:
    """The result of `measure_ranking`.

    Attributes
    ----------
    plan : RankingPlan
    users : int64 (n,)
        Rows of the users measured.
    unseen : bool (n,)
        Which of them have no training ratings.
    values : float64 (n, columns)
        Their `RankingPlan.columns`; an AUC is NaN where every candidate is relevant.
    exposure : int64 (lengths, items)
        How many lists each item is on; with sampled negatives there are no lists.
    n_without : int
        Users that have test ratings, none of them relevant: they are left out.
    n_crowded : int
        Users that have rated so much that too few negatives are left: they are left out, too.
    """

    plan: RankingPlan
    users: Int64s
    unseen: Bools
    values: Float64s
    exposure: Int64s
    n_without: int
    n_crowded: int = 0

    def figures(self, chosen: Bools | None = None) -> pd.DataFrame:
        """Return the `metric`, its length `k` and its `value` over all users, or over some.

        Coverage and Gini coefficient are of all lists.
        """
        values = self.values if chosen is None else self.values[chosen]
        with np.errstate(invalid="ignore"):
            means = np.nansum(values, axis=0) / (~np.isnan(values)).sum(axis=0)
        lines = [(*column, mean) for column, mean in zip(self.plan.columns, means, strict=True)]
        lines += [(metric, k, value) for (metric, k), value in self.of_catalogue().items()]
        found = pd.DataFrame(lines, columns=["metric", "k", "value"])
        return found.astype({"k": "Int64"})

    def of_catalogue(self) -> dict[tuple[str, int | None], float]:
        """Return coverage and Gini coefficient of the lists, for each length."""
        found: dict[tuple[str, int | None], float] = {}
        for k, exposure in zip(self.plan.k, self.exposure, strict=False):
            found["coverage", k] = float((exposure > 0).mean())
            found["gini", k] = gini(exposure)
        return found

    def means(self) -> dict[str, float]:
        """Return the value of each metric, of the main length."""
        lines = self.figures()
        main = lines[lines["k"].isna() | (lines["k"] == self.plan.k[0])]
        return dict(zip(main["metric"], main["value"].tolist(), strict=True))


def measure_ranking(
    scorer: Scorer,
    data: Dataset,
    plan: RankingPlan,
    progress: Progress = silent,
    stage: str = "rank",
) -> RankingResult:
    """Rank the candidates of each user, and hold the ranking against their test ratings.

    `progress` is told of the users done, as the stage that is named.

    Raises
    ------
    InputError
        If the plan does not suit the data, no test rating is relevant, or a score is not a number.
    """
    chosen = users_to_rank(data, plan)
    users = chosen.rows
    n_train = data.items()["n_train"].to_numpy(np.int64)
    facts = information_of(n_train, data.n_users), tail_of(n_train)
    values = np.empty((len(users), len(plan.columns)))
    exposure = np.zeros((0 if plan.negatives else len(plan.k), data.n_items), np.int64)
    done = 0
    plan = replace(plan, threshold=plan.threshold_on(data))
    graded = data.feedback == "ratings"
    per_user = data.n_items + (plan.negatives or 0) * -(-data.n_test // len(users))
    for train, test, rows in _batches(data, users, max(1, _CELLS // per_user)):
        batch = _Batch.of(scorer(rows), train, test, rows, plan)
        here = slice(done, done + len(rows))
        if plan.negatives is None:
            values[here] = batch.judge_catalogue(*facts, exposure, graded)
        else:
            values[here] = batch.judge_sampled()
        done += len(rows)
        progress(stage, done, len(users))
    unseen = data.users()["n_train"].to_numpy()[users] == 0
    return RankingResult(plan, users, unseen, values, exposure, chosen.n_without, chosen.n_crowded)


class RankedUsers(NamedTuple):
    """The users that a plan measures: their rows, and how many were left out and why.

    See `RankingResult.n_without` and `RankingResult.n_crowded`.
    """

    rows: Int64s
    n_without: int
    n_crowded: int


def users_to_rank(data: Dataset, plan: RankingPlan) -> RankedUsers:
    """Return the users that the plan measures.

    They depend on the data and the plan alone, so that models can be compared user by user.
    """
    plan.check(data)
    threshold = plan.threshold_on(data)
    if data.n_test == 0:
        raise InputError(f"{data.name}: no test ratings; ingest it with split random:0.1")
    relevant, tested, crowded = np.zeros((3, data.n_users), bool)
    for block in range(data.n_blocks("users")):
        train, test = (data.shard("users", block, part) for part in ("train", "test"))
        here, n_test = slice(test.start, test.stop), np.diff(test.indptr)
        tested[here] = n_test > 0
        relevant[test.rows[test.ratings >= threshold]] = True
        free = data.n_items - np.diff(train.indptr) - n_test
        crowded[here] = free < (plan.negatives or 0)
    found = np.flatnonzero(relevant & ~crowded).astype(np.int64)
    if not relevant.any():
        raise InputError(
            f"{data.name}: no test rating reaches the `threshold` {threshold:g}; lower it"
        )
    if len(found) == 0:
        raise InputError(
            f"{data.name}: nobody has {plan.negatives:,} items left that they have not rated; "
            "give fewer `negatives`"
        )
    n_without, n_crowded = int((tested & ~relevant).sum()), int((relevant & crowded).sum())
    if plan.n_users is not None and plan.n_users < len(found):
        random = np.random.default_rng(plan.seed)
        found = np.sort(random.choice(found, plan.n_users, replace=False))
    return RankedUsers(found, n_without, n_crowded)


def _batches(data: Dataset, users: Int64s, size: int) -> Iterator[tuple[Shard, Shard, Int64s]]:
    """Yield the users, at most `size` at a time, with the shards they are in."""
    for block in range(data.n_blocks("users")):
        train, test = (data.shard("users", block, part) for part in ("train", "test"))
        inside = users[(users >= train.start) & (users < train.stop)]
        for first in range(0, len(inside), size):
            yield train, test, inside[first : first + size]


class HeldOutLists(NamedTuple):
    """Lists of some users from the whole catalogue, and their ratings of both parts.

    Attributes
    ----------
    rows : int64 (users,)
    lists : sequence of int64 (users, k)
        For each scorer; -1 where the candidates have run out.
    train, test : tuple
        Number of the user here, item, and rating of each, ascending by user.
    n_users : int
        Of all batches together.
    """

    rows: Int64s
    lists: Sequence[Int64s]
    train: _Ratings
    test: _Ratings
    n_users: int


def held_out_lists(
    scorers: Sequence[Scorer], data: Dataset, plan: RankingPlan
) -> Iterator[HeldOutLists]:
    """Yield the lists of all users that have test ratings, or of the sample of them, in batches."""
    tested = np.flatnonzero(data.users()["n_test"].to_numpy() > 0).astype(np.int64)
    if plan.n_users is not None and plan.n_users < len(tested):
        random = np.random.default_rng(plan.seed)
        tested = np.sort(random.choice(tested, plan.n_users, replace=False))
    for train, test, rows in _batches(data, tested, max(1, _CELLS // data.n_items)):
        known, lists = _ratings_of(train, rows), []
        for scorer in scorers:
            scores = np.ascontiguousarray(scorer(rows), np.float32)
            scores[known[0], known[1]] = -np.inf
            lists.append(best_items(scores, plan.k[0]))
        yield HeldOutLists(rows, lists, known, _ratings_of(test, rows), len(tested))


def _ratings_of(shard: Shard, rows: Int64s) -> _Ratings:
    """Return the ratings of some rows of a shard: place of the row in `rows`, item, rating."""
    starts = shard.indptr[rows - shard.start]
    lengths = shard.indptr[rows - shard.start + 1] - starts
    place = np.repeat(np.arange(len(rows)), lengths)
    before = np.cumsum(lengths) - lengths
    at = np.arange(lengths.sum()) + np.repeat(starts - before, lengths)
    return place, shard.indices[at], shard.ratings[at].astype(np.float64)


class _Batch(NamedTuple):
    """Some users, their scores, and the ratings of both parts.

    Attributes
    ----------
    plan : RankingPlan
    rows : int64 (users,)
    scores : float32 (users, items)
    train, test : tuple
        The ratings of each part, see `_ratings_of`.
    """

    plan: RankingPlan
    rows: Int64s
    scores: Float32s
    train: _Ratings
    test: _Ratings

    @classmethod
    def of(
        cls, scores: Float32s, train: Shard, test: Shard, rows: Int64s, plan: RankingPlan
    ) -> _Batch:
        """Return the batch of some rows of two shards."""
        if np.isnan(scores).any():
            raise InputError("some scores are not numbers: the model is damaged, train it again")
        parts = _ratings_of(train, rows), _ratings_of(test, rows)
        return cls(plan, rows, np.ascontiguousarray(scores, np.float32), *parts)

    def relevant(self) -> _Ratings:
        """Return the test ratings that reach the threshold."""
        user, item, rating = self.test
        assert self.plan.threshold is not None
        reached = rating >= self.plan.threshold
        return user[reached], item[reached], rating[reached]

    def judge_catalogue(
        self, information: Float64s, tail: Bools, exposure: Int64s, graded: bool
    ) -> Float64s:
        """Return the metrics of lists from the whole catalogue, and count the items on them.

        Where values are no grades, every relevant item gains 1.
        """
        n, n_items = self.scores.shape
        user, item, rating = self.relevant()
        self.scores[self.train[0], self.train[1]] = -np.inf
        ranks, above, equal = np.empty((3, len(user)), np.int64)
        place_items(self.scores, user.astype(np.int32), item, ranks, above, equal)
        gains = np.exp2(rating) - 1 if graded else np.ones(len(rating))
        placed = Placed(user, ranks, gains, above, equal)
        lists = best_items(self.scores, max(self.plan.k))
        for k, counts in zip(self.plan.k, exposure, strict=True):
            on = lists[:, :k]
            counts += np.bincount(on[on >= 0], minlength=n_items)
        n_candidates = n_items - np.bincount(self.train[0], minlength=n)
        return np.column_stack(
            [
                judge_ranks(placed, n, self.plan.k).reshape(n, -1),
                judge_lists(lists, information, tail, self.plan.k).reshape(n, -1),
                judge_scores(placed, n_candidates),
            ]
        )

    def judge_sampled(self) -> Float64s:
        """Return the metrics of held-out items among sampled negatives."""
        assert self.plan.negatives is not None
        user, item, _ = self.relevant()
        free = np.ones(self.scores.shape, bool)
        for rated_by, rated, _ in (self.train, self.test):
            free[rated_by, rated] = False
        draws = np.bincount(user, minlength=len(self.rows))
        negatives = np.concatenate(
            [
                draw_negatives(np.flatnonzero(own), self.plan.negatives, n, self.plan.seed, row)
                for own, n, row in zip(free, draws.tolist(), self.rows.tolist(), strict=True)
            ]
        )
        scores = self.scores[user, item], self.scores[user[:, None], negatives]
        return judge_among(
            user, scores[0], item.astype(np.int64), negatives, scores[1], self.plan.k
        )


def best_items(scores: Float32s, k: int) -> Int64s:
    """Return the `k` items of largest score for each user, best first.

    Parameters
    ----------
    scores : float32 (users, items)
        ``-inf`` for an item that is no candidate.
    k : int
        From 1 to the number of items.

    Returns
    -------
    int64 (users, k)
        Of equal scores the lower item row comes first; -1 where the candidates have run out.
    """
    # At least k items reach the k-th largest of the maxima of 4k stretches, and few others do:
    # far cheaper to find than the k-th largest score itself.
    n_items = scores.shape[1]
    stretches = np.linspace(0, n_items, min(4 * k, n_items), endpoint=False).astype(np.intp)
    maxima = np.maximum.reduceat(scores, stretches, axis=1)
    least = np.partition(maxima, -k, axis=1)[:, -k]
    lists = np.full((len(scores), k), -1, np.int64)
    for user, own in enumerate(scores):
        # Ties with the last place are all among these, for the order to choose.
        found = np.flatnonzero((own >= least[user]) & (own > -np.inf))
        best = found[np.argsort(-own[found], kind="stable")][:k]
        lists[user, : len(best)] = best
    return lists
