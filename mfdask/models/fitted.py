"""What a fit tells on its way, and what it ends with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from mfdask.features.file import ItemFeatures
from mfdask.models.design import Array
from mfdask.models.prior import RowPrior


@dataclass(frozen=True)
class Sweep:
    """One line of a fit's history.

    Attributes
    ----------
    sweep : int
        From 1.
    objective : float
        The full regularised objective after the sweep.
    train_rmse : float
    test_rmse : float or None
        Unclipped; None where nothing is held out.
    moved : float
        Length of the sweep's move against the length of all rows.
    seconds : float
        From the end of the sweep before.
    fidelity : float
        What a squared error weighed: lambda, or the noise precision that was drawn.
    bytes_moved : int
        What workers sent to each other meanwhile.
    """

    sweep: int
    objective: float
    train_rmse: float
    test_rmse: float | None
    moved: float
    seconds: float
    fidelity: float = math.nan
    bytes_moved: int = 0

    def note(self) -> str:
        """Return the errors, for a progress bar."""
        test = "" if self.test_rmse is None else f", test {self.test_rmse:.4f}"
        return f"RMSE train {self.train_rmse:.4f}{test}"


class FitResult(NamedTuple):
    """What a fit ends with.

    Attributes
    ----------
    rows : dict of float32 (n, width)
        Design rows of each side.
    item_prior : RowPrior
        What the items' prior would be in the next sweep.
    history : list of Sweep
    features : ItemFeatures or None
        What the items' prior follows.
    """

    rows: dict[str, Array]
    item_prior: RowPrior
    history: list[Sweep]
    features: ItemFeatures | None
