"""One calibrated score an account, and one an item, of all evidence for attacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mfdask.downstream.anomalies.bursts import LEAST, Bursts, Chosen, Timeline, find_bursts
from mfdask.downstream.anomalies.calendar import HALF_DAY
from mfdask.downstream.anomalies.calibration import (
    OF_ITEMS,
    calibrated,
    of_the_largest,
    tail_evidence,
)
from mfdask.downstream.anomalies.collusion import Collusion, collusion
from mfdask.downstream.anomalies.control import LEAST_SCORE, Scores
from mfdask.downstream.anomalies.evidence import Sameness
from mfdask.downstream.anomalies.measures import account_measures
from mfdask.downstream.anomalies.resemblance import joint_evidence
from mfdask.downstream.events import Events
from mfdask.kernels.merge import find_pairs
from mfdask.kernels.types import Bools, Float64s, Int32s
from mfdask.models.design import Array

#: Less of a user's ratings than this in a burst, and the account has a life of its own.
OWN_LIFE = 0.5
#: In days: over longer times the values that an item gets change for honest reasons.
LONGEST = 90
#: In days: up to this a burst of extreme ratings needs no other sign.
LONGEST_PLAIN = 30


class Suspicion(NamedTuple):
    """Evidence for attacks, each ``-log10`` of the chance that an honest row has as much.

    Attributes
    ----------
    items, users : float64
        All evidence together.
    burst, joint : float64 (users,)
        Of the bursts alone, and of items in common with another account (`joint_evidence`).
    group : Collusion
    """

    items: Float64s
    users: Float64s
    burst: Float64s
    joint: Float64s
    group: Collusion


class Agreed(NamedTuple):
    """Values of ratings, and which are more common than usual in each burst; see `Sameness`."""

    common: Bools
    values: npt.NDArray[np.uint8]


class Lives:
    """How much of each user's ratings lies in a time."""

    def __init__(self, events: Events) -> None:
        self._starts, self._times = events.indptr, events.timestamps
        self._begin = int(events.timestamps.min())

    def share(self, users: Int32s, start: Int32s, stop: Int32s) -> Float64s:
        """Return the share of each user's ratings from one half-day to before another.

        `users` are counted from the first one of the events.
        """
        seconds = (self._begin + at.astype(np.int64) * HALF_DAY for at in (start, stop))
        first, last = (find_pairs(self._starts, self._times, users, at) for at in seconds)
        return np.asarray((last - first) / np.diff(self._starts)[users])


def attacker_scores(
    bursts: Bursts, chosen: Chosen, line: Timeline, lives: Lives, agreed: Agreed | None = None
) -> Scores:
    """Give items and members their highest score, but for members with a life of their own.

    With `agreed` only those count as members who gave a value that is more common than usual.
    """
    found = Scores(np.zeros(line.n_items), np.zeros(line.n_users))
    strong = np.flatnonzero(bursts.score >= LEAST_SCORE)
    bursts = bursts.take(strong)
    np.maximum.at(found.items, bursts.item, bursts.score)
    burst, member = bursts.members()
    places = chosen.places[member]
    if agreed is not None:
        kept = agreed.common[strong[burst], agreed.values[places]]
        burst, places = burst[kept], places[kept]
    users = line.users(places)
    start, stop = _core(bursts, chosen, line)
    kept = lives.share(users, start[burst], stop[burst]) >= OWN_LIFE
    np.maximum.at(found.users, users[kept], bursts.score[burst[kept]])
    return found


def _core(bursts: Bursts, chosen: Chosen, line: Timeline) -> tuple[Int32s, Int32s]:
    """Return from which half-day to before which other one each burst is dense.

    It reaches from the median as far as the quartiles are apart: of ratings that are spread evenly
    this is all, and a year's window around the fans of one week is no longer than the week.
    """
    low, mid, high = (
        line.halves[chosen.places[bursts.first + k * bursts.n // 4]] for k in (1, 2, 3)
    )
    return mid - (high - low) - 1, mid + (high - low) + 2


def held_to_values(bursts: Bursts, sameness: Sameness, line: Timeline) -> Bursts:
    """Return bursts whose score over long times is no more than `Sameness` of all ratings says.

    Over months honest interest comes and goes too, but it does not change what an item gets.
    """
    slow = np.flatnonzero(bursts.stop - bursts.start > 2 * LONGEST_PLAIN)
    own = bursts.take(slow)
    starts = line.starts.astype(np.int64)
    first, last = (
        find_pairs(starts, line.halves, own.item, at.astype(np.int32)).astype(np.int32)
        for at in (own.start, own.stop)
    )
    sure, _ = sameness.of(own._replace(first=first, n=last - first))
    score = bursts.score.copy()
    score[slow] = np.minimum(own.score, sure)
    return bursts._replace(score=score)


def scores_of_all_ratings(line: Timeline, sameness: Sameness, lives: Lives) -> Scores:
    """Score bursts of ratings of any size, whose values are others than the item's usual ones.

    Nothing that happens in the window makes a burst more likely here, so a release has one too:
    the score is the smaller one of that of the burst and of `Sameness`.
    """
    chosen = Chosen.all_of(line)
    bursts = find_bursts(chosen, line, LEAST + 1, lowest=LEAST_SCORE, longest=LONGEST)
    sure, common = sameness.of(bursts)
    bursts = bursts._replace(score=np.minimum(bursts.score, sure))
    return attacker_scores(bursts, chosen, line, lives, Agreed(common, sameness.values))


def suspicion_of(
    events: Events,
    n_items: int,
    above: Array,
    bursts: Sequence[Scores],
    vectors: Float64s | None = None,
) -> Suspicion:
    """Bring all evidence to one measure, and weigh it together.

    The measure is the chance that an honest row has as much: of the strongest burst that a user is
    a member of (each kind of burst by itself), and of `collusion` and `joint_evidence`, which see
    no times. The largest is what counts, brought to the measure again: an attacker need not be
    conspicuous in every way.

    Parameters
    ----------
    events : Events
    n_items : int
    above : float32 (ratings,)
        Stars above the user's own level.
    bursts : sequence of Scores
        See `attacker_scores`; empty without times.
    vectors : float64 (items, size), optional
        `choice_vectors` of the events, where they are known already.
    """
    activity, popularity = np.diff(events.indptr), np.bincount(events.items, minlength=n_items)
    joint = joint_evidence(events, above, n_items)
    measures = account_measures(events, joint, n_items, vectors)
    group = collusion(events, above, measures, n_items)
    burst, items = np.zeros(len(activity)), group.items
    for scores in bursts:
        burst = np.maximum(burst, tail_evidence(scores.users, activity, gumbel=True))
        items = np.maximum(items, tail_evidence(scores.items, popularity, gumbel=True))
    burst = of_the_largest(burst, activity)
    joint = tail_evidence(joint, activity, gumbel=True, cut=True)
    users = of_the_largest(np.maximum.reduce([burst, joint, group.users]), activity)
    return Suspicion(calibrated(items, OF_ITEMS), users, burst, joint, group)
