"""Publish a release by hand."""

from __future__ import annotations

from collections.abc import Callable

from mfdask.nightly.metrics import write_metrics
from mfdask.nightly.paths import NightlyPaths
from mfdask.nightly.registry import Release


def publish_by_hand(
    home: NightlyPaths, publish: Callable[[NightlyPaths], Release], metrics: str
) -> tuple[Release, str | None]:
    """Publish while no night runs, and bring the metrics up to it.

    Parameters
    ----------
    home : NightlyPaths
    publish : callable
        `promote` or `roll_back` of `mfdask.nightly.registry`.
    metrics : str
        Where the metrics go, see `write_metrics`.

    Returns
    -------
    release : Release
        What is published now.
    trouble : str or None
        Why the metrics were not written.

    Raises
    ------
    RefusedError
        If a night is running, or there is nothing to roll back to.
    InputError
        If there is no such release, or it is damaged.
    """
    with home.alone():
        release = publish(home)
        return release, write_metrics(home, metrics)
