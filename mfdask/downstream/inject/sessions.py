"""Sessions: ratings of one user with no long pause between them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mfdask.downstream.events import Events
from mfdask.downstream.inject.injected import DAY

#: A pause longer than this ends a session, in seconds.
PAUSE = 3600


class Sessions(NamedTuple):
    """The sessions of all users, in the order of their events.

    Attributes
    ----------
    first : int64 (sessions + 1,)
        Place of each one's first event, and the number of events.
    indptr : int64 (users + 1,)
        Where each user's sessions begin.
    """

    first: npt.NDArray[np.int64]
    indptr: npt.NDArray[np.int64]

    @classmethod
    def of(cls, events: Events) -> Sessions:
        """Cut events at their pauses."""
        begins = np.diff(events.timestamps, prepend=0) > PAUSE
        begins[events.indptr[:-1][np.diff(events.indptr) > 0]] = True
        before = np.concatenate([[0], np.cumsum(begins)])
        first = np.append(np.flatnonzero(begins), len(begins)).astype(np.int64)
        return cls(first, before[events.indptr].astype(np.int64))


def active_days(events: Events) -> npt.NDArray[np.int64]:
    """Return on how many days (of UTC) each user rated anything, int64 (users,)."""
    days = events.timestamps // DAY
    fresh = np.diff(days, prepend=0) != 0
    fresh[events.indptr[:-1][np.diff(events.indptr) > 0]] = True
    before = np.concatenate([[0], np.cumsum(fresh)])
    return np.diff(before[events.indptr]).astype(np.int64)


def moved_into(
    timestamps: npt.NDArray[np.int64], start: int, end: int, random: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Move one user's sessions to moments drawn from a window; a longer one is squeezed.

    Parameters
    ----------
    timestamps : int64 (events,)
        Ascending.
    start, end : int
        Seconds, the end not included.
    random : numpy.random.Generator

    Returns
    -------
    int64 (events,)
        Ascending. Times within a session keep their distance, its start is drawn.
    """
    begins = np.flatnonzero(np.diff(timestamps, prepend=timestamps[0] - PAUSE - 1) > PAUSE)
    lengths = np.diff(np.append(begins, len(timestamps)))
    offsets = timestamps - np.repeat(timestamps[begins], lengths)
    last = begins + lengths - 1
    squeeze = np.minimum(1.0, (end - 1 - start) / np.maximum(offsets[last], 1))
    offsets = (offsets * np.repeat(squeeze, lengths)).astype(np.int64)
    starts = start + (random.random(len(begins)) * (end - start - offsets[last])).astype(np.int64)
    return np.sort(np.repeat(starts, lengths) + offsets)
