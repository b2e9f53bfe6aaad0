"""Events that a fit publishes to the scheduler after each sweep, and its state as they tell it."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from distributed import Client

#: Under which events lie in the scheduler's log.
TOPIC = "mfdask"
#: Seconds between two messages of a fit.
_PAUSE = 0.5
#: Sweeps that are remembered, the newest.
_SWEEPS = 1000


class SweepEvent(NamedTuple):
    """A sweep that has ended.

    Attributes
    ----------
    fit : str
        What the keys of the fit's tasks end with.
    model, data : str
        Kind of the model, and name of the data set.
    data_as_of : str
        When the data set was made or last extended: UTC, ISO 8601.
    sweep, n_sweeps : int
        Its number, from 1, and how many there will be at most.
    note : str
        How good the fit is so far.
    train_rmse, test_rmse : float or None
        Stars, see `models.base.Sweep`.
    seconds : float
        From the end of the sweep before.
    ratings : int
        Training ratings, each of which a sweep reads twice.
    moved : mapping of str to int
        Address of a worker to the bytes that it has sent to others since the sweep before; empty
        where nobody counts them.
    """

    fit: str
    model: str
    data: str
    data_as_of: str
    sweep: int
    n_sweeps: int
    note: str
    train_rmse: float | None
    test_rmse: float | None
    seconds: float
    ratings: int
    moved: Mapping[str, int]

    @property
    def speed(self) -> float:
        """Ratings read a second: each twice, once for its user and once for its item."""
        return 2 * self.ratings / max(self.seconds, 1e-9)


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


class ProgressPublisher:
    """Tells the sweeps of a fit to its scheduler, and never lets the fit wait.

    Sweeps that follow each other faster than anyone can look travel together: a message costs as
    much as some tasks do.

    Parameters
    ----------
    client : distributed.Client
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._waiting: list[SweepEvent] = []
        self._sending = False
        self._lock = threading.Lock()  # between the fit's thread and the client's

    def tell(self, told: SweepEvent) -> None:
        """Hand over a sweep."""
        with self._lock:
            self._waiting.append(told)
            begin, self._sending = not self._sending, True
        if begin:
            self._client.loop.add_callback(self._send)

    async def _send(self) -> None:
        # What is left when the cluster ends needs no telling.
        with suppress(asyncio.CancelledError, OSError):
            # A client that has closed has no scheduler, and cannot be asked for one.
            while (sweeps := self._take()) and self._client.scheduler:
                await self._client.log_event(TOPIC, [told._asdict() for told in sweeps])
                await asyncio.sleep(_PAUSE)

    def _take(self) -> list[SweepEvent]:
        with self._lock:
            taken, self._waiting = self._waiting, []
            self._sending = bool(taken)
        return taken
