"""Sessions: ratings of one user with no long pause between them."""

from __future__ import annotations

import numpy as np

from mfdask.downstream.events import PAUSE
from mfdask.kernels.types import Int64s


def cut_at_pauses(places: Int64s, timestamps: Int64s) -> list[Int64s]:
    """Cut one user's events into sessions.

    Parameters
    ----------
    places : int64 (events,)
        Where they are among all events, or anything else to cut.
    timestamps : int64 (events,)
        Ascending.
    """
    if len(places) == 0:
        return []
    return np.split(places, np.flatnonzero(np.diff(timestamps) > PAUSE) + 1)


def squeezed(timestamps: Int64s, room: int) -> Int64s:
    """Return the seconds since a session began, int64 (events,), scaled down to fit `room`."""
    offsets = timestamps - timestamps[0]
    return offsets if offsets[-1] <= room else (offsets * (room / offsets[-1])).astype(np.int64)


def moved_into(timestamps: Int64s, start: int, end: int, random: np.random.Generator) -> Int64s:
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
        Ascending. Int64s within a session keep their distances; its start is drawn.
    """
    sessions = (squeezed(times, end - 1 - start) for times in cut_at_pauses(timestamps, timestamps))
    moved = [offsets + random.integers(start, end - offsets[-1]) for offsets in sessions]
    return np.sort(np.concatenate(moved))
