"""Show what a data set holds, and verify the checksums of its files."""

from __future__ import annotations

from dataclasses import asdict

import click
from rich.table import Table

from jobs.common import DATA, Outcome, job, table
from mfdask.shards import Dataset
from mfdask.shards.store import SIDES


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
    view = table(f"{made.name}, from {made.origin}", "", "")
    view.show_header = False
    view.add_row("created", made.created)
    view.add_row("fingerprint", made.fingerprint[:16])
    ends = ["kept", "rejected", "duplicates", *(["withdrawn"] if counts.withdrawn else [])]
    view.add_row(
        f"rows read = {' + '.join(ends)}",
        f"{counts.read:,} = {' + '.join(f'{getattr(counts, end):,}' for end in ends)}",
    )
    view.add_row(
        f"train, test ({made.split}, seed {made.seed})", f"{counts.train:,}, {counts.test:,}"
    )
    view.add_row("users, items", f"{counts.users:,}, {counts.items:,}")
    view.add_row("ratings", f"{made.rating_min:g} to {made.rating_max:g}, {step}")
    view.add_row("mean training rating", f"{made.mean:.4f}")
    view.add_row("timestamps", "yes" if made.has_timestamps else "no")
    view.add_row("files, all checksums right", f"{len(made.files)}, {size / 2**20:,.1f} MiB")
    return view


def _blocks(dataset: Dataset) -> Table:
    view = table("Blocks", "side", "blocks", "rows in each", "training ratings in each")
    for side in SIDES:
        shards = [dataset.shard(side, block) for block in range(dataset.n_blocks(side))]
        rows = _range([shard.n_rows for shard in shards])
        view.add_row(side, f"{len(shards)}", rows, _range([shard.n_ratings for shard in shards]))
    return view


def _range(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


if __name__ == "__main__":
    main()
