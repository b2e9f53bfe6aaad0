"""The NCF estimator: neural collaborative filtering by the NeuMF network (He et al. 2017).

The network is learned with JAX and Optax (``pip install 'mfdask[neural]'``); to predict with a
model, and to take in new users, NumPy is enough.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from mfdask.errors import InputError
from mfdask.execution import Executor
from mfdask.kernels.network import Lessons, Network, fit_user
from mfdask.kernels.random import stream
from mfdask.kernels.rows import Block
from mfdask.kernels.types import Float32s, Float64s, Int32s
from mfdask.models.base import Ability, Estimator, Model, Score, Sweep
from mfdask.models.registry import Kind, check_data
from mfdask.models.sampling import (
    Pairs,
    check_liked,
    check_unrated,
    draw_others,
    draw_pairs,
    draw_unrated,
    join_shards,
    least_liked,
    shards_of,
)
from mfdask.parameters import parameter
from mfdask.progress import Progress, silent
from mfdask.shards import SIDES, Dataset, Shard
from mfdask.shards.refs import executor_for

if TYPE_CHECKING:
    from distributed import Client

#: Least standard deviation of a rating's noise: a network may know its ratings by heart.
_NOISE = 0.1
#: Weights that large, and what is no number, come of steps that diverge.
_LARGEST = 1e9


@dataclass(frozen=True, kw_only=True, repr=False)
class NCFModel(Model):
    """Predicts a rating, or the log-odds of one, by a network.

    Attributes
    ----------
    mean : float
        Added to what the network says: the mean training rating, or 0.
    network : Network
        Arrays of NumPy.
    """

    mean: float
    network: Network

    def predict_rows(self, users: Int32s, items: Int32s, *, clip: bool = True) -> Float32s:
        """Return the predictions for pairs of the model's row numbers, -1 for an unknown one."""
        users, items = self.checked_pairs(users, items)
        network = self.network._replace(
            users=_with_nobody(self.network.users, users),
            items=_with_nobody(self.network.items, items),
        )
        found = np.float32(self.mean) + network.predict(users, items)
        if clip and self.score is Score.STARS:
            return found.clip(self.data.rating_min, self.data.rating_max)
        return found

    # ---- users that it has not seen

    def scores_of_history(self, items: Int32s, ratings: Float32s) -> Float32s:
        """Return the score of every item for who has rated some, float32 (n_items,).

        See `ScoresHistory`. Their row is the likeliest one, the network and the items held still,
        if rows are normal around the mean of training's, as far as those lie from it; each of those
        counts as often as it has ratings.
        """
        row, _ = self._learn_user(items, ratings)
        network = self.network._replace(users=row[None].astype(np.float32))
        every = np.arange(len(self.items))
        return np.float32(self.mean) + network.predict(np.zeros_like(every), every)

    def parts_of_history(self, items: Int32s, ratings: Float32s, offered: Int32s) -> Float64s:
        """Return what each rating adds to each score, to first order, float64 (offered, ratings).

        That is the slope of the score along the user's row, times what the rating adds to that.
        """
        row, added = self._learn_user(items, ratings)
        return _of_items(self.network, offered).slopes(row)[1] @ added.T

    def _learn_user(self, items: Int32s, ratings: Float32s) -> tuple[Float64s, Float64s]:
        """Return a user's row, and what each rating adds to it beyond the mean row."""
        n = self.users["n_train"].to_numpy()  # who rates little says little of how rows differ
        rows = self.network.users.astype(np.float64)
        centre = np.average(rows, axis=0, weights=n)
        spread = np.sqrt(np.average((rows - centre) ** 2, axis=0, weights=n))
        chosen, lessons = self._lessons(items, ratings)
        network = _of_items(self.network, chosen)
        row, own = fit_user(network, lessons, centre, spread)
        added = np.zeros((len(items), len(row)))
        if self.score is Score.STARS:
            return row, own
        liked = np.isin(items, chosen)
        n = liked.sum()
        added[liked] = own[:n] + own[n:].sum(axis=0) / max(n, 1)  # each has others of its own
        return row, added

    def _lessons(self, items: Int32s, ratings: Float32s) -> tuple[npt.NDArray[Any], Lessons]:
        """Return items and what a user's row is to learn of them: those rated, then others."""
        estimator: Any = self.estimator
        if self.score is Score.STARS:
            last = self.history[-1]
            noise = max(last.test_rmse or last.train_rmse or 0.0, _NOISE)
            targets = ratings.astype(np.float64) - self.mean
            return items, Lessons(targets, np.full(len(items), noise**-2), odds=False)
        liked = items[ratings >= least_liked(estimator.liked)]
        others = draw_others(estimator.seed, items, np.ones(len(self.items)))
        targets = np.repeat([1.0, 0.0], [len(liked), len(others)])
        each = estimator.n_negatives * len(liked) / max(len(others), 1)
        return np.append(liked, others), Lessons(targets, np.where(targets, 1.0, each), odds=True)

    def unsound_sides(self) -> list[str]:
        """Return the sides some of whose rows are not finite."""
        return [side for side in SIDES if not np.isfinite(getattr(self.network, side)).all()]

    # ---- its directory

    def description(self) -> dict[str, Any]:
        """Return what `model.json` says of this kind of model alone."""
        return {"mean": self.mean, "layers": [list(w.shape) for w in self.network.layers]}

    def columns(self, side: str) -> dict[str, pa.Array]:
        """Return ``bias``, ``g00…`` (multiplied) and ``m00…`` (into the layers) of a side."""
        rows = np.asfortranarray(getattr(self.network, side))
        names = _columns((rows.shape[1] - 1) // 2)
        return {name: pa.array(rows[:, n]) for n, name in enumerate(names)}

    def write(self, folder: Path) -> None:
        """Write the layers, ``layer-0.npy`` and so on."""
        for n, layer in enumerate(self.network.layers):
            np.save(folder / f"layer-{n}.npy", layer, allow_pickle=False)

    @classmethod
    def read(
        cls, folder: Path, said: Mapping[str, Any], tables: dict[str, pd.DataFrame], **facts: Any
    ) -> NCFModel:
        """Read a model from its folder."""
        names = _columns(int(said["parameters"]["n_factors"]))
        rows = {side: tables[side][names].to_numpy(np.float32) for side in SIDES}
        layers = [
            np.load(folder / f"layer-{n}.npy", allow_pickle=False)
            for n in range(len(said["layers"]))
        ]
        if [list(layer.shape) for layer in layers] != said["layers"]:
            raise ValueError("layers of other shapes")
        return cls(
            mean=said["mean"],
            network=Network(rows["users"], rows["items"], layers),
            users=tables["users"].drop(columns=names),
            items=tables["items"].drop(columns=names),
            **facts,
        )


def _of_items(network: Network, items: npt.NDArray[Any]) -> Network:
    """Return a network of some items, in float64."""
    layers = [layer.astype(np.float64) for layer in network.layers]
    return network._replace(items=network.items[items].astype(np.float64), layers=layers)


def _columns(n_factors: int) -> list[str]:
    return ["bias", *(f"{tower}{k:02d}" for tower in "gm" for k in range(n_factors))]


def _with_nobody(rows: Float32s, places: Int32s) -> Float32s:
    """Return rows with one of zeros behind the last, which -1 finds, if it is needed."""
    return np.pad(rows, ((0, 1), (0, 0))) if (places < 0).any() else rows


@dataclass(frozen=True)
class NCF(Estimator):
    """Neural collaborative filtering: products of factors beside layers, joined by a last one.

    The score is ``b_u + b_i + w . [p_u * q_i, layers(p'_u, q'_i)]``. In its implicit form it is the
    log-odds that the user rates the item, learned from liked items and from sampled others; in its
    explicit form it is a rating's distance to the mean, learned by squared errors.

    Examples
    --------
    >>> from mfdask import NCF, Dataset
    >>> model = NCF(form="explicit").fit(Dataset.open("data/ml-latest-small"))  # doctest: +SKIP
    """

    model_type: ClassVar[type[Model]] = NCFModel
    begins_afresh = True
    kind = "ncf"

    form: Literal["implicit", "explicit"] = parameter(
        "implicit", "What is predicted: log-odds, which rank, or ratings."
    )
    n_factors: int = parameter(
        16,
        "Length of a factor vector; here of each tower's.",
        "factors",
        at_least=1,
        at_most=256,
        tunable=True,
    )
    n_layers: int = parameter(
        3,
        "Layers; the first has two outputs a factor, each other half as many as the one before.",
        "layers",
        at_least=0,
        at_most=8,
        tunable=True,
    )
    n_sweeps: int = parameter(
        10, "Sweeps; in one, each liked item or rating is taken once.", "sweeps", at_least=1,
        tunable=True,
    )  # fmt: skip
    batch_size: int = parameter(1024, "Pairs in a step.", "batch", at_least=1, tunable=True)
    learning_rate: float = parameter(0.002, "Of Adam.", above=0, tunable=True)
    weight_decay: float = parameter(
        0.5, "Share by which a step of rate 1 would shrink all weights.", at_least=0, tunable=True
    )
    n_negatives: int = parameter(
        4, "Items not rated that are drawn for each liked one.", "negatives-each", at_least=1,
        tunable=True,
    )  # fmt: skip
    liked: float | None = parameter(
        None, "Ratings from here up count as liked.", none="all", tunable=True
    )
    seed: int = parameter(42, "Seed of the first factors, and of all draws.", at_least=0)

    @property
    def score(self) -> Score:
        """What its models predict."""
        return Score.STARS if self.form == "explicit" else Score.LOG_ODDS

    @property
    def abilities(self) -> frozenset[Ability]:
        """What its models can do."""
        return super().abilities | {Ability.NEW_USERS}

    def compiled(self) -> tuple[Any, Callable[..., Any]]:
        """Return the optimiser, and a compiled step of it."""
        return _compiled(self.form, self.learning_rate, self.weight_decay)

    def point_estimate(self, most_sweeps: int | None = None) -> Estimator:
        """Return itself, with fewer sweeps."""
        return replace(self, n_sweeps=min(self.n_sweeps, most_sweeps or self.n_sweeps))

    def model_bytes(self, n_rows: int) -> int:
        """Return what the model's directory takes at most: ids and titles are guessed."""
        return n_rows * (4 * (2 * self.n_factors + 1) + 100)

    def training_bytes(self, n_rows: int) -> int:
        """Return what a fit of so many users and items together holds in memory at least."""
        return 8 * n_rows * 4 * (2 * self.n_factors + 1)  # rows, two moments, gradient; twice

    def fit(
        self,
        data: Dataset | Any,
        *,
        client: Client | None = None,
        start: Path | None = None,
        checkpoint_every: int = 0,
        resume: bool = False,
        progress: Progress = silent,
        each_sweep: Callable[[Sweep], None] | None = None,
        **_: Any,
    ) -> NCFModel:
        """Learn a model; the options are those of `MatrixFactorization.fit`.

        With a client, all sweeps run on one of its workers, whose cores share each batch.

        Raises
        ------
        InputError
            If JAX or Optax is missing, no rating is liked, the steps diverge, or a start or
            checkpoints are asked for, which there are none of.
        """
        require_neural()
        if start is not None or checkpoint_every or resume:
            raise InputError(
                "a model of kind ncf begins afresh: leave out `start`, `checkpoint_every`, `resume`"
            )
        data = data if isinstance(data, Dataset) else Dataset.from_csr(data)
        check_data(self, data)
        check_liked(self.liked, data)
        if self.form == "implicit":
            check_unrated(data)
        mean = data.mean if self.form == "explicit" else 0.0
        with executor_for(data, client) as run:
            network, history = self._learn(data, run, mean, progress, each_sweep)
        return NCFModel.of_data(self, data, history, mean=mean, network=network)

    def _learn(
        self,
        data: Dataset,
        run: Executor,
        mean: float,
        progress: Progress,
        each_sweep: Callable[[Sweep], None] | None,
    ) -> tuple[Network, list[Sweep]]:
        home = run.workers[0] if run.workers else None
        train, test = (
            run.submit(f"{part}-ratings", join_shards, shards_of(run, data, part), home=home)
            for part in ("train", "test")
        )
        pairs = run.submit("pairs", draw_pairs, self.liked, self.seed, train, test, data.n_items)
        counts = [table["n_train"].to_numpy() for table in (data.users(), data.items())]
        state = run.submit("start", first_state, self, counts, home=home)
        shards = shards_of(run, data, "train")
        clock, history = time.perf_counter(), list[Sweep]()
        while len(history) < self.n_sweeps:
            n = len(history) + 1
            state = run.submit(f"sweep-{n}", train_epoch, self, shards, mean, state, n)
            figures = run.submit(
                f"score-{n}", measure_network, self, state, train, test, pairs, mean
            )
            found = figures.result()
            clock, seconds = time.perf_counter(), time.perf_counter() - clock
            history.append(Sweep(sweep=n, moved=math.nan, seconds=seconds, **found))
            progress(f"train {self.kind}", n, self.n_sweeps, history[-1].note())
            if each_sweep:
                each_sweep(history[-1])
        return run.submit("network", _network_of, state).result(), history


def require_neural() -> None:
    """Refuse to go on without the libraries that learn a network.

    Raises
    ------
    InputError
    """
    try:
        import jax  # noqa: F401
        import optax  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"{error.name or 'JAX'} is not installed, which a model of kind ncf is learned with: "
            "pip install 'mfdask[neural]'"
        ) from None


# ---- tasks


class NetworkState(NamedTuple):
    """A network after a sweep, the optimiser's moments, and the mean loss of the sweep."""

    network: Network
    moments: Any
    loss: float


def _network_of(state: NetworkState) -> Network:
    return state.network


def first_state(estimator: NCF, counts: list[Any]) -> NetworkState:
    """Return random weights; rows without ratings begin at 0."""
    random, k = np.random.Generator(np.random.Philox(estimator.seed)), estimator.n_factors
    rows = []
    for own in counts:
        rows.append(0.1 * random.standard_normal((len(own), 1 + 2 * k), dtype=np.float32))
        rows[-1][:, 0] = 0.0
        rows[-1][own == 0] = 0.0
    sizes = [2 * k, *(max(2 * k >> n, 1) for n in range(estimator.n_layers))]
    shapes = [*pairwise(sizes), (k + sizes[-1], 1)]
    layers = [
        np.vstack([random.normal(0, math.sqrt(2 / n), (n, m)), np.zeros((1, m))]).astype(np.float32)
        for n, m in shapes
    ]
    network = Network(rows[0], rows[1], layers)
    return NetworkState(network, estimator.compiled()[0].init(network), math.nan)


def train_epoch(
    estimator: NCF, shards: list[Shard], mean: float, state: NetworkState, number: int
) -> NetworkState:
    """Make the steps of a sweep, the first of which has the number 1.

    Raises
    ------
    InputError
        If there is nothing to learn from, or the weights grow without end.
    """
    import jax

    network, moments = jax.tree.map(jax.numpy.array, state[:2])  # copies: steps overwrite them
    _, step = estimator.compiled()
    losses, weights = [], []
    for batch in _batches(estimator, shards, mean, len(state.network.items), number):
        network, moments, loss = step(network, moments, *batch)
        losses.append(loss)
        weights.append(batch[-1].sum())
    if not losses:
        raise InputError("no user has both a liked item and one that they have not rated")
    loss = float(np.average(np.array(losses), weights=weights))
    network, moments = jax.tree.map(np.array, (network, moments))
    if not all(np.abs(own).max() < _LARGEST for own in jax.tree.leaves(network)):
        raise InputError(
            f"the steps diverge in sweep {number}; lower `learning_rate` "
            f"{estimator.learning_rate:g}"
        )
    return NetworkState(network, moments, loss)


@lru_cache(maxsize=4)
def _compiled(form: str, rate: float, decay: float) -> tuple[Any, Callable[..., Any]]:
    """Return the optimiser, and a step of it, which JAX compiles once for arrays of a shape."""
    import jax
    import optax

    optimiser = optax.adamw(rate, weight_decay=decay)

    def loss(network: Network, users: Any, items: Any, targets: Any, weights: Any) -> Any:
        scores = network.score(users, items, jax.numpy)
        if form == "explicit":
            each = optax.squared_error(scores, targets)
        else:
            each = optax.sigmoid_binary_cross_entropy(scores, targets)
        return (weights * each).sum() / weights.sum()

    def step(network: Network, moments: Any, *batch: Any) -> Any:
        value, gradient = jax.value_and_grad(loss)(network, *batch)
        updates, moments = optimiser.update(gradient, moments, network)
        return optax.apply_updates(network, updates), moments, value

    return optimiser, jax.jit(step, donate_argnums=(0, 1))


def _batches(
    estimator: NCF, shards: list[Shard], mean: float, n_items: int, number: int
) -> Iterator[tuple[Any, ...]]:
    """Yield users, items, targets and weights, all of one size: the last has weights of 0."""
    random = np.random.Generator(np.random.Philox([estimator.seed, number]))
    key = np.uint64(stream(np.uint64(estimator.seed), number))
    size = estimator.batch_size
    for block in random.permutation(len(shards)).tolist():
        users, items, targets = _samples(estimator, shards[block], mean, n_items, key)
        order = random.permutation(len(users))
        for first in range(0, len(order), size):
            part = order[first : first + size]
            weights = (np.arange(size) < len(part)).astype(np.float32)
            part = np.resize(part, size)
            yield users[part], items[part], targets[part], weights


def _samples(
    estimator: NCF, shard: Shard, mean: float, n_items: int, key: np.uint64
) -> tuple[Int32s, Int32s, Float32s]:
    """Return the pairs of a shard that a sweep takes, and what is to be predicted of each."""
    users = shard.rows.astype(np.int32)
    if estimator.form == "explicit":
        return users, shard.indices, shard.ratings - np.float32(mean)
    liked = shard.ratings >= least_liked(estimator.liked)
    users, items = users[liked], shard.indices[liked]
    many = np.repeat(users, estimator.n_negatives)
    history = Block(shard.indptr, shard.indices, shard.ratings)
    own = np.uint64(stream(key, shard.start))
    others = draw_unrated(own, many - np.int32(shard.start), [history], n_items)
    kept = others >= 0
    if not kept.any():
        return users[:0], items[:0], np.empty(0, np.float32)
    return (
        np.concatenate([users, many[kept]]),
        np.concatenate([items, others[kept]]),
        np.repeat(np.array([1, 0], np.float32), [len(users), kept.sum()]),
    )


def measure_network(
    estimator: NCF, state: NetworkState, train: Block, test: Block, pairs: Pairs, mean: float
) -> dict[str, Any]:
    """Return the figures of a sweep: RMSE of ratings, or the AUC of held-out pairs."""
    predict = state.network.predict
    rmse: list[float | None] = [None, None]
    if estimator.form == "explicit":
        for n, part in enumerate((train, test)):
            users = np.repeat(np.arange(len(part.indptr) - 1), np.diff(part.indptr))
            errors = predict(users, part.indices) + mean - part.ratings
            if len(errors):
                rmse[n] = math.sqrt(np.square(errors, dtype=np.float64).mean())
    auc = pairs.auc(predict) if estimator.form == "implicit" else None
    named = {"train_rmse": rmse[0], "test_rmse": rmse[1], "test_auc": auc}
    return {"objective": state.loss, **named}


NCF_KIND = Kind("ncf", NCF, "factors and layers of a network, with JAX")
