"""Ranking metrics of top-K lists: precision, recall, NDCG, MAP, coverage, novelty.

The candidates of a user are all items of the data set but those of their training ratings. A test
item is relevant if it is rated at or above the threshold. For a list of length K with hits at some
of the ranks ``r = 1 … K``, and R relevant items:

- precision is ``hits / K``, recall ``hits / R``;
- NDCG is ``DCG / best DCG``, ``DCG = sum (2**rel - 1) / log2(r + 1)``, with `rel` the rating of a
  relevant item (1 where the data hold no ratings) and 0 for any other, and the best DCG that of
  the relevant items in falling order;
- average precision is the sum of ``(hits up to r) / r`` over the ranks of hits, by ``min(R, K)``;
- novelty is the mean self-information of the list, ``-log2(n_train / users)`` bits, where an item
  without training ratings counts as rated once.

Each is averaged over the users that have a relevant test item. Coverage is the share of the
catalogue that is on any of the lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mfdask.errors import InputError, require
from mfdask.models.design import Array
from mfdask.parameters import Parametrised, parameter
from mfdask.progress import Progress, silent
from mfdask.shards import Dataset, Shard

#: Rows of the data set's users to their scores, float32 (users, items), which may be overwritten.
Scorer = Callable[[npt.NDArray[np.int64]], Array]

#: The columns of `RankingResult.values`.
METRICS = ("precision", "recall", "ndcg", "map", "novelty")

#: Scores held at a time: 16 MiB, and some 100 MiB of what is made of them.
_CELLS = 1 << 22


@dataclass(frozen=True)
class RankingPlan(Parametrised):
    """Options of `measure_ranking`."""

    k: int = parameter(10, "Length of the ranked lists.", "at", at_least=1, metavar="K")
    threshold: float | None = parameter(
        None,
        "An item rated this high in the test part is relevant.  [default: 4; every one where "
        "there are no ratings]",
        above=0,
    )
    n_users: int | None = parameter(
        None, "Rank for a random sample of this many users.  [default: all]", "users", at_least=1
    )
    seed: int = parameter(42, "Seed of all that is drawn at random.", at_least=0)

    def threshold_on(self, data: Dataset) -> float:
        """Return from which value on a test item is relevant: by default any count or event is."""
        if self.threshold is not None:
            return self.threshold
        return 4.0 if data.feedback == "ratings" else data.rating_min

    def check(self, data: Dataset) -> None:
        """Refuse what cannot be measured on `data`.

        Raises
        ------
        InputError
        """
        most = f"{data.n_items:,} or less, the items of {data.name}"
        require(self.k <= data.n_items, "k", self.k, most)
        highest = f"{data.rating_max:g} or less, the largest rating of {data.name}"
        threshold = self.threshold_on(data)
        require(threshold <= data.rating_max, "threshold", threshold, highest)


@dataclass(frozen=True, eq=False)
class RankingResult:
    """The result of `measure_ranking`.

    Attributes
    ----------
    users : int64 (n,)
        Rows of the users measured.
    values : float64 (n, 5)
        Their `METRICS`.
    coverage : float
        Share of the catalogue on any list.
    n_without : int
        Users that have test ratings, none of them relevant: they are left out.
    """

    users: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    coverage: float
    n_without: int

    def means(self) -> dict[str, float]:
        """Return each of `METRICS` averaged over the users, and the coverage."""
        found = dict(zip(METRICS, self.values.mean(axis=0).tolist(), strict=True))
        return {**found, "coverage": self.coverage}


def measure_ranking(
    scorer: Scorer,
    data: Dataset,
    plan: RankingPlan,
    progress: Progress = silent,
    stage: str = "rank",
) -> RankingResult:
    """Rank the catalogue for each user and hold the top of it against their test ratings.

    `progress` is told of the users done, as the stage that is named.

    Raises
    ------
    InputError
        If the plan does not suit the data, or no test rating is relevant.
    """
    users, n_without = users_to_rank(data, plan)
    n_train = np.maximum(data.items()["n_train"].to_numpy(np.float64), 1.0)
    information = -np.log2(n_train / data.n_users)
    values = np.empty((len(users), len(METRICS)))
    listed = np.zeros(data.n_items, bool)
    done = 0
    for train, test, rows in _batches(data, users):
        scores = scorer(rows)
        user, item, _ = _ratings_of(train, rows)
        scores[user, item] = -np.inf
        lists = best_items(scores, plan.k)
        user, item, rating = _ratings_of(test, rows)
        gains = np.zeros(scores.shape)
        gain = np.exp2(rating) - 1 if data.feedback == "ratings" else 1.0
        gains[user, item] = np.where(rating >= plan.threshold_on(data), gain, 0.0)
        values[done : done + len(rows)] = judge_lists(lists, gains, information)
        listed[lists[lists >= 0]] = True
        done += len(rows)
        progress(stage, done, len(users))
    return RankingResult(users, values, float(listed.mean()), n_without)


def users_to_rank(data: Dataset, plan: RankingPlan) -> tuple[npt.NDArray[np.int64], int]:
    """Return the rows of the users that the plan measures, and `RankingResult.n_without`.

    They depend on the data and the plan alone, so that models can be compared user by user.
    """
    plan.check(data)
    threshold = plan.threshold_on(data)
    if data.n_test == 0:
        raise InputError(f"{data.name}: no test ratings; ingest it with split random:0.1")
    relevant = np.zeros(data.n_users, bool)
    tested = np.zeros(data.n_users, bool)
    for block in range(data.n_blocks("users")):
        shard = data.shard("users", block, "test")
        users = shard.rows
        tested[users] = True
        relevant[users[shard.ratings >= threshold]] = True
    found = np.flatnonzero(relevant).astype(np.int64)
    if len(found) == 0:
        raise InputError(
            f"{data.name}: no test rating reaches the `threshold` {threshold:g}; lower it"
        )
    n_without = int((tested & ~relevant).sum())
    if plan.n_users is not None and plan.n_users < len(found):
        random = np.random.default_rng(plan.seed)
        found = np.sort(random.choice(found, plan.n_users, replace=False))
    return found, n_without


def _batches(
    data: Dataset, users: npt.NDArray[np.int64]
) -> Iterator[tuple[Shard, Shard, npt.NDArray[np.int64]]]:
    """Yield the users, as many at a time as `_CELLS` allows, with the shards they are in."""
    size = max(1, _CELLS // data.n_items)
    for block in range(data.n_blocks("users")):
        train, test = (data.shard("users", block, part) for part in ("train", "test"))
        inside = users[(users >= train.start) & (users < train.stop)]
        for first in range(0, len(inside), size):
            yield train, test, inside[first : first + size]


def _ratings_of(
    shard: Shard, rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Return the ratings of some rows of a shard: place of the row in `rows`, item, rating."""
    starts = shard.indptr[rows - shard.start]
    lengths = shard.indptr[rows - shard.start + 1] - starts
    place = np.repeat(np.arange(len(rows)), lengths)
    before = np.cumsum(lengths) - lengths
    at = np.arange(lengths.sum()) + np.repeat(starts - before, lengths)
    return place, shard.indices[at], shard.ratings[at].astype(np.float64)


def best_items(scores: Array, k: int) -> npt.NDArray[np.int64]:
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


def judge_lists(
    lists: npt.NDArray[np.int64],
    gains: npt.NDArray[np.float64],
    information: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return the `METRICS` of each list.

    Parameters
    ----------
    lists : int64 (users, k)
        Item rows, best first, -1 behind the end of a short list; none is empty.
    gains : float64 (users, items)
        ``2**rating - 1`` for relevant items, 0 for the others; some item of each user is relevant.
    information : float64 (items,)
        Of each item, in bits.

    Returns
    -------
    float64 (users, 5)
    """
    k = lists.shape[1]
    there = lists >= 0
    got = np.where(there, np.take_along_axis(gains, lists, axis=1), 0.0)
    hit = got > 0
    ranks = np.arange(1, k + 1)
    discount = 1 / np.log2(ranks + 1)
    best, n_relevant = _best_gains(gains, k)
    precision_there = np.cumsum(hit, axis=1) / ranks
    return np.column_stack(
        [
            hit.sum(axis=1) / k,
            hit.sum(axis=1) / n_relevant,
            (got @ discount) / (best @ discount),
            (precision_there * hit).sum(axis=1) / np.minimum(n_relevant, k),
            np.where(there, information[lists], 0.0).sum(axis=1) / there.sum(axis=1),
        ]
    )


def _best_gains(
    gains: npt.NDArray[np.float64], k: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """Return each user's `k` largest gains, falling and 0 behind the last, and how many there are.

    All but a few gains are 0: only the others are sorted.
    """
    user, item = np.divmod(np.flatnonzero(gains > 0), gains.shape[1])
    own = gains[user, item]
    order = np.lexsort((-own, user))  # `user` itself is in order already
    counts = np.bincount(user, minlength=len(gains))
    place = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)
    best = np.zeros((len(gains), k))
    kept = place < k
    best[user[kept], place[kept]] = own[order][kept]
    return best, counts
