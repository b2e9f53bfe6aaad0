"""Attacks of every kind at every timing: ours, and six that `inject` does not make.

``python -m tests.trials.grid FILE.zip|DATA --seeds N`` prints the mean AUC of `evidence`, a line
for each kind and size, beside that of the best single measure of shilling research.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from unittest.mock import patch

import numpy as np
import pandas as pd

from mfdask.downstream.anomalies.attacks import suspected_attacks
from mfdask.downstream.events import Events
from mfdask.downstream.inject import AttackPlan, Injected, inject_attack, recipes
from mfdask.downstream.inject.recipes import Fillers, Recipe, World
from mfdask.kernels.types import Float32s, Int32s, Int64s
from tests.downstream.movielens import read_events
from tests.trials.attacks import _matrix, ranking_of
from tests.trials.profiles import SUSPICIOUS, nearest_similarities, profile_features

#: The most active users that power users are made from.
_POWER = 20
#: When attackers rate, and what they give their target; "none" is without times.
TIMINGS = {
    "7": ("window", 7.0, "end"),
    "7, 4 stars": ("window", 7.0, "near"),
    "30": ("window", 30.0, "end"),
    "30, mixed": ("window", 30.0, "mixed"),
    "300": ("window", 300.0, "end"),
    "300, mixed": ("window", 300.0, "mixed"),
    "calendar": ("calendar", 7.0, "end"),
    "calendar, 4 stars": ("calendar", 7.0, "near"),
    "none": ("calendar", 7.0, "end"),
}


def _probe(world: World, template: Fillers, random: np.random.Generator) -> Fillers:
    """Rate an eighth of a genuine user's items as that one, and the others around their means."""
    order = random.permutation(len(template[0]))
    items, ratings = template[0][order], template[1][order]
    n = min(len(items), max(5, len(items) // 8))
    ratings[n:] = world.like_items(items[n:], random)
    return items, ratings


def _popular(world: World, template: Fillers, random: np.random.Generator) -> Fillers:
    """Rate popular items at or near the end of the scale, by which side of the mean they are."""
    n, scale = len(template[0]), world.scale
    items = random.permutation(world.by_popularity[: max(n, 100)])[:n].astype(np.int32)
    liked = world.of_items[0][items] > world.overall[0]
    if world.push:
        ratings = np.where(liked, scale.low + 1, scale.low)
    else:
        ratings = np.where(liked, scale.high, scale.high - 1)
    return items, ratings.astype(np.float32)


def _reverse_bandwagon(world: World, template: Fillers, random: np.random.Generator) -> Fillers:
    """Give known items that are disliked (in a nuke: rare ones) the lowest, others as in random."""
    known = world.by_popularity[: 3 * recipes.SELECTED_POOL]
    worst = known[np.argsort(world.of_items[0][known], kind="stable")[: recipes.SELECTED_POOL]]
    pool = worst if world.push else world.by_popularity[-recipes.SELECTED_POOL :]
    n = len(template[0])
    selected = random.permutation(pool)[: min(recipes.SELECTED, (n + 1) // 2)].astype(np.int32)
    others = world.draw(n - len(selected), random, but=selected)
    near = world.scale.near(random.normal(*world.overall, len(others)), random)
    return np.append(selected, others), np.append(
        np.full(len(selected), world.scale.low, np.float32), near
    )


def _power_user(world: World, template: Fillers, random: np.random.Generator) -> Fillers:
    """Copy as much as is needed of one of the most active users."""
    events, n = world.events, len(template[0])
    user = random.choice(np.argsort(-np.diff(events.indptr), kind="stable")[:_POWER])
    own: Int64s = np.arange(events.indptr[user], events.indptr[user + 1])
    own = random.permutation(own[~np.isin(events.items[own], world.targets)])[:n]
    items: Int32s = events.items[own]
    more = world.draw(n - len(items), random, but=items)
    ratings: Float32s = np.append(events.ratings[own], world.like_items(more, random))
    return np.append(items, more), ratings


def _noisy_average(world: World, template: Fillers, random: np.random.Generator) -> Fillers:
    """Rate fillers around their means, further from them than genuine users do."""
    items = world.draw(len(template[0]), random)
    mean, deviation = world.of_items
    wanted = random.normal(mean[items], 1.5 * deviation[items] + 0.2)
    return items, world.scale.near(wanted, random)


def _mixed(world: World, template: Fillers, random: np.random.Generator) -> Fillers:
    """Follow any of the recipes of `inject`, each attacker another one."""
    return _OURS[random.integers(len(_OURS))](world, template, random)


_OURS: Sequence[Recipe] = tuple(recipes.RECIPES.values())
#: Kinds that `inject` does not make.
OTHERS: dict[str, Recipe] = {
    "probe": _probe,
    "popular": _popular,
    "reverse bandwagon": _reverse_bandwagon,
    "power users": _power_user,
    "noisy average": _noisy_average,
    "mixed": _mixed,
}


def attacked(
    events: Events, n_items: int, kind: str, size: float, timing: str, seed: int
) -> Injected:
    """Inject an attack, push with even seeds and nuke with odd ones."""
    when, days, stars = TIMINGS[timing]
    plan = AttackPlan(
        "average" if kind in OTHERS else kind,
        "nuke" if seed % 2 else "push",
        size,
        days,
        timing=when,  # type: ignore[arg-type]
        target_stars=stars,  # type: ignore[arg-type]
    )
    if timing == "none":
        events = events._replace(timestamps=np.zeros_like(events.timestamps))
    if kind in OTHERS:
        object.__setattr__(plan, "kind", kind)
    with patch.dict(recipes.RECIPES, OTHERS):  # type: ignore[arg-type]
        return inject_attack(events, n_items, plan, seed)


def grid(
    events: Events,
    n_items: int,
    kinds: Sequence[str],
    sizes: Sequence[float],
    timings: Sequence[str],
    seeds: Sequence[int],
) -> pd.DataFrame:
    """Return the AUC of all evidence, and of each baseline, a line for each attack."""
    near = nearest_similarities(_matrix(Injected(events, n_items, {})).astype(np.float64))
    lines = []
    for seed, timing, size, kind in itertools.product(seeds, timings, sizes, kinds):
        made = attacked(events, n_items, kind, size, timing, seed)
        attacker = np.zeros(made.n_users, bool)
        attacker[made.truth["attack_users"]["user"]] = True
        found = suspected_attacks(made.events, n_items)
        table = made.users, made.items, made.ratings, made.n_users, n_items
        profiles = profile_features(*table, "nuke" if seed % 2 else "push", near)
        line = {"kind": kind, "size": size, "timing": timing, "seed": seed}
        line["auc"] = ranking_of(found.scores.users, attacker)["auc"]
        for name, sign in SUSPICIOUS.items():
            line[name] = ranking_of(sign * profiles[name].to_numpy(), attacker)["auc"]
        lines.append(line)
    return pd.DataFrame(lines)


def best_baseline(trials: pd.DataFrame) -> pd.DataFrame:
    """Return means over seeds: `auc`, and `best`, that of the best baseline for each cell."""
    mean = trials.groupby(["timing", "size", "kind"], sort=False).mean(numeric_only=True)
    return mean.assign(best=mean[list(SUSPICIOUS)].max(axis=1))[["auc", "best"]]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.03, 0.05, 0.1])
    parser.add_argument("--timings", nargs="+", default=list(TIMINGS), choices=list(TIMINGS))
    every = [*recipes.RECIPES, *OTHERS]
    parser.add_argument("--kinds", nargs="+", default=every, choices=every)
    given = parser.parse_args()
    ratings = read_events(given.data)
    trials = grid(*ratings, given.kinds, given.sizes, given.timings, range(given.seeds))
    cells = best_baseline(trials)
    print(cells["auc"].unstack("timing").round(3).to_string())
    print(f"most below the best baseline: {(cells['best'] - cells['auc']).max():.3f}")
