"""Show what a data set holds, and verify the checksums of its files."""

from __future__ import annotations

from dataclasses import asdict

import click
from rich.table import Table

from mfdask.shards import Dataset
from mfdask.shards.store import SIDES

from .common import Outcome, job
from .options import DATA
from .terminal import facts_table, table


@click.command("inspect", help=__doc__)
@click.argument("data", type=DATA)
@job
def main(data: str) -> Outcome:
    """Open and verify the data set, and describe it."""
    dataset = Dataset.open(data, verify=True)
    made = dataset.manifest
    size = sum(facts.bytes for facts in made.files.values())
    values = {
        "data": data,
        "name": made.name,
        "origin": made.origin,
        "created": made.created,
        "fingerprint": made.fingerprint,
        "schema_version": made.schema_version,
        "feedback": made.feedback,
        "repeats": made.repeats,
        "mean_weight": made.mean_weight,
        "ratings": made.counts.kept,
        **asdict(made.counts),
        "split": made.split,
        "seed": made.seed,
        "mean": made.mean,
        "rating_min": made.rating_min,
        "rating_max": made.rating_max,
        "rating_step": made.rating_step,
        "blocks": {side: dataset.n_blocks(side) for side in SIDES},
        "files": len(made.files),
        "bytes": size,
        "verified": True,
    }
    return Outcome(values, [_facts(dataset, size), _blocks(dataset)])


def _facts(dataset: Dataset, size: int) -> Table:
    made = dataset.manifest
    counts = made.counts
    step = "no step" if made.rating_step is None else f"step {made.rating_step:g}"
    ends = ["kept", "rejected", "duplicates"]
    ends += [end for end in ("withdrawn", "zeros") if getattr(counts, end)]
    numbers = " + ".join(f"{getattr(counts, end):,}" for end in ends)
    facts = {
        "created": made.created,
        "fingerprint": made.fingerprint[:16],
        f"rows read = {' + '.join(ends)}": f"{counts.read:,} = {numbers}",
        f"train, test ({made.split}, seed {made.seed})": f"{counts.train:,}, {counts.test:,}",
        "users, items": f"{counts.users:,}, {counts.items:,}",
        **({"repeats, as events": f"{counts.repeat_events:,}"} if counts.repeat_events else {}),
        made.holds: f"{made.scale}, {step}",
        f"mean training {made.feedback.removesuffix('s')}": f"{made.mean:.4f}",
        "timestamps": "yes" if made.has_timestamps else "no",
        **({"mean weight": f"{made.mean_weight:.4g}"} if made.has_weights else {}),
        "files, all checksums right": f"{len(made.files)}, {size / 2**20:,.1f} MiB",
    }
    return facts_table(f"{made.name}, from {made.origin}", facts)


def _blocks(dataset: Dataset) -> Table:
    training = f"training {dataset.feedback} in each"
    view = table("Blocks", "side", "blocks", "rows in each", training)
    for side in SIDES:
        shards = [dataset.shard(side, block) for block in range(dataset.n_blocks(side))]
        rows = _range([shard.n_rows for shard in shards])
        view.add_row(side, f"{len(shards)}", rows, _range([shard.n_ratings for shard in shards]))
    return view


def _range(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
