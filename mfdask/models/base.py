"""Base classes `Estimator` and `Model`, and the abilities that a model may have.

A kind of its own subclasses `Estimator` and `Model`, and is registered by the entry-point group
``mfdask.models``; everything else (jobs, nights, reports) then works with it, as far as its
abilities go.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from mfdask.errors import InputError
from mfdask.features.groups import Grouping
from mfdask.kernels.types import Float32s, Int32s, Int64s
from mfdask.parameters import Parametrised, known_parameters
from mfdask.ratings.source import Feedback
from mfdask.shards import SIDES, Dataset, Shard
from mfdask.shards.dataset import rows_of_ids
from mfdask.summaries import Summarised

#: What a prediction rests on: the ratings of the user (2) and of the item (1); or what its genres
#: stand for, of an item without any.
SOURCES = ("mean", "item", "user", "model", "genre")


class Score(StrEnum):
    """What a model's prediction is, and so what it ranks by."""

    STARS = "predicted stars"
    PREFERENCE = "preference"
    LOG_ODDS = "log-odds"
    COUNT = "number of ratings"


class Ability(StrEnum):
    """Abilities that a model may have.

    Examples
    --------
    >>> from scipy.sparse import csr_matrix
    >>> from mfdask import ALS, Ability
    >>> model = ALS(n_factors=1).fit(csr_matrix([[5.0, 3.0], [4.0, 0.0]]))
    >>> model.can(Ability.RATINGS), model.can(Ability.DEVIATIONS)
    (True, False)
    """

    RATINGS = "predicts ratings"
    BIASES = "adds biases and products of factors up"
    FACTORS = "has factors of users and items"
    SINGLE_VECTORS = "describes each user by one vector"
    DEVIATIONS = "tells how far off a rating may be"
    NEW_USERS = "takes in users that it has not seen"
    NEW_ITEMS = "places items that nobody has rated"
    OBJECTIVE = "minimises an objective"


@dataclass(frozen=True)
class Sweep:
    """One line of a fit's history.

    Attributes
    ----------
    sweep : int
        From 1.
    objective : float
        The full regularised objective after the sweep.
    train_rmse : float or None
        By the weights of the ratings, where these have any. None of a model that predicts no
        ratings.
    test_rmse : float or None
        Unclipped; None where nothing is held out, too.
    moved : float
        Length of the sweep's move against the length of all rows.
    seconds : float
        From the end of the sweep before.
    fidelity : float
        What a squared error weighed: lambda, or the noise precision that was drawn.
    bytes_moved : int
        What workers sent to each other meanwhile.
    test_auc : float or None
        Of a model that ranks: the chance that a held-out item of a user is scored above another
        that they have not rated. None where it is not measured.
    rhat : float or None
        Of a chain of draws so far, see `mfdask.convergence.chain_rhat`. None before there
        are four draws that count.
    unsolved : bool
        Whether weights of what is rated, drawn after the sweep, were still further off than they
        are to be when the search for them ended.
    """

    sweep: int
    objective: float
    train_rmse: float | None
    test_rmse: float | None
    moved: float
    seconds: float
    fidelity: float = math.nan
    bytes_moved: int = 0
    test_auc: float | None = None
    rhat: float | None = None
    unsolved: bool = False

    def note(self) -> str:
        """Return how good the fit is so far, for a progress bar."""
        if self.train_rmse is not None:
            test = "" if self.test_rmse is None else f", test {self.test_rmse:.4f}"
            rhat = "" if self.rhat is None else f", R-hat {self.rhat:.2f}"
            unsolved = ", weights not solved for" if self.unsolved else ""
            return f"RMSE train {self.train_rmse:.4f}{test}{rhat}{unsolved}"
        if self.test_auc is not None:
            return f"AUC test {self.test_auc:.4f}"
        return f"objective {self.objective:.6g}" if self.objective == self.objective else ""


@dataclass(frozen=True)
class DataFacts:
    """Facts about the data that a model was learned from.

    `address` is the folder of the data set, None where it was in memory or at a URL. `split` says
    what is held out of it, and is empty in models that were saved before it was kept. `mean_weight`
    is None where ratings have no weights. `feedback` says what the ratings are.
    """

    name: str
    fingerprint: str
    n_train: int
    n_test: int
    rating_min: float
    rating_max: float
    address: str | None = None
    split: str = ""
    mean_weight: float | None = None
    feedback: Feedback = "ratings"

    @property
    def scale(self) -> tuple[float, float]:
        """The least and the largest rating that may be given; counts have no largest one."""
        return self.rating_min, math.inf if self.feedback == "counts" else self.rating_max

    @classmethod
    def of(cls, data: Dataset) -> DataFacts:
        """Return the facts of a data set."""
        return cls(
            data.name,
            data.fingerprint,
            data.n_train,
            data.n_test,
            data.rating_min,
            data.rating_max,
            None if data.path is None else data.address,  # a URL may hold a secret
            data.manifest.split,
            data.manifest.mean_weight,
            data.feedback,
        )


class Estimator(Parametrised, ABC):
    """Learns models of one kind.

    Attributes
    ----------
    model_type : type
        What `fit` returns, and what is read from a model's directory.
    presets : mapping
        Parameters with a name, for `--preset`.
    unattended : mapping
        Parameters that a night uses unless its configuration says otherwise.
    begins_afresh : bool
        Whether `fit` takes no model to start from, and keeps no checkpoints.
    uses_weights : bool
        Whether a rating counts by its weight, where ratings have weights.
    n_sweeps : int or None
        Passes over the ratings; None where the estimator finds out how many it needs.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from mfdask import ALS
    >>> replace(ALS(), n_factors=40).n_factors
    40
    """

    model_type: ClassVar[type[Model]]
    begins_afresh: ClassVar[bool] = False
    uses_weights: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    unattended: ClassVar[Mapping[str, Any]] = {}

    n_sweeps: int | None = 1

    @property
    @abstractmethod
    def kind(self) -> str:
        """Name of the kind of model, as it is registered."""

    @property
    def score(self) -> Score:
        """What its models predict."""
        return Score.STARS

    @property
    def abilities(self) -> frozenset[Ability]:
        """What its models can do; by default only what follows from their score."""
        return frozenset({Ability.RATINGS} if self.score is Score.STARS else ())

    @property
    def most_sweeps(self) -> int:
        """Passes over the ratings, at most."""
        if self.n_sweeps is None:
            raise NotImplementedError
        return self.n_sweeps

    @property
    def needs_item_features(self) -> bool:
        """Whether `fit` must be given a file of item features."""
        return False

    @property
    def needs_user_features(self) -> bool:
        """Whether `fit` must be given a file of user features."""
        return False

    @property
    def groupings(self) -> tuple[Grouping, ...]:
        """What ratings have an offset in common, in a factor model: by default none."""
        return ()

    def check_data(self, data: Dataset) -> None:
        """Refuse data that do not suit the parameters.

        Raises
        ------
        InputError
        """

    def resolved(self, data: Dataset) -> Self:
        """Return the estimator with numbers where a default follows the data; by default itself.

        A fit begins with it, so that the model keeps what it was learned with.
        """
        return self

    @abstractmethod
    def fit(self, data: Dataset, **options: Any) -> Model:
        """Learn a model.

        The options are those of `MatrixFactorization.fit`; an estimator may ignore any.
        """

    def parameters(self) -> dict[str, Any]:
        """Return all parameters by name, as `model.json` keeps them."""
        return asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_parameters(cls, said: Mapping[str, Any]) -> Self:
        """Return the estimator that `parameters` were said of; names unknown here pass."""
        return cls(**known_parameters(cls, said))

    def point_estimate(self, most_sweeps: int | None = None) -> Estimator:
        """Return what stands in for this where many models are learned: one point, and quickly."""
        return self

    def can_start_from(self, model: Path) -> bool:
        """Whether `fit` can begin with the rows of a model in a directory."""
        return False

    def training_bytes(self, n_rows: int) -> int:
        """Return what a fit of so many users and items together holds in memory at least."""
        return 0

    def model_bytes(self, n_rows: int) -> int:
        """Return what the model's directory takes at most: ids and titles are guessed."""
        return 100 * n_rows


@dataclass(frozen=True, kw_only=True, repr=False)
class Model(Summarised):
    """Raw ids in, predictions out: ratings, or another score to rank by.

    Attributes
    ----------
    estimator : Estimator
        What has learned it.
    users, items : DataFrame
        One line a row: `user_id`, `n_train`; `item_id`, `title`, `year`, `genres`, `n_train`.
    data : DataFacts
    history : list of Sweep

    Examples
    --------
    >>> from scipy.sparse import csr_matrix
    >>> from mfdask import ALS
    >>> ratings = csr_matrix([[5.0, 3.0, 0.0], [4.0, 0.0, 1.0], [0.0, 2.0, 1.0]])
    >>> model = ALS(n_factors=1).fit(ratings)
    >>> model.predict([0, 0], [1, 2]).shape
    (2,)
    >>> model.predict_table([0, 0], [1, 99])["source"].tolist()
    ['model', 'user']
    """

    estimator: Estimator
    users: pd.DataFrame
    items: pd.DataFrame
    data: DataFacts
    history: list[Sweep]
    _indexes: dict[str, pd.Index] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of_data(
        cls, estimator: Estimator, data: Dataset, history: list[Sweep], **learned: Any
    ) -> Self:
        """Return a model of a data set's users and items."""
        return cls(
            estimator=estimator,
            users=data.users()[["user_id", "n_train"]],
            items=data.items().drop(columns=["n_read", "n_test"], errors="ignore"),
            data=DataFacts.of(data),
            history=history,
            **learned,
        )

    def summary(self) -> tuple[str, dict[str, str]]:
        """Return what the model is, by the names of the facts."""
        last, data = self.history[-1] if self.history else None, self.data
        facts = {
            "learned from": f"{data.name}, {data.n_train:,} ratings",
            "users, items": f"{len(self.users):,}, {len(self.items):,}",
            "ratings": f"{data.rating_min:g} to {data.rating_max:g}",
            "parameters": ", ".join(f"{k}={v}" for k, v in self.parameters.items()),
        }
        if last is not None:
            facts["sweeps"] = f"{last.sweep}, {last.note()}"
        return f"{type(self).__name__} of kind {self.kind}", facts

    @property
    def kind(self) -> str:
        """Name of the kind of model."""
        return self.estimator.kind

    @property
    def parameters(self) -> dict[str, Any]:
        """Of the fit."""
        return self.estimator.parameters()

    @property
    def score(self) -> Score:
        """What a prediction is."""
        return self.estimator.score

    def can(self, ability: Ability) -> bool:
        """Whether the model can do something."""
        return ability in self.estimator.abilities

    # ---- ids and predictions

    def rows_of(self, side: str, ids: Any) -> Int32s:
        """Return the row of each raw id, int32, -1 for ids that the model has not learned.

        Raises
        ------
        InputError
            If the ids are text and the model's are numbers, or the other way round.
        """
        if side not in self._indexes:
            table = self.users["user_id"] if side == "users" else self.items["item_id"]
            self._indexes[side] = pd.Index(table)
        return rows_of_ids(self._indexes[side], ids, side).astype(np.int32)

    def predict(self, user_ids: Any, item_ids: Any, *, clip: bool = True) -> Float32s:
        """Return the predicted ratings of pairs of raw ids, float32 (pairs,).

        A single user, or a single item, is paired with all ids of the other side. An unknown user
        or item adds nothing: what is known of the other remains. `predict_table` tells which
        predictions those are. With `clip` (the default) predicted ratings are kept on the scale of
        the training data; other scores never are.

        Raises
        ------
        InputError
            If there are as many users as items on neither side of a pair, or ids are text where
            the model's are numbers.
        """
        return self.predict_rows(*self._rows_of_pairs(user_ids, item_ids), clip=clip)

    def predict_table(self, user_ids: Any, item_ids: Any, *, clip: bool = True) -> pd.DataFrame:
        """Return `predict` as a table: `user_id`, `item_id`, `prediction` and its `source`.

        `source` is ``"model"`` where both have training ratings, ``"user"`` or ``"item"`` where
        only that one has, ``"mean"`` where neither; ``"genre"`` where an item without any is placed
        by its genres.
        """
        users, items = self._rows_of_pairs(user_ids, item_ids)
        given = [np.atleast_1d(np.asarray(ids)) for ids in (user_ids, item_ids)]
        return pd.DataFrame(
            {
                "user_id": np.broadcast_to(given[0], users.shape),
                "item_id": np.broadcast_to(given[1], users.shape),
                "prediction": self.predict_rows(users, items, clip=clip),
                "source": np.array(SOURCES)[self.sources(users, items)],
            }
        )

    def _rows_of_pairs(self, user_ids: Any, item_ids: Any) -> tuple[Int32s, Int32s]:
        return self.checked_pairs(self.rows_of("users", user_ids), self.rows_of("items", item_ids))

    def checked_pairs(self, users: Any, items: Any) -> tuple[Int32s, Int32s]:
        """Return pairs of row numbers that a kernel may see, int32 (pairs,) each.

        Raises
        ------
        InputError
            If they are no whole numbers from -1 to the last row, or there are more users than one
            and another number of items than one.
        """
        sides = zip(SIDES, (users, items), (self.users, self.items), strict=True)
        rows = [checked_rows(side, given, len(table)) for side, given, table in sides]
        if rows[0].shape != rows[1].shape and 1 not in (len(rows[0]), len(rows[1])):
            lengths = f"{len(rows[0]):,} users beside {len(rows[1]):,} items"
            raise InputError(f"{lengths}; give pairs, or one of either")
        users, items = map(np.ascontiguousarray, np.broadcast_arrays(*rows))
        return users, items

    @abstractmethod
    def predict_rows(self, users: Int32s, items: Int32s, *, clip: bool = True) -> Float32s:
        """Return the predictions for pairs of the model's row numbers, -1 for an unknown one."""

    def offsets_at(self, users: Int32s, items: Int32s, times: Int64s | None) -> Float32s:
        """Return what the time of each rating adds to its prediction, float32 (pairs,).

        Parameters
        ----------
        users, items : int32 (pairs,)
            The model's row numbers, -1 for an unknown one.
        times : int64 (pairs,) or None
            Seconds since 1970. Where they are not known, and on days that training has no ratings
            of, nothing is added.
        """
        return np.zeros(len(users), np.float32)

    def predict_std(self, users: Int32s, items: Int32s, times: Int64s | None = None) -> Float32s:
        """Return the standard deviation of each rating around its prediction, float32 (pairs,).

        In rating units; for pairs of the model's row numbers, -1 for an unknown one. Times matter
        to a model with offsets by time, see `offsets_at`.

        Raises
        ------
        InputError
            If the model does not know it (`Ability.DEVIATIONS`).
        """
        raise InputError(
            f"a standard deviation needs a model that {Ability.DEVIATIONS}, and one of kind "
            f"{self.kind} does not"
        )

    def mean_predictions(self, users: Int32s, items: Int32s) -> npt.NDArray[np.float64]:
        """Return the mean unclipped prediction of each item over some users, float64 (items,)."""
        each = [np.full(len(users), item, np.int32) for item in items.tolist()]
        predicted = [self.predict_rows(users, rows, clip=False) for rows in each]
        return np.array([values.mean(dtype=np.float64) for values in predicted])

    def sources(
        self, users: npt.NDArray[np.integer], items: npt.NDArray[np.integer]
    ) -> npt.NDArray[np.intp]:
        """Return the place in `SOURCES` of each pair of row numbers, -1 for an unknown one."""
        rated = [
            np.append(table["n_train"].to_numpy() > 0, False)[rows]
            for table, rows in ((self.users, users), (self.items, items))
        ]
        return 2 * rated[0].astype(np.intp) + rated[1]

    def objective(self, squared_error: float) -> float | None:
        """Return the objective, given the squared error over the training ratings.

        None where the model minimises nothing (`Ability.OBJECTIVE`).
        """
        return None

    def align(self, data: Dataset) -> Aligned:
        """Return the model in the order of a data set's rows."""
        return Aligned(self, data)

    def unsound_sides(self) -> list[str]:
        """Return the sides some of whose rows are not finite."""
        return []

    # ---- learning again

    def refitter(self, most_sweeps: int | None = None) -> Callable[..., Model]:
        """Return what learns this model again from other data, small enough to go with a task.

        Parameters
        ----------
        most_sweeps : int, optional
            Learn a point estimate (`Estimator.point_estimate`) in at most so many sweeps.
        """
        estimator = self.estimator
        if most_sweeps is not None:
            estimator = estimator.point_estimate(most_sweeps)
        return partial(estimator.fit, **self._inputs())

    def refit(self, data: Dataset, **options: Any) -> Model:
        """Learn this model again from other data: parameters, prior and features stay.

        The options are those of `Estimator.fit`.
        """
        return self.refitter()(data, **options)

    def _inputs(self) -> dict[str, Any]:
        """Return what `fit` was given beside the ratings."""
        return {}

    # ---- its directory

    def description(self) -> dict[str, Any]:
        """Return what `model.json` says of this kind of model alone."""
        return {}

    def columns(self, side: str) -> dict[str, pa.Array]:
        """Return what was learned of each row of a side, as columns of its table."""
        return {}

    def write(self, folder: Path) -> None:
        """Write what is in neither table into a model's folder."""

    @classmethod
    @abstractmethod
    def read(
        cls, folder: Path, said: Mapping[str, Any], tables: dict[str, pd.DataFrame], **facts: Any
    ) -> Self:
        """Read a model from its folder.

        Parameters
        ----------
        folder : Path
        said : mapping
            What `model.json` says.
        tables : dict of DataFrame
            For each side its whole table, with `columns`.
        **facts
            `estimator`, `data` and `history`.

        Raises
        ------
        OSError, KeyError, TypeError, ValueError, pyarrow.ArrowException
            If something is missing or does not fit.
        """


def checked_rows(side: str, rows: Any, n: int) -> Int32s:
    """Return row numbers of a side of `n` rows, -1 for unknown ones, int32 (rows,).

    Raises
    ------
    InputError
        If they are anything else.
    """
    found = np.atleast_1d(np.asarray(rows))
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise InputError(f"rows of {side} must be whole numbers in one dimension")
    if found.size and not -1 <= found.min() <= found.max() < n:
        raise InputError(
            f"rows of {side} must be from -1 (unknown) to {n - 1:,}; "
            f"{found.min():,} to {found.max():,} were given"
        )
    return found.astype(np.int32, copy=False)


class Aligned:
    """A model in the order of a data set's rows, whichever of its ids the model knows.

    Attributes
    ----------
    model : Model
    users, items : int32 (n,)
        The model's row for each row of the data set, -1 where it knows none.
    """

    def __init__(self, model: Model, data: Dataset) -> None:
        self.model = model
        self.users = model.rows_of("users", data.users()["user_id"])
        self.items = model.rows_of("items", data.items()["item_id"])

    def n_train(self, side: str) -> npt.NDArray[np.integer]:
        """Return the ratings that the model has learned each row of a side from."""
        table, rows = (
            (self.model.users, self.users) if side == "users" else (self.model.items, self.items)
        )
        return np.append(table["n_train"].to_numpy(), 0)[rows]

    def predict(self, shard: Shard, times: Int64s | None = None) -> Float32s:
        """Return the raw prediction for each rating of a user shard, float32.

        `times`, int64 seconds since 1970, are those of the ratings, see `Model.offsets_at`.
        """
        users, items = self.users[shard.rows], self.items[shard.indices]
        predicted = self.model.predict_rows(users, items, clip=False)
        return predicted + self.model.offsets_at(users, items, times)

    def scores(self, rows: npt.NDArray[np.int64]) -> Float32s:
        """Return what the whole catalogue is ranked by for some users, float32 (users, items).

        The array is the caller's to overwrite.
        """
        users = np.repeat(self.users[rows], len(self.items))
        items = np.tile(self.items, len(rows))
        predicted = self.model.predict_rows(users, items, clip=False)
        return predicted.reshape(len(rows), len(self.items))
