"""Detection of shilling attacks: items that were pushed or nuked, and the users who did it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from mfdask.downstream.anomalies.bursts import (
    LEAST,
    Bursts,
    Chosen,
    Timeline,
    count_tested,
    find_bursts,
)
from mfdask.downstream.anomalies.calibration import false_discovery
from mfdask.downstream.anomalies.control import (
    LEAST_SCORE,
    FalseAlarms,
    Scores,
    false_alarms,
)
from mfdask.downstream.anomalies.evidence import Sameness, Surprise, add_profiles
from mfdask.downstream.anomalies.members import suspects_of
from mfdask.downstream.anomalies.suspicion import (
    Lives,
    Suspicion,
    attacker_scores,
    held_to_values,
    scores_of_all_ratings,
    suspicion_of,
)
from mfdask.downstream.anomalies.verdicts import with_other_items, with_other_users
from mfdask.downstream.events import Events
from mfdask.errors import InputError
from mfdask.kernels.types import Bools, Float32s, Float64s, Int32s, Int64s
from mfdask.parameters import Parametrised, parameter

#: A rating is extreme within this share of the scale from its end: 5 and 4.5 of half to five stars.
EXTREME = 1 / 9
#: Without a level that is given, so many of 1,000 honest items, or users, may be in bursts like a
#: suspected one; users in a burst come in groups.
_ITEMS, _USERS = 1.0, 5.0
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
    false_per_1000: float | None = parameter(
        None,
        "Honest items of 1,000 that may be suspected: this level decides, not the fdr.",
        at_least=0,
        at_most=1000,
        none="fdr",
    )
    false_users_per_1000: float | None = parameter(
        None,
        "Honest users of 1,000 that may be suspected: this level decides, not the fdr.",
        at_least=0,
        at_most=1000,
        none="fdr",
    )
    honest_share: float = parameter(
        0.2,
        "Members of a burst are suspected where at most this share of them is to be expected.",
        above=0,
        at_most=1,
    )
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
        `window_end` (seconds: of the first and the last rating of the burst), `n_extreme` ratings
        in it, `n_expected`, `n_extreme_ever` of the item, `agreement` (`Surprise.agreement`),
        `evidence` (of all kinds: `Suspicion`), and `expected_false_per_1000`: of 1,000 honest
        items, or users, how many have as much. Users have `user` and the columns of `suspects_of`
        and `add_profiles` too. Who is suspected for other evidence than bursts stands behind, see
        `with_other_items`.
    suspicion : Suspicion
        Of all items and users, suspected or not.
    """

    items: pd.DataFrame
    users: pd.DataFrame
    suspicion: Suspicion

    @property
    def scores(self) -> Scores:
        """Evidence of all items and users."""
        return Scores(self.suspicion.items, self.suspicion.users)


class _Side(NamedTuple):
    """Bursts of one direction (push or nuke), and their false-alarm rates."""

    direction: str
    places: Int32s  # of the extreme ratings among the events, in the order of `Chosen`
    tested: int
    bursts: Bursts
    agreement: Float64s
    scores: Scores
    honest_items: FalseAlarms
    honest_users: FalseAlarms

    @classmethod
    def empty(cls) -> _Side:
        """Return a side without bursts, of ratings without times."""
        no, none = np.zeros(0, np.int32), np.zeros(0)
        bursts = Bursts(no, no, no, no.astype(np.int64), no.astype(np.int64), no, none, none, none)
        alarms = FalseAlarms(none, 1)
        return cls("push", no, 0, bursts, none, Scores(none, none), alarms, alarms)


class BurstEvidence(NamedTuple):
    """What bursts of ratings say of all items and users: the first half of a search for attacks.

    Attributes
    ----------
    surprise : Surprise
    sides : list
        Bursts of extreme ratings, by direction.
    scores : list of Scores
        Of bursts of extreme ratings, and of all; empty without times.
    """

    surprise: Surprise
    sides: list[_Side]
    scores: list[Scores]


def suspected_attacks(
    events: Events,
    n_items: int,
    rule: AttackLimits | None = None,
    vectors: Float64s | None = None,
    bursts: BurstEvidence | None = None,
) -> Attacks:
    """Find what honest users would not do to items, and who did it.

    Parameters
    ----------
    events : Events
        Of all users. Where all times are the same nothing can be said of bursts.
    n_items : int
        Item rows, rated or not.
    rule : AttackLimits, optional
    vectors : float64 (items, size), optional
        `choice_vectors` of the events, where they are known already.
    bursts : BurstEvidence, optional
        `burst_evidence` of the events and the rule, where it is known already.

    Returns
    -------
    Attacks

    Raises
    ------
    InputError
        If all ratings are alike.
    """
    rule = rule or AttackLimits()
    surprise, sides, scores = bursts or burst_evidence(events, n_items, rule)
    suspicion = suspicion_of(events, n_items, surprise.above, scores, vectors)
    suspected, members = _suspected(sides, events, suspicion, rule)
    items = suspected.drop_duplicates(["item", "direction"], ignore_index=True)
    users = _members(suspected, members, scores, rule)
    users = add_profiles(users, events, n_items)
    n_bursts = len(items)
    items = with_other_items(items, _chosen_items(suspicion, rule), suspicion)
    chosen = _beyond(suspicion.users, rule.false_users_per_1000, rule.fdr)
    if rule.false_users_per_1000 is None:  # nobody attacks but by an item, bursts have theirs
        chosen &= _raters(events, items["item"].to_numpy(np.int64)[n_bursts:], n_items)
    if rule.false_users_per_1000 is not None:
        users = users[chosen[users["user"].to_numpy(np.int64)]]
    users = with_other_users(users, chosen, suspicion)
    return Attacks(_public(items), _public(users), suspicion)


def _chosen_items(suspicion: Suspicion, rule: AttackLimits) -> Bools:
    """Return the items that are suspected whether or not there is a burst, bool (items,).

    Without a level, evidence as of `_ITEMS` in 1,000 is enough where `LEAST` suspected users, or
    more, resemble its raters more than those of other items; and no evidence is where there are
    fewer. For nobody attacks alone, and the audience of an item that thousands rate may be odd.
    """
    if rule.false_per_1000 is not None:
        return _beyond(suspicion.items, rule.false_per_1000, rule.fdr)
    suspects = _beyond(suspicion.users, None, rule.fdr)
    theirs = np.bincount(suspicion.group.with_item[suspects], minlength=len(suspicion.items))
    return _beyond(suspicion.items, _ITEMS, rule.fdr) & (theirs >= LEAST)


def _raters(events: Events, items: Int64s, n_items: int) -> Bools:
    """Return who has rated one of some items, bool (users,)."""
    among = np.zeros(n_items, bool)
    among[items] = True
    found = np.zeros(len(events.indptr) - 1, bool)
    found[events.users[among[events.items]] - events.start] = True
    return found


def _beyond(evidence: Float64s, level: float | None, fdr: float) -> Bools:
    """Return which rows have too much evidence to be honest, bool (rows,)."""
    p = 10.0**-evidence
    return false_discovery(p, len(p)) <= fdr if level is None else 1000 * p <= level


def _public(lines: pd.DataFrame) -> pd.DataFrame:
    """Return a table without the columns that only serve to make it."""
    inner = ["burst", "dispersion", "false_users"]
    return lines.drop(columns=inner, errors="ignore").reset_index(drop=True)


def burst_evidence(events: Events, n_items: int, rule: AttackLimits) -> BurstEvidence:
    """Look for bursts of extreme ratings and of all; without times there are none.

    What tells of the windows takes much memory, which is free again at the end.

    Raises
    ------
    InputError
        If all ratings are alike.
    """
    _ends(events.ratings)
    surprise = Surprise(events, n_items)
    if np.ptp(events.timestamps) == 0:
        return BurstEvidence(surprise, [_Side.empty()], [])
    line = Timeline.of(events, n_items)
    ratings = events.ratings[line.order]
    extreme = extreme_ratings(ratings)
    plain = ~extreme["push"] & ~extreme["nuke"]
    lives, sameness = Lives(events), Sameness(ratings, line)
    del ratings
    line, calm = line.learned(plain)
    sides = _sides(line, calm, extreme, plain, (surprise, sameness, lives), rule.seed)
    del calm, extreme, plain
    both = zip(*(side.scores for side in sides), strict=True)
    burst = Scores(*(np.maximum(*two) for two in both))
    scores = [burst, scores_of_all_ratings(line, sameness, lives)]
    return BurstEvidence(surprise, sides, scores)


def _sides(
    line: Timeline,
    calm: Timeline,
    extreme: dict[str, Bools],
    plain: Bools,
    evidence: tuple[Surprise, Sameness, Lives],
    seed: int,
) -> list[_Side]:
    """Look for bursts in both directions."""
    surprise, sameness, lives = evidence
    random = np.random.default_rng(seed)
    sides = []
    for direction, sign in SIGNS.items():
        chosen = Chosen.of(line, extreme[direction], plain)
        bursts = find_bursts(chosen, line, LEAST + 1, lowest=LEAST_SCORE)
        agreement = sign * surprise.agreement(line.order[chosen.places], bursts)
        bursts, agreement = bursts.take(agreement > 0), agreement[agreement > 0]
        bursts = held_to_values(bursts, sameness, line)
        scores = attacker_scores(bursts, chosen, line, lives)
        found = count_tested(chosen, line), bursts, agreement, scores
        honest = false_alarms(calm, len(line.order), len(chosen.places), random)
        sides.append(_Side(direction, line.order[chosen.places], *found, *honest))
    return sides


def _members(
    bursts: pd.DataFrame, members: pd.DataFrame, scores: list[Scores], rule: AttackLimits
) -> pd.DataFrame:
    """Return the members of suspected bursts who have no life of their own besides them."""
    sure = bursts[bursts["false_users"] <= _USERS] if rule.false_users_per_1000 is None else bursts
    users = suspects_of(sure, members, rule.honest_share).join(sure, on="burst")
    if not len(users):
        return users
    return users[scores[0].users[users["user"]] >= sure["score"].min()].reset_index(drop=True)


def extreme_ratings(ratings: Float32s) -> dict[str, Bools]:
    """Return which ratings are extreme, for each direction; the scale is that of the ratings.

    Raises
    ------
    InputError
        If all ratings are alike.
    """
    low, high = _ends(ratings)
    margin = EXTREME * (high - low)
    return {"push": ratings >= high - margin, "nuke": ratings <= low + margin}


def _ends(ratings: Float32s) -> tuple[float, float]:
    """Return the lowest and the highest rating, which differ."""
    low, high = float(ratings.min()), float(ratings.max())
    if low == high:
        raise InputError(f"all ratings are {low:g}: without extreme ones no attack can be told")
    return low, high


def _suspected(
    sides: list[_Side], events: Events, suspicion: Suspicion, rule: AttackLimits
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the suspected bursts, the strongest first, and their members."""
    facts, members, before = [], [], 0
    tested = sum(side.tested for side in sides)
    scores = [side.bursts.score for side in sides]
    q_values = false_discovery(10.0 ** -np.concatenate(scores), tested)
    users = events.users
    for side, q in zip(
        sides, np.split(q_values, np.cumsum([len(s) for s in scores])[:-1]), strict=True
    ):
        which = np.flatnonzero(_enough(side, q, suspicion, rule))
        burst, member = side.bursts.take(which).members()
        places = side.places[member]
        members.append(pd.DataFrame({"user": users[places], "burst": burst + before}))
        facts.append(_facts(side, which, q[which], events.timestamps[places], suspicion))
        before += len(which)
    both = pd.concat(facts, ignore_index=True)
    order = np.argsort(-both["score"].to_numpy(), kind="stable")  # of equals the shorter window
    rank = np.argsort(order)
    rated = pd.concat(members, ignore_index=True)
    return both.iloc[order].reset_index(drop=True), rated.assign(burst=rank[rated["burst"]])


def _enough(side: _Side, q: Float64s, suspicion: Suspicion, rule: AttackLimits) -> Bools:
    """Return which bursts are suspected."""
    if rule.false_per_1000 is not None:
        return _beyond(suspicion.items, rule.false_per_1000, rule.fdr)[side.bursts.item]
    return (q <= rule.fdr) & (side.honest_items.per_1000(side.bursts.score) <= _ITEMS)


def _facts(
    side: _Side, which: Int64s, q: Float64s, times: Int64s, suspicion: Suspicion
) -> pd.DataFrame:
    """Return bursts of one direction as a table; `times` are those of their members."""
    bursts = side.bursts.take(which)
    begin = np.cumsum(bursts.n) - bursts.n
    first, last = (
        each.reduceat(times, begin) if len(begin) else times for each in (np.minimum, np.maximum)
    )
    return pd.DataFrame(
        {
            "item": bursts.item,
            "direction": side.direction,
            "score": bursts.score,
            "q": q,
            "window_start": first,
            "window_end": last,
            "n_extreme": bursts.n,
            "n_expected": bursts.expected,
            "n_extreme_ever": bursts.total,
            "agreement": side.agreement[which],
            "dispersion": bursts.dispersion,
            "evidence": suspicion.items[bursts.item],
            "expected_false_per_1000": 1000 * 10.0 ** -suspicion.items[bursts.item],
            "false_users": side.honest_users.per_1000(bursts.score),
        }
    )
