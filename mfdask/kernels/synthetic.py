"""Make up the ratings of a range of users: which items, how many stars, and when.

Every random number is a hash of (seed, user, purpose, draw), so a user's ratings are the same
whichever part, thread or process makes them.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

#: What a random number is for: each purpose has its own stream.
ITEM_STREAM, STAR_STREAM, TIME_STREAM, TASTE_STREAM = 1, 2, 3, 4

#: Draws by popularity before the next free item after a random one is taken.
TRIES = 32
#: How strongly people pick what they will like: 0 would be picking by popularity alone.
CHOICE = 3.0
MEAN = 3.4
USER_SPREAD = 0.42
NOISE = 0.7
WHOLE_STARS = 0.5
"""Share of the users who never give half a star."""

DAY = 86_400
OPENING = 820_454_400
"""1996-01-01, in seconds since 1970: the first user may arrive."""
CLOSING = 1_696_118_400
"""2023-10-01: the last session may start."""
LOYAL = 0.2
LOYAL_LIFE = 1500.0 * DAY
SHORT_LIFE = 120.0 * DAY
RATINGS_PER_SESSION = 8
MOST_SESSIONS = 512
PAUSE = 25.0
"""Seconds between two ratings of a session, on average."""


@njit(nogil=True, cache=True)
def bits(key, draw):
    """Hash (key, draw) to 64 random bits: the splitmix64 generator as a function of its counter.

    Parameters
    ----------
    key : uint64
    draw : int or int64 array
        Number of the draw, from 0.

    Returns
    -------
    uint64 or uint64 array
    """
    z = key + np.uint64(0x9E3779B97F4A7C15) * (draw + np.uint64(1))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(nogil=True, cache=True)
def uniform(key, draw):
    """Draw from [0, 1): float64."""
    return np.float64(bits(key, np.uint64(draw)) >> np.uint64(11)) * 2.0**-53


@njit(nogil=True, cache=True)
def normal(key, draw):
    """Draw from the standard normal distribution: float64 (Box and Muller's method)."""
    radius = math.sqrt(-2.0 * math.log(1.0 - uniform(key, 2 * draw)))
    return radius * math.cos(2.0 * math.pi * uniform(key, 2 * draw + 1))


@njit(nogil=True, cache=True)
def _taste(user, vectors, item):
    total = np.float32(0.0)
    for f in range(user.size):
        total += user[f] * vectors[item, f]
    return total


@njit(nogil=True, cache=True)
def _plan_sessions(key, n, years_open, starts):
    """Fill `starts` with the times of a user's sessions, ascending; return how many there are.

    Some users stay for years and most for months; visits grow rarer. A user who rates more than
    half of what was out by the end of that life stays to the closing day, when everything is out.
    """
    arrival = OPENING + np.int64(uniform(key, 0) * (CLOSING - OPENING))
    life = LOYAL_LIFE if uniform(key, 1) < LOYAL else SHORT_LIFE
    life = min(-life * math.log(1.0 - uniform(key, 2)), np.float64(CLOSING - arrival))
    n_sessions = 1 + np.int64(uniform(key, 3) ** 2 * n / RATINGS_PER_SESSION)
    n_sessions = min(n_sessions, 1 + np.int64(life / DAY), MOST_SESSIONS)
    out = np.searchsorted(years_open, arrival + np.int64(life), side="right")
    if 2 * n > out:
        life = np.float64(CLOSING - arrival)
        n_sessions = max(n_sessions, 2)
    for s in range(n_sessions):
        place = np.float64(s)
        if 0 < s < n_sessions - 1:
            place += uniform(key, 4 + s)
        part = place / max(n_sessions - 1, 1)
        starts[s] = arrival + np.int64(life * part * math.sqrt(part))
    return n_sessions


@njit(nogil=True, cache=True)
def _pick(key, draw, user, vectors, released, until, reach, taken, mark):
    """Draw one item that is out by `until` and not yet taken; return it and the next draw."""
    n_items = released.size
    cut = n_items / (n_items + reach)
    for _ in range(TRIES):
        u = cut * uniform(key, draw)
        item = min(np.int64(reach * u / (1.0 - u)), n_items - 1)
        draw += 2
        if taken[item] != mark and released[item] <= until:
            liking = CHOICE * _taste(user, vectors, item)
            if 2.0 * uniform(key, draw - 1) < 1.0 + liking / (1.0 + abs(liking)):
                return item, draw
    item = np.int64(uniform(key, draw) * n_items)
    while taken[item] == mark or released[item] > until:
        item = (item + 1) % n_items
    return item, draw + 1


@njit(nogil=True, cache=True)
def _pick_items(key, user, vectors, released, until, reach, owed, taken, mark, items):
    """Fill `items` with different items, first those of the range `owed` that are out."""
    n = 0
    for item in range(owed[0], owed[1]):
        if n < items.size and released[item] <= until:
            items[n] = item
            taken[item] = mark
            n += 1
    draw = 0
    for place in range(n, items.size):
        item, draw = _pick(key, draw, user, vectors, released, until, reach, taken, mark)
        items[place] = item
        taken[item] = mark


@njit(nogil=True, cache=True)
def _give_stars(key, user, vectors, item_bias, items, stars):
    """Rate `items`: mean, biases, taste and noise, on a scale of half or whole stars."""
    bias = MEAN + USER_SPREAD * normal(key, 0)
    step = 1.0 if uniform(key, 2) < WHOLE_STARS else 0.5
    for place in range(items.size):
        item = items[place]
        value = bias + item_bias[item] + _taste(user, vectors, item)
        value += NOISE * normal(key, 2 + place)
        stars[place] = min(max(step * math.floor(value / step + 0.5), step), 5.0)


@njit(nogil=True, cache=True)
def _give_times(key, released, items, starts, times):
    """Put each item into a session not before its release; the first such one is the likeliest.

    `starts` is used up: each session's entry moves on to the time of its next rating.
    """
    first_start = starts.copy()
    for place in range(items.size):
        earliest = np.searchsorted(first_start, released[items[place]])
        u = uniform(key, 2 * place)
        session = earliest + np.int64(u * math.sqrt(u) * (starts.size - earliest))
        times[place] = starts[session]
        starts[session] += 1 - np.int64(PAUSE * math.log(1.0 - uniform(key, 2 * place + 1)))


@njit(nogil=True, cache=True)
def make_ratings(seed, first, last, offsets, vectors, item_bias, released, reach):
    """Make the ratings of users `first` to `last - 1`.

    Parameters
    ----------
    seed : uint64
    first, last : int
        Range of users.
    offsets : int64[n_users + 1]
        Ratings before each user; the last entry is the number of all ratings.
    vectors : float32[n_items, n_tastes]
        What there is to like about each item, most popular item first.
    item_bias : float32[n_items]
        How much better than the mean each item is.
    released : int64[n_items]
        Seconds since 1970 before which nobody rates the item.
    reach : float
        Popularity falls as ``(1 + item / reach)**-2``.

    Returns
    -------
    items : int64[n]
        Item rows, different ones for each user.
    stars : float32[n]
        Half-star grid, 0.5 to 5.
    times : int64[n]
        Seconds since 1970.
    """
    n_items, n_tastes = vectors.shape
    begin = offsets[first]
    items = np.empty(offsets[last] - begin, np.int64)
    stars = np.empty(items.size, np.float32)
    times = np.empty(items.size, np.int64)
    taken = np.full(n_items, -1, np.int64)
    starts = np.empty(MOST_SESSIONS, np.int64)
    user = np.empty(n_tastes, np.float32)
    releases = np.sort(released)
    for u in range(first, last):
        key = bits(seed, np.uint64(u))
        mine = slice(offsets[u] - begin, offsets[u + 1] - begin)
        for f in range(n_tastes):
            user[f] = normal(bits(key, np.uint64(TASTE_STREAM)), f)
        time_key = bits(key, np.uint64(TIME_STREAM))
        n_sessions = _plan_sessions(time_key, items[mine].size, releases, starts)
        owed = (offsets[u] * n_items // offsets[-1], offsets[u + 1] * n_items // offsets[-1])
        item_key = bits(key, np.uint64(ITEM_STREAM))
        until = starts[n_sessions - 1]
        _pick_items(item_key, user, vectors, released, until, reach, owed, taken, u, items[mine])
        star_key = bits(key, np.uint64(STAR_STREAM))
        _give_stars(star_key, user, vectors, item_bias, items[mine], stars[mine])
        time_key = bits(time_key, np.uint64(0))
        _give_times(time_key, released, items[mine], starts[:n_sessions], times[mine])
    return items, stars, times
