"""Inject changes of audience: items whose later raters are harsher, or kinder, people."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from mfdask.downstream.events import Events
from mfdask.downstream.inject.injected import Injected, choose_items
from mfdask.kernels.types import Bools, Float32s, Float64s, Int64s
from mfdask.parameters import Parametrised, parameter


@dataclass(frozen=True)
class MixPlan(Parametrised):
    """Items whose audience changes."""

    n_items: int = parameter(
        10,
        "A trap: let harsher or kinder people rate N items from some day on; no opinion changes.",
        "mix",
        at_least=1,
        metavar="N",
    )
    direction: Literal["both", "harsher", "kinder"] = parameter(
        "both", "What the later raters of an item are.", "mix-direction"
    )
    min_ratings: int = parameter(60, "Fewest ratings of an item of mixed audience.", at_least=4)


def inject_mix(
    events: Events, n_items: int, plan: MixPlan, seed: int, exclude: Collection[int] = ()
) -> Injected:
    """Take away the kinder half (or the harsher) of an item's later raters, and half of the others.

    How kind somebody is, is the mean of their ratings of *other* items above these items' means, so
    that no rating is chosen for what it is. All that is left is as it was.

    Parameters
    ----------
    events, n_items, plan, seed, exclude
        As for `inject_attack`; items in `exclude` are not chosen.

    Returns
    -------
    Injected
        With the table `mixed_items`: `item`, `direction`, `cut` (seconds), `n_before`, `n_after`
        (ratings left before it, and from it on), `n_removed`, `shift` (by how many stars the mean
        after the cut less the mean before it has changed).

    Raises
    ------
    InputError
        If too few items have the ratings.
    """
    random = np.random.default_rng([seed, 3])
    chosen = choose_items(events, n_items, plan.n_items, plan.min_ratings, exclude, random)
    kindness = _kindness(events, n_items)
    choices = ["harsher", "kinder"] if plan.direction == "both" else [plan.direction]
    kept, lines = np.ones(len(events.items), bool), []
    for item, places in chosen:
        direction = str(random.choice(choices))
        times, ratings = events.timestamps[places], events.ratings[places]
        late = _upper_half(times, np.ones(len(times), bool))
        sign = 1 if direction == "kinder" else -1
        stays = _upper_half(sign * kindness[places], late)
        stays |= _upper_half(random.random(len(places)), ~late)
        kept[places] = stays
        lines.append(
            {
                "item": item,
                "direction": direction,
                "cut": int(times[late].min()),
                "n_before": int((stays & ~late).sum()),
                "n_after": int((stays & late).sum()),
                "n_removed": int((~stays).sum()),
                "shift": _step(ratings[stays], late[stays]) - _step(ratings, late),
            }
        )
    truth = {"mixed_items": pd.DataFrame(lines)}
    return Injected(events.only(kept), n_items, truth)


def _kindness(events: Events, n_items: int) -> Float64s:
    """Return the mean deviation of the rater's other ratings, of each event; 0 without others."""
    users, items = events.users, events.items
    counts = np.maximum(np.bincount(items, minlength=n_items), 1)
    means = np.bincount(items, events.ratings, n_items) / counts
    deviation = events.ratings - means[items]
    others = np.diff(events.indptr)[users] - 1
    total = np.bincount(users, deviation, len(events.indptr) - 1)[users] - deviation
    return np.where(others > 0, total / np.maximum(others, 1), 0.0)


def _upper_half(values: Float64s | Int64s, among: Bools) -> Bools:
    """Return the larger half of the values among some; of an odd number, the middle one too."""
    places = np.flatnonzero(among)
    order = places[np.argsort(values[places], kind="stable")]
    chosen = np.zeros(len(values), bool)
    chosen[order[len(order) // 2 :]] = True
    return chosen


def _step(ratings: Float32s, late: Bools) -> float:
    """Return the mean of the later ratings less that of the earlier ones."""
    return float(ratings[late].mean() - ratings[~late].mean())
