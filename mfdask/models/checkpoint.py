"""Checkpoints of an unfinished fit: both sides' rows and the history so far."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mfdask.errors import InputError
from mfdask.features.file import ONE, FeaturesOf
from mfdask.features.groups import Grouping
from mfdask.features.offsets import Offsets
from mfdask.files import atomic_directory, check_checksum, crc32, with_checksum
from mfdask.models.base import Sweep
from mfdask.models.design import Array, RowPrior, join
from mfdask.models.half_step import BlockScore
from mfdask.models.updates import AlternatingUpdates


@dataclass(frozen=True)
class Checkpoint:
    """The state of a fit after a sweep.

    Attributes
    ----------
    folder : str
    history : list of Sweep
        The sweeps that led to it.
    squared_error : float
        Over the training ratings, after the last of them.
    """

    folder: str
    history: list[Sweep]
    squared_error: float


class CheckpointManager:
    """Keeps the newest checkpoint of one fit, `every` so many sweeps, in `folder`.

    Only a fit of the same `identity` goes on from it.
    """

    def __init__(
        self, folder: Path | None, every: int, resume: bool, identity: dict[str, Any]
    ) -> None:
        if every < 0:
            raise InputError(f"`checkpoint_every` must be 0 (none) or more, not {every}")
        if folder is None and (every or resume):
            raise InputError("checkpoints need a folder to be kept in")
        self._folder = folder
        self._every = every
        self._resume = resume
        self._identity = identity

    def due(self, sweep: int) -> bool:
        """Whether the state after `sweep` is to be kept."""
        return bool(self._every) and sweep % self._every == 0

    def keep(
        self, arrays: Mapping[str, npt.NDArray[Any]], history: list[Sweep], squared_error: float
    ) -> None:
        """Write a checkpoint in place of the one before: both sides' rows, and what else counts."""
        assert self._folder is not None
        with atomic_directory(self._folder) as fresh:
            for name, array in arrays.items():
                np.save(fresh / f"{name}.npy", array, allow_pickle=False)
            state = {
                "identity": self._identity,
                "history": [asdict(sweep) for sweep in history],
                "squared_error": squared_error,
                "arrays": {name: crc32(fresh / f"{name}.npy") for name in arrays},
            }
            (fresh / "state.json").write_text(json.dumps(with_checksum(state)))

    def newest(self) -> Checkpoint | None:
        """Return the checkpoint to go on from, or None to start afresh.

        Raises
        ------
        InputError
            If it is of another fit, or damaged.
        """
        if not self._resume or self._folder is None or not self._folder.exists():
            return None
        try:
            state = json.loads((self._folder / "state.json").read_text())
            check_checksum(state)
            sound = all(crc32(self._folder / f"{s}.npy") == n for s, n in state["arrays"].items())
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            sound = False
        if not sound:
            raise InputError(f"{self._folder}: damaged checkpoint; start again without `resume`")
        if state["identity"] != self._identity:
            raise InputError(
                f"{self._folder}: this checkpoint is of other data or parameters; give the same "
                "ones, or start again without `resume`"
            )
        history = [Sweep(**line) for line in state["history"]]
        return Checkpoint(str(self._folder.absolute()), history, state["squared_error"])


def fit_identity(
    parameters: Mapping[str, Any],
    fingerprint: str,
    start: Path | None,
    features: FeaturesOf,
) -> dict[str, Any]:
    """Return what two fits share that go through the same states, as JSON has it.

    Raises
    ------
    InputError
        If there is no model to start from.
    """
    if start is not None and not (start / "model.json").exists():
        raise InputError(f"{start}: no model there to start from (no model.json)")
    files = {f"{ONE[side]}_features": own.file.crc32 for side, own in features.items() if own.file}
    return {
        "parameters": dict(parameters),
        "data": fingerprint,
        "start": None if start is None else crc32(start / "model.json"),
        "item_features": None,
        **files,
    }


def load_rows(folder: str, side: str) -> Array:
    """Return one side's design rows from a checkpoint."""
    rows = load_array(folder, side)
    return join([rows[:0], rows])


def load_array(folder: str, name: str) -> npt.NDArray[Any]:
    """Return an array of a checkpoint."""
    return np.load(Path(folder) / f"{name}.npy", allow_pickle=False)


def load_offsets(folder: str, groupings: tuple[Grouping, ...]) -> Offsets:
    """Return the offsets of a checkpoint."""
    return Offsets.load(partial(load_array, folder), groupings)


def prior_arrays(prior: RowPrior, side: str) -> dict[str, npt.NDArray[Any]]:
    """Return what the next prior takes from one that follows what is rated."""
    none = np.empty((0, len(prior.precision)), np.float32)
    arrays: dict[str, npt.NDArray[Any]] = {
        "precision": prior.precision,
        "weights": prior.weights,
        "rated": none if prior.rated is None else prior.rated,
        "means": none if prior.means is None else prior.means,
        "rated_precision": np.array(prior.rated_precision),
    }
    return {f"prior-{side}-{name}": array for name, array in arrays.items()}


def load_prior(estimator: AlternatingUpdates, folder: str, side: str) -> RowPrior:
    """Return the prior of a side that follows what is rated, from a checkpoint."""
    names = ("precision", "weights", "rated", "means", "rated_precision")
    precision, weights, rated, means, own = (
        load_array(folder, f"prior-{side}-{name}") for name in names
    )
    return replace(
        estimator.prior(side),
        precision=precision,
        weights=weights,
        rated=rated if len(rated) else None,
        means=means if len(means) else None,
        rated_precision=float(own),
    )


def load_score(folder: str, block: int) -> BlockScore:
    """Return the running mean of a block from a checkpoint."""
    n = int(load_array(folder, f"tested-{block}-n"))
    return BlockScore(0.0, load_array(folder, f"tested-{block}"), n)
