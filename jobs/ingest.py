"""Turn raw ratings into a data set, or take them into one that is there.

SOURCE is a file (CSV, TSV, JSON lines, Parquet, Arrow, ORC, a sparse matrix, Netflix, SQLite, a
workbook; also compressed, or in an archive), a folder, a glob such as 'logs/*.csv', a URL of any of
these, a name to download such as ml-32m, or synthetic:small. Up to two million ratings are taken in
by threads of this process, unless an option asks for a cluster; more of them on a local one.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from mfdask.cluster import ClusterConfig
from mfdask.errors import InputError
from mfdask.ingestion.build import IngestOptions, check_target, ingest
from mfdask.ingestion.extend import columns_of, extend, ids_of
from mfdask.ratings.dialect import Dialect
from mfdask.ratings.formats import open_source
from mfdask.ratings.partitions import load_dask
from mfdask.ratings.splits import FORMS, Split
from mfdask.ratings.values import Ids
from mfdask.shards import Manifest

from .common import Outcome, Running, job, running
from .options import DATA_FOLDER, OUT_FOLDER, cluster_options, options_of
from .sources import columns_by_role, source_options, values_of_words
from .terminal import facts_table


@click.command("ingest", help=__doc__)
@click.argument("source")
@click.option("--out", type=OUT_FOLDER, help="Folder of the data set.  [default: data/NAME]")
@click.option(
    "--into",
    metavar="DATA",
    type=DATA_FOLDER,
    help="Take the ratings into this data set: later ones replace earlier ones of the same user "
    "and item, all rows keep their numbers, and no file is taken in twice.",
)
@click.option(
    "--withdraw",
    is_flag=True,
    help="With --into: take back the ratings that SOURCE names by user and item; with a timestamp, "
    "only if they are not later.",
)
@click.option(
    "--split", metavar="KIND:SHARE", help=f"What is held out: {FORMS}.  [default: random:0.1]"
)
@click.option(
    "--test",
    metavar="SOURCE",
    help="What is held out, in place of --split: ratings of a second source, such as u1.test "
    "beside u1.base. They are never trained on, even if SOURCE has them too. A column of SOURCE "
    "that tells them is --columns split=NAME.",
)
@source_options
@click.option(
    "--on-bad-rows",
    default="reject",
    show_default=True,
    type=click.Choice(["reject", "fail"]),
    help="Leave bad rows out (they go to rejected.parquet), or refuse a file with any.",
)
@click.option("--overwrite", is_flag=True, help="Replace a data set that is there already.")
@job
@options_of(IngestOptions, "choices")
@options_of(Dialect, "dialect")
@cluster_options
def main(
    source: str,
    out: Path | None,
    into: Path | None,
    withdraw: bool,
    split: str | None,
    test: str | None,
    choices: IngestOptions,
    dialect: Dialect,
    columns: str | None,
    weight: str | None,
    event_values: str | None,
    query: str | None,
    wide: bool,
    ids: Ids,
    on_bad_rows: str,
    overwrite: bool,
    cluster: ClusterConfig,
) -> Outcome:
    """Read the source, write the data set."""
    if withdraw and into is None:
        raise InputError("--withdraw takes ratings out of a data set: name it with --into DATA")
    cut = (out, split, test, choices.blocks, choices.repeats)
    if into and (overwrite or any(choice is not None for choice in cut)):
        raise InputError(
            "--into keeps a data set as it is cut: leave out --out, --split, --test, --blocks, "
            "--repeats, --overwrite"
        )
    share = 0.0 if on_bad_rows == "fail" else choices.max_rejected
    held = None if split is None else Split.parse(split)
    choices = replace(choices, split=held, max_rejected=share)
    with running() as run:
        before = Manifest.read(into) if into else None
        roles = columns_by_role(columns, weight)
        if withdraw:
            roles = {**(roles or {}), "rating": "", "weight": ""}
        elif before:
            roles = columns_of(before, roles)
        read = partial(
            open_source,
            columns=roles,
            ids=ids_of(before, ids) if before else ids,
            exact=before is not None and ids == "auto",
            seed=choices.seed,
            progress=run.progress,
            event_values=values_of_words(event_values),
            dialect=dialect,
            query=query,
            wide=wide,
        )
        opened = read(source)
        held_out = read(test) if test else None
        out = into or out or Path("data") / opened.name
        if before is None:
            check_target(out, overwrite)  # before a cluster is started for nothing
        sources = [opened] if held_out is None else [opened, held_out]
        if cluster.pays_for(sum(source.n_rows for source in sources)):
            load_dask()
            run.start(cluster)
        where: dict[str, Any] = {"client": run.client, "progress": run.progress}
        if before is None:
            made = ingest(opened, out, test=held_out, choices=choices, overwrite=overwrite, **where)
        elif withdraw:
            made = extend(out, [], withdrawn=[opened], **where)
        else:
            made = extend(out, [opened], max_rejected=choices.max_rejected, **where)
    taken = len(made.sources) - (len(before.sources) if before else 0)
    return _outcome(made, out, taken, opened.reading, run)


def _outcome(made: Manifest, out: Path, taken: int, reading: str, run: Running) -> Outcome:
    counts = made.counts
    values: dict[str, Any] = {
        "data": str(out),
        "ratings": counts.kept,
        "read": counts.read,
        "rejected": counts.rejected,
        "duplicates": counts.duplicates,
        "withdrawn": counts.withdrawn,
        "zeros": counts.zeros,
        "repeat_events": counts.repeat_events,
        "feedback": made.feedback,
        "repeats": made.repeats,
        "mean_weight": made.mean_weight,
        "files_taken": taken,
        "read_as": reading,
        "train": counts.train,
        "test": counts.test,
        "users": counts.users,
        "items": counts.items,
        **run.cost,
    }
    facts = {
        "files taken in": f"{taken:,} of {len(made.sources):,}",
        **({"read as": reading} if reading else {}),
        "rows read": f"{counts.read:,}",
        "  rejected": f"{counts.rejected:,}",
        "  duplicates": f"{counts.duplicates:,}",
        **({"  withdrawn": f"{counts.withdrawn:,}"} if counts.withdrawn else {}),
        **({"  counts of 0": f"{counts.zeros:,}"} if counts.zeros else {}),
        "  kept": f"{counts.kept:,}",
        **({"repeats, as events": f"{counts.repeat_events:,}"} if counts.repeat_events else {}),
        "what they are": made.holds,
        **({"mean weight": f"{made.mean_weight:.4g}"} if made.has_weights else {}),
        f"train, test ({made.split})": f"{counts.train:,}, {counts.test:,}",
        "users, items": f"{counts.users:,}, {counts.items:,}",
        **run.last_rows("data set", out),
    }
    return Outcome(values, [facts_table(f"{made.name}, from {made.origin}", facts)])
