"""Counts and manifest of a data set that was built."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from mfdask.errors import InputError
from mfdask.ingestion.plan import BuildPlan, UserBlock
from mfdask.ratings.source import Source
from mfdask.shards.manifest import Counts, Manifest, TakenFile
from mfdask.shards.store import FileFacts


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
        raise InputError(
            f"`split` {plan.split} leaves none of the {test:,} ratings for training; hold out less"
        )
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
