"""Detection of shilling attacks: items that were pushed or nuked, and the users who did it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from mfdask.downstream.anomalies.bursts import Bursts, Chosen, Timeline, find_bursts
from mfdask.downstream.anomalies.calendar import HALF_DAY
from mfdask.downstream.anomalies.calibration import false_discovery
from mfdask.downstream.anomalies.control import (
    LEAST_SCORE,
    FalseAlarms,
    Scores,
    false_alarms,
    scores_of,
)
from mfdask.downstream.anomalies.evidence import Surprise, add_profiles
from mfdask.downstream.anomalies.members import suspects_of
from mfdask.downstream.events import Events
from mfdask.errors import InputError
from mfdask.kernels.types import Bools, Float32s, Float64s, Int32s, Int64s
from mfdask.parameters import Parametrised, parameter

#: A rating is extreme within this share of the scale from its end: 5 and 4.5 of half to five stars.
EXTREME = 1 / 9
#: The sign of what each kind of attack does to a rating.
SIGNS = {"push": 1, "nuke": -1}


@dataclass(frozen=True)
class AttackLimits(Parametrised):
    """Thresholds from which an item or a user is suspected."""

    fdr: float = parameter(
        0.05,
        "False-discovery rate: share of honest bursts among the suspected ones, in (0, 1).",
        above=0,
        below=1,
    )
    false_per_1000: float = parameter(
        1.0,
        "Honest items of 1,000 that may be suspected of a push; the same again for talking down.",
        at_least=0,
    )
    # A burst has three members or more, so false alarms among users come in groups.
    false_users_per_1000: float = 5.0
    # Members of a burst are suspected where at most this share of them is to be expected.
    honest_share: float = 0.2
    seed: int = 0  # of the draw of the control ratings


class Attacks(NamedTuple):
    """Suspected items and users: the result of `suspected_attacks`.

    Attributes
    ----------
    items, users : DataFrame
        A line for each suspect and direction, the strongest first. Of items the strongest burst
        is told, of users the strongest of the item that made them suspects: `item` (row),
        `direction` (``"push"`` or ``"nuke"``), `score` (``-log10`` of the chance that an honest
        window holds so many), `q` (Benjamini-Hochberg over all windows), `window_start` and
        `window_end` (seconds, the end not included), `n_extreme` ratings in it, `n_expected`,
        `n_extreme_ever` of the item, `agreement` (`Surprise.agreement`), and
        `expected_false_per_1000`: of 1,000 honest items, or users, how many score as high for this
        direction. Users have `user` and the columns of `suspects_of` and `add_profiles` too.
    scores : Scores
        Of all items and users, suspected or not; 0 where there is nothing to say.
    """

    items: pd.DataFrame
    users: pd.DataFrame
    scores: Scores


class _Side(NamedTuple):
    """Bursts of one direction (push or nuke), and their false-alarm rates."""

    direction: str
    users: Int32s  # of the extreme ratings, in the order of `Chosen`
    tested: int
    bursts: Bursts
    agreement: Float64s
    scores: Scores
    honest_items: FalseAlarms
    honest_users: FalseAlarms


def suspected_attacks(events: Events, n_items: int, rule: AttackLimits | None = None) -> Attacks:
    """Find bursts of extreme ratings that honest users would not make, and who made them.

    Parameters
    ----------
    events : Events
        Of all users.
    n_items : int
        Item rows, rated or not.
    rule : AttackLimits, optional

    Returns
    -------
    Attacks

    Raises
    ------
    InputError
        If all ratings are alike.
    """
    rule = rule or AttackLimits()
    sides = _sides(events, n_items, rule)
    bursts, members = _suspected(sides, int(events.timestamps.min()), rule)
    items = bursts.drop_duplicates(["item", "direction"], ignore_index=True)
    sure = bursts[bursts["false_users"] <= rule.false_users_per_1000]
    users = suspects_of(sure, members, rule.honest_share).join(sure, on="burst")
    users = add_profiles(users, events, n_items)
    scores = Scores(*(np.maximum(*two) for two in zip(*(s.scores for s in sides), strict=True)))
    return Attacks(_public(items, "false_items"), _public(users, "false_users"), scores)


def _public(lines: pd.DataFrame, false_rate: str) -> pd.DataFrame:
    """Return a table without the columns that only serve to make it."""
    named = lines.rename(columns={false_rate: "expected_false_per_1000"})
    inner = ["burst", "dispersion", "false_items", "false_users"]
    return named.drop(columns=inner, errors="ignore")


def _sides(events: Events, n_items: int, rule: AttackLimits) -> list[_Side]:
    """Look for bursts in both directions."""
    extreme = extreme_ratings(events.ratings)
    plain = ~extreme["push"] & ~extreme["nuke"]
    line = Timeline.of(events, n_items, plain)
    surprise = Surprise(events, n_items)
    random = np.random.default_rng(rule.seed)
    sides = []
    for direction, sign in SIGNS.items():
        chosen = Chosen.of(line, extreme[direction], plain)
        tested = find_bursts(chosen, line)
        agreement = sign * surprise.agreement(chosen, tested)
        strong = (agreement > 0) & (tested.score >= LEAST_SCORE)
        bursts = tested.take(strong)
        found = len(tested.score), bursts, agreement[strong], scores_of(bursts, chosen, line)
        honest = false_alarms(line, plain, len(chosen.places), random)
        sides.append(_Side(direction, line.users[chosen.places], *found, *honest))
    return sides


def extreme_ratings(ratings: Float32s) -> dict[str, Bools]:
    """Return which ratings are extreme, for each direction; the scale is that of the ratings.

    Raises
    ------
    InputError
        If all ratings are alike.
    """
    low, high = float(ratings.min()), float(ratings.max())
    if low == high:
        raise InputError(f"all ratings are {low:g}: without extreme ones no attack can be told")
    margin = EXTREME * (high - low)
    return {"push": ratings >= high - margin, "nuke": ratings <= low + margin}


def _suspected(
    sides: list[_Side], begin: int, rule: AttackLimits
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the suspected bursts, the strongest first, and their members.

    `begin` is the time of the first half-day, in seconds.
    """
    facts, members, before = [], [], 0
    tested = sum(side.tested for side in sides)
    p_values = 10.0 ** -np.concatenate([side.bursts.score for side in sides])
    q_values = false_discovery(p_values, tested)
    for side, q in zip(sides, np.split(q_values, [len(sides[0].bursts.score)]), strict=True):
        few = side.honest_items.per_1000(side.bursts.score) <= rule.false_per_1000
        which = np.flatnonzero((q <= rule.fdr) & few)
        burst, member = side.bursts.take(which).members()
        members.append(pd.DataFrame({"user": side.users[member], "burst": burst + before}))
        facts.append(_facts(side, which, q[which], begin))
        before += len(which)
    both = pd.concat(facts, ignore_index=True)
    order = np.argsort(-both["score"].to_numpy(), kind="stable")  # of equals the shorter window
    rank = np.argsort(order)
    rated = pd.concat(members, ignore_index=True)
    return both.iloc[order].reset_index(drop=True), rated.assign(burst=rank[rated["burst"]])


def _facts(side: _Side, which: Int64s, q: Float64s, begin: int) -> pd.DataFrame:
    """Return bursts of one direction as a table."""
    bursts = side.bursts.take(which)
    return pd.DataFrame(
        {
            "item": bursts.item,
            "direction": side.direction,
            "score": bursts.score,
            "q": q,
            "window_start": begin + bursts.start * HALF_DAY,
            "window_end": begin + bursts.stop * HALF_DAY,
            "n_extreme": bursts.n,
            "n_expected": bursts.expected,
            "n_extreme_ever": bursts.total,
            "agreement": side.agreement[which],
            "dispersion": bursts.dispersion,
            "false_items": side.honest_items.per_1000(bursts.score),
            "false_users": side.honest_users.per_1000(bursts.score),
        }
    )
