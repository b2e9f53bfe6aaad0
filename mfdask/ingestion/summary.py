"""Counts and manifest of a data set that was built."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from mfdask.errors import InputError
from mfdask.ingestion.plan import BuildPlan, UserBlock
from mfdask.ratings.source import Source
from mfdask.ratings.splits import GIVEN
from mfdask.shards.manifest import Counts, Manifest, TakenFile
from mfdask.shards.store import FileFacts

_LOG = logging.getLogger(__name__)
#: With more different values there is no scale that one could lie outside of.
_SCALE = 100


def count(
    n_read: int,
    n_rejected: int,
    n_zeros: int,
    users: list[UserBlock],
    plan: BuildPlan,
    n_withdrawn: int = 0,
) -> Counts:
    """Return the numbers of a data set once its user blocks are built.

    Raises
    ------
    InputError
        If nothing is left to train on.
    """
    train, test = sum(b.n_train for b in users), sum(b.n_test for b in users)
    if train == 0:
        how = "the test part given" if plan.split.kind == GIVEN else f"`split` {plan.split}"
        raise InputError(f"{how} leaves none of the {test:,} ratings for training; hold out less")
    repeats = [block.n_repeats for block in users if block.n_repeats is not None]
    return Counts(
        read=n_read,
        kept=train + test,
        rejected=n_rejected,
        duplicates=n_read - n_rejected - n_zeros - n_withdrawn - train - test,
        train=train,
        test=test,
        users=plan.user_bounds[-1],
        items=plan.item_bounds[-1],
        withdrawn=n_withdrawn,
        zeros=n_zeros,
        repeat_events=sum(repeats) if len(repeats) == len(users) else None,
    )


def describe(
    source: Source,
    plan: BuildPlan,
    counts: Counts,
    users: list[UserBlock],
    files: dict[str, FileFacts],
    digests: list[str],
    taken: list[TakenFile],
) -> Manifest:
    """Return the manifest; `digests` are those of all that went into the data set."""
    values = np.unique(np.concatenate([block.values for block in users]))
    complete = sum(block.n_values for block in users) == sum(len(block.values) for block in users)
    if complete and plan.feedback == "ratings":
        _warn_of_outliers(source.origin, outliers(values))
    facts: dict[str, Any] = {
        "split": str(plan.split),
        "seed": plan.seed,
        "mean": sum(block.train_sum for block in users) / counts.train,
        "rating_min": float(values[0]),
        "rating_max": float(values[-1]),
        "rating_step": rating_step(values) if complete else None,
        "user_kind": source.user_kind,
        "item_kind": source.item_kind,
        "has_timestamps": source.has_timestamps,
    }
    weights = [block.weight_sum for block in users if block.weight_sum is not None]
    if weights:
        facts["mean_weight"] = sum(weights) / counts.train
    numbers = asdict(counts)
    for follows in ("zeros", "repeat_events"):  # from the others: fingerprints stay what they were
        del numbers[follows]
    own = [] if plan.feedback == "ratings" else [plan.feedback, plan.repeats]
    said = json.dumps([digests, facts, numbers, *own])
    return Manifest(
        name=source.name,
        origin=source.origin,
        fingerprint=hashlib.sha256(said.encode()).hexdigest(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        counts=counts,
        blocks={"users": plan.user_bounds, "items": plan.item_bounds},
        files=dict(sorted(files.items())),
        sources=taken,
        feedback=plan.feedback,
        repeats=plan.repeats,
        **facts,
    )


def rating_step(values: npt.NDArray[np.float32]) -> float | None:
    """Return the step of the grid that ascending ratings lie on, None if there is none."""
    if len(values) < 2:
        return None
    span = float(values[-1]) - float(values[0])
    n_steps = round(span / float(np.diff(values.astype(np.float64)).min()))
    step = span / n_steps
    places = (values.astype(np.float64) - float(values[0])) / step
    # Ratings themselves are as exact as 32 bits are.
    off = np.abs(places - np.rint(places)) - 2.0**-23 * np.abs(values) / step
    return float(f"{step:.7g}") if off.max() < 1e-3 else None


def outliers(values: npt.NDArray[np.float32]) -> list[float]:
    """Return ratings that may stand for none: -1 or 99 beside 1 to 10.

    Parameters
    ----------
    values : float32 (values,)
        Different ratings, ascending.

    Returns
    -------
    list of float
        The smallest if it alone is negative, and either end if it is farther from the others than
        these are from each other; none where there are three other values at most, or very many.
    """
    if not 4 < len(values) <= _SCALE:
        return []
    low, high = values[0], values[-1]
    below = low < 0 <= values[1] or values[1] - low > high - values[1]
    above = high - values[-2] > values[-2] - low
    return [float(end) for end, far in ((low, below), (high, above)) if far]


def _warn_of_outliers(origin: str, found: list[float]) -> None:
    if found:
        shown = ",".join(f"{value:g}" for value in found)
        _LOG.warning(
            "%s: ratings of %s lie outside the others; if they stand for none, give them as "
            "missing: %s",
            origin,
            shown.replace(",", " and "),
            shown,
        )
