"""Burst detection: windows with more ratings of an item than its history makes likely."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import betainc

from mfdask.downstream.anomalies.calendar import Interest, Ints, half_days
from mfdask.downstream.events import Events, equal_cuts
from mfdask.downstream.ordering import order_by
from mfdask.kernels import windows as kernel
from mfdask.kernels.types import Bools, Float64s, Int32s, Int64s

#: Lengths of the windows, in days.
WINDOWS = (1, 7, 30, 90, 365)
#: Ratings that a window must hold to be tested: two may always meet by chance.
LEAST = 3
#: Scores end here, where the chances leave the range of a float64.
HIGHEST = 300.0
#: The over-dispersion is sought between 0 and this, and found within so much.
_MOST_DISPERSED, _CLOSE = 4.0, 1e-6
#: Windows that the over-dispersion is learned from, at most.
_SAMPLE = 50_000
#: Terms of a distribution up to which they are added up.
_FEW = 300


class Timeline(NamedTuple):
    """All ratings on the calendar of the platform, and what is usual there.

    Attributes
    ----------
    order : int32 (ratings,)
        Places of the ratings among the events, by item and then by time: the order of all else.
    halves : int32 (ratings,)
        Half-days.
    starts : int32 (items + 1,)
        Where each item begins.
    interest : Interest
    dispersions : tuple of float
        Over-dispersion of honest counts for each of `WINDOWS`, beyond that of `tested_windows`.
    indptr : int64 (users + 1,)
        Where each user's events begin.
    """

    order: Int32s
    halves: Int32s
    starts: Int32s
    interest: Interest
    dispersions: tuple[float, ...]
    indptr: Int64s

    @property
    def n_items(self) -> int:
        """Return the number of items, rated or not."""
        return len(self.starts) - 1

    @property
    def n_users(self) -> int:
        """Return the number of users."""
        return len(self.indptr) - 1

    def users(self, places: Int32s) -> Int32s:
        """Return the users of some ratings, counted from the first one of the events, int32."""
        rows = np.repeat(np.arange(self.n_users, dtype=np.int32), np.diff(self.indptr))
        return rows[self.order[places]]

    @classmethod
    def of(cls, events: Events, n_items: int) -> Timeline:
        """Lay out the events of all users; honest counts are taken as not over-dispersed."""
        halves = half_days(events.timestamps)
        order = order_by(events.items, halves).astype(np.int32)
        halves = halves[order]
        starts = _before(np.bincount(events.items, minlength=n_items))
        learned = Interest.learn(starts, halves), (0.0,) * len(WINDOWS)
        return cls(order, halves, starts, *learned, events.indptr)

    def learned(self, plain: Bools) -> tuple[Timeline, Timeline]:
        """Return the line with dispersions learned from plain ratings, and that of these alone.

        Half of the plain ratings are held against the others.
        """
        calm = self.only(plain)
        chosen = Chosen.of(calm, calm.order % 2 == 0)
        windows = (tested_windows(chosen, calm, days, LEAST) for days in WINDOWS)
        found = tuple(learn_dispersion(w.n, w.expected, w.dispersion) for w in windows)
        return self._replace(dispersions=found), calm._replace(dispersions=found)

    def only(self, which: Bools) -> Timeline:
        """Return the line with all but some ratings left out, bool (ratings,).

        For many choices among these alone, which are then made sooner.
        """
        places, starts = np.flatnonzero(which), self.starts_of(which)
        return self._replace(order=self.order[places], halves=self.halves[places], starts=starts)

    def starts_of(self, which: Bools) -> Int32s:
        """Return where each item begins among some of the ratings, int32 (items + 1,)."""
        counts = np.empty(self.n_items, np.int32)
        kernel.count_marked(self.starts, which, counts)
        return _before(counts)


def _before(counts: Any) -> Int32s:
    """Return the sum of all counts before each, and of all, int32 (counts + 1,)."""
    sums = np.zeros(len(counts) + 1, np.int32)
    np.cumsum(counts, out=sums[1:])
    return sums


class Chosen(NamedTuple):
    """The ratings among which bursts are sought, by item and then by time.

    Attributes
    ----------
    places : int32 (chosen,)
        Where they are in a `Timeline`.
    starts : int32 (items + 1,)
        Where each item begins among them.
    halves : int32 (chosen,)
        Half-days.
    other_starts : int32 (items + 1,)
    other_halves : int32 (others,)
        The same of ratings that tell what is usual for an item at a time.
    """

    places: Int32s
    starts: Int32s
    halves: Int32s
    other_starts: Int32s
    other_halves: Int32s

    @classmethod
    def of(cls, line: Timeline, which: Bools, others: Bools | None = None) -> Chosen:
        """Choose ratings, and others to hold them against, all the rest if none are given.

        bool (ratings of the line,).
        """
        places, rest = np.flatnonzero(which), ~which if others is None else others
        own = line.starts_of(which), line.halves[places]
        other = line.starts_of(rest), line.halves[np.flatnonzero(rest)]
        return cls(places.astype(np.int32), *own, *other)

    @classmethod
    def all_of(cls, line: Timeline) -> Chosen:
        """Choose all ratings."""
        none = np.zeros(0, np.int32)
        places = np.arange(len(line.order), dtype=np.int32)
        return cls(places, line.starts, line.halves, np.zeros_like(line.starts), none)


class Bursts(NamedTuple):
    """The windows of items that were tested, those of all lengths one after another.

    Attributes
    ----------
    first, n : int32 (bursts,)
        The window holds the ratings ``first`` to ``first + n - 1`` of those chosen.
    item : int32 (bursts,)
    start, stop : int64 (bursts,)
        Half-days, the last one not included.
    total : int32 (bursts,)
        Chosen ratings of the item at any time.
    expected : float64 (bursts,)
        How many of them an honest window would hold.
    dispersion : float64 (bursts,)
        ``d`` where the variance of an honest count of mean ``m`` is ``m + d * m**2``.
    score : float64 (bursts,)
        ``-log10`` of the chance that an honest window that holds `LEAST` holds so many.
    """

    first: Int32s
    n: Int32s
    item: Int32s
    start: Int64s
    stop: Int64s
    total: Int32s
    expected: Float64s
    dispersion: Float64s
    score: Float64s

    def take(self, which: Bools | Int64s) -> Bursts:
        """Return some of the bursts."""
        places = np.flatnonzero(which) if which.dtype == np.bool_ else which
        arrays: list[Any] = [array[places] for array in self]
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


def find_bursts(
    chosen: Chosen,
    line: Timeline,
    least: int = LEAST,
    *,
    lowest: float = 0.0,
    longest: int = WINDOWS[-1],
) -> Bursts:
    """Count the chosen ratings of each item in windows, and score what an honest item would not do.

    The count is taken as negative binomial around what is expected: Poisson if that were known for
    certain. A window is tested only because it holds `LEAST`, so its chance is the one given that
    it does: without that, among millions of windows of items that are rarely rated, those where
    three met by chance would crowd out the rest.

    Left out are windows that hold fewer than `least` (their scores are low), those with scores
    below `lowest`, and those of more than `longest` days.
    """
    found = []
    for days, more in zip(WINDOWS, line.dispersions, strict=True):
        if days > longest:
            continue
        for windows in _on_grids(chosen, line, days, least):
            dispersion = windows.dispersion + more
            score = score_of(windows.n, windows.expected, dispersion)
            windows = windows._replace(dispersion=dispersion, score=score)
            found.append(windows.take(score >= lowest) if lowest > 0 else windows)
    return Bursts.join(found)


def count_tested(chosen: Chosen, line: Timeline) -> int:
    """Return how many windows hold `LEAST` of the chosen ratings."""
    counts = np.zeros(line.n_items, np.int64)
    for days in WINDOWS:
        for shift in (0, days):
            kernel.count_windows(chosen.starts, chosen.halves, 2 * days, shift, LEAST, counts)
    return int(counts.sum())


def tested_windows(chosen: Chosen, line: Timeline, days: int, least: int) -> Bursts:
    """Return the windows of one length that hold at least so many, their scores still zero.

    They lie on two grids, half a window apart. What is expected of a window with ``c`` of an item's
    ``C`` ratings is the larger of two. What its other windows make likely, where it is due the
    share ``s`` of all (`Interest`): ``(C - c + 1/2) s / (1 - s)``. And what its own other ratings
    at the time do, ``p`` of ``P``: ``(C - c + 1/2) p / (P - p + 1/2)``; a release that is much
    talked about draws ratings of all sizes. What is expected is uncertain by what it was reckoned
    from: by the relative variance ``1 / (C - c + 1/2)``, in the second case with ``1 / (p + 1/2) +
    1 / (P - p + 1/2)`` more.
    """
    return Bursts.join([*_on_grids(chosen, line, days, least)])


def _on_grids(chosen: Chosen, line: Timeline, days: int, least: int) -> Iterator[Bursts]:
    """Yield `tested_windows`, one grid at a time: together they take much memory."""
    for shift in (0, days):
        yield _on_grid(chosen, line, 2 * days, shift, least)


def _on_grid(chosen: Chosen, line: Timeline, length: int, shift: int, least: int) -> Bursts:
    """Return the windows of one grid; `length` and `shift` in half-days."""
    cuts = equal_cuts(chosen.starts)
    room = (
        np.empty((4, len(chosen.places) // least), np.int32),
        np.empty((2, len(chosen.places) // least)),
    )
    places, counts = chosen.starts[cuts[:-1]] // least, np.zeros(len(cuts) - 1, np.int64)
    kernel.find_windows(
        cuts, *chosen[1:], *line.interest.arrays, length, shift, least, *room[0], *room[1], counts
    )
    rows = [slice(first, first + n) for first, n in zip(places.tolist(), counts, strict=True)]
    first, n, item, start = (np.concatenate([x[own] for own in rows]) for x in room[0])
    expected, vague = (np.concatenate([x[own] for own in rows]) for x in room[1])
    begin = start.astype(np.int64)
    total = np.diff(chosen.starts)[item]
    return Bursts(first, n, item, begin, begin + length, total, expected, vague, np.zeros(len(n)))


def score_of(n: Ints, expected: Float64s, dispersion: Float64s) -> Float64s:
    """Return ``-log10`` of `given_least`, at most `HIGHEST`, float64."""
    found = np.zeros(len(n))
    more = np.flatnonzero(n > LEAST)  # the chance of the others is 1
    with np.errstate(divide="ignore"):
        found[more] = -np.log10(given_least(n[more], expected[more], dispersion[more]))
    return found.clip(max=HIGHEST)


def given_least(n: Ints, expected: Float64s, dispersion: Float64s) -> Float64s:
    """Return the chance of `n` or more in a window that holds `LEAST` or more, float64."""
    return _tails(n, expected, dispersion)[:, 0]


def _tails(n: Ints, expected: Float64s, dispersion: Float64s) -> Float64s:
    """Return the chances of `n` or more, and of more, given `LEAST` or more, float64 (windows, 2).

    Those of few terms are added up, which takes a fraction of the time of a beta function.
    """
    found = np.empty((len(n), 2))
    few = n + expected + 40 * dispersion * expected <= _FEW
    small, large = np.flatnonzero(few), np.flatnonzero(~few)
    of_few = np.empty((len(small), 2))
    kernel.add_tails(n[small].astype(np.int32), expected[small], dispersion[small], LEAST, of_few)
    found[small] = of_few
    own = expected[large], dispersion[large]
    tested = _at_least(LEAST, *own)
    for column, count in enumerate((n[large], n[large] + 1)):
        found[large, column] = _at_least(count, *own) / tested
    return found


def _at_least(n: Ints | int, expected: Float64s, dispersion: Float64s) -> Float64s:
    """Return the chance of `n` or more by a negative binomial distribution."""
    spread = dispersion * expected
    return np.asarray(betainc(n, 1 / dispersion, spread / (1 + spread)))


def learn_dispersion(n: Ints, expected: Float64s, least: Float64s) -> float:
    """Return how much more than `least` honest counts are over-dispersed.

    The chance of more, and half that of as many, is one half in the mean whatever the counts'
    distribution: the dispersion is chosen so that it is. A few attacked windows cannot move a mean
    far, as they could a variance.
    """
    step = -(-len(n) // _SAMPLE) or 1
    n, expected, least = n[::step], expected[::step], least[::step]

    def excess(more: float) -> float:
        return float(_tails(n, expected, least + more).mean()) - 0.5

    if not len(n) or excess(0.0) >= 0:
        return 0.0
    if excess(_MOST_DISPERSED) <= 0:
        return _MOST_DISPERSED
    return float(brentq(excess, 0.0, _MOST_DISPERSED, xtol=_CLOSE))
