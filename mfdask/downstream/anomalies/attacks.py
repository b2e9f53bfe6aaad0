"""Suspected shilling: items that were pushed or talked down, and the users who did it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from mfdask.downstream.anomalies.bursts import Bursts, Chosen, Timeline, find_bursts
from mfdask.downstream.anomalies.calendar import HALF_DAY
from mfdask.downstream.anomalies.control import (
    LEAST_SCORE,
    FalseAlarms,
    Scores,
    false_alarms,
    scores_of,
)
from mfdask.downstream.anomalies.evidence import Surprise, add_profiles
from mfdask.downstream.events import Events
from mfdask.errors import InputError
from mfdask.kernels.types import Bools, Float32s, Float64s, Int64s

#: A rating is extreme within this share of the scale from its end: 5 and 4.5 of half to five stars.
EXTREME = 1 / 9
#: The sign of what each kind of attack does to a rating.
SIGNS = {"push": 1, "nuke": -1}


@dataclass(frozen=True)
class Rule:
    """When an item or a user is suspected.

    Attributes
    ----------
    fdr : float
        Largest q-value: the expected share of honest windows among those suspected.
    false_per_1000 : float
        Most honest items of 1,000 that would score as high, for either direction, going by the
        control ratings.
    honest_share : float
        Members of a burst are suspected where at most this share of them is to be expected.
    seed : int
        Of the draw of the control ratings.
    """

    fdr: float = 0.05
    false_per_1000: float = 1.0
    honest_share: float = 0.2
    seed: int = 0


class Attacks(NamedTuple):
    """What `suspected_attacks` finds.

    Attributes
    ----------
    items, users : DataFrame
        A line for each suspect, the strongest first.
    scores : Scores
        Of all items and users, suspected or not; 0 where there is nothing to say.
    """

    items: pd.DataFrame
    users: pd.DataFrame
    scores: Scores


class _Side(NamedTuple):
    """One direction: its bursts, and what they are held against."""

    direction: str
    chosen: Chosen
    tested: int
    bursts: Bursts
    agreement: Float64s
    scores: Scores
    honest_items: FalseAlarms
    honest_users: FalseAlarms


def suspected_attacks(events: Events, n_items: int, rule: Rule | None = None) -> Attacks:
    """Find bursts of extreme ratings that honest users would not make, and who made them.

    Parameters
    ----------
    events : Events
        Of all users.
    n_items : int
        Item rows, rated or not.
    rule : Rule, optional

    Returns
    -------
    Attacks

    Raises
    ------
    InputError
        If all ratings are alike.
    """
    rule = rule or Rule()
    sides = _sides(events, n_items, rule)
    m = sum(side.tested for side in sides)
    q_values = q_of(np.concatenate([side.bursts.score for side in sides]), m)
    tables = []
    for side, q in zip(sides, np.split(q_values, [len(sides[0].bursts.score)]), strict=True):
        few = side.honest_items.per_1000(side.bursts.score) <= rule.false_per_1000
        suspected = np.flatnonzero((q <= rule.fdr) & few)
        tables.append(_tables(side, suspected, q, events, rule))
    items, users = (_strongest_first(list(frames)) for frames in zip(*tables, strict=True))
    users = add_profiles(users, events, n_items)
    scores = Scores(*(np.maximum(*two) for two in zip(*(s.scores for s in sides), strict=True)))
    return Attacks(items, users, scores)


def _sides(events: Events, n_items: int, rule: Rule) -> list[_Side]:
    """Look for bursts in both directions."""
    extreme = extreme_ratings(events.ratings)
    plain = ~extreme["push"] & ~extreme["nuke"]
    line = Timeline.of(events, n_items, plain)
    surprise = Surprise(events, n_items)
    random = np.random.default_rng(rule.seed)
    sides = []
    for direction, sign in SIGNS.items():
        chosen = Chosen.of(line, extreme[direction])
        tested = find_bursts(chosen, line)
        agreement = sign * surprise.agreement(chosen, tested)
        strong = (agreement > 0) & (tested.score >= LEAST_SCORE)
        bursts = tested.take(strong)
        honest = false_alarms(line, plain, len(chosen.places), random)
        sides.append(_Side(
            direction, chosen, len(tested.score), bursts, agreement[strong],
            scores_of(bursts, chosen, line), *honest,
        ))  # fmt: skip
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


def _tables(
    side: _Side, suspected: Int64s, q: Float64s, events: Events, rule: Rule
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the suspected items and users of one direction."""
    order = suspected[np.argsort(-side.bursts.score[suspected], kind="stable")]
    bursts = side.bursts.take(order)
    start = int(events.timestamps.min())
    facts = pd.DataFrame(
        {
            "item": bursts.item,
            "direction": side.direction,
            "score": bursts.score,
            "q": q[order],
            "window_start": start + bursts.start * HALF_DAY,
            "window_end": start + bursts.stop * HALF_DAY,
            "n_extreme": bursts.n,
            "n_expected": bursts.expected,
            "n_extreme_ever": bursts.total,
            "agreement": side.agreement[order],
        }
    )
    items = facts.drop_duplicates("item").assign(
        expected_false_per_1000=lambda f: side.honest_items.per_1000(f["score"])
    )
    users = _members(side.chosen, bursts)
    users = users[users["honest_chance"] <= rule.honest_share].join(facts, on="burst")
    users["expected_false_per_1000"] = side.honest_users.per_1000(users["score"])
    return items, users


def _members(chosen: Chosen, bursts: Bursts) -> pd.DataFrame:
    """Return who made the bursts, which are in order of their scores.

    `user`, the strongest `burst` that they are members of, `n_items` that they are, and
    `honest_chance`: were each member as likely as any other to be one of the expected, honest
    raters of its burst, and of each item by itself, then all ratings of a user were honest with
    this chance.
    """
    burst, member = bursts.members()
    pairs = pd.DataFrame(
        {
            "user": chosen.users[member],
            "item": bursts.item[burst],
            "burst": burst,
            "honest": np.minimum(bursts.expected / bursts.n, 1.0)[burst],
        }
    ).drop_duplicates(["user", "item"])
    return (
        pairs.groupby("user", sort=False)
        .agg(burst=("burst", "first"), n_items=("item", "size"), honest_chance=("honest", "prod"))
        .reset_index()
    )


def _strongest_first(sides: list[pd.DataFrame]) -> pd.DataFrame:
    both = pd.concat(sides).sort_values("score", ascending=False, kind="stable")
    return both.reset_index(drop=True)


def q_of(scores: Float64s, tested: int) -> Float64s:
    """Return the q-values of Benjamini and Hochberg (1995) for scores ``-log10 p``, float64.

    `tested` counts all tests; those that are left out must have the largest p-values.
    """
    order = np.argsort(-scores)
    found = 10.0 ** -scores[order] * tested / np.arange(1, len(scores) + 1)
    q = np.empty(len(scores))
    q[order] = np.minimum.accumulate(found[::-1])[::-1].clip(max=1.0)
    return q
