"""Whether a chain of draws has settled: split R-hat of its noise and of a few predictions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mfdask.kernels.types import Float64s, Int64s
from mfdask.shards import Dataset

#: Draws after the burn-in that a chain has before it counts as settled.
LEAST_DRAWS = 40
#: Training ratings whose predictions are followed.
N_FOLLOWED = 32
_TRACES = "chain-traces"


def split_rhat(traces: Float64s) -> Float64s:
    """Return the rank-normalised split R-hat of each column of draws, float64 (columns,).

    The two halves of a chain count as two chains: Vehtari, Gelman, Simpson, Carpenter and Bürkner
    (2021), "Rank-normalization, folding, and localization", equations 3, 4 and 14. Of an odd number
    of draws the first is left out.

    Parameters
    ----------
    traces : float64 (draws, columns)
        At least 4 draws.
    """
    from scipy.special import ndtri  # half a second with the next one, and only chains need them
    from scipy.stats import rankdata

    half = len(traces) // 2
    own = traces[len(traces) % 2 :]
    scores = ndtri((rankdata(own, axis=0) - 0.375) / (len(own) + 0.25))
    chains = scores.reshape(2, half, -1)
    within = chains.var(axis=1, ddof=1).mean(axis=0)
    between = chains.mean(axis=1).var(axis=0, ddof=1)
    total = (half - 1) / half * within + between
    alike = np.where(between > 0, np.inf, 1.0)  # where each half stands still
    return np.sqrt(np.divide(total, within, out=alike, where=within > 0))


def chain_rhat(traces: Float64s) -> float | None:
    """Return the larger of R-hat of the noise (column 0) and that of the predictions (the others).

    That of the predictions is the root of the mean of their squares: the largest of many would
    say more of chance than of the chain. None of fewer than 4 draws.
    """
    if len(traces) < 4:
        return None
    noise, *predictions = split_rhat(traces)
    return float(max(noise, math.sqrt(np.mean(np.square(predictions)))))


@dataclass(frozen=True)
class Chain:
    """How far a chain has come.

    Attributes
    ----------
    settled : bool
        Whether it has `LEAST_DRAWS` draws after the burn-in, and R-hat is low enough.
    rhat : float or None
        See `chain_rhat`.
    sweeps : int
        In all.
    draws : int
        After the burn-in.
    """

    settled: bool
    rhat: float | None
    sweeps: int
    draws: int

    @classmethod
    def of(cls, rhats: Sequence[float | None], burn_in: int, max_rhat: float) -> Chain:
        """Return what R-hat after each sweep of a chain says; it may be `max_rhat` at most."""
        rhat = rhats[-1] if rhats else None
        draws = max(len(rhats) - burn_in, 0)
        settled = draws >= LEAST_DRAWS and rhat is not None and rhat <= max_rhat
        return cls(settled, rhat, len(rhats), draws)

    def __str__(self) -> str:
        rhat = "R-hat not known" if self.rhat is None else f"R-hat {self.rhat:.2f}"
        told = f"{rhat} after {self.sweeps} sweeps, {self.draws} of them kept"
        return f"settled: {told}" if self.settled else f"not settled: {told}; more sweeps"


class ChainMonitor:
    """The traces of a chain: its noise precision, and predictions, of each draw that counts."""

    def __init__(self) -> None:
        self._traces: list[Float64s] = []

    def add(self, noise_precision: float, predictions: npt.NDArray[np.floating]) -> float | None:
        """Take what a draw says, and return R-hat of all so far; see `chain_rhat`."""
        self._traces.append(np.append(noise_precision, predictions))
        return chain_rhat(np.array(self._traces))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the traces, for a checkpoint."""
        return {_TRACES: np.array(self._traces)} if self._traces else {}

    def load(self, n_draws: int, read: Callable[[str], npt.NDArray[Any]]) -> None:
        """Take back what a checkpoint after so many draws holds."""
        self._traces = list(read(_TRACES)) if n_draws else []


def followed_ratings(data: Dataset, seed: int) -> dict[int, Int64s]:
    """Return the places of a few training ratings in each block of users that has any of them.

    They depend on the seed and the ratings alone, not on how users are cut into blocks.
    """
    random = np.random.Generator(np.random.Philox([seed, N_FOLLOWED]))
    few = random.choice(data.n_train, min(N_FOLLOWED, data.n_train), replace=False)
    ends = np.append(0, np.cumsum(data.users()["n_train"].to_numpy(np.int64)))
    starts = ends[data.bounds("users")]
    block = np.searchsorted(starts, few, "right") - 1
    return {int(b): np.sort(few[block == b]) - starts[b] for b in np.unique(block)}
