"""The state of a fit, as its events tell it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from mfdask.watch.events import SweepEvent

#: Sweeps that are remembered, the newest.
_SWEEPS = 1000


@dataclass
class Fit:
    """Progress of a fit.

    Attributes
    ----------
    began, heard : float
        Seconds since 1970, by the scheduler's clock: when it came, and when it last told a sweep.
    sweeps : deque of SweepEvent
        The newest, first to last.
    solvers : dict
        Side and block to the address of the worker that solved it last.
    alive : set of str
        Keys of half-steps that the scheduler holds; a fit that has ended has none.
    """

    began: float
    heard: float
    sweeps: deque[SweepEvent] = field(default_factory=lambda: deque(maxlen=_SWEEPS))
    solvers: dict[tuple[str, int], str] = field(default_factory=dict)
    alive: set[str] = field(default_factory=set)
