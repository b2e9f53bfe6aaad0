"""What a fit tells of its sweeps to whoever watches its scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from distributed import Client

#: Under which events lie in the scheduler's log.
TOPIC = "mfdask"


class SweepTold(NamedTuple):
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
    train_rmse : float
        Stars.
    test_rmse : float or None
        None where nothing is held out.
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
    train_rmse: float
    test_rmse: float | None
    seconds: float
    ratings: int
    moved: Mapping[str, int]

    @property
    def speed(self) -> float:
        """Ratings read a second: each twice, once for its user and once for its item."""
        return 2 * self.ratings / max(self.seconds, 1e-9)


def tell(client: Client, told: SweepTold) -> None:
    """Log a sweep with the scheduler, without waiting for its answer: the next sweep is due."""
    client.loop.add_callback(client.log_event, TOPIC, told._asdict())
