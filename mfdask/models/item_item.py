"""Item-item models: an item is scored by its weights to the items that a user has rated.

`ItemKNN` takes the cosines of an item's nearest neighbours (Deshpande and Karypis 2004, "Item-based
top-N recommendation algorithms"), `EASE` the weights of a linear regression of every item on all
others, which has a closed form (Steck 2019, "Embarrassingly shallow autoencoders for sparse data").
Both learn in one process, which holds the ratings: 16 bytes each.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import scipy  # loads what is used of it, which takes as long as a short training

from mfdask.cores import n_cores
from mfdask.errors import InputError
from mfdask.features.weights import age_weights, newest_time
from mfdask.kernels.types import Float32s, Int32s
from mfdask.memory import require_memory
from mfdask.models.base import Ability, Aligned, Estimator, Model, Score, Sweep
from mfdask.models.sampling import check_liked, least_liked
from mfdask.parameters import parameter
from mfdask.progress import Progress, silent
from mfdask.shards import Dataset
from mfdask.shards.store import map_array

Sparse: TypeAlias = Any  # scipy.sparse.csr_array of float32

#: Cells of scores or of products held at a time: 16 MiB.
_CELLS = 1 << 22
_HISTORIES, _NEIGHBOURS, _WEIGHTS = "histories.parquet", "neighbours.parquet", "weights.npy"


@dataclass(frozen=True, kw_only=True, repr=False)
class ItemItemModel(Model):
    """Scores an item by the sum of its weights to the items in a user's history.

    Attributes
    ----------
    known : int32 (n,)
        Rows of the items that anybody's history has, ascending: the others score 0.
    weights : float32 (n, n)
        From an item of a history to the item scored; sparse for `ItemKNN`.
    histories : sparse float32 (users, n)
        For each item that a user has liked 1, or what that weighs by its age.
    """

    known: Int32s
    weights: Float32s | Sparse
    histories: Sparse

    def predict_rows(self, users: Int32s, items: Int32s, *, clip: bool = True) -> Float32s:
        """Return the scores of pairs; of an unknown user or item it is 0."""
        found = np.empty(len(users), np.float32)
        if len(users) and (np.diff(users) < 0).any():  # the pairs of a user must lie together
            order = np.argsort(users, kind="stable")
            found[order] = self.predict_rows(users[order], items[order])
            return found
        starts = np.flatnonzero(np.diff(users, prepend=-2))
        bounds = np.append(starts, len(users))
        step = max(1, _CELLS // len(self.items))
        for first in range(0, len(starts), step):
            own = starts[first : first + step]
            scores = np.pad(self.scores_of_users(users[own]), ((0, 0), (0, 1)))
            here = slice(bounds[first], bounds[min(first + step, len(starts))])
            counts = np.diff(bounds[first : first + len(own) + 1])
            found[here] = scores[np.repeat(np.arange(len(own)), counts), items[here]]
        return found

    def scores_of_users(self, users: Int32s) -> Float32s:
        """Return the scores of all items for some user rows, -1 for an unknown user.

        float32 (users, items); the array is the caller's to overwrite.
        """
        rows = self.histories[np.maximum(users, 0)]
        scores = self._scores(rows)
        scores[users < 0] = 0.0
        return scores

    def scores_of_history(self, items: Int32s, ratings: Float32s) -> Float32s:
        """Return the score of every item for somebody new, from all that they have rated.

        Parameters
        ----------
        items : int32 (n,)
            Rows of the model's items.
        ratings : float32 (n,)
            Those below `liked` say nothing.

        Returns
        -------
        float32 (items,)
        """
        liked = ratings >= least_liked(self.parameters["liked"])
        counted = np.isin(self.known, items[liked])
        history = scipy.sparse.csr_array(counted[None, :].astype(np.float32))
        scores: Float32s = self._scores(history)[0]
        return scores

    def _scores(self, histories: Sparse) -> Float32s:
        scores = np.zeros((histories.shape[0], len(self.items)), np.float32)
        summed: Any = histories @ self.weights
        scores[:, self.known] = summed if isinstance(summed, np.ndarray) else summed.toarray()
        return scores

    def align(self, data: Dataset) -> Aligned:
        """Return the model in the order of a data set's rows."""
        return _AlignedItems(self, data)

    # ---- its directory

    def columns(self, side: str) -> dict[str, pa.Array]:
        """Return which items have weights."""
        if side == "users":
            return {}
        has = np.zeros(len(self.items), bool)
        has[self.known] = True
        return {"has_weights": pa.array(has)}

    def write(self, folder: Path) -> None:
        """Write histories and weights; both sides of a pair are places among `known`."""
        _write_sparse(self.histories, folder / _HISTORIES, ("user_row", "place"))
        if scipy.sparse.issparse(self.weights):
            _write_sparse(self.weights, folder / _NEIGHBOURS, ("place", "neighbour"))
        else:
            np.save(folder / _WEIGHTS, self.weights, allow_pickle=False)

    @classmethod
    def read(
        cls, folder: Path, said: Mapping[str, Any], tables: dict[str, pd.DataFrame], **facts: Any
    ) -> Self:
        """Read a model from its folder; dense weights stay on disk until they are needed."""
        known = np.flatnonzero(tables["items"].pop("has_weights")).astype(np.int32)
        n = len(known)
        weights: Any
        if (folder / _WEIGHTS).exists():
            weights = map_array(folder / _WEIGHTS).view(np.ndarray)
        else:
            weights = _read_sparse(folder / _NEIGHBOURS, (n, n))
        if weights.shape != (n, n):
            raise ValueError("weights are of other items")
        histories = _read_sparse(folder / _HISTORIES, (len(tables["users"]), n))
        return cls(
            known=known,
            weights=weights,
            histories=histories,
            users=tables["users"],
            items=tables["items"],
            **facts,
        )


class _AlignedItems(Aligned):
    model: ItemItemModel

    def scores(self, rows: np.ndarray) -> Float32s:
        """Return the scores of the data set's items, 0 for those that the model does not know."""
        scores = self.model.scores_of_users(self.users[rows])
        if np.array_equal(self.items, np.arange(len(self.model.items))):
            return scores
        return np.pad(scores, ((0, 0), (0, 1)))[:, self.items]


@dataclass(frozen=True)
class _ItemItem(Estimator):
    """What both have in common: which ratings count, and the histories."""

    model_type = ItemItemModel
    begins_afresh = True
    liked: float | None = parameter(
        None, "Ratings this high and higher make a history.", none="all", tunable=True
    )
    half_life: float | None = parameter(
        None,
        "What is in a history counts half as much for each so many days that it is older than the "
        "newest training rating.",
        above=0,
        none="no",
    )

    @property
    def score(self) -> Score:
        """What its models predict."""
        return Score.PREFERENCE

    @property
    def abilities(self) -> frozenset[Ability]:
        """What its models can do."""
        return frozenset({Ability.NEW_USERS})

    def fit(self, data: Dataset, *, progress: Progress = silent, **options: Any) -> ItemItemModel:
        """Learn the weights, in this process; other options have no effect.

        Raises
        ------
        InputError
            If no training rating is liked, or there are no timestamps where ages count.
        RefusedError
            If memory would not do.
        """
        began = time.perf_counter()
        check_liked(self.liked, data)
        histories, known = _histories(data, self.liked, self.half_life)
        if not len(known):
            raise InputError(f"`liked`: no training rating of {data.name} reaches it; lower it")
        weights = self.learn(histories, progress)
        sweep = Sweep(1, float("nan"), None, None, 0.0, time.perf_counter() - began)
        return ItemItemModel.of_data(
            self, data, [sweep], known=known, weights=weights, histories=histories
        )

    @abstractmethod
    def learn(self, histories: Sparse, progress: Progress) -> Float32s | Sparse:
        """Return `ItemItemModel.weights`."""


@dataclass(frozen=True)
class ItemKNN(_ItemItem):
    """Item neighbours, by their shrunken cosines.

    The similarity of two items is ``c / (sqrt(n_1 n_2) + shrinkage)``: `c` users have both in their
    history, `n_1` and `n_2` the one and the other. Where ages count, these are sums of products of
    what the two count in a history, and of squares.
    """

    #: The best of a few on a validation part of ml-latest-small's: see `docs/measured_lists.md`.
    presets: ClassVar = {"small": {"liked": 4.0, "n_neighbours": 100, "shrinkage": 50.0}}

    n_neighbours: int = parameter(
        100, "Items that each item is scored by, at most.", "neighbours", at_least=1, tunable=True
    )
    shrinkage: float = parameter(
        50.0, "What the denominator of a cosine gains: rare pairs count less.", at_least=0,
        tunable=True,
    )  # fmt: skip

    @property
    def kind(self) -> str:
        """Name of the kind of model."""
        return "itemknn"

    def learn(self, histories: Sparse, progress: Progress) -> Sparse:
        """Return the similarities of each item, in its column, to its nearest neighbours."""
        squares = histories.multiply(histories)
        counts = np.asarray(squares.sum(axis=0)).ravel().astype(np.float64)

        def nearest(first: int, both: Sparse) -> Sparse:
            rows = np.repeat(np.arange(both.shape[0]), np.diff(both.indptr)) + first
            others = both.indices
            cosine = both.data / (np.sqrt(counts[rows] * counts[others]) + self.shrinkage)
            cosine[rows == others] = 0.0
            both.data = cosine.astype(np.float32)
            return _largest_of_rows(both, self.n_neighbours)

        found = scipy.sparse.vstack(_products(histories, nearest, progress), format="csr")
        return found.T.tocsr()


@dataclass(frozen=True)
class EASE(_ItemItem):
    """A linear regression of each item on all others, in closed form.

    ``G = X'X + regularisation * I``, ``P = inv(G)``, and the weights are ``I - P diag(1 / P)``;
    `X` are the histories.
    """

    #: The best of a few on a validation part of ml-latest-small's: see `docs/measured_lists.md`.
    presets: ClassVar = {"small": {"liked": 3.5, "regularisation": 200.0}}

    regularisation: float = parameter(
        400.0, "What the diagonal of the items' products gains.", "ridge", above=0, tunable=True
    )

    @property
    def kind(self) -> str:
        """Name of the kind of model."""
        return "ease"

    def learn(self, histories: Sparse, progress: Progress) -> Float32s:
        """Return the weights.

        Raises
        ------
        RefusedError
            If memory does not hold the items' products.
        """
        n = histories.shape[1]
        # The products in float64, and the weights made of them; LAPACK works in place.
        require_memory(
            12 * n * n, f"a model of kind ease of {n:,} items", "raise `liked`, or take itemknn"
        )
        products = np.zeros((n, n), order="F")

        def fill(first: int, both: Sparse) -> None:
            products[:, first : first + both.shape[0]] = both.toarray().T

        _products(histories, fill, progress)
        progress("invert", 0, 1)
        products[np.diag_indices(n)] += self.regularisation
        weights = _inverse(products)
        scale = -1.0 / weights.diagonal()
        found = np.empty((n, n), np.float32)
        np.multiply(weights, scale, out=found, casting="same_kind")
        np.fill_diagonal(found, 0.0)
        progress("invert", 1, 1)
        return found


def _inverse(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the inverse of a positive definite matrix in Fortran order, in its own memory."""
    matrix, failed = scipy.linalg.lapack.dpotrf(matrix, lower=1, overwrite_a=1)
    if not failed:
        matrix, failed = scipy.linalg.lapack.dpotri(matrix, lower=1, overwrite_c=1)
    if failed:
        raise InputError("the items' products cannot be inverted; raise `regularisation`")
    for column in range(len(matrix)):  # LAPACK has filled the lower half alone
        matrix[column, column + 1 :] = matrix[column + 1 :, column]
    return matrix


def _histories(
    data: Dataset, liked: float | None, half_life: float | None
) -> tuple[Sparse, Int32s]:
    """Return `ItemItemModel.histories` and `ItemItemModel.known`."""
    blocks = []
    newest = 0 if half_life is None else newest_time(data, "half_life")
    for block in range(data.n_blocks("users")):
        shard = data.shard("users", block)
        counts = np.ones(shard.n_ratings, np.float32)
        if half_life is not None:
            times = data.timestamps(block)
            assert times is not None
            counts = age_weights(newest - times, half_life).astype(np.float32)
        counted = shard.ratings >= least_liked(liked)
        shard = shard.only(counted)
        arrays = counts[counted], shard.indices, shard.indptr
        blocks.append(scipy.sparse.csr_array(arrays, shape=(shard.n_rows, data.n_items)))
    everything = scipy.sparse.vstack(blocks, format="csr")
    known = np.unique(everything.indices)
    return everything[:, known], known.astype(np.int32)


def _products(
    histories: Sparse, use: Callable[[int, Sparse], Any], progress: Progress
) -> list[Any]:
    """Return what is made of the users that items have in common, some rows of items at a time.

    `use` gets the first row, and the products of some items' columns with those of all: how many
    users they share, where ages do not count; sparse float32 (some, items).
    """
    items = histories.T.tocsr()
    n = items.shape[0]
    step = max(1, _CELLS // max(n, 1))
    firsts = range(0, n, step)

    def run(first: int) -> Any:
        return use(first, (items[first : first + step] @ histories).tocsr())

    found = []
    with ThreadPoolExecutor(n_cores()) as pool:  # SciPy lets other threads run meanwhile
        for one in pool.map(run, firsts):
            found.append(one)
            progress("items", min(len(found) * step, n), n)
    return found


def _largest_of_rows(matrix: Sparse, k: int) -> Sparse:
    """Keep the `k` largest positive values of each row; of equal ones those of lower columns."""
    matrix.sort_indices()
    kept = []
    for start, stop in pairwise(matrix.indptr.tolist()):
        own = matrix.data[start:stop]
        least = np.partition(own, -k)[-k] if k < len(own) else 0.0
        places = np.flatnonzero((own >= least) & (own > 0))
        kept.append(start + np.sort(places[np.argsort(-own[places], kind="stable")][:k]))
    indptr = np.cumsum([0, *map(len, kept)])
    chosen = np.concatenate(kept)
    arrays = matrix.data[chosen], matrix.indices[chosen], indptr
    return scipy.sparse.csr_array(arrays, shape=matrix.shape)


def _write_sparse(matrix: Sparse, file: Path, names: tuple[str, str]) -> None:
    """Write a sparse matrix, an entry a line: row, column, and `value`."""
    entries = matrix.tocoo()
    columns = (entries.row.astype(np.int32), entries.col.astype(np.int32), entries.data)
    pq.write_table(pa.table(dict(zip((*names, "value"), columns, strict=True))), file)


def _read_sparse(file: Path, shape: tuple[int, int]) -> Sparse:
    """Read what `_write_sparse` has written; raises `ValueError` where it does not fit."""
    rows, columns, values = (column.to_numpy() for column in pq.read_table(file).columns)
    return scipy.sparse.coo_array((values, (rows, columns)), shape=shape).tocsr()
