"""A learned model: ids in, predicted ratings out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.errors import InputError
from mfdask.features.encoder import FeatureEncoder
from mfdask.models.design import Array, empty_rows, pack
from mfdask.models.fitted import FitResult, Sweep
from mfdask.models.half_step import pair_predictions
from mfdask.models.samples import Samples

if TYPE_CHECKING:
    from mfdask.models.method import Method
    from mfdask.shards import Dataset

#: What a prediction rests on: the ratings of the user (2) and of the item (1); or what its genres
#: stand for, of an item without any.
SOURCES = ("mean", "item", "user", "model", "genre")


@dataclass(frozen=True)
class DataFacts:
    """What a model remembers of the data that it was learned from."""

    name: str
    fingerprint: str
    n_train: int
    n_test: int
    rating_min: float
    rating_max: float


@dataclass(frozen=True)
class FactorModel:
    """Predicts ``mean + b_u + b_i + p_u . q_i``.

    Attributes
    ----------
    kind : str
        ``"als"``, ``"bias"``, ``"genre"``, ``"features"`` or ``"bayes"``.
    parameters : dict
        Of the fit.
    mean : float
        Mean training rating, or 0 where the fit did not take it off.
    user_rows, item_rows : float32 (n, width)
        Design rows ``[bias, 1, factors..., 0...]``.
    users, items : DataFrame
        One line a row: `user_id`, `n_train`; `item_id`, `title`, `year`, `genres`, `n_train`.
    data : DataFacts
    history : list of Sweep
    coding : FeatureEncoder or None
        How what the items' prior follows is read from a table of items; None where it follows
        nothing.
    feature_weights : float32 (features, n_factors + 1), or None
        Bias and factors that each feature stands for.
    item_features : DataFrame or None
        The columns that are coded, one line an item, where they are not those of `items`.
    samples : Samples or None
        Of a Bayesian model: its biases are means of the samples', its factors those of all samples
        side by side, so that it predicts like a plain one of their common rank.
    """

    kind: str
    parameters: dict[str, Any]
    mean: float
    user_rows: Array
    item_rows: Array
    users: pd.DataFrame
    items: pd.DataFrame
    data: DataFacts
    history: list[Sweep]
    coding: FeatureEncoder | None = None
    feature_weights: Array | None = None
    item_features: pd.DataFrame | None = None
    samples: Samples | None = None
    _indexes: dict[str, pd.Index] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def learned(cls, method: Method, data: Dataset, fitted: FitResult) -> FactorModel:
        """Return the model of the rows that a fit ends with."""
        weights = fitted.item_prior.weights.astype(np.float32) if fitted.features else None
        made = cls.of_data(
            method,
            data,
            user_rows=fitted.rows["users"],
            item_rows=fitted.rows["items"].copy(),  # what a worker sends cannot be written to
            fitted=fitted,
            feature_weights=weights,
        )
        if weights is not None:
            # Their rows lie on the prior of the sweep before; what is learned last is what counts.
            unrated = made.items["n_train"] == 0
            made.item_rows[unrated] = made.rows_of_new_items(made.described_items[unrated])
        return made

    @classmethod
    def of_data(
        cls, method: Method, data: Dataset, fitted: FitResult, **learned: Any
    ) -> FactorModel:
        """Return a model of a data set's users and items."""
        features = fitted.features
        facts = DataFacts(
            data.name, data.fingerprint, data.n_train, data.n_test, data.rating_min, data.rating_max
        )
        return cls(
            kind=method.kind,
            parameters=method.parameters(),
            mean=method.rule(data.mean).mean_rating,
            users=data.users()[["user_id", "n_train"]],
            items=data.items().drop(columns=["n_read", "n_test"], errors="ignore"),
            data=facts,
            history=fitted.history,
            coding=features.coding if features else None,
            item_features=features.table(data) if features and features.file else None,
            **learned,
        )

    def rows_of_new_items(self, items: pd.DataFrame) -> Array:
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
        if self.coding is None or self.feature_weights is None:
            return empty_rows(len(items), self.n_factors)
        own = self.coding.encode(items) @ self.feature_weights
        return pack(own[:, 0], own[:, 1:])

    @property
    def described_items(self) -> pd.DataFrame:
        """The columns that `coding` encodes, one line an item."""
        return self.items if self.item_features is None else self.item_features

    @property
    def feature_names(self) -> list[str]:
        """What the items' prior follows, empty where it follows nothing."""
        return self.coding.names if self.coding else []

    @property
    def n_factors(self) -> int:
        """Length of a factor vector: of all samples together, where there are some."""
        return int(self.parameters["n_factors"]) * (len(self.samples) if self.samples else 1)

    @property
    def user_factors(self) -> Array:
        """Factors of the users, float32 (n_users, n_factors)."""
        return self.user_rows[:, 2 : self.n_factors + 2]

    @property
    def item_factors(self) -> Array:
        """Factors of the items, float32 (n_items, n_factors)."""
        return self.item_rows[:, 2 : self.n_factors + 2]

    @property
    def user_bias(self) -> Array:
        """Biases of the users in rating units, float32 (n_users,)."""
        return self.user_rows[:, 0]

    @property
    def item_bias(self) -> Array:
        """Biases of the items in rating units, float32 (n_items,)."""
        return self.item_rows[:, 0]

    def rows_of(self, side: str, ids: Any) -> npt.NDArray[np.int32]:
        """Return the row of each raw id, int32, -1 for ids that the model has not learned."""
        if side not in self._indexes:
            table = self.users["user_id"] if side == "users" else self.items["item_id"]
            self._indexes[side] = pd.Index(table)
        return self._indexes[side].get_indexer(pd.Index(ids)).astype(np.int32)

    def predict(self, user_ids: Any, item_ids: Any, *, clip: bool = True) -> Array:
        """Return the predicted ratings of pairs of raw ids, float32 (pairs,).

        An unknown user or item adds nothing: the other's bias and the mean remain. `predict_table`
        tells which predictions those are. With `clip` (the default) predictions are kept on the
        rating scale of the training data.
        """
        users, items = self.rows_of("users", user_ids), self.rows_of("items", item_ids)
        return self.predict_rows(users, items, clip=clip)

    def predict_table(self, user_ids: Any, item_ids: Any, *, clip: bool = True) -> pd.DataFrame:
        """Return `predict` as a table: `user_id`, `item_id`, `prediction` and its `source`.

        `source` is ``"model"`` where both have training ratings, ``"user"`` or ``"item"`` where
        only that one has, ``"mean"`` where neither; ``"genre"`` where an item without any is placed
        by its genres.
        """
        users, items = self.rows_of("users", user_ids), self.rows_of("items", item_ids)
        return pd.DataFrame(
            {
                "user_id": user_ids,
                "item_id": item_ids,
                "prediction": self.predict_rows(users, items, clip=clip),
                "source": np.array(SOURCES)[self.sources(users, items)],
            }
        )

    def predict_rows(
        self, users: npt.NDArray[np.int32], items: npt.NDArray[np.int32], *, clip: bool = True
    ) -> Array:
        """Return the predictions for pairs of the model's row numbers, -1 for an unknown one."""
        users, user_rows = self._with_nobody("users", users)
        items, item_rows = self._with_nobody("items", items)
        found = pair_predictions(users, items, user_rows, item_rows, self.mean)
        return found.clip(self.data.rating_min, self.data.rating_max) if clip else found

    def _with_nobody(
        self, side: str, places: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.int32], Array]:
        """Return places and rows, with one row more, and a copy of all, only if it is needed."""
        rows = self.user_rows if side == "users" else self.item_rows
        if (places >= 0).all():
            return places, rows
        known = np.where(places < 0, len(rows), places).astype(np.int32)
        return known, np.concatenate([rows, self.cold_start_row(side)])

    def sources(
        self, users: npt.NDArray[np.integer], items: npt.NDArray[np.integer]
    ) -> npt.NDArray[np.intp]:
        """Return the place in `SOURCES` of each pair of row numbers, -1 for an unknown one."""
        rated = [
            np.append(table["n_train"].to_numpy() > 0, False)[rows]
            for table, rows in ((self.users, users), (self.items, items))
        ]
        codes = 2 * rated[0].astype(np.intp) + rated[1]
        if self.feature_weights is not None:
            codes[~rated[1] & (items >= 0)] = SOURCES.index("genre")
        return codes

    def cold_start_row(self, side: str) -> Array:
        """Return the design row of an id that nobody has rated, float32 (1, width).

        Without bias or factors, but for what all items have in common where that is a feature; the
        mean of a Bayesian model's prior.
        """
        if side == "items" and self.coding:
            return self.rows_of_new_items(pd.DataFrame(index=[0]))
        if self.samples is None:
            return empty_rows(1, self.n_factors)
        return self.samples.pack(self.samples.weights[side])

    @property
    def has_deviations(self) -> bool:
        """Whether the model knows how far off a rating may be."""
        return self.samples is not None

    def predict_std(self, users: npt.NDArray[np.int32], items: npt.NDArray[np.int32]) -> Array:
        """Return the standard deviation of each rating around its prediction, float32 (pairs,).

        In rating units; for pairs of the model's row numbers, -1 for an unknown one. It holds the
        spread of the samples' predictions, that of the prior where a row has no ratings, and the
        noise of the ratings.

        Raises
        ------
        InputError
            If the model is not a Bayesian one.
        """
        if self.samples is None:
            raise InputError(
                f"a model of kind {self.kind} knows no deviations; train one with --model bayes"
            )
        return self.samples.deviations(self, users, items)
