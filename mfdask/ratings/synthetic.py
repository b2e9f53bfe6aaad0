"""Synthetic ratings in the shape of MovieLens, made from a spec and a seed."""

from __future__ import annotations

import functools
import hashlib
import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mfdask.errors import InputError
from mfdask.kernels.random import bits
from mfdask.kernels.synthetic import Items, make_ratings
from mfdask.ratings.movielens import NO_GENRES
from mfdask.ratings.source import REJECTED_COLUMNS, Parsed, Part, Source

PREFIX = "synthetic:"
EXAMPLE = "synthetic:small|1m|32m or synthetic:users=600,items=2000,ratings=60000"
#: The largest counts that make sense on one workstation.
LARGEST = {"users": 50_000_000, "items": 2_000_000, "ratings": 2_000_000_000}
PART_RATINGS = 1_500_000

#: Share of the films that carry each genre (a film has one to three).
GENRES = {
    "Action": 0.19,
    "Adventure": 0.13,
    "Animation": 0.06,
    "Children": 0.07,
    "Comedy": 0.39,
    "Crime": 0.12,
    "Documentary": 0.05,
    "Drama": 0.45,
    "Fantasy": 0.08,
    "Film-Noir": 0.01,
    "Horror": 0.10,
    "IMAX": 0.02,
    "Musical": 0.03,
    "Mystery": 0.06,
    "Romance": 0.16,
    "Sci-Fi": 0.10,
    "Thriller": 0.19,
    "War": 0.04,
    "Western": 0.02,
}
NO_GENRES_SHARE = 0.03
GENRE_NAMES = (*GENRES, NO_GENRES)
#: One, two or three genres: cumulative shares.
GENRE_COUNTS = (0.30, 0.68)
#: Release years at these shares of the catalogue.
YEARS = (
    (0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1),
    (1902, 1934, 1954, 1967, 1988, 1999, 2008, 2016, 2023),
)

#: Standard deviation that each taste adds to a rating.
TASTES = np.array([0.38, 0.32, *(0.24 * 0.88 ** np.arange(10))])
#: Share of an item's taste vector (in variance) that its genres explain.
GENRE_VARIANCE = 0.5
ITEM_SPREAD = 0.44
#: Stars that an item gains for each natural logarithm of popularity.
FAME = 0.08

FEWEST_RATINGS = 20
#: No user rates a larger share of the catalogue, unless the spec is that dense.
LARGEST_SHARE = 0.4
USER_TAIL = 1.8
#: The best-known items are those among the first `REACH` times the ratings of a mean user.
REACH = 1.7


@dataclass(frozen=True)
class Spec:
    """How much to make: numbers of users, items and ratings."""

    users: int
    items: int
    ratings: int


NAMED = {
    "small": Spec(600, 2_000, 60_000),
    "1m": Spec(6_040, 3_700, 1_000_000),
    "32m": Spec(200_948, 84_432, 32_000_204),
}


def open_synthetic(text: str, seed: int, part_ratings: int = PART_RATINGS) -> Source:
    """Describe synthetic ratings; nothing but the catalogue is made before a part is read.

    Parameters
    ----------
    text : str
        ``synthetic:small``, ``1m`` or ``32m`` (the shapes of MovieLens), or
        ``synthetic:users=…,items=…,ratings=…``.
    seed : int
        The same seed gives the same ratings, whatever reads them.
    part_ratings : int
        About how many ratings to a part. A part is a range of users.

    Returns
    -------
    Source
        Integer ids, timestamps, and a catalogue of all items.

    Raises
    ------
    InputError
        If the spec cannot be read, or asks for the impossible.
    """
    spec = parse_spec(text)
    world = _world(spec, seed)
    shape = text.removeprefix(PREFIX) if text.removeprefix(PREFIX) in NAMED else None
    cuts = np.arange(0, spec.ratings, part_ratings)
    edges = np.unique(np.append(np.searchsorted(world.offsets, cuts), spec.users))
    parts = tuple(
        Part(
            text,
            functools.partial(read_users, spec, seed, int(first), int(last)),
            first_row=0,
            n_rows=int(world.offsets[last] - world.offsets[first]),
        )
        for first, last in pairwise(edges)
    )
    return Source(
        name=f"synthetic-{shape or f'{spec.users}x{spec.items}x{spec.ratings}'}",
        parts=parts,
        user_kind="int",
        item_kind="int",
        has_timestamps=True,
        catalogue=_catalogue(world),
        origin=f"{text} (seed {seed})",
    )


def parse_spec(text: str) -> Spec:
    """Read ``synthetic:…``; see `open_synthetic`."""
    wanted = text.removeprefix(PREFIX)
    if wanted in NAMED:
        return NAMED[wanted]
    counts: dict[str, int] = {}
    for field in wanted.split(","):
        match = re.fullmatch(r"\s*(users|items|ratings)=(\d[\d_]*)\s*", field, re.ASCII)
        if match is None or match[1] in counts:
            raise InputError(f"{text}: cannot read {field.strip()!r}; write {EXAMPLE}")
        counts[match[1]] = int(match[2])
    missing = [name for name in LARGEST if name not in counts]
    if missing:
        raise InputError(f"{text}: {' and '.join(missing)} missing; write {EXAMPLE}")
    spec = Spec(**counts)
    for name, count in counts.items():
        if not 1 <= count <= LARGEST[name]:
            raise InputError(f"{text}: {name} must be between 1 and {LARGEST[name]:,}")
    if 2 * spec.ratings > spec.users * spec.items:
        raise InputError(
            f"{text}: at most users * items / 2 = {spec.users * spec.items // 2:,} ratings "
            "fit; ask for fewer ratings, or more users or items"
        )
    return spec


def read_users(spec: Spec, seed: int, first: int, last: int) -> Parsed:
    """Make the ratings of users `first` to `last - 1`."""
    world = _world(spec, seed)
    with np.errstate(over="ignore"):  # hashing wraps around, and says so where it is not compiled
        picked, stars, times = make_ratings(_key(seed), first, last, world.offsets, world.items)
    counts = np.diff(world.offsets[first : last + 1])
    columns = {
        "user_id": np.repeat(world.user_ids[first:last], counts),
        "item_id": world.item_ids[picked],
        "rating": stars,
        "timestamp": times,
    }
    digest = hashlib.sha256()
    for values in columns.values():
        digest.update(values.data)
    return Parsed(
        ratings=pd.DataFrame(columns),
        rejected=pd.DataFrame(columns=REJECTED_COLUMNS),
        n_read=stars.size,
        n_lines=stars.size,
        digest=digest.hexdigest(),
    )


@dataclass(frozen=True, eq=False)
class _World:
    """Synthetic users' numbers of ratings, and synthetic items."""

    offsets: NDArray[np.int64]  # (users + 1,): ratings before each user
    user_ids: NDArray[np.int64]  # (users,), ascending
    item_ids: NDArray[np.int64]  # (items,)
    years: NDArray[np.int64]  # (items,)
    genres: NDArray[np.int64]  # (items, 3): places in GENRE_NAMES, -1 where there are no more
    items: Items


@functools.lru_cache(maxsize=2)  # each process makes it once: cheaper than sending it around
def _world(spec: Spec, seed: int) -> _World:
    key, n = _key(seed), spec.items
    genres = _draw_genres(key, n)
    years = np.interp(_uniforms(key, "year", n), *YEARS).astype(np.int64)
    released = (years - 1970).astype("datetime64[Y]").astype("datetime64[s]").astype(np.int64)
    reach = max(REACH * spec.ratings / spec.users, 1.0)
    item_ids = _draw_ids(key, "item ids", n)
    return _World(
        offsets=_draw_offsets(key, spec),
        user_ids=_draw_ids(key, "user ids", spec.users),
        item_ids=item_ids[np.argsort(_uniforms(key, "item order", n), kind="stable")],
        years=years,
        genres=genres,
        items=Items(_draw_vectors(key, genres), _draw_bias(key, n, reach), released, reach),
    )


def _draw_bias(key: np.uint64, n: int, reach: float) -> NDArray[np.float32]:
    """Stars above the mean, which are none for the mean rating: famous items are better."""
    popularity = (1 + np.arange(n) / reach) ** -2
    bias = ITEM_SPREAD * _normals(key, "item bias", n) + FAME * np.log(popularity)
    return (bias - np.sum(popularity * bias) / np.sum(popularity)).astype(np.float32)


def _draw_offsets(key: np.uint64, spec: Spec) -> NDArray[np.int64]:
    """Ratings before each user: a power law above a floor, cut off, that sums exactly."""
    mean = spec.ratings / spec.users
    floor = min(FEWEST_RATINGS, mean / 2)
    ceiling = min(spec.items, max(LARGEST_SHARE * spec.items, 2 * mean))
    excess = (1 - _uniforms(key, "activity", spec.users)) ** (-1 / USER_TAIL) - 1
    low, high = 0.0, 1.0
    while np.minimum(floor + high * excess, ceiling).sum() < spec.ratings:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        enough = np.minimum(floor + middle * excess, ceiling).sum() >= spec.ratings
        low, high = (low, middle) if enough else (middle, high)
    # Rounding the running total keeps each count within one of its share, and the sum exact. In
    # fixed point, so that no error of addition can lift a count above the number of items.
    shares = (np.minimum(floor + high * excess, ceiling) * 2**30).astype(np.int64)
    offsets = np.append(0, (np.cumsum(shares) + 2**29) >> 30)
    offsets[-1] = spec.ratings
    return offsets


def _draw_ids(key: np.uint64, what: str, n: int) -> NDArray[np.int64]:
    """Ascending ids with gaps, as a live system leaves them."""
    return np.cumsum(1 + (5 * _uniforms(key, what, n)).astype(np.int64))


def _draw_genres(key: np.uint64, n: int) -> NDArray[np.int64]:
    """One to three different genres for each item, ascending, -1 where there are no more."""
    shares = np.array(list(GENRES.values()))
    draws = _uniforms(key, "genre", n * shares.size).reshape(n, shares.size)
    # Exponential races: the first to arrive are a weighted sample without replacement.
    arrival = -np.log(1 - draws) / shares
    genres = np.argsort(arrival, axis=1, kind="stable")[:, :3]
    many = np.searchsorted(GENRE_COUNTS, _uniforms(key, "genre count", n), side="right") + 1
    none = len(GENRE_NAMES)  # sorts behind all genres
    genres[np.arange(3) >= many[:, None]] = none
    genres.sort(axis=1)
    genres[_uniforms(key, "no genres", n) < NO_GENRES_SHARE] = (none - 1, none, none)
    genres[genres == none] = -1
    return genres


def _draw_vectors(key: np.uint64, genres: NDArray[np.int64]) -> NDArray[np.float32]:
    """Taste vectors: what the genres have in common, and something of one's own."""
    n, size = genres.shape[0], TASTES.size
    own = _normals(key, "item vector", n * size).reshape(n, size)
    of_genre = _normals(key, "genre vector", len(GENRE_NAMES) * size).reshape(-1, size)
    known = (genres >= 0)[:, :, None]
    shared = np.where(known, of_genre[genres], 0).sum(axis=1) / np.sqrt(known.sum(axis=1))
    mixed = np.sqrt(GENRE_VARIANCE) * shared + np.sqrt(1 - GENRE_VARIANCE) * own
    return (mixed * TASTES).astype(np.float32)


def _catalogue(world: _World) -> pd.DataFrame:
    """Titles, years and genres of all items, by id."""
    names = np.array([*GENRE_NAMES, ""], dtype=object)[world.genres]
    titles = zip(world.item_ids, world.years, strict=True)
    catalogue = pd.DataFrame(
        {
            "item_id": world.item_ids,
            "title": [f"Synthetic {item:05d} ({year})" for item, year in titles],
            "year": pd.array(world.years, dtype="Int16"),
            "genres": ["|".join(filter(None, of_item)) for of_item in names],
        }
    )
    return catalogue.sort_values("item_id", ignore_index=True)


def _key(seed: int) -> np.uint64:
    return np.uint64(seed & 0xFFFF_FFFF_FFFF_FFFF)


def _uniforms(key: np.uint64, what: str, n: int) -> NDArray[np.float64]:
    """Draw `n` numbers from [0, 1) in a stream of their own."""
    stream = np.frombuffer(hashlib.sha256(what.encode()).digest()[:8], "<u8")
    counters = np.arange(n, dtype=np.uint64)
    return (bits(key ^ stream[0], counters) >> np.uint64(11)) * 2.0**-53


def _normals(key: np.uint64, what: str, n: int) -> NDArray[np.float64]:
    """Draw `n` standard normal numbers, by Box and Muller."""
    radius = np.sqrt(-2 * np.log(1 - _uniforms(key, what, n)))
    angle = 2 * np.pi * _uniforms(key, f"{what}, angle", n)
    return np.asarray(radius * np.cos(angle))
