"""Inject shilling attacks: made-up users who push an item or talk it down."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from mfdask.downstream.events import DAY, Events
from mfdask.downstream.inject.injected import Injected, Scale, allowed, places_of
from mfdask.downstream.inject.recipes import IN_ORDER, RECIPES, World
from mfdask.downstream.inject.sessions import moved_into
from mfdask.errors import InputError, require
from mfdask.kernels.types import Float32s, Int32s, Int64s
from mfdask.parameters import Parametrised, parameter

Direction = Literal["push", "nuke"]

KINDS = tuple(RECIPES)


@dataclass(frozen=True)
class AttackPlan(Parametrised):
    """One attack: some users, who all rate the same targets within one window of time."""

    kind: str = parameter(
        "average", f"Add attackers: {', '.join(KINDS)}.", "attack", choices=KINDS, metavar="KIND"
    )
    direction: Direction = parameter(
        "push", "push: attackers give their targets the highest rating; nuke: the lowest."
    )
    size: float = parameter(
        0.05, "Attackers, as a share of the genuine users; up to 0.5.", above=0, at_most=0.5
    )
    window_days: float = parameter(7.0, "Days within which all attackers rate.", above=0)
    n_targets: int = parameter(1, "Attacked items.", "targets", at_least=1)
    timing: Literal["window", "calendar"] = parameter(
        "window",
        "window: attackers rate within some days; calendar: at the very times of the genuine "
        "users that they are modelled on.",
    )
    target_stars: Literal["end", "near", "mixed"] = parameter(
        "end",
        "What targets get: the end of the scale, two ninths of it nearer to the middle (4 of 5 "
        "stars), or either by chance.",
        "target-stars",
    )
    target_ratings: tuple[int, int] = (5, 50)  # of an item that may be one, from and to
    fillers: Literal["popular", "uniform"] = parameter(
        "popular",
        "Other items that attackers rate: as popular as in an average profile, or all alike.",
    )

    def __post_init__(self) -> None:
        """Refuse what makes no sense for any data."""
        super().__post_init__()
        low, high = self.target_ratings
        require(1 <= low <= high, "target_ratings", (low, high), "1 or more, in order")


def inject_attack(
    events: Events, n_items: int, plan: AttackPlan, seed: int, exclude: Collection[int] = ()
) -> Injected:
    """Add the users of an attack behind the genuine ones, whose ratings stay as they are.

    Parameters
    ----------
    events : Events
        Of all users, from `all_events`. Where all times are the same, so are those of the attack.
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
        If the data cannot carry the plan.
    """
    random = np.random.default_rng([seed, 1])
    targets = _targets(events, n_items, plan, exclude, random)
    timed = plan.timing == "window" and np.ptp(events.timestamps) > 0
    window = _window(events, targets, plan, random) if timed else None
    templates = _templates(events, plan, random)
    world = World(
        events,
        Scale.of(events.ratings),
        n_items,
        targets,
        push=plan.direction == "push",
        uniform=plan.fillers == "uniform",
    )
    profiles = [_profile(world, plan, window, row, random) for row in templates]
    window = window or _span(profiles, targets)
    return Injected(_behind(events, profiles), n_items, _truth(world, plan, window, templates))


class _Profile(NamedTuple):
    """What one attacker rates, in the order of time."""

    items: Int32s
    ratings: Float32s
    timestamps: Int64s


def _targets(
    events: Events,
    n_items: int,
    plan: AttackPlan,
    exclude: Collection[int],
    random: np.random.Generator,
) -> Int32s:
    """Draw the targets: little known items that have something to gain, or to lose."""
    counts = np.bincount(events.items, minlength=n_items)
    mean = np.bincount(events.items, events.ratings, n_items) / np.maximum(counts, 1)
    sign = 1 if plan.direction == "push" else -1
    low, high = plan.target_ratings
    fit = allowed(n_items, exclude) & (counts >= low) & (counts <= high)
    fit &= sign * mean <= sign * float(events.ratings.mean())
    possible = np.flatnonzero(fit)
    if len(possible) < plan.n_targets:
        raise InputError(
            f"{plan.n_targets} targets: only {len(possible)} items have {low} to {high} ratings "
            f"and a mean {'below' if sign > 0 else 'above'} that of all; give fewer targets "
            "or wider `target_ratings`"
        )
    return np.sort(random.choice(possible, plan.n_targets, replace=False)).astype(np.int32)


def _window(
    events: Events, targets: Int32s, plan: AttackPlan, random: np.random.Generator
) -> tuple[int, int]:
    """Place the window where people are active: it begins with a genuine rating, drawn at random.

    Not before every target has a rating, where the data leave the room for that.
    """
    times, length = events.timestamps, max(1, round(plan.window_days * DAY))
    first, last = int(times.min()), int(times.max()) + 1
    if length > last - first:
        raise InputError(
            f"window of {plan.window_days:g} days: the ratings span "
            f"{(last - first) / DAY:.1f} days; give fewer `window_days`"
        )
    known = max(int(times[places].min()) for places in places_of(events, targets))
    later = times[times >= known]
    start = min(int(later[random.integers(len(later))]), last - length)
    return start, start + length


def _templates(events: Events, plan: AttackPlan, random: np.random.Generator) -> Int64s:
    """Draw the genuine users that the attackers are modelled on, each once if there are enough."""
    lengths = np.diff(events.indptr)
    n_attackers = max(1, round(plan.size * np.count_nonzero(lengths)))
    long_enough = np.flatnonzero(lengths > plan.n_targets)
    if len(long_enough) == 0:
        raise InputError(f"{plan.n_targets} targets: no user has rated more items; give fewer")
    return np.resize(random.permutation(long_enough), n_attackers)


def _profile(
    world: World,
    plan: AttackPlan,
    window: tuple[int, int] | None,
    template: int,
    random: np.random.Generator,
) -> _Profile:
    """Make one attacker with as many ratings and sessions as the template.

    Without a window the times are the template's own.
    """
    events, n_targets = world.events, len(world.targets)
    own = slice(*events.indptr[template : template + 2])
    length = own.stop - own.start
    others = np.flatnonzero(~np.isin(events.items[own], world.targets)) + own.start
    kept = np.sort(random.permutation(others)[: length - n_targets])
    fillers = RECIPES[plan.kind](world, (events.items[kept], events.ratings[kept]), random)
    # Fillers are in the order of time in a copy, and in none elsewhere.
    order = np.arange(len(kept)) if plan.kind in IN_ORDER else random.permutation(len(kept))
    is_target = np.zeros(length, bool)
    is_target[random.permutation(length)[:n_targets]] = True
    items = np.empty(length, np.int32)
    ratings = world.target_ratings(length, plan.target_stars, random)
    items[is_target] = random.permutation(world.targets)
    items[~is_target], ratings[~is_target] = (column[order] for column in fillers)
    times = events.timestamps[own]
    if window is not None:
        times = moved_into(times, *window, random)
    order = np.lexsort((items, times))  # equal times go by item, as in all events
    return _Profile(items[order], ratings[order], times[order])


def _span(profiles: list[_Profile], targets: Int32s) -> tuple[int, int]:
    """Return the times of the first and the last rating of the targets, the latter not included."""
    times = np.concatenate([p.timestamps[np.isin(p.items, targets)] for p in profiles])
    return int(times.min()), int(times.max()) + 1


def _behind(events: Events, profiles: list[_Profile]) -> Events:
    """Append the profiles as users of their own."""
    lengths = [len(profile.items) for profile in profiles]
    items, ratings, timestamps = (np.concatenate(column) for column in zip(*profiles, strict=True))
    return Events(
        events.start,
        np.append(events.indptr, events.indptr[-1] + np.cumsum(lengths)),
        np.append(events.items, items),
        np.append(events.ratings, ratings),
        np.append(events.timestamps, timestamps),
        np.append(events.held_out, np.zeros(len(items), bool)),
    )


def _truth(
    world: World, plan: AttackPlan, window: tuple[int, int], templates: Int64s
) -> dict[str, pd.DataFrame]:
    """Return who attacked what, when and how."""
    what = {"kind": plan.kind, "direction": plan.direction}
    n_users = len(world.events.indptr) - 1
    attackers = np.arange(n_users, n_users + len(templates))
    return {
        "attack_users": pd.DataFrame({"user": attackers, **what, "template": templates}),
        "attacked_items": pd.DataFrame(
            {
                "item": world.targets,
                **what,
                "window_start": window[0],
                "window_end": window[1],
                "n_attackers": len(templates),
                "n_before": world.counts[world.targets],
            }
        ),
    }
