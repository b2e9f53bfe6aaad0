"""Burst scores of items and users, and how high honest ones score (from ratings not extreme)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mfdask.downstream.anomalies.bursts import LEAST, Bursts, Chosen, Timeline, find_bursts
from mfdask.kernels.types import Float64s

#: Bursts with scores below this (one honest window in ten) count for nothing.
LEAST_SCORE = 1.0
#: Controls are drawn until so many items have been seen, so that small rates can be told; but not
#: more often than this.
_ITEMS, _DRAWS = 100_000, 20


class Scores(NamedTuple):
    """How strong a burst each row was part of, float64; 0 without one of `LEAST_SCORE`."""

    items: Float64s
    users: Float64s


def scores_of(bursts: Bursts, chosen: Chosen, line: Timeline) -> Scores:
    """Give each item, and each rater of a burst, the highest score of its bursts."""
    strong = bursts.take(bursts.score >= LEAST_SCORE)
    found = Scores(np.zeros(line.n_items), np.zeros(line.n_users))
    np.maximum.at(found.items, strong.item, strong.score)
    burst, member = strong.members()
    np.maximum.at(found.users, line.users(chosen.places[member]), strong.score[burst])
    return found


class FalseAlarms(NamedTuple):
    """Scores of honest rows, ascending and without the zeros, and how many rows they are of."""

    scores: Float64s
    rows: int

    @classmethod
    def of(cls, draws: list[Float64s]) -> FalseAlarms:
        """Collect the scores of several draws of the control."""
        scores = np.concatenate(draws)
        return cls(np.sort(scores[scores > 0]), len(scores))

    def per_1000(self, scores: npt.ArrayLike) -> Float64s:
        """Return how many of 1,000 honest rows would score as high, float64."""
        above = len(self.scores) - np.searchsorted(self.scores, scores)
        return 1000.0 * np.asarray(above) / self.rows


def false_alarms(
    calm: Timeline, n_ratings: int, wanted: int, random: np.random.Generator
) -> tuple[FalseAlarms, FalseAlarms]:
    """Score bursts among ratings that are not extreme, as many as there are extreme ones.

    Honest bursts (releases, fashions, what newcomers are shown first) draw ratings of all sizes,
    and an attack draws its target none of these: so they tell how high an honest item scores, in
    these very data, whether or not there is an attack in them.

    Parameters
    ----------
    calm : Timeline
        Of the ratings that are not extreme.
    n_ratings : int
        Of all.
    wanted : int
        Number of extreme ones. Where it is larger than that of plain ones the control falls short.
    random : Generator

    Returns
    -------
    of items, of users : FalseAlarms
    """
    share, draws = wanted / max(len(calm.order), 1), []
    for _ in range(min(-(-_ITEMS // calm.n_items), _DRAWS)):
        drawn = random.random(n_ratings, np.float32) < share
        chosen = Chosen.of(calm, drawn[calm.order])
        # Windows that hold just `LEAST` have the score 0 whatever is expected of them.
        bursts = find_bursts(chosen, calm, LEAST + 1, lowest=LEAST_SCORE)
        draws.append(scores_of(bursts, chosen, calm))
    return FalseAlarms.of([d.items for d in draws]), FalseAlarms.of([d.users for d in draws])
