"""Filler items and ratings of attackers, by kind of attack.

Kinds and names are those of Mobasher, Burke, Bhaumik and Williams, "Toward trustworthy recommender
systems" (ACM Transactions on Internet Technology 7, 2007); average-over-popular is from Hurley,
Cheng and Zhang, "Statistical attack detection" (RecSys 2009). A recipe is handed the profile of a
genuine user and makes fillers of the same number, so that lengths give nobody away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mfdask.downstream.events import Events
from mfdask.downstream.inject.injected import Scale
from mfdask.kernels.types import Float32s, Float64s, Int32s, Int64s

Fillers = tuple[Int32s, Float32s]

#: Items of the selected set (bandwagon, segment) in one profile, and in the pool these come from.
SELECTED, SELECTED_POOL = 10, 30
#: Share of the rated items that count as popular for average-over-popular.
POPULAR_SHARE = 0.2
#: A rating near the end of the scale is so much of the scale from it: 4 of half to five stars.
NEAR = 2 / 9
#: Of an obfuscated copy, the share of items that are others, and the deviation of the noise of
#: the ratings, as a share of the scale.
SWAPPED, NOISE = 0.2, 0.15
#: Kinds whose fillers come in the order of the template's time.
IN_ORDER = ("copy", "obfuscated")


@dataclass(frozen=True, eq=False)
class World:
    """Public statistics of the ratings, which attackers make profiles from.

    Attributes
    ----------
    events : Events
    scale : Scale
    n_items : int
    targets : int32 (targets,)
    push : bool
    uniform : bool
        Whether all items are alike likely to be fillers.
    """

    events: Events
    scale: Scale
    n_items: int
    targets: Int32s
    push: bool
    uniform: bool

    @property
    def target_rating(self) -> float:
        """What the targets get."""
        return self.scale.high if self.push else self.scale.low

    def target_ratings(self, n: int, stars: str, random: np.random.Generator) -> Float32s:
        """Return `n` ratings of targets: at the end of the scale, near it, or mixed, float32."""
        end, sign = self.target_rating, 1 if self.push else -1
        if stars == "end":
            return np.full(n, end, np.float32)
        wanted = end - sign * NEAR * (self.scale.high - self.scale.low)
        values = self.scale.values
        near = values[np.argmin(np.abs(values - wanted))] if len(values) else wanted
        chance = 1.0 if stars == "near" else 0.5
        return np.where(random.random(n) < chance, near, end).astype(np.float32)

    @cached_property
    def counts(self) -> Int64s:
        """Ratings of each item, int64 (items,)."""
        return np.bincount(self.events.items, minlength=self.n_items)

    @cached_property
    def overall(self) -> tuple[float, float]:
        """Mean and standard deviation of all ratings."""
        return float(self.events.ratings.mean()), float(self.events.ratings.std())

    @cached_property
    def of_items(self) -> tuple[Float64s, Float64s]:
        """Mean and standard deviation of each item, float64 (items,).

        The deviation is that of all ratings where an item has but one.
        """
        items, counts = self.events.items, np.maximum(self.counts, 1)
        mean = np.bincount(items, self.events.ratings, self.n_items) / counts
        squares = np.bincount(items, (self.events.ratings - mean[items]) ** 2, self.n_items)
        deviation = np.where(self.counts > 1, np.sqrt(squares / counts), self.overall[1])
        return mean, np.asarray(deviation, np.float64)

    @cached_property
    def weights(self) -> Float64s:
        """How likely each item is to be a filler, float64 (items,), up to a factor.

        A user with twenty ratings mostly knows famous items, and most users are of that kind. By
        their number of ratings, to which a few busy users give most, items would be too obscure.
        """
        if self.uniform:
            weights = (self.counts > 0).astype(np.float64)
        else:
            lengths = np.diff(self.events.indptr)
            shares = 1 / np.repeat(lengths, lengths)  # of each rating in its user's profile
            sums = np.bincount(self.events.items, shares, self.n_items)
            weights = np.asarray(sums, np.float64)
        weights[self.targets] = 0.0
        return weights

    @cached_property
    def by_popularity(self) -> Int64s:
        """Possible fillers, the most rated first, int64 (fillers,)."""
        order = np.argsort(-self.counts, kind="stable")
        return order[self.weights[order] > 0]

    @cached_property
    def bandwagon(self) -> Int64s:
        """Items that many people know, well liked for a push and disliked otherwise."""
        known = self.by_popularity[: 3 * SELECTED_POOL]
        mean = self.of_items[0][known]
        return known[np.argsort(-mean if self.push else mean, kind="stable")[:SELECTED_POOL]]

    @cached_property
    def segment(self) -> Int64s:
        """Items with the targets' audience: the largest cosine between the columns of raters."""
        users, items = self.events.users, self.events.items
        audience = np.zeros(len(self.events.indptr) - 1, bool)
        audience[users[np.isin(items, self.targets)]] = True
        together = np.bincount(items[audience[users]], minlength=self.n_items)
        cosine = together / np.sqrt(np.maximum(self.counts, 1))
        order = np.argsort(-cosine, kind="stable")
        return order[self.weights[order] > 0][:SELECTED_POOL]

    def draw(self, n: int, random: np.random.Generator, but: npt.ArrayLike = ()) -> Int32s:
        """Draw `n` different fillers, int32 (n,), none of those in `but`."""
        weights = self.weights.copy()
        weights[np.asarray(but, np.int64)] = 0.0
        possible = np.flatnonzero(weights)
        # The first to arrive in exponential races are a weighted sample without replacement.
        arrival = random.standard_exponential(len(possible)) / weights[possible]
        return possible[np.argsort(arrival)[:n]].astype(np.int32)

    def like_items(self, items: Int32s, random: np.random.Generator) -> Float32s:
        """Draw a rating for each item, normal around the item's own mean."""
        mean, deviation = self.of_items
        return self.scale.near(random.normal(mean[items], deviation[items]), random)


def _random(world: World, template: Fillers, random: np.random.Generator) -> Fillers:
    """Rate fillers around the mean of all ratings."""
    items = world.draw(len(template[0]), random)
    return items, world.scale.near(random.normal(*world.overall, len(items)), random)


def _average(world: World, template: Fillers, random: np.random.Generator) -> Fillers:
    """Rate fillers around their own means."""
    items = world.draw(len(template[0]), random)
    return items, world.like_items(items, random)


def _bandwagon(world: World, template: Fillers, random: np.random.Generator) -> Fillers:
    """Rate some items everybody knows like the target, and fillers as in a random attack."""
    selected, items = _selected(world, world.bandwagon, len(template[0]), random)
    liked = np.full(len(selected), world.target_rating, np.float32)
    others = world.scale.near(random.normal(*world.overall, len(items)), random)
    return np.append(selected, items), np.append(liked, others)


def _segment(world: World, template: Fillers, random: np.random.Generator) -> Fillers:
    """Give the highest rating to what the target's audience rates, and the lowest to fillers."""
    selected, items = _selected(world, world.segment, len(template[0]), random)
    stars = np.repeat([world.scale.high, world.scale.low], [len(selected), len(items)])
    return np.append(selected, items), stars.astype(np.float32)


def _love_hate(world: World, template: Fillers, random: np.random.Generator) -> Fillers:
    """Give fillers the opposite of what the target gets."""
    items = world.draw(len(template[0]), random)
    opposite = world.scale.low if world.push else world.scale.high
    return items, np.full(len(items), opposite, np.float32)


def _average_over_popular(world: World, template: Fillers, random: np.random.Generator) -> Fillers:
    """Rate popular items, all alike likely, around their own means."""
    n = len(template[0])
    pool = world.by_popularity[: max(n, round(POPULAR_SHARE * len(world.by_popularity)))]
    items = random.permutation(pool)[:n].astype(np.int32)
    return items, world.like_items(items, random)


def _copy(world: World, template: Fillers, random: np.random.Generator) -> Fillers:
    """Rate what the genuine user rated, in the same way."""
    return template


def _obfuscated(world: World, template: Fillers, random: np.random.Generator) -> Fillers:
    """Copy the genuine user, with some items that are others and noise on all ratings."""
    items, ratings = template[0].copy(), template[1].astype(np.float64)
    swapped = np.flatnonzero(random.random(len(items)) < SWAPPED)
    others = world.draw(len(swapped), random, but=items)
    items[swapped[: len(others)]] = others
    ratings[swapped] = random.normal(*world.overall, len(swapped))
    noise = NOISE * (world.scale.high - world.scale.low)
    return items, world.scale.near(ratings + random.normal(0, noise, len(items)), random)


def _selected(
    world: World, pool: Int64s, n: int, random: np.random.Generator
) -> tuple[Int32s, Int32s]:
    """Split `n` fillers: items of the pool, at most half of them all, and others."""
    n_selected = min(SELECTED, len(pool), (n + 1) // 2)
    selected = random.permutation(pool)[:n_selected].astype(np.int32)
    return selected, world.draw(n - n_selected, random, but=selected)


Recipe = Callable[[World, Fillers, np.random.Generator], Fillers]

RECIPES: Mapping[str, Recipe] = {
    "random": _random,
    "average": _average,
    "bandwagon": _bandwagon,
    "segment": _segment,
    "love-hate": _love_hate,
    "aop": _average_over_popular,
    "copy": _copy,
    "obfuscated": _obfuscated,
}
