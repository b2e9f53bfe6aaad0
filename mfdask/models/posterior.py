"""The model that a Gibbs sampler learns: thinned draws of biases and factors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mfdask.convergence import Chain
from mfdask.kernels.samples import DrawnSide, spread_pairs
from mfdask.kernels.types import Float32s, Float64s, Int32s, Int64s, read_only
from mfdask.models.design import RowPrior, pack, unknowns
from mfdask.models.factor_model import FactorModel
from mfdask.shards import SIDES

_SAMPLES = "samples.parquet"
_RATED_BIASES = "rated_biases.parquet"
_USER_NOISE = "user_noise.parquet"


@dataclass(frozen=True, eq=False)
class Samples:
    """The draws of a Bayesian model: `S` of them, of `D = K + 1` places a row.

    Attributes
    ----------
    noise_precision : float64 (S,)
        Of the ratings around their predictions; of those of mean weight where they have any.
    biases : dict of float32 (n, S)
        Biases of each side's rows, a column a draw.
    precisions : dict of float64 (S, D, D)
        What the rows of a side were drawn with.
    weights : dict of float64 (S, features, D)
        What the features of a side stand for; the one feature 1 where it has none.
    rated_biases : float32 (n_items, S) or None
        What having rated an item says of a user's bias, where their prior follows that.
    noise_degrees : float64 (S,) or None
        Degrees of freedom of the users' noise, whose mean precision is then `noise_precision`;
        infinite, or None, where all have the same.
    user_variances : float32 (n_users,) or None
        Mean variance of the noise of each user's ratings, where each has their own.
    """

    noise_precision: Float64s
    biases: dict[str, Float32s]
    precisions: dict[str, Float64s]
    weights: dict[str, Float64s]
    rated_biases: Float32s | None = None
    noise_degrees: Float64s | None = None
    user_variances: Float32s | None = None

    def __len__(self) -> int:
        """Return the number of draws."""
        return len(self.noise_precision)

    def prior(self, side: str, sample: int) -> RowPrior:
        """Return what the rows of a side were drawn to."""
        return RowPrior(
            float(self.noise_precision[sample]),
            self.precisions[side][sample],
            self.weights[side][sample],
        )

    def noise_variances(self, unrated: npt.NDArray[np.bool_]) -> Float64s:
        """Return the variance of the noise of each user's ratings, and last of an unknown one's.

        float64 (n_users + 1,). Users without ratings count as unknown.
        """
        variances = 1 / self.noise_precision
        if self.noise_degrees is not None:
            variances = variances / (1 - 2 / self.noise_degrees)
        own = np.full(len(unrated) + 1, variances.mean())
        if self.user_variances is not None:
            own[:-1] = np.where(unrated, own[:-1], self.user_variances)
        return own

    def write(self, folder: Path, ids: Mapping[str, pd.DataFrame]) -> None:
        """Write the draws' tables into a model's folder, with the ids of each side."""
        columns: dict[str, object] = {"noise_precision": self.noise_precision}
        if self.noise_degrees is not None:
            columns["noise_degrees"] = self.noise_degrees
        for side in SIDES:
            for what, array in (("precisions", self.precisions), ("weights", self.weights)):
                columns[f"{side}_{what}"] = array[side].reshape(len(self), -1).tolist()
        pq.write_table(pa.table(columns), folder / _SAMPLES)
        for side in SIDES:
            _write_biases(folder / _biases_file(side), ids[side], self.biases[side])
        if self.rated_biases is not None:
            _write_biases(folder / _RATED_BIASES, ids["items"], self.rated_biases)
        if self.user_variances is not None:
            ids["users"].assign(variance=self.user_variances).to_parquet(
                folder / _USER_NOISE, index=False
            )

    @classmethod
    def read(cls, folder: Path, n_factors: int) -> Samples:
        """Read the draws of a model whose draws have so many factors each.

        Raises
        ------
        OSError, KeyError, ValueError, pyarrow.ArrowException
            If a table is missing or does not fit the others.
        """
        table = pq.read_table(folder / _SAMPLES)
        d = n_factors + 1

        def arrays(what: str) -> dict[str, Float64s]:
            return {
                side: np.array(table[f"{side}_{what}"].to_pylist()).reshape(len(table), -1, d)
                for side in SIDES
            }

        noise, degrees, own = table["noise_precision"].to_numpy(), None, None
        if "noise_degrees" in table.column_names:  # a model of before has none
            degrees = table["noise_degrees"].to_numpy()
        if (folder / _USER_NOISE).exists():
            own = pq.read_table(folder / _USER_NOISE)["variance"].to_numpy()
        biases = {side: _read_biases(folder / _biases_file(side), len(noise)) for side in SIDES}
        file = folder / _RATED_BIASES
        rated = _read_biases(file, len(noise)) if file.exists() else None
        kept = biases, arrays("precisions"), arrays("weights"), rated
        return cls(noise, *kept, degrees, own)


def _biases_file(side: str) -> str:
    return f"{side.removesuffix('s')}_biases.parquet"


def _write_biases(file: Path, ids: pd.DataFrame, biases: Float32s) -> None:
    table = pa.Table.from_pandas(ids, preserve_index=False)
    for s, bias in enumerate(biases.T):
        table = table.append_column(f"s{s:02d}", pa.array(np.ascontiguousarray(bias)))
    pq.write_table(table, file)


def _read_biases(file: Path, draws: int) -> Float32s:
    table = pq.read_table(file).drop_columns([pq.read_schema(file).names[0]])
    biases = np.empty((len(table), draws), np.float32)
    for s, column in enumerate(table.columns):
        biases[:, s] = column.to_numpy()
    return biases


def pack_draws(drawn: npt.NDArray[np.floating]) -> Float32s:
    """Return rows ``[bias, factors]`` of all draws, (S, n, D), as design rows of all together.

    float32 (n, width). The factors are divided by the root of S, so that the inner product of two
    rows is the mean of the draws' inner products.
    """
    scaled = drawn[:, :, 1:] / math.sqrt(len(drawn))
    factors = scaled.transpose(1, 0, 2).reshape(drawn.shape[1], -1)
    return pack(drawn[:, :, 0].mean(axis=0).astype(np.float32), factors.astype(np.float32))


@dataclass(frozen=True, kw_only=True, repr=False)
class BayesianModel(FactorModel):
    """Predicts the mean over the draws of a sampler, and how far off it may be.

    Its biases are means of the draws', its factors those of all draws side by side: so it predicts
    like a plain model of their common rank, ``len(samples)`` times that of a draw.

    Attributes
    ----------
    samples : Samples

    Examples
    --------
    >>> from scipy.sparse import csr_matrix
    >>> from mfdask import Bayes
    >>> ratings = csr_matrix([[5.0, 3.0, 0.0], [4.0, 0.0, 1.0], [0.0, 2.0, 1.0]])
    >>> model = Bayes(n_factors=1, n_sweeps=20, burn_in=5).fit(ratings)
    >>> model.predict_std([0, 1], [1, 1]).shape  # of rows, in stars
    (2,)
    """

    samples: Samples

    @property
    def n_factors(self) -> int:
        """Length of a factor vector: of all draws together."""
        return super().n_factors * len(self.samples)

    @property
    def chain(self) -> Chain:
        """How far the chain had come when the fit ended."""
        own, rhats = self.parameters, [sweep.rhat for sweep in self.history]
        return Chain.of(rhats, own["burn_in"], own["max_rhat"])

    def summary(self) -> tuple[str, dict[str, str]]:
        """Return what the model is, and whether its chain had settled."""
        title, facts = super().summary()
        facts = facts | {"chain": str(self.chain)}
        if unsolved := sum(sweep.unsolved for sweep in self.history):
            facts["not solved"] = f"weights of what is rated, after {unsolved} sweeps"
        return title, facts

    def description(self) -> dict[str, Any]:
        """Return what `model.json` says of this kind of model alone."""
        unsolved = sum(sweep.unsolved for sweep in self.history)
        return super().description() | {"chain": asdict(self.chain), "unsolved_sweeps": unsolved}

    def objective(self, squared_error: float) -> None:
        """Return nothing: a sampler minimises nothing."""

    def cold_start_row(self, side: str) -> Float32s:
        """Return the design row of an id that nobody has rated: the mean of the prior."""
        if side == "items" and self.encoder:
            return super().cold_start_row(side)
        # Of features from a file the first is that of all.
        return pack_draws(self.samples.weights[side][:, :1])

    def draws(self, items: Int32s, user: Any = None) -> Iterator[tuple[Float32s, RowPrior]]:
        """Yield the rows of some items and the prior of who rated them, once for each draw."""
        biases, features = self.samples.rated_biases, self._features_of_user(user)
        for s in range(len(self.samples)):
            rated = None
            if self.rated_rows is not None and biases is not None:
                factors = self._drawn_factors(self.rated_rows, s, items)
                rated = np.column_stack([biases[items, s], factors])
            prior = self.samples.prior("users", s).of_user(rated, features)
            yield self.draw_rows("items", s, items), prior

    def draw_rows(self, side: str, sample: int, rows: Int32s) -> Float32s:
        """Return design rows of one draw, float32 (len(rows), width of one draw)."""
        factors = self._drawn_factors(self.rows(side), sample, rows)
        return pack(self.samples.biases[side][rows, sample], factors)

    def _drawn_factors(self, design: Float32s, sample: int, rows: Int32s) -> Float32s:
        """Return some rows' factors of one draw, from design rows of all draws."""
        n = len(self.samples)
        k = self.n_factors // n
        factors: Float32s = design[rows, 2 + sample * k : 2 + (sample + 1) * k]
        return factors * np.float32(math.sqrt(n))

    def join_draws(self, drawn: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return rows ``[bias, factors]`` of all draws, (draws, n, D), as those of the model."""
        return unknowns(pack_draws(drawn), self.n_factors + 1)

    def predict_std(self, users: Int32s, items: Int32s, times: Int64s | None = None) -> Float32s:
        """Return the standard deviation of each rating around its prediction, float32 (pairs,).

        In rating units; for pairs of the model's row numbers, -1 for an unknown one. It holds the
        spread of the draws' predictions, that of the prior where a row has no ratings, and the
        noise of the user's ratings. Of offsets by time it holds the spread of their own draws, and
        of what these have in common with the row's bias; or where the time or the day is not known,
        the spread of all.
        """
        users, items = self.checked_pairs(users, items)
        noise = self.samples.noise_variances(self.users["n_train"].to_numpy() == 0)
        out = np.empty(len(users), np.float32)
        spread_pairs(
            read_only(_placed(users, len(self.user_rows))),
            read_only(_placed(items, len(self.item_rows))),
            self._drawn_side("users"),
            self._drawn_side("items"),
            noise,
            out,
        )
        if not self.offsets:
            return out
        apart = sum(own.variance(users, items, times) for own in self.offsets)
        return np.sqrt(np.maximum(np.square(out) + apart, noise[users])).astype(np.float32)

    def _drawn_side(self, side: str) -> DrawnSide:
        """Return a side for the kernel, with one row more for ids that nobody has rated."""
        samples, table = self.samples, self.users if side == "users" else self.items
        by_genre = side == "items" and self.encoder is not None and self.encoder.of_genres
        cold = 0.0 if by_genre else samples.weights[side][:, 0, 0]
        biases = np.vstack([samples.biases[side], np.broadcast_to(cold, (1, len(samples)))])
        return DrawnSide(
            read_only(np.concatenate([self.rows(side), self.cold_start_row(side)])),
            read_only(biases.astype(np.float32)),
            read_only(np.append(table["n_train"].to_numpy() == 0, True)),
            read_only(np.linalg.inv(samples.precisions[side])),
        )

    def write(self, folder: Path) -> None:
        """Write the draws, and what the items' prior follows."""
        super().write(folder)
        ids = {"users": self.users.iloc[:, [0]], "items": self.items.iloc[:, [0]]}
        self.samples.write(folder, ids)

    @classmethod
    def read(
        cls, folder: Path, said: Mapping[str, Any], tables: dict[str, pd.DataFrame], **facts: Any
    ) -> Self:
        """Read a model from its folder."""
        samples = Samples.read(folder, int(said["parameters"]["n_factors"]))
        return super().read(folder, said, tables, samples=samples, **facts)

    @classmethod
    def stored_factors(cls, folder: Path, said: Mapping[str, Any]) -> int:
        """Return `n_factors` of a model's directory."""
        draws = pq.read_metadata(folder / _SAMPLES).num_rows
        return super().stored_factors(folder, said) * draws


def _placed(rows: Int32s, n: int) -> Int32s:
    """Return row numbers with those of unknown ids at the end."""
    return np.where(rows < 0, n, rows).astype(np.int32)
