"""Inject shilling attacks: made-up users who push an item or talk it down."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from mfdask.downstream.events import Events
from mfdask.downstream.inject.injected import Injected

Direction = Literal["push", "nuke"]

KINDS = ("random", "average", "bandwagon", "segment", "love-hate", "aop", "copy")


@dataclass(frozen=True)
class AttackPlan:
    """One attack: some users, who all rate the same targets within one window of time.

    Attributes
    ----------
    kind : str
        One of `KINDS`, see `recipes`.
    direction : {"push", "nuke"}
        Targets get the highest rating, or the lowest.
    size : float
        Attackers for each genuine user, above 0 and at most 0.5.
    window_days : float
    n_targets : int
    target_ratings : (int, int)
        How many ratings an item must have to become a target, from and to.
    fillers : {"popular", "uniform"}
        Whether the other items of a profile are drawn by their number of ratings, or all alike:
        then popularity alone gives an attacker away.
    """

    kind: str = "average"
    direction: Direction = "push"
    size: float = 0.05
    window_days: float = 7.0
    n_targets: int = 1
    target_ratings: tuple[int, int] = (5, 50)
    fillers: Literal["popular", "uniform"] = "popular"


def inject_attack(
    events: Events, n_items: int, plan: AttackPlan, seed: int, exclude: Collection[int] = ()
) -> Injected:
    """Add the users of an attack behind the genuine ones, whose ratings stay as they are.

    Parameters
    ----------
    events : Events
        Of all users, from `all_events`.
    n_items : int
        Item rows, rated or not.
    plan : AttackPlan
    seed : int
    exclude : collection of int
        Item rows that may not become targets.

    Returns
    -------
    Injected
        With the tables `attack_users` (`user, kind, direction, template`: the genuine user whose
        length and sessions were taken, whose ratings too in a copy attack) and `attacked_items`
        (`item, kind, direction, window_start, window_end`: seconds, the end not included;
        `n_attackers, n_before`: ratings before the attack).

    Raises
    ------
    InputError
        If the plan makes no sense or the data cannot carry it.
    """
    raise NotImplementedError
