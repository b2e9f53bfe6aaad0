"""The BPR estimator: Bayesian personalised ranking (Rendle et al. 2009), by stochastic gradient."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import get_num_threads

from mfdask.errors import InputError
from mfdask.execution import Executor
from mfdask.kernels import bpr as kernel
from mfdask.kernels.pairwise import shares_of_pairs
from mfdask.kernels.random import stream
from mfdask.kernels.rows import Block, row_width
from mfdask.kernels.types import Float32s, Float64s, Int32s, read_only
from mfdask.models.base import Ability, Estimator, Score, Sweep
from mfdask.models.checkpoint import CheckpointManager, fit_identity, load_rows
from mfdask.models.design import initial_rows, swap_bias_columns, training_bytes, unknowns
from mfdask.models.factor_model import FactorModel
from mfdask.models.half_step import pair_predictions
from mfdask.models.registry import Kind
from mfdask.models.sampling import (
    Pairs,
    check_liked,
    check_unrated,
    draw_others,
    draw_pairs,
    join_shards,
    least_liked,
    shards_of,
)
from mfdask.models.store import count_factors
from mfdask.models.sweeps import check_start, warm_rows
from mfdask.models.updates import MAX_FACTORS
from mfdask.parameters import parameter
from mfdask.progress import Progress, silent
from mfdask.shards import SIDES, Dataset
from mfdask.shards.refs import dataset_ref, executor_for
from mfdask.shards.store import starts_of_kept

if TYPE_CHECKING:
    from distributed import Client

#: Blocks of users and of items at most, a power of two: so many threads can work. How many there
#: are follows from the data alone.
_BLOCKS = 32
#: Items in a block at least, for negatives to be found among; users; ratings in a cell, about.
_ITEMS, _USERS, _RATINGS = 64, 4, 2048


@dataclass(frozen=True, kw_only=True, repr=False)
class BPRModel(FactorModel):
    """Predicts the log-odds ``b_i + p_u . q_i`` of a preference.

    A user whom it has not seen gets the factors that minimise the loss of training, the items held
    still; see `shares_of_pairs`.
    """

    def shares_of_history(self, items: Int32s, ratings: Float32s) -> Float64s:
        """Return what each rating adds to the row ``[bias, factors]`` of who gave it.

        float64 (ratings, n_factors + 1); the bias is 0. Ratings that are not liked add nothing. Of
        what is not rated, all is held against the liked items, or what is drawn by the seed.

        Parameters
        ----------
        items : int32 (ratings,)
            Rows of what is rated, ascending.
        ratings : float32 (ratings,)
        """
        estimator: Any = self.estimator
        shares = np.zeros((len(items), self.n_factors + 1))
        liked = ratings >= least_liked(estimator.liked)
        popular = estimator.negatives == "popularity"
        weights = self.items["n_train"].to_numpy() if popular else np.ones(len(self.items))
        others = draw_others(estimator.seed, items, weights)
        if liked.any() and len(others):
            own, other = (
                unknowns(self.item_rows[rows], self.n_factors + 1).astype(np.float64)
                for rows in (items[liked], others)
            )
            shares[liked, 1:] = shares_of_pairs(own, other, estimator.user_reg)
        return shares


@dataclass(frozen=True)
class BPR(Estimator):
    """Bayesian personalised ranking: what a user likes is scored above what they have not rated.

    It maximises ``sum ln s(x_ui - x_uj)`` less the regularisation, with ``x_ui = b_i + p_u . q_i``
    and ``s`` the logistic function, by stochastic gradient: in a sweep each liked item `i` of a
    user is held once against an item `j` that is drawn anew. A difference of scores is the
    log-odds that the one item is preferred to the other.

    Examples
    --------
    >>> from mfdask import BPR, Dataset
    >>> model = BPR(n_factors=40).fit(Dataset.open("data/ml-32m"))  # doctest: +SKIP
    """

    model_type: ClassVar[type[BPRModel]] = BPRModel
    kind = "bpr"
    score = Score.LOG_ODDS

    n_factors: int = parameter(
        64, "Length of a factor vector.", "factors", at_least=1, at_most=MAX_FACTORS, tunable=True
    )
    n_sweeps: int = parameter(
        50, "Sweeps; in one, each liked item is taken once.", "sweeps", at_least=1, tunable=True
    )
    learning_rate: float = parameter(
        0.05, "Share of the gradient that a row moves by in a step.", above=0, tunable=True
    )
    decay: float = parameter(
        1.0,
        "What the learning rate is multiplied with from one sweep to the next.",
        above=0,
        at_most=1,
        tunable=True,
    )
    user_reg: float = parameter(0.01, "Regularisation of user factors.", at_least=0, tunable=True)
    item_reg: float = parameter(0.01, "Regularisation of item factors.", at_least=0, tunable=True)
    item_bias_reg: float = parameter(
        0.01, "Regularisation of item biases.", "item-gamma", at_least=0, tunable=True
    )
    negatives: Literal["uniform", "popularity"] = parameter(
        "uniform", "How items that a user has not rated are drawn: all alike, or by their ratings."
    )
    liked: float | None = parameter(
        None, "Ratings from here up count as liked.", none="all", tunable=True
    )
    init_scale: float = parameter(0.1, "Standard deviation of the first factors.", above=0)
    seed: int = parameter(42, "Seed of the first factors, and of all draws.", at_least=0)

    @property
    def abilities(self) -> frozenset[Ability]:
        """What its models can do."""
        found = {Ability.FACTORS}
        if self.user_reg:  # without, factors of a user may grow without end
            found.add(Ability.NEW_USERS)
        return frozenset(found)

    def identity(self) -> dict[str, Any]:
        """Return the parameters that shape the states: not how many there are."""
        named = asdict(self)
        del named["n_sweeps"]
        return named

    def point_estimate(self, most_sweeps: int | None = None) -> Estimator:
        """Return itself, with fewer sweeps."""
        return replace(self, n_sweeps=min(self.n_sweeps, most_sweeps or self.n_sweeps))

    def can_start_from(self, model: Path) -> bool:
        """Whether a model has as many factors."""
        return count_factors(model) == self.n_factors

    def training_bytes(self, n_rows: int) -> int:
        """Return what a fit of so many users and items together holds in memory at least."""
        return training_bytes(n_rows, self.n_factors)

    def model_bytes(self, n_rows: int) -> int:
        """Return what the model's directory takes at most: ids and titles are guessed."""
        return n_rows * (4 * (self.n_factors + 1) + 100)

    def fit(
        self,
        data: Dataset | Any,
        *,
        client: Client | None = None,
        start: Path | None = None,
        checkpoint: Path | None = None,
        checkpoint_every: int = 0,
        resume: bool = False,
        progress: Progress = silent,
        each_sweep: Callable[[Sweep], None] | None = None,
        **_: Any,
    ) -> BPRModel:
        """Learn a model; the options are those of `MatrixFactorization.fit`.

        With a client, all sweeps run on one of its workers, with that worker's threads: the steps
        of a sweep follow each other so closely that sending rows would take longer than they do.

        Raises
        ------
        InputError
            If no rating is liked, there is no item that some user has not rated, the steps
            diverge, a checkpoint is of another fit, or the model to start from has other factors.
        """
        if not isinstance(data, Dataset):
            data = Dataset.from_csr(data)
        self._check(data)
        identity = fit_identity(self.identity(), data.fingerprint, start, {})
        manager = CheckpointManager(checkpoint, checkpoint_every, resume, identity)
        with executor_for(data, client) as run:
            rows, history = self._learn(data, run, manager, start, progress, each_sweep)
        learned = {f"{side[:-1]}_rows": rows[side].copy() for side in SIDES}
        if self.negatives == "popularity":  # never drawn: nobody is to be offered them
            unrated = data.items()["n_train"].to_numpy() == 0
            learned["item_rows"][unrated, 0] = learned["item_rows"][:, 0].min()
        return BPRModel.of_data(self, data, history, mean=0.0, **learned)

    def _check(self, data: Dataset) -> None:
        if data.n_items < 2:
            raise InputError(f"{data.name}: one item alone; there is nothing to rank it above")
        check_liked(self.liked, data)
        check_unrated(data)

    def _learn(
        self,
        data: Dataset,
        run: Executor,
        manager: CheckpointManager,
        start: Path | None,
        progress: Progress,
        each_sweep: Callable[[Sweep], None] | None,
    ) -> tuple[dict[str, Float32s], list[Sweep]]:
        """Return the rows of both sides after the last sweep, and the history."""
        home = run.workers[0] if run.workers else None
        parts = {
            part: run.submit(f"{part}-ratings", join_shards, shards_of(run, data, part), home=home)
            for part in ("train", "test")
        }
        given = self.liked, self.seed, parts["train"], parts["test"], data.n_items
        pairs = run.submit("pairs", draw_pairs, *given)
        resumed = manager.newest()
        history = list(resumed.history) if resumed else []
        if resumed:
            rows = run.submit("load", _load, resumed.folder, home=home)
        else:
            if start is not None:
                check_start(start, self.n_factors)
            source = dataset_ref(run, data)
            rows = run.submit("start", first_rows, self, parts["train"], source, start)
        clock = time.perf_counter()
        while len(history) < self.n_sweeps:
            n = len(history) + 1
            epoch = run.submit(f"sweep-{n}", run_epoch, self, parts["train"], rows, n)
            rows = run.submit(f"rows-{n}", _rows_of, epoch)
            loss, auc = run.submit(f"score-{n}", _score, epoch, pairs).result()
            clock, seconds = time.perf_counter(), time.perf_counter() - clock
            history.append(Sweep(n, loss, None, None, math.nan, seconds, test_auc=auc))
            progress(f"train {self.kind}", n, self.n_sweeps, history[-1].note())
            if each_sweep:
                each_sweep(history[-1])
            if manager.due(n):
                manager.keep(rows.result(), history, math.nan)
        return rows.result(), history


class Epoch(NamedTuple):
    """Design rows of both sides after a sweep, and its mean loss ``-ln s(x_ui - x_uj)``."""

    rows: dict[str, Float32s]
    loss: float


def first_rows(
    estimator: BPR, ratings: Block, data: Dataset, start: Path | None = None
) -> dict[str, Float32s]:
    """Return the first rows: random ones, or those of the model to start from.

    Factors of users who like nothing, and of items that nobody likes, begin at 0: no step may move
    them.
    """
    liked = np.flatnonzero(ratings.ratings >= least_liked(estimator.liked))
    likes = {
        "users": np.diff(starts_of_kept(ratings.indptr, liked)),
        "items": np.bincount(ratings.indices[liked], minlength=data.n_items),
    }
    rows = {}
    for side, own in likes.items():
        shape = len(own), estimator.n_factors, estimator.init_scale, estimator.seed
        rows[side] = initial_rows(*shape, side)
        if start is not None:
            rows[side] = warm_rows(str(start.absolute()), data, side, rows[side])
        rows[side][own == 0, 2:] = 0.0
    rows["users"][:, 0] = 0.0  # a model to start from may have biases of users
    return rows


def _load(folder: str) -> dict[str, Float32s]:
    return {side: load_rows(folder, side) for side in SIDES}


def _rows_of(epoch: Epoch) -> dict[str, Float32s]:
    return epoch.rows


# ---- a sweep


def run_epoch(estimator: BPR, ratings: Block, rows: dict[str, Float32s], number: int) -> Epoch:
    """Make the steps of a sweep, the first of which has the number 1.

    Raises
    ------
    InputError
        If there is no pair to learn from, or rows are no longer finite.
    """
    order = np.random.Generator(np.random.Philox([estimator.seed, number]))
    place = order.permutation(len(rows["items"])).astype(np.int32)
    square, step = Square.of(ratings, len(place)), epoch_step(estimator, number)
    users, items = swap_bias_columns(rows["users"]), rows["items"][np.argsort(place)]
    n, loss = square.run(square.fill(ratings, place, step.liked), users, items, step)
    if not n:
        raise InputError("no user has both a liked item and one that they have not rated")
    if not (np.isfinite(users).all() and np.isfinite(items).all()):
        raise InputError(
            f"the steps diverge in sweep {number}; lower `learning_rate` "
            f"{estimator.learning_rate:g}, or raise the regularisation"
        )
    return Epoch({"users": swap_bias_columns(users), "items": items[place]}, loss / n)


def epoch_step(estimator: BPR, number: int) -> kernel.GradientStep:
    """Return the parameters of the steps of a sweep."""
    rate = estimator.learning_rate * estimator.decay ** (number - 1)
    regularisation = np.zeros((2, row_width(estimator.n_factors)))
    regularisation[:, 2:] = [[estimator.user_reg], [estimator.item_reg]]
    regularisation[1, 0] = estimator.item_bias_reg
    keep = np.maximum(1 - rate * regularisation, 0).astype(np.float32)
    return kernel.GradientStep(
        np.float32(rate),
        read_only(keep[0]),
        read_only(keep[1]),
        np.float32(least_liked(estimator.liked)),
        estimator.negatives == "popularity",
        np.uint64(stream(np.uint64(estimator.seed), number)),
    )


@dataclass(frozen=True)
class Square:
    """The Latin square that the ratings of an epoch are cut into.

    Attributes
    ----------
    bounds : int64 (S + 1,)
        First user of each block; the blocks have about equal numbers of ratings.
    size : int
        Items in a block, but for the last.
    """

    bounds: npt.NDArray[np.int64]
    size: int

    @classmethod
    def of(cls, ratings: Block, n_items: int) -> Square:
        """Return the square for some ratings; it follows from their number and shape alone."""
        n_users = len(ratings.indptr) - 1
        n_ratings = len(ratings.indices)
        side = math.isqrt(n_ratings // _RATINGS)
        n = min(_BLOCKS, n_items // _ITEMS, n_users // _USERS, side)
        n = 1 << max(0, n.bit_length() - 1)  # the largest power of two, 1 at least
        shares = np.linspace(0, n_ratings, n + 1)
        bounds = np.searchsorted(ratings.indptr, shares).astype(np.int64)
        bounds[0], bounds[-1] = 0, n_users
        return cls(bounds, -(-n_items // n))

    def fill(self, ratings: Block, place: Int32s, liked: float) -> kernel.Cells:
        """Return the ratings by cell, the items in the given places."""
        n = len(self.bounds) - 1
        cells = kernel.Cells(
            np.empty(len(ratings.indices), np.int32),
            np.empty((n, n + 1), np.int64),
            np.empty((n, len(ratings.indptr) - 1), np.int32),
        )
        stars = ratings.indptr, ratings.indices, ratings.ratings
        block = (place // self.size).astype(np.uint8)
        kernel.fill_cells(*stars, liked, self.bounds, place, block, *cells)
        return cells

    def run(
        self, cells: kernel.Cells, users: Float32s, items: Float32s, step: kernel.GradientStep
    ) -> tuple[int, float]:
        """Make the steps of all rounds; return the number of samples and the sum of losses."""
        n = len(self.bounds) - 1
        sums = np.empty((n, n, 2))
        # Blocks that a thread has: any power of two makes the same steps.
        team = max(1, n >> (get_num_threads() - 1).bit_length())
        for turn in range(0, n, team):
            rest = self.size, users, items, step, sums
            kernel.run_rounds(cells, self.bounds, turn, team, *rest)
        samples, loss = sums.sum(axis=(0, 1)).tolist()
        return int(samples), loss


def _score(epoch: Epoch, pairs: Pairs) -> tuple[float, float | None]:
    """Return the loss of a sweep, and the AUC of held-out pairs."""
    sides = epoch.rows["users"], epoch.rows["items"], 0.0
    return epoch.loss, pairs.auc(lambda users, items: pair_predictions(users, items, *sides))


BPR_KIND = Kind("bpr", BPR, "ranks what is liked above what is not rated")
