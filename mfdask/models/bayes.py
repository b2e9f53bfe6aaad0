"""Bayesian matrix factorisation: a Gibbs sampler over the half-steps of alternating least squares.

Salakhutdinov and Mnih (2008), with the features of Simm et al. (2017, "Macau"). A side's rows are
normal around what their features stand for, with a precision matrix that all share; both are drawn
anew from the rows before each half-step, and so is the precision of the ratings' noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mfdask.convergence import LEAST_DRAWS, Chain, ChainMonitor
from mfdask.errors import require
from mfdask.features.encoder import FeatureScale
from mfdask.features.file import FeaturesOf
from mfdask.features.kept import learned_features
from mfdask.features.noise import (
    Noise,
    NoiseDraws,
    UserErrors,
    draw_noise_precision,
    draw_user_noise,
)
from mfdask.features.offsets import (
    GroupSums,
    OffsetDraws,
    Offsets,
    TimeOffsets,
    draw_offset_precision,
)
from mfdask.features.rated import RatedRegression, draw_rated_precision, draw_stretch
from mfdask.features.weights import RatingWeights
from mfdask.kernels.types import Float32s, Float64s, Int64s
from mfdask.models.als import ALS
from mfdask.models.base import Ability, Estimator, Sweep
from mfdask.models.design import Regression, RowPrior, draw_row_prior, empty_rows, ridge
from mfdask.models.fit import FitResult, MatrixFactorization
from mfdask.models.half_step import UpdateConfig
from mfdask.models.posterior import BayesianModel, Samples, pack_draws
from mfdask.models.registry import Kind
from mfdask.models.updates import MAX_FACTORS, ItemPrior, NoiseOf, Time, UserPrior
from mfdask.parameters import parameter
from mfdask.shards import SIDES, Dataset

#: Precisions of the first sweep, when there are no rows yet to learn them from. Rows that start
#: close together spread as far as the ratings ask; rows that start far apart take long to return.
_FIRST_BIAS_PRECISION, _FIRST_FACTOR_PRECISION = 30.0, 300.0
#: Precisions of the sweeps that solve, with a noise precision of 1.
_START_BIAS_PRECISION, _START_FACTOR_PRECISION = 4.0, 12.0
#: Of the way that a chain goes: one of another number does not go on from its checkpoint.
_SAMPLER = 3
#: Kept samples of both sides' factors take so many bytes at most, where their number is not given.
_SAMPLE_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Bayes(MatrixFactorization):
    """Bayesian matrix factorisation with biases, learned by Gibbs sampling.

    The model ``r ~ N(mean + b_u + b_i + p . q, 1/noise precision)`` has nothing to tune: a normal
    prior on ``[bias, factors]`` of each side, a Normal-Wishart one (beta 2, D degrees of freedom,
    identity scale, zero mean) on that, and a Gamma(1, 1) one on the noise precision.

    Examples
    --------
    >>> from scipy.sparse import csr_matrix
    >>> from mfdask import Bayes
    >>> ratings = csr_matrix([[5.0, 3.0, 0.0], [4.0, 0.0, 1.0], [0.0, 2.0, 1.0]])
    >>> model = Bayes(n_factors=1, n_sweeps=20, burn_in=5).fit(ratings)
    >>> len(model.samples)
    15
    """

    model_type = BayesianModel

    n_factors: int = parameter(
        20, "Length of a factor vector.", "factors", at_least=0, at_most=MAX_FACTORS
    )
    n_sweeps: int | None = parameter(
        180,
        "Sweeps in all; auto: until the chain has settled, see max-rhat.",
        "sweeps",
        at_least=1,
        none="auto",
    )
    max_sweeps: int = parameter(
        1000,
        "Sweeps after which a chain ends that has not settled, where sweeps are auto.",
        at_least=1,
    )
    max_rhat: float = parameter(
        1.05,
        "Split R-hat, of the noise and a few predictions, up to which a chain counts as settled, "
        f"and ends where sweeps are auto; from {LEAST_DRAWS} draws after the burn-in on.",
        above=1,
    )
    burn_in: int = parameter(20, "First sweeps, whose draws are not kept.", at_least=0)
    start_sweeps: int | None = parameter(
        None,
        "First of these, which solve for the rows as als does, in place of drawing; auto: half "
        "of them.",
        at_least=0,
        none="auto",
    )
    n_samples: int = parameter(
        0, "Draws that the model keeps; 0: all that fit into 256 MiB.", "samples", at_least=0
    )
    user_prior: UserPrior = parameter(
        "zero",
        "What users are drawn around: a common mean, or what features, or the items they rated, "
        "say; both are joined by +.",
    )
    item_prior: ItemPrior = parameter(
        "zero",
        "What items are drawn around: a common mean, or what genres, features, or the users who "
        "rated them say; two are joined by +.",
    )
    feature_scale: FeatureScale = parameter(
        "deviation",
        "Numbers in files of features, less their mean, are divided by their deviation or their "
        "range; none: they are taken as they are.",
    )
    time: Time = parameter(
        "none",
        "Draw an offset of each user's day, of each item's period, or of both; the ratings must "
        "have timestamps.",
    )
    period_days: int = parameter(70, "Length of an item's period, in days.", at_least=1)
    half_life: float | None = parameter(
        None,
        "A rating weighs half as much for each so many days that it is older than the newest "
        "training rating.",
        above=0,
        none="no",
    )
    noise: NoiseOf = parameter(
        "user",
        "What has a noise precision, which is drawn: each user, whose ratings then weigh the more "
        "the closer they lie to what is predicted; or one: all ratings together.",
    )
    centre: bool = parameter(True, "Learn deviations from the mean training rating.")
    seed: int = parameter(42, "Seed of the first factors, and of all draws.", at_least=0)

    #: The noise adapts to the scale of weights, and what a chain begins with does not.
    relative_weights = True
    tolerance = 0.0
    reg_scaling = 0.0
    init_scale = 0.1
    kind = "bayes"

    def __post_init__(self) -> None:
        """Refuse parameters that cannot be meant."""
        super().__post_init__()
        most = f"up to the burn-in of {self.burn_in}"
        require(self.solved_sweeps <= self.burn_in, "start_sweeps", self.start_sweeps, most)
        kept = self.most_sweeps - self.burn_in
        name = "max_sweeps" if self.n_sweeps is None else "n_sweeps"
        require(kept >= 1, name, self.most_sweeps, f"more than the burn-in of {self.burn_in}")
        wanted = f"1 to the {kept} sweeps after the burn-in, or 0 for all that fit"
        require(self.n_samples <= kept, "n_samples", self.n_samples, wanted)

    @property
    def most_sweeps(self) -> int:
        """Sweeps, at most."""
        return self.max_sweeps if self.n_sweeps is None else self.n_sweeps

    @property
    def solved_sweeps(self) -> int:
        """First sweeps, which solve for the rows."""
        return self.burn_in // 2 if self.start_sweeps is None else self.start_sweeps

    @property
    def abilities(self) -> frozenset[Ability]:
        """What its models can do."""
        found = {*super().abilities, Ability.BIASES, Ability.NEW_USERS, Ability.DEVIATIONS}
        if self.n_factors:
            found.add(Ability.FACTORS)
        if self.follows("items") - {"rated"}:
            found.add(Ability.NEW_ITEMS)
        return frozenset(found)

    def point_estimate(self, most_sweeps: int | None = None) -> Estimator:
        """Return plain ALS of as many factors, with its default regularisation."""
        said = self.parameters()
        if self.n_sweeps is None:
            del said["n_sweeps"]
        return ALS.from_parameters(said).point_estimate(most_sweeps)

    def identity(self) -> dict[str, Any]:
        """Return the parameters that shape the states: all, for they say which draws are kept."""
        return asdict(self) | {"sampler": _SAMPLER}

    def update_config(self, mean_rating: float) -> UpdateConfig:
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

    def noise_by_user(self, sweep: int) -> bool:
        """Whether each user has a noise of their own: in sweeps that draw rows near the ratings."""
        return self.noise == "user" and sweep > max(self.solved_sweeps, 1)

    def draw_noise(
        self,
        sweep: int,
        squared_error: float,
        n_ratings: int,
        errors: UserErrors | None,
        precision: float,
    ) -> Noise:
        """Draw the noise for a sweep; at the start it has the precision 1."""
        if sweep <= self.solved_sweeps:
            return Noise(1.0, squared_error)
        random = np.random.Generator(np.random.Philox([self.seed, sweep, len(SIDES)]))
        if errors is not None:
            before = precision if self.noise_by_user(sweep - 1) else None
            return draw_user_noise(errors, before, random)
        return Noise(draw_noise_precision(squared_error, n_ratings, random), squared_error)

    def learned_prior(
        self,
        side: str,
        sweep: int,
        sums: Regression,
        noise: Noise | None,
        before: RowPrior,
    ) -> RowPrior:
        """Draw a side's prior, given its rows as they are; at the start it is that of als.

        Weights of what is rated, and the rows' precision with them, are drawn in every second
        sweep, the sides in turn: whatever a sampler leaves as it is, its draws stay right. In three
        turns of four they are the last ones mirrored.
        """
        if sweep <= self.solved_sweeps:
            precision = ridge(self.n_factors, _START_BIAS_PRECISION, _START_FACTOR_PRECISION)
            return RowPrior(1.0, precision, np.zeros((sums.n_dense, len(precision))))
        if noise is None:
            first = self.prior(side)
            return replace(first, weights=np.zeros((sums.n_dense, len(first.precision))))
        fidelity = noise.precision
        turn, out_of_turn = divmod(sweep + SIDES.index(side), 2)
        if sums.before and out_of_turn:
            return replace(before, fidelity=fidelity)
        mirrored = before.precision if sums.before and turn % 4 else None
        rows = np.random.Generator(np.random.Philox([self.seed, sweep, SIDES.index(side)]))
        precision, drawn = draw_row_prior(sums, rows, before.rated_precision, mirrored)
        if isinstance(sums, RatedRegression):
            by = draw_stretch(*sums.pull(drawn, precision), before.rated_precision, rows)
            drawn = sums.stretched(drawn, by)
        plain = replace(self.prior(side), fidelity=fidelity, precision=precision)
        prior = plain.around(drawn, sums.n_dense)
        if prior.rated is None:
            return prior
        rated = draw_rated_precision(prior.rated, precision, rows)
        return replace(prior, rated_precision=rated)

    @property
    def first_offset_precision(self) -> float:
        """What offsets are solved or drawn with first."""
        return _START_FACTOR_PRECISION

    def update_offsets(
        self, which: int, sweep: int, sums: GroupSums, fidelity: float, precision: float
    ) -> tuple[Float64s, float]:
        """Draw the offsets of a grouping, and then their precision; at the start, solve."""
        if sweep <= self.solved_sweeps:
            return sums.mean(fidelity, precision), precision
        stream = len(SIDES) + 1 + which  # after those of both sides and of the noise
        random = np.random.Generator(np.random.Philox([self.seed, sweep, stream]))
        drawn = sums.draw(fidelity, precision, random)
        return drawn, draw_offset_precision(drawn, random)

    def key(self, side: str, sweep: int) -> np.uint64 | None:
        """Return the key of the sweep's random numbers; a sweep of the start has none."""
        if sweep <= self.solved_sweeps:
            return None
        words = np.random.SeedSequence([self.seed, sweep, SIDES.index(side)])
        return np.uint64(words.generate_state(1, np.uint64)[0])

    def averages(self, sweep: int) -> bool:
        """Whether a sweep is kept."""
        return sweep > self.burn_in

    def monitor(self) -> ChainMonitor:
        """Return what judges whether the draws have settled."""
        return ChainMonitor()

    def has_enough(self, history: Sequence[Sweep]) -> bool:
        """Whether the chain has settled, where that ends it."""
        rhats = [sweep.rhat for sweep in history]
        return self.n_sweeps is None and Chain.of(rhats, self.burn_in, self.max_rhat).settled

    def n_draws(self, n_rows: int) -> int:
        """Return how many draws the model keeps at most, of so many rows of both sides."""
        fitting = _SAMPLE_BYTES // (4 * max(self.n_factors, 1) * n_rows)
        return self.n_samples or min(self.most_sweeps - self.burn_in, max(fitting, 1))

    def sampled(self, n_draws: int, sweep: int) -> list[int]:
        """Return the sweeps up to one whose draws are kept, so many at most.

        Evenly spaced: where their end is not known yet, every sweep's; every second one's, once
        there are too many, then every fourth one's.
        """
        if self.n_sweeps is not None:
            kept = self.n_sweeps - self.burn_in
            spaced = (self.n_sweeps - (kept * s) // n_draws for s in reversed(range(n_draws)))
            return [own for own in spaced if own <= sweep]
        step = 1
        while (sweep - self.burn_in) // step > n_draws:
            step *= 2
        return list(range(self.burn_in + step, sweep + 1, step))

    def collector(self, data: Dataset, features: FeaturesOf) -> DrawCollector:
        """Return what gathers the draws that are kept."""
        return DrawCollector(data, self, features)

    def model(
        self,
        data: Dataset,
        result: FitResult,
        features: FeaturesOf,
        collector: DrawCollector,
    ) -> BayesianModel:
        """Return the model that averages over the draws."""
        samples, rows = collector.samples(), collector.rows()
        offsets = collector.offset_means(result.offsets)
        weights = {side: _mean_weights(samples, side, self.n_factors) for side in features}
        return BayesianModel.of_data(
            self,
            data,
            result.history,
            mean=self.update_config(data.mean).mean_rating,
            user_rows=rows["users"],
            item_rows=rows["items"],
            **learned_features(features, weights, data),
            samples=samples,
            rated_rows=rows.get("rated"),
            offsets=offsets,
        )


def _mean_weights(samples: Samples, side: str, k: int) -> Float32s:
    """Return what a side's features stand for in all draws side by side, as `feature_weights`."""
    packed = pack_draws(samples.weights[side])
    return np.delete(packed[:, : len(samples) * k + 2], 1, axis=1)


class DrawCollector:
    """The draws of the sweeps that are kept, written straight into the rows of the model.

    Rows without ratings are drawn like all others while the sampler runs; what is kept of them is
    their prior's mean, which is what is known of them.

    Parameters
    ----------
    data : Dataset
    estimator : Bayes
    features : mapping of SideFeatures
        Of each side whose prior follows any.
    """

    def __init__(self, data: Dataset, estimator: Bayes, features: FeaturesOf) -> None:
        self._estimator = estimator
        self._k = estimator.n_factors
        weights = RatingWeights.of(data, estimator.half_life, estimator.relative_weights)
        self._mean_weight = 1.0 if weights is None else weights.total(data) / data.n_train
        self._most = estimator.n_draws(data.n_users + data.n_items)
        self._sweeps: list[int] = []
        self._added = 0
        self._offsets = OffsetDraws(estimator.groupings)
        means = np.ones(data.n_users) if weights is None else weights.means(data)
        means[means == 0] = self._mean_weight  # of users without ratings
        by_user = estimator.noise == "user"
        self._noise = NoiseDraws(means, self._mean_weight) if by_user else None
        self._unrated = {
            side: np.flatnonzero(table["n_train"].to_numpy() == 0)
            for side, table in (("users", data.users()), ("items", data.items()))
        }
        # What the means of the unrated rows follow: the one feature 1, where nothing else.
        self._seen: dict[str, Float32s] = {
            side: np.ones((len(rows), 1), np.float32) for side, rows in self._unrated.items()
        }
        for side, own in features.items():
            self._seen[side] = own.encode(data, self._unrated[side])
        draws, d = self._most, self._k + 1
        self._arrays: dict[str, npt.NDArray[Any]] = {
            "draws-noise": np.empty(draws),
            "draws-degrees": np.empty(draws),
        }
        for side, n in zip(SIDES, (data.n_users, data.n_items), strict=True):
            self._arrays |= {
                f"draws-{side}": empty_rows(n, draws * self._k),
                f"draws-{side}-biases": np.empty((n, draws), np.float32),
                f"draws-{side}-precisions": np.empty((draws, d, d)),
                f"draws-{side}-weights": np.empty((draws, self._seen[side].shape[1], d)),
            }
        if "rated" in estimator.follows("users"):
            self._arrays |= {
                "draws-rated": empty_rows(data.n_items, draws * self._k),
                "draws-rated-biases": np.zeros((data.n_items, draws), np.float32),
            }

    def wants(self, sweep: int) -> bool:
        """Whether the rows after a sweep are to be added."""
        return self._estimator.sampled(self._most, sweep)[-1:] == [sweep]

    def add(
        self,
        sweep: int,
        rows: dict[str, Float32s],
        priors: dict[str, RowPrior],
        offsets: Offsets | None,
        keys: list[Int64s],
        noise: Noise | None,
    ) -> None:
        """Take the draw after a sweep: rows of both sides, their priors, offsets and noise."""
        # Rows of a first sweep from a random start are drawn before there are errors to draw it by.
        noise = noise or Noise(priors["users"].fidelity, np.nan)
        if offsets:
            self._offsets.add(offsets, keys, rows)
        if self._noise:
            self._noise.add(noise)
        self._added += 1
        self._thin(sweep)
        s, k = len(self._sweeps), self._k
        # The noise of a rating of mean weight: those to come have no weights.
        self._arrays["draws-noise"][s] = noise.precision * self._mean_weight
        self._arrays["draws-degrees"][s] = noise.degrees
        place = slice(2 + s * k, 2 + (s + 1) * k)
        for side, drawn in rows.items():
            prior, unrated = priors[side], self._unrated[side]
            rest = self._seen[side] @ prior.weights
            biases = self._arrays[f"draws-{side}-biases"]
            biases[:, s], biases[unrated, s] = drawn[:, 0], rest[:, 0]
            factors = self._arrays[f"draws-{side}"][:, place]
            factors[:], factors[unrated] = drawn[:, 2 : 2 + k], rest[:, 1:]
            self._arrays[f"draws-{side}-precisions"][s] = prior.precision
            self._arrays[f"draws-{side}-weights"][s] = prior.weights
        said = priors["users"].rated
        if said is not None:
            self._arrays["draws-rated-biases"][:, s] = said[:, 0]
            self._arrays["draws-rated"][:, place] = said[:, 1:]
        self._sweeps.append(sweep)

    def _thin(self, sweep: int) -> None:
        """Drop the draws that are kept no more, now that there are so many."""
        wanted = self._estimator.sampled(self._most, sweep)
        kept = [s for s, own in enumerate(self._sweeps) if own in wanted]
        if len(kept) == len(self._sweeps):
            return
        for name in self._arrays:
            own = self._by_draw(name)
            own[: len(kept)] = own[kept]
        self._sweeps = [self._sweeps[s] for s in kept]

    def _by_draw(self, name: str) -> npt.NDArray[Any]:
        """Return a view of an array whose first axis is that of the draws."""
        array, n, k = self._arrays[name], self._most, self._k
        if name in self._designs:
            return array[:, 2 : 2 + n * k].reshape(len(array), n, k).transpose(1, 0, 2)
        return array.T if name.endswith("biases") else array

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what was gathered, for a checkpoint."""
        noise = self._noise.arrays() if self._noise else {}
        return self._arrays | self._offsets.arrays() | noise

    def load(self, sweep: int, read: Callable[[str], npt.NDArray[Any]]) -> None:
        """Take back what a checkpoint after `sweep` holds."""
        for name, array in self._arrays.items():
            array[:] = read(name)
        added = [own for own in range(1, sweep + 1) if self.wants(own)]
        self._added = len(added)
        if added:
            self._sweeps = self._estimator.sampled(self._most, added[-1])
            self._offsets.load(read)
            if self._noise:
                self._noise.load(read)

    def offset_means(self, offsets: Sequence[TimeOffsets]) -> tuple[TimeOffsets, ...]:
        """Return offsets with their means over all draws that were added, thinned out or not."""
        return self._offsets.means(offsets, self._added)

    def samples(self) -> Samples:
        """Return the draws, but for the factors."""
        n, found = len(self._sweeps), self._arrays
        return Samples(
            found["draws-noise"][:n],
            {side: found[f"draws-{side}-biases"][:, :n] for side in SIDES},
            {side: found[f"draws-{side}-precisions"][:n] for side in SIDES},
            {side: found[f"draws-{side}-weights"][:n] for side in SIDES},
            found["draws-rated-biases"][:, :n] if "draws-rated-biases" in found else None,
            found["draws-degrees"][:n],
            self._noise.means(self._added) if self._noise else None,
        )

    def rows(self) -> dict[str, Float32s]:
        """Return design rows of all draws side by side: mean biases, and the factors.

        Those of ``users`` and ``items``, and of what having ``rated`` an item says, if anything.
        """
        return {name.removeprefix("draws-"): self._joined(name) for name in self._designs}

    @property
    def _designs(self) -> list[str]:
        every = [f"draws-{name}" for name in (*SIDES, "rated")]
        return [name for name in every if name in self._arrays]

    def _joined(self, name: str) -> Float32s:
        n = len(self._sweeps)
        rows = self._arrays[name]
        if n < self._most:  # a chain that has settled early leaves places empty
            full, rows = rows, empty_rows(len(rows), n * self._k)
            rows[:, 2 : 2 + n * self._k] = full[:, 2 : 2 + n * self._k]
        rows[:, 0] = self._arrays[f"{name}-biases"][:, :n].mean(axis=1)
        rows[:, 2 : 2 + n * self._k] /= np.float32(math.sqrt(n))
        return rows


BAYES = Kind("bayes", Bayes, "a sampler, with a standard deviation for each prediction")
