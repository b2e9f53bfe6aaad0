"""Bursts: more of certain ratings of one item in a short time than its history makes likely."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import betainc, gammainc

from mfdask.downstream.anomalies.calendar import Interest, half_days
from mfdask.downstream.events import Events
from mfdask.kernels.types import Bools, Float64s, Int32s, Int64s

#: Lengths of the windows, in days.
WINDOWS = (1, 7, 30)
#: Ratings that a window must hold to be tested: two may always meet by chance.
LEAST = 3
#: Scores end here, where the chances leave the range of a float64.
HIGHEST = 300.0
#: Of an item's life, what is taken to lie outside of a window at least.
_LEAST_REST = 1e-9
#: The over-dispersion is sought between 0 and this, by so many halvings.
_MOST_DISPERSED, _HALVINGS = 4.0, 20
#: Cells that the over-dispersion is learned from, at most.
_CELLS = 50_000


class Timeline(NamedTuple):
    """All ratings on the calendar of the platform, and what is usual there.

    Attributes
    ----------
    users, items, halves : int32 (ratings,)
        Rows, and half-days.
    interest : Interest
    dispersions : tuple of float
        For each of `WINDOWS`: ``d`` where the variance of an honest count of mean ``m`` is
        ``m + d * m**2``.
    n_users, n_items : int
    """

    users: Int32s
    items: Int32s
    halves: Int32s
    interest: Interest
    dispersions: tuple[float, ...]
    n_users: int
    n_items: int

    @classmethod
    def of(cls, events: Events, n_items: int, honest: Bools) -> Timeline:
        """Lay out the events of all users; dispersions are learned from `honest` ratings alone."""
        halves = half_days(events.timestamps)
        interest = Interest.learn(events.items, halves, n_items)
        plain = cls(
            events.users, events.items, halves, interest, (), len(events.indptr) - 1, n_items
        )
        chosen = Chosen.of(plain, honest)
        windows = (tested_windows(chosen, interest, days) for days in WINDOWS)
        learned = (learn_dispersion(w.n, w.expected) for w in windows)
        return plain._replace(dispersions=tuple(learned))


class Chosen(NamedTuple):
    """The ratings among which bursts are sought, by item and then by time.

    Attributes
    ----------
    places : int64 (ratings,)
        Where they are among all ratings.
    users, items, halves : int32 (ratings,)
    """

    places: Int64s
    users: Int32s
    items: Int32s
    halves: Int32s

    @classmethod
    def of(cls, line: Timeline, which: Bools) -> Chosen:
        """Choose ratings, bool (all ratings,)."""
        places = np.flatnonzero(which)
        key = line.items[places].astype(np.int64) * len(line.interest.before) + line.halves[places]
        places = places[np.argsort(key, kind="stable")]
        return cls(places, line.users[places], line.items[places], line.halves[places])


class Bursts(NamedTuple):
    """The windows of items that were tested, those of all lengths one after another.

    Attributes
    ----------
    first, n : int64 (bursts,)
        The window holds the ratings ``first`` to ``first + n - 1`` of those chosen.
    item : int32 (bursts,)
    start, stop : int64 (bursts,)
        Half-days, the last one not included.
    total : int64 (bursts,)
        Chosen ratings of the item at any time.
    expected : float64 (bursts,)
        How many of them an honest window would hold.
    score : float64 (bursts,)
        ``-log10`` of the chance that an honest window that holds `LEAST` holds so many.
    """

    first: Int64s
    n: Int64s
    item: Int32s
    start: Int64s
    stop: Int64s
    total: Int64s
    expected: Float64s
    score: Float64s

    def take(self, which: Bools | Int64s) -> Bursts:
        """Return some of the bursts."""
        arrays: list[Any] = [array[which] for array in self]
        return Bursts(*arrays)

    @classmethod
    def join(cls, several: list[Bursts]) -> Bursts:
        """Return the bursts of several, one after another."""
        arrays: list[Any] = [np.concatenate(each) for each in zip(*several, strict=True)]
        return cls(*arrays)

    def members(self) -> tuple[Int64s, Int64s]:
        """Return pairs of a burst and a place in `Chosen`, int64, for each rating of each burst."""
        burst = np.repeat(np.arange(len(self.n)), self.n)
        within = np.arange(len(burst)) - np.repeat(np.cumsum(self.n) - self.n, self.n)
        return burst, self.first[burst] + within


def find_bursts(chosen: Chosen, line: Timeline) -> Bursts:
    """Count the chosen ratings of each item in windows, and score what an honest item would not do.

    The count is taken as negative binomial around what is expected. A window is tested only because
    it holds `LEAST`, so its chance is the one given that it does: without that, among millions of
    windows of items that are rarely rated, those where three met by chance would crowd out the
    rest.
    """
    found = []
    for days, dispersion in zip(WINDOWS, line.dispersions, strict=True):
        windows = tested_windows(chosen, line.interest, days)
        with np.errstate(divide="ignore"):
            score = -np.log10(given_least(windows.n, windows.expected, dispersion))
        found.append(windows._replace(score=np.minimum(score, HIGHEST)))
    return Bursts.join(found)


def tested_windows(chosen: Chosen, interest: Interest, days: int) -> Bursts:
    """Return the windows of one length that hold enough to be tested, their scores still zero.

    They lie on two grids, half a window apart. With ``c`` of an item's ``C`` ratings in a window
    that is due the share ``s`` of them (`Interest.share`), ``(C - c + 1/2) s / (1 - s)`` are
    expected there: what the item's other windows make likely.
    """
    totals = np.bincount(chosen.items, minlength=len(interest.first))
    return Bursts.join([_on_grid(chosen, totals, interest, 2 * days, shift) for shift in (0, days)])


def _on_grid(chosen: Chosen, totals: Int64s, interest: Interest, length: int, shift: int) -> Bursts:
    """Return the windows of one grid; `length` and `shift` in half-days."""
    window = (chosen.halves + shift) // length
    new = (np.diff(chosen.items, prepend=-1) != 0) | (np.diff(window, prepend=-1) != 0)
    first = np.flatnonzero(new)
    count = np.diff(first, append=len(window))
    tested = count >= LEAST
    first, count = first[tested], count[tested]
    item = chosen.items[first]
    start = window[first].astype(np.int64) * length - shift
    share = interest.share(item, start, start + length)
    # An item whose whole life lies in the window is due all that it has: nothing can be told.
    expected = (totals[item] - count + 0.5) * share / np.maximum(1.0 - share, _LEAST_REST)
    nothing = np.zeros(len(first))
    return Bursts(first, count, item, start, start + length, totals[item], expected, nothing)


def given_least(count: Int64s, expected: Float64s, dispersion: float) -> Float64s:
    """Return the chance of at least `count` in a window that holds `LEAST` or more, float64."""
    least = _at_least(np.full_like(count, LEAST), expected, dispersion)
    return _at_least(count, expected, dispersion) / least


def _at_least(count: Int64s, expected: Float64s, dispersion: float) -> Float64s:
    """Return the chance of `count` or more, the variance being ``m + dispersion * m**2``."""
    if dispersion == 0:
        return np.asarray(gammainc(count, expected))
    success = dispersion * expected / (1 + dispersion * expected)
    return np.asarray(betainc(count, 1 / dispersion, success))


def learn_dispersion(count: Int64s, expected: Float64s) -> float:
    """Return the over-dispersion with which the counts are as they should be on the whole.

    The chance of more, and half that of as many, is one half in the mean whatever the counts'
    distribution: the dispersion is chosen so that it is. A few attacked windows cannot move a mean
    far, as they could a variance.
    """
    step = -(-len(count) // _CELLS) or 1
    count, expected = count[::step], expected[::step]

    def excess(dispersion: float) -> float:
        more, as_many = (given_least(c, expected, dispersion) for c in (count + 1, count))
        return float(np.mean(more + as_many)) / 2 - 0.5

    if not len(count) or excess(0.0) >= 0:
        return 0.0
    low, high = 0.0, _MOST_DISPERSED
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    return high
