"""The model that ALS learns: biases and factors of users and items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mfdask.features.encoder import FeatureEncoder
from mfdask.features.file import SideFeatures
from mfdask.features.kept import UserFeatures
from mfdask.features.offsets import TimeOffsets
from mfdask.kernels.types import Float32s, Int32s, Int64s
from mfdask.models.base import SOURCES, Ability, Aligned, Model, checked_rows
from mfdask.models.design import RowPrior, Unrated, empty_rows, pack, swap_bias_columns, unknowns
from mfdask.models.half_step import pair_predictions, predict_shard
from mfdask.models.registry import require_ability
from mfdask.shards import SIDES, Dataset, Shard

_FEATURES = "features.parquet"
_ITEM_FEATURES = "item_features.parquet"
_RATED = "rated.parquet"


@dataclass(frozen=True, kw_only=True, repr=False)
class FactorModel(Model):
    """Predicts ``mean + b_u + b_i + p_u . q_i``.

    Attributes
    ----------
    mean : float
        Mean training rating, or 0 where the fit did not take it off.
    user_rows, item_rows : float32 (n, width)
        Design rows ``[bias, 1, factors..., 0...]``.
    encoder : FeatureEncoder or None
        How what the items' prior follows is read from a table of items; None where it follows
        nothing.
    feature_weights : float32 (features, n_factors + 1), or None
        Bias and factors that each feature stands for.
    item_features : DataFrame or None
        The columns that are encoded, one line an item, where they are not those of `items`.
    shared : dict of float32 (n_factors + 1,)
        What all rows of a side have in common, where its prior follows what is rated.
    rated_rows : float32 (n_items, width) or None
        What having rated each item says of a user, as design rows, where their prior follows that.
    offsets : tuple of TimeOffsets
        What the day or the period of a rating adds, where that was learned.
    user_features : UserFeatures or None
        What the users' prior follows from a file.

    Examples
    --------
    >>> from scipy.sparse import csr_matrix
    >>> from mfdask import ALS
    >>> ratings = csr_matrix([[5.0, 3.0, 0.0], [4.0, 0.0, 1.0], [0.0, 2.0, 1.0]])
    >>> model = ALS(n_factors=2).fit(ratings)
    >>> model.item_factors.shape, model.item_bias.shape
    ((3, 2), (3,))
    """

    mean: float
    user_rows: Float32s
    item_rows: Float32s
    encoder: FeatureEncoder | None = None
    feature_weights: Float32s | None = None
    item_features: pd.DataFrame | None = None
    shared: dict[str, Float32s] = field(default_factory=dict)
    rated_rows: Float32s | None = None
    offsets: tuple[TimeOffsets, ...] = ()
    user_features: UserFeatures | None = None

    @property
    def n_factors(self) -> int:
        """Length of a factor vector."""
        return int(self.parameters["n_factors"])

    @property
    def user_factors(self) -> Float32s:
        """Factors of the users, float32 (n_users, n_factors)."""
        return self.user_rows[:, 2 : self.n_factors + 2]

    @property
    def item_factors(self) -> Float32s:
        """Factors of the items, float32 (n_items, n_factors)."""
        return self.item_rows[:, 2 : self.n_factors + 2]

    @property
    def user_bias(self) -> Float32s:
        """Biases of the users in rating units, float32 (n_users,)."""
        return self.user_rows[:, 0]

    @property
    def item_bias(self) -> Float32s:
        """Biases of the items in rating units, float32 (n_items,)."""
        return self.item_rows[:, 0]

    def rows(self, side: str) -> Float32s:
        """Return the design rows of a side."""
        return self.user_rows if side == "users" else self.item_rows

    # ---- features of items

    @property
    def described_items(self) -> pd.DataFrame:
        """The columns that `encoder` encodes, one line an item."""
        return self.items if self.item_features is None else self.item_features

    @property
    def feature_names(self) -> list[str]:
        """What the items' prior follows, empty where it follows nothing."""
        return self.encoder.names if self.encoder else []

    def rows_of_new_items(self, items: pd.DataFrame) -> Float32s:
        """Return design rows of items that nobody has rated, from what is known of them.

        float32 (items, width); zero bias and factors where the model has learned nothing of it.

        Parameters
        ----------
        items : DataFrame
            One line an item: `genres` joined by ``|``, or the columns of the file of item features
            that the model was trained with, by name. What is missing is not known.

        Raises
        ------
        InputError
            If a column is not of the kind that the model was trained with.
        """
        if self.encoder is None or self.feature_weights is None:
            return empty_rows(len(items), self.n_factors)
        own = self.encoder.encode(items) @ self.feature_weights
        return pack(own[:, 0], own[:, 1:])

    def _inputs(self) -> dict[str, Any]:
        found = {}
        if self.item_features is not None:
            assert self.encoder is not None
            table = self.item_features.set_axis(pd.Index(self.items["item_id"]))
            found["item_features"] = SideFeatures("items", self.encoder, known=table)
        if self.user_features is not None:
            found["user_features"] = self.user_features.given_again(self.users["user_id"])
        return found

    # ---- predictions

    def predict_rows(self, users: Int32s, items: Int32s, *, clip: bool = True) -> Float32s:
        """Return the predictions for pairs of the model's row numbers, -1 for an unknown one."""
        users, items = self.checked_pairs(users, items)
        users, user_rows = self._with_cold_start("users", users)
        items, item_rows = self._with_cold_start("items", items)
        found = pair_predictions(users, items, user_rows, item_rows, self.mean)
        if not (clip and self.can(Ability.RATINGS)):
            return found
        return found.clip(self.data.rating_min, self.data.rating_max)

    def offsets_at(self, users: Int32s, items: Int32s, times: Int64s | None) -> Float32s:
        """Return what the time of each rating adds to its prediction; see `Model.offsets_at`."""
        total = super().offsets_at(users, items, times)
        if times is not None:
            for own in self.offsets:
                total += own.at(users, items, times)
        return total

    def _with_cold_start(self, side: str, places: Int32s) -> tuple[Int32s, Float32s]:
        """Return places and rows, with one row more, and a copy of all, only if it is needed."""
        rows = self.rows(side)
        places = checked_rows(side, places, len(rows))
        if (places >= 0).all():
            return places, rows
        known = np.where(places < 0, len(rows), places).astype(np.int32)
        return known, np.concatenate([rows, self.cold_start_row(side)])

    def cold_start_row(self, side: str) -> Float32s:
        """Return the design row of an id that nobody has rated, float32 (1, width).

        Without bias or factors, but for what all have in common where that is a feature.
        """
        if side == "items" and self.encoder:
            return self.rows_of_new_items(pd.DataFrame(index=[0]))
        if side == "users" and self.user_features is not None:
            own = self.user_features.of_row(-1) @ self.user_features.weights
            return pack(own[:, 0], own[:, 1:])
        if side in self.shared:
            return pack(self.shared[side][:1], self.shared[side][None, 1:])
        return empty_rows(1, self.n_factors)

    def sources(
        self, users: npt.NDArray[np.integer], items: npt.NDArray[np.integer]
    ) -> npt.NDArray[np.intp]:
        """Return the place in `SOURCES` of each pair of row numbers, -1 for an unknown one."""
        codes = super().sources(users, items)
        if self.feature_weights is not None:
            unrated = np.append(self.items["n_train"].to_numpy() == 0, False)
            codes[unrated[items] & (items >= 0)] = SOURCES.index("genre")
        return codes

    def mean_predictions(self, users: Int32s, items: Int32s) -> npt.NDArray[np.float64]:
        """Return the mean unclipped prediction of each item over some users, float64 (items,)."""
        users, user_rows = self._with_cold_start("users", users)
        items, item_rows = self._with_cold_start("items", items)
        user = swap_bias_columns(user_rows[users]).mean(axis=0, dtype=np.float64)
        predicted: npt.NDArray[np.float64] = self.mean + item_rows[items] @ user
        return predicted

    def draws(self, items: Int32s, user: Any = None) -> Iterator[tuple[Float32s, RowPrior]]:
        """Yield the rows of some items and the prior of who rated them, once for each draw.

        A model that is one point has one draw: itself.

        Parameters
        ----------
        items : int32 (rated,)
        user : int or str, optional
            Raw id of who rated them, by which their features are known, if the prior follows any.
        """
        rated, features = None, self._features_of_user(user)
        if self.rated_rows is not None:
            rated = unknowns(self.rated_rows[items], self.n_factors + 1)
        yield self.item_rows[items], self.user_prior.of_user(rated, features)

    def _features_of_user(self, user: Any) -> Float32s | None:
        """Return the features of a user by raw id, float32 (1, features), if the prior has any."""
        if self.user_features is None:
            return None
        row = -1 if user is None else int(self.rows_of("users", [user])[0])
        return self.user_features.of_row(row)

    @cached_property
    def user_prior(self) -> RowPrior:
        """The prior of a user's row, the items held still."""
        estimator: Any = self.estimator
        weight = estimator.update_config(self.mean).unrated_weight
        unrated = Unrated.of(self.item_rows, self.n_factors, weight) if weight else None
        prior = replace(estimator.prior("users"), unrated=unrated)
        if self.user_features is not None:
            return replace(prior, weights=self.user_features.weights.astype(np.float64))
        if "users" in self.shared:
            prior = replace(prior, weights=self.shared["users"][None].astype(np.float64))
        return prior

    def join_draws(self, drawn: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return rows ``[bias, factors]`` of all draws, (draws, n, D), as those of the model."""
        return drawn[0]

    def refit(self, data: Dataset, **options: Any) -> FactorModel:
        """Learn this model again from other data; see `Model.refit`."""
        model = super().refit(data, **options)
        assert isinstance(model, FactorModel)
        return model

    def objective(self, squared_error: float) -> float | None:
        """Return the objective, given the squared error over the training ratings."""
        if not self.can(Ability.OBJECTIVE):
            return None
        return self.estimator.objective(self, squared_error)  # type: ignore[attr-defined]

    def align(self, data: Dataset) -> AlignedFactors:
        """Return the model in the order of a data set's rows."""
        return AlignedFactors(self, data)

    def unsound_sides(self) -> list[str]:
        """Return the sides some of whose rows are not finite."""
        return [side for side in SIDES if not np.isfinite(self.rows(side)).all()]

    # ---- its directory

    def description(self) -> dict[str, Any]:
        """Return what `model.json` says of this kind of model alone."""
        coding = {"coding": self.encoder.to_dict()} if self.encoder else {}
        if self.user_features is not None:
            coding["user_coding"] = self.user_features.encoder.to_dict()
        shared = {side: own.tolist() for side, own in self.shared.items()}
        return {"mean": self.mean, **coding, **({"shared": shared} if shared else {})}

    def columns(self, side: str) -> dict[str, pa.Array]:
        """Return ``bias, f00…`` of a side."""
        return _unknowns(self.rows(side)[:, 0], self.rows(side)[:, 2 : self.n_factors + 2])

    def write(self, folder: Path) -> None:
        """Write what the priors follow, and offsets, if there are any."""
        for offsets in self.offsets:
            offsets.write(folder, self._ids(self.users, self.items))
        if self.user_features is not None:
            self.user_features.write(folder, self.users["user_id"])
        if self.rated_rows is not None:
            own = _unknowns(self.rated_rows[:, 0], self.rated_rows[:, 2 : self.n_factors + 2])
            table = pa.table({"item_id": pa.array(self.items["item_id"]), **own})
            pq.write_table(table, folder / _RATED)
        if self.feature_weights is not None:
            weights = _unknowns(self.feature_weights[:, 0], self.feature_weights[:, 1:])
            pq.write_table(pa.table({"feature": self.feature_names, **weights}), folder / _FEATURES)
        if self.item_features is not None:
            # With an id for each, under a name that is free.
            table = self.item_features.set_axis(self.items["item_id"]).reset_index()
            table.to_parquet(folder / _ITEM_FEATURES, index=False)

    @staticmethod
    def _ids(users: pd.DataFrame, items: pd.DataFrame) -> dict[str, pd.Series]:
        return {"users": users["user_id"], "items": items["item_id"]}

    @classmethod
    def read(
        cls, folder: Path, said: Mapping[str, Any], tables: dict[str, pd.DataFrame], **facts: Any
    ) -> Self:
        """Read a model from its folder."""
        n_factors = cls.stored_factors(folder, said)
        sides = {side: split_table(tables[side], n_factors) for side in SIDES}
        ids = cls._ids(sides["users"][0], sides["items"][0])
        groupings = facts["estimator"].groupings
        return cls(
            mean=said["mean"],
            users=sides["users"][0],
            user_rows=sides["users"][1],
            items=sides["items"][0],
            item_rows=sides["items"][1],
            shared={
                side: np.array(own, np.float32) for side, own in said.get("shared", {}).items()
            },
            rated_rows=read_rated(folder, n_factors),
            offsets=tuple(TimeOffsets.read(folder, grouping, ids) for grouping in groupings),
            user_features=UserFeatures.read(folder, said.get("user_coding")),
            **_read_features(folder, n_factors, said.get("coding")),
            **facts,
        )

    @classmethod
    def stored_factors(cls, folder: Path, said: Mapping[str, Any]) -> int:
        """Return `n_factors` of a model's directory."""
        return int(said["parameters"]["n_factors"])


def require_factors(model: Model, what: str, ability: Ability = Ability.FACTORS) -> FactorModel:
    """Return a model of biases and factors that has an ability.

    Raises
    ------
    InputError
        If it has not; by default, if it is of another form or has biases alone.
    """
    require_ability(model, ability, what)
    assert isinstance(model, FactorModel)
    return model


class AlignedFactors(Aligned):
    """A factor model in the order of a data set's rows: products of design rows, no look-ups.

    Attributes
    ----------
    user_rows, item_rows : float32 (n, width)
        Design rows; of an id that the model does not know, those of nobody in particular, or of an
        item's genres.
    """

    model: FactorModel

    def __init__(self, model: FactorModel, data: Dataset) -> None:
        super().__init__(model, data)
        self.user_rows, self.item_rows = (
            np.concatenate([model.rows(side), model.cold_start_row(side)])[places]
            for side, places in (("users", self.users), ("items", self.items))
        )
        if model.encoder and model.encoder.of_genres:
            new = self.items < 0
            self.item_rows[new] = model.rows_of_new_items(data.items()[new])

    def predict(self, shard: Shard, times: Int64s | None = None) -> Float32s:
        """Return the raw prediction for each rating of a user shard; see `Aligned.predict`."""
        rows = self.user_rows[shard.start : shard.stop]
        predicted = predict_shard(shard, rows, self.item_rows, self.model.mean)
        if self.model.offsets:
            users, items = self.users[shard.rows], self.items[shard.indices]
            predicted += self.model.offsets_at(users, items, times)
        return predicted

    def scores(self, rows: npt.NDArray[np.int64]) -> Float32s:
        """Return ``b_i + p_u . q_i``: mean and user bias change no user's order.

        Users that the model does not know get the item biases; items that it does not know a score
        of 0, or that of their genres.
        """
        facing = swap_bias_columns(self.user_rows[rows])
        facing[:, 1] = 0.0  # the user's own bias
        return facing @ self.item_rows.T


def factor_column(k: int) -> str:
    """Return the name of a factor's column: ``f00``."""
    return f"f{k:02d}"


def _unknowns(bias: Float32s, factors: Float32s) -> dict[str, pa.Array]:
    named = {factor_column(k): factors[:, k] for k in range(factors.shape[1])}
    return {
        name: pa.array(np.ascontiguousarray(values))
        for name, values in {"bias": bias, **named}.items()
    }


def split_table(frame: pd.DataFrame, n_factors: int) -> tuple[pd.DataFrame, Float32s]:
    """Return the facts of a side's table, and its design rows."""
    names = [factor_column(k) for k in range(n_factors)]
    rows = pack(frame["bias"].to_numpy(np.float32), frame[names].to_numpy(np.float32))
    return frame.drop(columns=["bias", *names]), rows


def read_rated(folder: Path, n_factors: int) -> Float32s | None:
    """Read what having rated an item says of a user, if the users' prior follows that."""
    if not (folder / _RATED).exists():
        return None
    return split_table(pq.read_table(folder / _RATED).to_pandas(), n_factors)[1]


def _read_features(folder: Path, n_factors: int, said: Any) -> dict[str, Any]:
    """Read what the items' prior follows; a model that does not say how it is coded has genres."""
    file = folder / _FEATURES
    if not file.exists():
        return {}
    frame = pq.read_table(file).to_pandas()
    columns = ["bias", *map(factor_column, range(n_factors))]
    names = frame["feature"].tolist()
    encoder = FeatureEncoder.from_dict(said) if said else FeatureEncoder.genres(names)
    if encoder.names != names:
        raise ValueError(f"{_FEATURES} is of other features")
    raw = None if encoder.of_genres else pd.read_parquet(folder / _ITEM_FEATURES).iloc[:, 1:]
    weights = frame[columns].to_numpy(np.float32)
    return {"encoder": encoder, "feature_weights": weights, "item_features": raw}
