"""What lists are worth after equal seconds of learning, here and in another library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mfdask.bench.peers import peer_vectors
from mfdask.evaluation import RankingPlan, measure_ranking
from mfdask.shards import Dataset

#: Shares of the seconds after which quality is measured.
_SHARES = (0.25, 0.5, 1.0)
#: Users whose lists are measured, at most.
_USERS = 2000

#: Returns what the whole catalogue is ranked by for some users.
Scores = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float32]]


class Learner(NamedTuple):
    """What learns for a while.

    Attributes
    ----------
    seconds : float
        Of a sweep.
    learn : callable
        Given a number of sweeps, returns what ranks after them.
    """

    seconds: float
    learn: Callable[[int], Scores]


def quality_after(
    seconds: float, learners: Mapping[str, Learner], data: Dataset
) -> list[dict[str, Any]]:
    """Return what lists are worth after a quarter, a half and all of so many seconds.

    Returns
    -------
    list of dict
        ``seconds``; ``sweeps``, how many fit into them, one at least; ``precision`` at 10. None
        where there are no seconds.
    """
    plan, found = RankingPlan(n_users=_USERS), []
    for share in _SHARES if seconds else ():
        sweeps = {
            name: max(int(share * seconds / own.seconds), 1) for name, own in learners.items()
        }
        precision = {
            name: measure_ranking(own.learn(sweeps[name]), data, plan).means()["precision"]
            for name, own in learners.items()
        }
        found.append({"seconds": share * seconds, "sweeps": sweeps, "precision": precision})
    return found


def peer_learner(name: str, seconds: float, data: Dataset, n_factors: int, threads: int) -> Learner:
    """Return a peer that has users' and items' vectors."""
    assert data.path is not None
    place = data.path

    def learn(sweeps: int) -> Scores:
        users, items = peer_vectors(name, place, n_factors, threads, sweeps)
        return lambda rows: users[rows] @ items.T

    return Learner(seconds, learn)
