"""Inject drifting items: from some day on they are rated higher, or lower."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from mfdask.downstream.events import Events
from mfdask.downstream.inject.injected import Injected, Scale, choose_items
from mfdask.errors import InputError
from mfdask.kernels.types import Float64s, Int64s
from mfdask.parameters import Parametrised, parameter

#: Between these shares of an item's ratings a step lies, and a ramp begins and ends.
_STEP = (0.3, 0.7)
_RAMP = ((0.1, 0.4), (0.6, 0.9))
_PULSE = ((0.2, 0.4), (0.5, 0.7))


@dataclass(frozen=True)
class DriftPlan(Parametrised):
    """Items whose ratings move."""

    n_items: int = parameter(
        10, "Move the ratings of N items up or down.", "drift", at_least=1, metavar="N"
    )
    size: float = parameter(0.5, "Stars by which a drift moves ratings.", "drift-size", above=0)
    shape: Literal["step", "ramp", "pulse", "spread"] = parameter(
        "step",
        "Whether a drift moves ratings all at once, little by little, for a while only, or apart: "
        "those above the item's mean up and the others down.",
        "drift-shape",
    )
    direction: Literal["both", "up", "down"] = parameter(
        "both", "Which way the ratings of an item move.", "drift-direction"
    )
    min_ratings: int = parameter(30, "Fewest ratings of a drifting item.", at_least=2)


def inject_drift(
    events: Events, n_items: int, plan: DriftPlan, seed: int, exclude: Collection[int] = ()
) -> Injected:
    """Shift the later ratings of some items, each rounded to the scale so that the mean is right.

    Parameters
    ----------
    events, n_items, plan, seed, exclude
        As for `inject_attack`; items in `exclude` are not chosen.

    Returns
    -------
    Injected
        With the table `drifting_items`: `item`, `size` (stars, with its sign), `shape`, `begin`
        and `end` (seconds; the same for a step and a spread), `n_before`, `n_after` (ratings before
        the beginning, and with the whole drift), `shift` (the mean change of the latter: nearer to
        zero than the size where the scale ends).

    Raises
    ------
    InputError
        If too few items have the ratings.
    """
    random = np.random.default_rng([seed, 4])
    scale = Scale.of(events.ratings)
    if plan.size > scale.high - scale.low:
        raise InputError(f"drift of {plan.size:g} stars: the scale is {scale.low:g}-{scale.high:g}")
    chosen = choose_items(events, n_items, plan.n_items, plan.min_ratings, exclude, random)
    signs = {"up": [1], "down": [-1], "both": [-1, 1]}[plan.direction]
    sizes = plan.size * random.choice(signs, len(chosen))
    ratings, lines = events.ratings.copy(), []
    for (item, places), size in zip(chosen, sizes, strict=True):
        times, old = events.timestamps[places], events.ratings[places]
        begin, end = _dates(times, plan, random)
        there = effect(times, begin, end, plan.shape)
        shift = size * there
        if plan.shape == "spread":
            shift = np.abs(shift) * np.sign(old - old.mean())
        moved = scale.near(old + shift, random)
        ratings[places] = np.where(shift == 0, old, moved)  # none: ratings stay as they are
        after = there == 1
        lines.append(
            {
                "item": item,
                "size": size,
                "shape": plan.shape,
                "begin": begin,
                "end": end,
                "n_before": int((times < begin).sum()),
                "n_after": int(after.sum()),
                "shift": float((ratings[places] - old)[after].mean()),
            }
        )
    truth = {"drifting_items": pd.DataFrame(lines)}
    return Injected(events._replace(ratings=ratings), n_items, truth)


def effect(times: Int64s, begin: int, end: int, shape: str = "step") -> Float64s:
    """Return how much of the drift is there at each time, 0 to 1."""
    if shape == "pulse":
        return ((times >= begin) & (times < end)).astype(np.float64)
    if begin == end:
        return (times >= begin).astype(np.float64)
    return np.clip((times - begin) / (end - begin), 0.0, 1.0)


def _dates(times: Int64s, plan: DriftPlan, random: np.random.Generator) -> tuple[int, int]:
    """Draw the beginning and the end: moments at which the item was rated."""
    ranges = {"ramp": _RAMP, "pulse": _PULSE}.get(plan.shape, (_STEP,))
    places = [int(random.uniform(*share) * len(times)) for share in ranges]
    dates = np.sort(times)[places]
    return int(dates[0]), int(dates[-1])
