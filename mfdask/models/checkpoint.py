"""The state of an unfinished fit on disk: both sides' rows and the history so far."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mfdask.errors import InputError
from mfdask.files import crc32, written_folder
from mfdask.models.design import Array, join
from mfdask.models.model import Sweep

if TYPE_CHECKING:
    from mfdask.models.parameters import Parameters


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's folder, and the sweeps that led to it."""

    folder: str
    history: list[Sweep]


class Keeper:
    """Keeps the newest checkpoint of one fit, `every` so many sweeps, in `folder`."""

    def __init__(
        self, folder: Path | None, every: int, resume: bool, config: Parameters, fingerprint: str
    ) -> None:
        if every < 0:
            raise InputError(f"--checkpoint-every {every}: give 0 (none) or more")
        if folder is None and (every or resume):
            raise InputError("checkpoints need a folder to be kept in")
        self._folder = folder
        self._every = every
        self._resume = resume
        self._identity = _identity(config, fingerprint)

    def due(self, sweep: int) -> bool:
        """Whether the state after `sweep` is to be kept."""
        return bool(self._every) and sweep % self._every == 0

    def keep(self, rows: dict[str, Array], history: list[Sweep]) -> None:
        """Write a checkpoint in place of the one before."""
        assert self._folder is not None
        with written_folder(self._folder) as fresh:
            for side, array in rows.items():
                np.save(fresh / f"{side}.npy", array, allow_pickle=False)
            state = {
                "identity": self._identity,
                "history": [asdict(sweep) for sweep in history],
                "crc32": {side: crc32(fresh / f"{side}.npy") for side in rows},
            }
            (fresh / "state.json").write_text(json.dumps(state))

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
            sound = all(crc32(self._folder / f"{s}.npy") == n for s, n in state["crc32"].items())
        except (OSError, ValueError, KeyError):
            sound = False
        if not sound:
            raise InputError(f"{self._folder}: damaged checkpoint; start again without --resume")
        if state["identity"] != self._identity:
            raise InputError(
                f"{self._folder}: this checkpoint is of other data or parameters; give the same "
                "ones, or start again without --resume"
            )
        return Checkpoint(str(self._folder), [Sweep(**line) for line in state["history"]])


def _identity(config: Parameters, fingerprint: str) -> dict[str, object]:
    """Return what two fits share that go through the same states."""
    parameters = config.parameters()
    del parameters["n_sweeps"], parameters["tolerance"]
    return {"parameters": parameters, "data": fingerprint}


def load_rows(folder: str, side: str) -> Array:
    """Return one side's design rows from a checkpoint."""
    rows = np.load(Path(folder) / f"{side}.npy", allow_pickle=False)
    return join([rows[:0], rows])
