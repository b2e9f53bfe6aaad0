"""What a report is made of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mfdask.models import Model
from mfdask.nightly.paths import NightlyPaths


@dataclass(frozen=True)
class Inputs:
    """Inputs of a report beside the data set.

    Attributes
    ----------
    models : mapping of str to Model
        By the names that they go by on the page.
    tiers : Path or None
        What `mfdask bench tiers --json` printed.
    trials : sequence of Path
        Tables that `mfdask tune` has written.
    anomalies : Path or None
        The folder that `mfdask anomalies` has written.
    churn, ltv : Path or None
        The tables of the jobs of these names.
    home : NightlyPaths or None
        The folder of the nights.
    names : collection of str
        Figures that are wanted; empty for all. Only says what to begin with ahead.
    """

    models: Mapping[str, Model] = field(default_factory=dict)
    tiers: Path | None = None
    trials: Sequence[Path] = ()
    anomalies: Path | None = None
    churn: Path | None = None
    ltv: Path | None = None
    home: NightlyPaths | None = None
    names: Collection[str] = ()
