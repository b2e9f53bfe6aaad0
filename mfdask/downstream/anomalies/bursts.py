"""Burst detection: windows with more ratings of an item than its history makes likely."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import betainc

from mfdask.downstream.anomalies.calendar import Interest, Ints, half_days
from mfdask.downstream.events import Events
from mfdask.downstream.ordering import order_by
from mfdask.kernels import windows as kernel
from mfdask.kernels.types import Bools, Float64s, Int32s, Int64s

#: Lengths of the windows, in days.
WINDOWS = (1, 7, 30, 90, 365)
#: Ratings that a window must hold to be tested: two may always meet by chance.
LEAST = 3
#: Scores end here, where the chances leave the range of a float64.
HIGHEST = 300.0
#: Of an item's life, what is taken to lie outside of a window at least.
_LEAST_REST = 1e-9
#: The over-dispersion is sought between 0 and this, and found within so much.
_MOST_DISPERSED, _CLOSE = 4.0, 1e-6
#: Windows that the over-dispersion is learned from, at most.
_SAMPLE = 50_000
#: Terms of a distribution up to which they are added up.
_FEW = 300


class Grid(NamedTuple):
    """Windows side by side, an item's one after another; those of too few ratings are left out.

    Attributes
    ----------
    first, last : int32 (windows,)
        The window holds the ratings from ``first`` to before ``last`` of `Timeline.order`.
    item : int32 (windows,)
    start : int32 (windows,)
        Half-day.
    share : float64 (windows,)
        Of the item's ratings, what is due to the window: see `Interest.share`.
    """

    first: Int32s
    last: Int32s
    item: Int32s
    start: Int32s
    share: Float64s

    @classmethod
    def of(
        cls, starts: Int32s, halves: Int32s, interest: Interest, length: int, shift: int
    ) -> Grid:
        """Lay windows over ratings by item and time; `length` and `shift` are in half-days."""
        room = np.empty((4, len(halves) // LEAST), np.int32)
        n = kernel.cut_windows(starts, halves, length, shift, LEAST, *room)
        first, last, item, start = room[:, :n].copy()
        return cls(first, last, item, start, interest.share(item, start, length))

    def take(self, which: Int64s) -> Grid:
        """Return some of the windows."""
        arrays: list[Any] = [array[which] for array in self]
        return Grid(*arrays)

    def among(self, before: Int32s) -> Grid:
        """Return the windows with ratings left out: `before` each of which so many stay."""
        first, last = before[self.first], before[self.last]
        enough = np.flatnonzero(last - first >= LEAST)
        return self._replace(first=first, last=last).take(enough)


class Timeline(NamedTuple):
    """All ratings on the calendar of the platform, and what is usual there.

    Attributes
    ----------
    users, items, halves : int32 (ratings,)
        Rows, and half-days.
    order : int32 (ratings,)
        Places of the ratings, by item and then by time.
    starts : int32 (items + 1,)
        Where each item begins in that order.
    grids : dict of int to list of Grid
        For each of `WINDOWS` two, half a window apart.
    dispersions : tuple of float
        Over-dispersion of honest counts for each of `WINDOWS`, beyond that of `tested_windows`.
    n_users, n_items : int
    """

    users: Int32s
    items: Int32s
    halves: Int32s
    order: Int32s
    starts: Int32s
    grids: dict[int, list[Grid]]
    dispersions: tuple[float, ...]
    n_users: int
    n_items: int

    @classmethod
    def of(cls, events: Events, n_items: int, plain: Bools) -> Timeline:
        """Lay out the events of all users; dispersions are learned from `plain` ratings alone."""
        halves = half_days(events.timestamps)
        order = order_by(events.items, halves).astype(np.int32)
        starts = _before(np.bincount(events.items, minlength=n_items))
        in_order = starts, halves[order], Interest.learn(starts, halves[order])
        grids = {
            days: [Grid.of(*in_order, 2 * days, shift) for shift in (0, days)] for days in WINDOWS
        }
        n_users = len(events.indptr) - 1
        bare = cls(events.users, events.items, halves, order, starts, grids, (), n_users, n_items)
        even = np.arange(len(plain)) % 2 == 0
        calm = bare.only(plain)
        chosen = Chosen.of(calm, even)
        windows = (tested_windows(chosen, calm, days, LEAST) for days in WINDOWS)
        learned = (learn_dispersion(w.n, w.expected, w.dispersion) for w in windows)
        return bare._replace(dispersions=tuple(learned))

    def only(self, which: Bools) -> Timeline:
        """Return the line with all but some ratings left out of its order and its grids.

        For many choices among these alone, which are then made sooner.
        """
        kept = which[self.order]
        before = _before(kept)
        grids = {days: [grid.among(before) for grid in both] for days, both in self.grids.items()}
        return self._replace(order=self.order[kept], starts=before[self.starts], grids=grids)


def _before(counts: Any) -> Int32s:
    """Return the sum of all counts before each, and of all, int32 (counts + 1,)."""
    sums = np.zeros(len(counts) + 1, np.int32)
    np.cumsum(counts, out=sums[1:])
    return sums


class Chosen(NamedTuple):
    """The ratings among which bursts are sought, by item and then by time.

    Attributes
    ----------
    places : int32 (ratings,)
        Where they are among all ratings.
    before : int32 (all ratings + 1,)
        How many of them come before each rating in `Timeline.order`.
    others : int32 (all ratings + 1,)
        The same of ratings that tell what is usual for an item at a time.
    """

    places: Int32s
    before: Int32s
    others: Int32s

    @classmethod
    def of(cls, line: Timeline, which: Bools, others: Bools | None = None) -> Chosen:
        """Choose ratings, and others to hold them against, all the rest if none are given.

        bool (all ratings,).
        """
        kept = which[line.order]
        before = _before(kept)
        rest = _before(~kept if others is None else others[line.order])
        return cls(line.order[kept], before, rest)


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
        windows = tested_windows(chosen, line, days, least)
        dispersion = windows.dispersion + more
        score = score_of(windows.n, windows.expected, dispersion)
        windows = windows._replace(dispersion=dispersion, score=score)
        found.append(windows.take(score >= lowest) if lowest > 0 else windows)
    return Bursts.join(found)


def tested_windows(chosen: Chosen, line: Timeline, days: int, least: int) -> Bursts:
    """Return the windows of one length that hold at least so many, their scores still zero.

    They lie on two grids, half a window apart. What is expected of a window with ``c`` of an item's
    ``C`` ratings is the larger of two. What its other windows make likely, where it is due the
    share ``s`` of all (`Interest.share`): ``(C - c + 1/2) s / (1 - s)``. And what its own other
    ratings at the time do, ``p`` of ``P``: ``(C - c + 1/2) p / (P - p + 1/2)``; a release that is
    much talked about draws ratings of all sizes. What is expected is uncertain by what it was
    reckoned from: by the relative variance ``1 / (C - c + 1/2)``, in the second case with
    ``1 / (p + 1/2) + 1 / (P - p + 1/2)`` more.
    """
    return Bursts.join([_on_grid(chosen, line, grid, 2 * days, least) for grid in line.grids[days]])


def _on_grid(chosen: Chosen, line: Timeline, grid: Grid, length: int, least: int) -> Bursts:
    """Return the windows of one grid; `length` in half-days."""
    n = chosen.before[grid.last] - chosen.before[grid.first]
    tested = np.flatnonzero(n >= least)
    grid, n = grid.take(tested), n[tested]
    total, others = (
        np.diff(sums[line.starts])[grid.item] for sums in (chosen.before, chosen.others)
    )
    # An item whose whole life lies in the window is due all that it has: nothing can be told.
    due = grid.share / np.maximum(1.0 - grid.share, _LEAST_REST)
    seen = chosen.others[grid.last] - chosen.others[grid.first]
    rest = others - seen
    usual, outside = seen / (rest + 0.5), total - n + 0.5
    vague = 1 / outside + np.where(usual > due, 1 / (seen + 0.5) + 1 / (rest + 0.5), 0.0)
    expected = np.asarray(outside * np.maximum(due, usual), np.float64)
    first, start = chosen.before[grid.first], grid.start.astype(np.int64)
    return Bursts(
        first, n, grid.item, start, start + length, total, expected, vague, np.zeros(len(n))
    )


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
