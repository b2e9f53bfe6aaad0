"""Bayesian matrix factorisation: a Gibbs sampler over the half-steps of alternating least squares.

Salakhutdinov and Mnih (2008), with the features of Simm et al. (2017, "Macau"). A side's rows are
normal around what their features stand for, with a precision matrix that all share; both are drawn
anew from the rows before each half-step, and so is the precision of the ratings' noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from distributed import Client

from mfdask.features.file import ItemFeatures
from mfdask.models.checkpoint import CheckpointManager, fit_identity
from mfdask.models.exchange import ExchangeMode
from mfdask.models.fit import fit
from mfdask.models.fitted import Sweep
from mfdask.models.half_step import UpdateConfig
from mfdask.models.model import FactorModel
from mfdask.models.parameters import MAX_FACTORS, ItemPrior, require, require_item_prior
from mfdask.models.posterior import Posterior
from mfdask.models.prior import FeatureSums, Float64s, RowPrior, ridge
from mfdask.models.sides import SIDES
from mfdask.progress import Progress, silent
from mfdask.shards import Dataset

#: Of the weights of the features, as a share of the rows' own precision: the prior's beta_0.
_WEIGHT_PRECISION = 2.0
#: Precisions of the first sweep, when there are no rows yet to learn them from. Rows that start
#: close together spread as far as the ratings ask; rows that start far apart take long to return.
_FIRST_BIAS_PRECISION, _FIRST_FACTOR_PRECISION = 30.0, 300.0
#: Kept samples of both sides' factors take so many bytes at most, where their number is not given.
_SAMPLE_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Bayes:
    """Bayesian matrix factorisation with biases, learned by Gibbs sampling.

    The model ``r ~ N(mean + b_u + b_i + p . q, 1/noise precision)`` has nothing to tune: a normal
    prior on ``[bias, factors]`` of each side, a Normal-Wishart one (beta 2, D degrees of freedom,
    identity scale, zero mean) on that, and a Gamma(1, 1) one on the noise precision.

    Parameters
    ----------
    n_factors : int
        Length of a factor vector, 0 to 256.
    n_sweeps : int
        Sweeps in all.
    burn_in : int
        The first of them, which are not kept.
    n_samples : int
        Draws of the rows that the model keeps, evenly spaced over the sweeps after the burn-in;
        0: all that fit into 256 MiB.
    item_prior : {"zero", "genre", "features"}
        ``"genre"``: item rows are normal around what their genres stand for; ``"features"``: what
        any features from a file do.
    centre : bool
        Take the mean training rating off first.
    seed : int

    Raises
    ------
    InputError
        If a parameter is out of its range.
    """

    n_factors: int = 20
    n_sweeps: int = 180
    burn_in: int = 30
    n_samples: int = 0
    item_prior: ItemPrior = "zero"
    centre: bool = True
    seed: int = 42

    tolerance = 0.0
    reg_scaling = 0.0
    init_scale = 0.1
    kind = "bayes"

    def __post_init__(self) -> None:
        """Refuse parameters that cannot be meant."""
        kept = self.n_sweeps - self.burn_in
        require(0 <= self.n_factors <= MAX_FACTORS, "--factors", self.n_factors, "0 to 256")
        require(self.burn_in >= 0, "--burn-in", self.burn_in, "0 or more")
        require(kept >= 1, "--sweeps", self.n_sweeps, f"more than the burn-in of {self.burn_in}")
        require(
            0 <= self.n_samples <= kept,
            "--samples",
            self.n_samples,
            f"1 to the {kept} sweeps after the burn-in, or 0 for all that fit",
        )
        require_item_prior(self.item_prior)
        require(0 <= self.seed < 2**63, "--seed", self.seed, "a whole number from 0 up")

    def parameters(self) -> dict[str, Any]:
        """Return all parameters by name, as `model.json` keeps them."""
        return asdict(self)

    def identity(self) -> dict[str, Any]:
        """Return the parameters that shape the states: all, for they say which draws are kept."""
        return asdict(self)

    def rule(self, mean_rating: float) -> UpdateConfig:
        """Return the equations of the half-steps."""
        return UpdateConfig(
            n_factors=self.n_factors,
            mean_rating=mean_rating if self.centre else 0.0,
            reg_scaling=0.0,
            alternating=False,
            damping=1.0,
        )

    def learns(self, side: str) -> bool:
        """Both sides' priors are drawn anew for each half-step."""
        return True

    def prior(self, side: str) -> RowPrior:
        """Return the prior of a first sweep from random rows."""
        precision = ridge(self.n_factors, _FIRST_BIAS_PRECISION, _FIRST_FACTOR_PRECISION)
        return RowPrior(1.0, precision, np.zeros((1, len(precision))))

    def learned_prior(
        self, side: str, sweep: int, sums: FeatureSums, squared_error: float | None, n_ratings: int
    ) -> RowPrior:
        """Draw a side's prior, given its rows as they are; see `Method`."""
        if squared_error is None:
            first = self.prior(side)
            weights = np.zeros((len(sums.gram), len(first.precision)))
            return RowPrior(first.fidelity, first.precision, weights)
        noise = np.random.Generator(np.random.Philox([self.seed, sweep, len(SIDES)]))
        rows = np.random.Generator(np.random.Philox([self.seed, sweep, SIDES.index(side)]))
        precision, weights = draw_row_prior(sums, rows)
        return RowPrior(draw_noise_precision(squared_error, n_ratings, noise), precision, weights)

    def key(self, side: str, sweep: int) -> np.uint64 | None:
        """Return the key of the sweep's random numbers."""
        words = np.random.SeedSequence([self.seed, sweep, SIDES.index(side)])
        return np.uint64(words.generate_state(1, np.uint64)[0])

    def averages(self, sweep: int) -> bool:
        """Whether a sweep is kept."""
        return sweep > self.burn_in

    def sampled(self, n_rows: int) -> list[int]:
        """Return the sweeps whose draws are kept, for so many rows of both sides."""
        kept = self.n_sweeps - self.burn_in
        fitting = _SAMPLE_BYTES // (4 * max(self.n_factors, 1) * n_rows)
        n = self.n_samples or min(kept, max(fitting, 1))
        return [self.n_sweeps - (kept * s) // n for s in reversed(range(n))]

    def fit(
        self,
        data: Dataset | Any,
        *,
        item_features: Path | None = None,
        client: Client | None = None,
        start: Path | None = None,
        checkpoint: Path | None = None,
        checkpoint_every: int = 0,
        resume: bool = False,
        progress: Progress = silent,
        each_sweep: Callable[[Sweep], None] | None = None,
        exchange: ExchangeMode = "auto",
    ) -> FactorModel:
        """Draw samples, and return the model that averages over them.

        Takes, returns and raises what `ALS.fit` does. `test_rmse` of a sweep's history is that of
        the sweep's own draw during the burn-in, and then that of the mean of all draws since, each
        clipped to the rating scale.
        """
        if not isinstance(data, Dataset):
            data = Dataset.from_csr(data)
        features = ItemFeatures.of(self, data, item_features)
        identity = fit_identity(self, data.fingerprint, start, features)
        keeper = CheckpointManager(checkpoint, checkpoint_every, resume, identity)
        posterior = Posterior(data, self, self.sampled(data.n_users + data.n_items), features)
        fitted = fit(
            self, data, client, keeper, features, start=start, progress=progress,
            each_sweep=each_sweep, collector=posterior, exchange=exchange,
        )  # fmt: skip
        return posterior.model(self, data, fitted)


def draw_row_prior(sums: FeatureSums, random: np.random.Generator) -> tuple[Float64s, Float64s]:
    """Draw the precision (D, D) and the feature weights (features, D) of a side from its rows.

    With the one feature 1 this is the Normal-Wishart posterior of Bishop (2006), eq. 2.234 on, with
    ``beta_0 = 2``, ``nu_0 = D``, ``W_0 = I`` and ``m_0 = 0``; with more it is that of a regression
    of the rows on the features, whose weights have the precision ``beta_0`` times the rows'.
    """
    d = len(sums.square)
    gram = sums.gram + _WEIGHT_PRECISION * np.eye(len(sums.gram))
    mean = np.linalg.solve(gram, sums.cross)
    scatter = np.eye(d) + sums.square - mean.T @ gram @ mean
    precision = _draw_wishart(d + sums.n, (scatter + scatter.T) / 2, random)
    noise = random.standard_normal(mean.shape)
    spread = np.linalg.solve(np.linalg.cholesky(gram).T, noise)
    weights = mean + np.linalg.solve(np.linalg.cholesky(precision).T, spread.T).T
    return precision, weights.astype(np.float64)


def _draw_wishart(
    degrees: int, inverse_scale: Float64s, random: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Draw a precision matrix of mean ``degrees * inverse_scale^-1``, by Bartlett's way."""
    d = len(inverse_scale)
    bartlett = np.tril(random.standard_normal((d, d)), -1)
    np.fill_diagonal(bartlett, np.sqrt(random.chisquare(degrees - np.arange(d))))
    # With inverse_scale = C C', C^-T is a root of the scale matrix.
    root = np.linalg.solve(np.linalg.cholesky(inverse_scale).T, bartlett)
    return root @ root.T


def draw_noise_precision(
    squared_error: float, n_ratings: int, random: np.random.Generator
) -> float:
    """Draw the precision of the ratings' noise from ``Gamma(1 + n/2, rate 1 + SSE/2)``."""
    return float(random.gamma(1 + n_ratings / 2) / (1 + squared_error / 2))
