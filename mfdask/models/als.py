"""Alternating least squares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distributed import Client

from mfdask.features.file import ItemFeatures
from mfdask.models.checkpoint import CheckpointManager, fit_identity
from mfdask.models.exchange import ExchangeMode
from mfdask.models.fit import fit
from mfdask.models.fitted import Sweep
from mfdask.models.model import FactorModel
from mfdask.models.parameters import Parameters
from mfdask.progress import Progress, silent
from mfdask.shards import Dataset


@dataclass(frozen=True)
class ALS(Parameters):
    """Regularised matrix factorisation with biases, learned by alternating least squares.

    `Parameters` says what each parameter means: ``ALS(n_factors=40, n_sweeps=10).fit(data)``.
    """

    def fit(
        self,
        data: Dataset | Any,
        *,
        item_features: Path | None = None,
        client: Client | None = None,
        start: Path | None = None,
        checkpoint: Path | None = None,
        checkpoint_every: int = 0,
        resume: bool = False,
        progress: Progress = silent,
        each_sweep: Callable[[Sweep], None] | None = None,
        exchange: ExchangeMode = "auto",
    ) -> FactorModel:
        """Learn a model.

        Parameters
        ----------
        data : Dataset or sparse matrix
            A `scipy.sparse` matrix counts as users x items, its stored values as ratings.
        item_features : Path, optional
            File of item features, CSV or Parquet, for the item prior ``"features"``: the item id,
            and columns of numbers or of values joined by ``|``. Workers read it too.
        client : distributed.Client, optional
            Where the half-steps run; without one, in this process on all its threads.
        start : Path, optional
            Directory of a model with as many factors, whose rows to begin with, by raw id.
        checkpoint : Path, optional
            Folder that keeps the state of an unfinished fit.
        checkpoint_every : int
            Sweeps between two checkpoints; 0 keeps none.
        resume : bool
            Go on from the newest checkpoint, with the same result as an unbroken fit.
        progress : Progress, optional
        each_sweep : callable, optional
            Gets each sweep's line of the history; what it raises ends the fit.
        exchange : {"auto", "whole", "needed"}
            Whether workers get the other side whole, or the rows that their blocks use; auto takes
            what is cheaper. The model is the same.

        Returns
        -------
        FactorModel

        Raises
        ------
        InputError
            If the data cannot be learned from, the item features do not fit them, a checkpoint is
            of another fit, the model to start from has other factors, or a row's equations have no
            solution, naming the row.
        """
        if not isinstance(data, Dataset):
            data = Dataset.from_csr(data)
        features = ItemFeatures.of(self, data, item_features)
        identity = fit_identity(self, data.fingerprint, start, features)
        keeper = CheckpointManager(checkpoint, checkpoint_every, resume, identity)
        fitted = fit(
            self,
            data,
            client,
            keeper,
            features,
            start=start,
            progress=progress,
            each_sweep=each_sweep,
            exchange=exchange,
        )
        return FactorModel.learned(self, data, fitted)
