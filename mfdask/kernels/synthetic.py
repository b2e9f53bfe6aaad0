"""Draw synthetic ratings of a range of users: items, stars and times.

Every random number is a hash of (seed, user, purpose, draw), so a user's ratings are the same
whichever part, thread or process makes them.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mfdask.kernels.random import exponential, normal, stream, uniform

#: What a user's random numbers are for: each purpose has a stream of its own.
TASTE, ITEMS, STARS, SESSIONS, TIMES = range(5)

#: Draws by popularity and taste before the next free item is taken, liked or not.
TRIES = 64
#: How strongly people pick what they will like: 0 would be picking by popularity alone.
CHOICE = 3.0

#: Below MovieLens's mean of 3.5, because people pick what they will like.
MEAN = 3.4
USER_SPREAD = 0.42
NOISE = 0.72
#: Share of the users who never give half a star.
WHOLE_STARS = 0.5

DAY = 86_400
#: 1996-01-01, in seconds since 1970: the first users arrive.
OPENING = 820_454_400
#: 2023-10-01: the last sessions start.
CLOSING = 1_696_118_400
#: Share of the users who stay for years; the others stay for months. Mean lives in seconds.
LOYAL, LOYAL_LIFE, SHORT_LIFE = 0.2, 1500.0 * DAY, 120.0 * DAY
#: The mean user has a third as many sessions as one for each so many ratings.
SESSION_RATINGS = 8
MOST_SESSIONS = 512
#: Mean seconds between two ratings of a session.
PAUSE = 25.0


class Items(NamedTuple):
    """Synthetic items, the most popular first."""

    vectors: Any  # float32 (n_items, n_tastes): what there is to like
    bias: Any  # float32 (n_items,): stars above the mean
    released: Any  # int64 (n_items,): seconds since 1970, nobody rates it before
    reach: Any  # float64: popularity falls as (1 + item / reach)**-2


@njit(nogil=True, cache=True)
def _taste(user: NDArray[np.float32], vectors: NDArray[np.float32], item: int) -> float:
    """Stars that a user gives an item for what it is."""
    total = np.float32(0.0)
    for f in range(user.size):
        total += user[f] * vectors[item, f]
    return float(total)


@njit(nogil=True, cache=True)
def _plan_sessions(
    key: np.uint64, n: int, releases: NDArray[np.int64], starts: NDArray[np.int64]
) -> int:
    """Fill `starts` with the times of a user's sessions, ascending; return how many there are.

    Visits grow rarer in the course of a life. A user who rates more than half of what is out by
    the last session (`releases` are in order) stays to the closing day, when everything is out.
    """
    arrival = OPENING + int(uniform(key, 0) * (CLOSING - OPENING))
    life = (LOYAL_LIFE if uniform(key, 1) < LOYAL else SHORT_LIFE) * exponential(key, 2)
    life = min(life, float(CLOSING - arrival))
    n_sessions = 1 + int(uniform(key, 3) ** 2 * n / SESSION_RATINGS)
    n_sessions = min(n_sessions, 1 + int(life / DAY), MOST_SESSIONS)
    last = arrival + int(life) if n_sessions > 1 else arrival
    if 2 * n > np.searchsorted(releases, last, side="right"):
        life = float(CLOSING - arrival)
        n_sessions = max(n_sessions, 2)
    for s in range(n_sessions):
        place = float(s)
        if 0 < s < n_sessions - 1:
            place += uniform(key, 4 + s)
        part = place / max(n_sessions - 1, 1)
        starts[s] = arrival + int(life * part * math.sqrt(part))
    return n_sessions


@njit(nogil=True, cache=True)
def _is_free(item: int, taken: NDArray[np.bool_], items: Items, until: int) -> bool:
    return not taken[item] and items.released[item] <= until


@njit(nogil=True, cache=True)
def _pick(
    key: np.uint64,
    draw: int,
    user: NDArray[np.float32],
    items: Items,
    taken: NDArray[np.bool_],
    until: int,
    first_free: int,
) -> tuple[int, int]:
    """Draw a free item, by popularity and taste; return it and the number of the next draw."""
    n_items = taken.size
    reach = items.reach
    low = first_free / (first_free + reach)
    high = n_items / (n_items + reach)
    item = first_free
    for _ in range(TRIES):
        u = low + (high - low) * uniform(key, draw)
        item = min(int(reach * u / (1.0 - u)), n_items - 1)
        draw += 2
        if _is_free(item, taken, items, until):
            liking = CHOICE * _taste(user, items.vectors, item)
            if 2.0 * uniform(key, draw - 1) < 1.0 + liking / (1.0 + abs(liking)):
                return item, draw
    while not _is_free(item, taken, items, until):
        item = (item + 1) % n_items
    return item, draw


@njit(nogil=True, cache=True)
def _pick_items(
    key: np.uint64,
    user: NDArray[np.float32],
    items: Items,
    owed: tuple[int, int],
    until: int,
    taken: NDArray[np.bool_],
    picked: NDArray[np.int64],
) -> None:
    """Fill `picked` with different items that are out by `until`, those of range `owed` first.

    More are out than there are places. Nothing is `taken` before and after.
    """
    n = 0
    for item in range(owed[0], owed[1]):
        if n < picked.size and items.released[item] <= until:
            picked[n] = item
            taken[item] = True
            n += 1
    draw = 0
    first_free = 0
    for place in range(n, picked.size):
        while not _is_free(first_free, taken, items, until):
            first_free += 1
        item, draw = _pick(key, draw, user, items, taken, until, first_free)
        picked[place] = item
        taken[item] = True
    taken[picked] = False


@njit(nogil=True, cache=True)
def _give_stars(
    key: np.uint64,
    user: NDArray[np.float32],
    items: Items,
    picked: NDArray[np.int64],
    stars: NDArray[np.float32],
) -> None:
    """Rate what was picked: mean, biases, taste and noise, in half or whole stars."""
    bias = MEAN + USER_SPREAD * normal(key, 0)
    step = 1.0 if uniform(key, 2) < WHOLE_STARS else 0.5
    for place in range(picked.size):
        item = picked[place]
        value = bias + items.bias[item] + _taste(user, items.vectors, item)
        value += NOISE * normal(key, 2 + place)
        stars[place] = min(max(step * math.floor(value / step + 0.5), step), 5.0)


@njit(nogil=True, cache=True)
def _give_times(
    key: np.uint64,
    items: Items,
    picked: NDArray[np.int64],
    starts: NDArray[np.int64],
    times: NDArray[np.int64],
) -> None:
    """Put each rating into a session not before its item's release; early ones are likelier.

    `starts` is used up: each session's entry moves on to the time of its next rating.
    """
    opened = starts.copy()
    for place in range(picked.size):
        earliest = np.searchsorted(opened, items.released[picked[place]])
        u = uniform(key, 2 * place)
        session = earliest + int(u * math.sqrt(u) * (starts.size - earliest))
        times[place] = starts[session]
        starts[session] += 1 + int(PAUSE * exponential(key, 2 * place + 1))


@njit(nogil=True, cache=True)
def make_ratings(
    seed: np.uint64, first: int, last: int, offsets: NDArray[np.int64], items: Items
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Make the ratings of users `first` to `last - 1`.

    So that hardly any item stays unrated, each is owed by one user, who rates it if it is out in
    that user's time.

    Parameters
    ----------
    seed : uint64
    first, last : int
        Range of users.
    offsets : int64[n_users + 1]
        Ratings before each user; the last entry is the number of all ratings. No user may have
        more ratings than there are items.
    items : Items

    Returns
    -------
    picked : int64[n]
        Item rows, different ones for each user.
    stars : float32[n]
        Half-star grid, 0.5 to 5.
    times : int64[n]
        Seconds since 1970.
    """
    n_items, n_tastes = items.vectors.shape
    begin = offsets[first]
    picked = np.empty(offsets[last] - begin, np.int64)
    stars = np.empty(picked.size, np.float32)
    times = np.empty(picked.size, np.int64)
    taken = np.zeros(n_items, np.bool_)
    starts = np.empty(MOST_SESSIONS, np.int64)
    user = np.empty(n_tastes, np.float32)
    releases = np.sort(items.released)
    for u in range(first, last):
        key = stream(seed, u)
        mine = slice(offsets[u] - begin, offsets[u + 1] - begin)
        owed = (offsets[u] * n_items // offsets[-1], offsets[u + 1] * n_items // offsets[-1])
        for f in range(n_tastes):
            user[f] = normal(stream(key, TASTE), f)
        n_sessions = _plan_sessions(
            stream(key, SESSIONS), offsets[u + 1] - offsets[u], releases, starts
        )
        until = starts[n_sessions - 1]
        _pick_items(stream(key, ITEMS), user, items, owed, until, taken, picked[mine])
        _give_stars(stream(key, STARS), user, items, picked[mine], stars[mine])
        _give_times(stream(key, TIMES), items, picked[mine], starts[:n_sessions], times[mine])
    return picked, stars, times
