"""Ingest a source of raw ratings into a new data set."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mfdask.errors import InputError, MfdaskError, NoSpaceError
from mfdask.execution import Executor, Handle, executor
from mfdask.files import FULL, atomic_directory, file_lock, require_space, resolve_link
from mfdask.ingestion.blocks import build_user_block, write_kept
from mfdask.ingestion.cutoff import time_cutoff
from mfdask.ingestion.given import join_test, rows_held_out
from mfdask.ingestion.partition import fill_buckets, load_kernels
from mfdask.ingestion.plan import LARGEST_BLOCK, BuildPlan, UserBlock
from mfdask.ingestion.provenance import taken_files
from mfdask.ingestion.reading import Reading, read_source
from mfdask.ingestion.rejected import MAX_REJECTED, first_bad_row, refuse_bad_rows, write_rejected
from mfdask.ingestion.summary import count, describe
from mfdask.ingestion.tables import count_catalogue, write_catalogue, write_side_table
from mfdask.parameters import Parametrised, parameter
from mfdask.progress import Progress, silent
from mfdask.ratings.ids import Ranked, rank_ids
from mfdask.ratings.source import Feedback, Repeats, Source
from mfdask.ratings.splits import GIVEN, Split, id_keys, sequence_draws
from mfdask.shards.bounds import block_bounds, default_blocks
from mfdask.shards.manifest import FILE_NAME, Manifest
from mfdask.shards.store import SCRATCH, SIDES, FolderStore, write_arrays
from mfdask.shards.writer import Files, merged

if TYPE_CHECKING:
    from distributed import Client

_LOG = logging.getLogger(__name__)
#: Disk that a rating takes while it is ingested: in a bucket, and in a user and an item shard.
_BYTES_PER_RATING = 21 + 16 + 8


@dataclass(frozen=True)
class IngestOptions(Parametrised):
    """How a source is turned into a data set."""

    split: Split | None = None  # what is held out: random:0.1, unless a test part is given
    seed: int = parameter(42, "Seed of the split, and of synthetic ratings.")
    blocks: int | None = parameter(
        None,
        "Blocks that users, and items, are cut into.  [default: one for each 8 million ratings]",
        at_least=1,
        at_most=10_000,
    )
    max_rejected: float = parameter(
        MAX_REJECTED,
        "Share of bad rows, which are left out, up to which a file is taken in; 0: none.",
        at_least=0,
        at_most=1,
    )
    repeats: Repeats | None = parameter(
        None,
        "What becomes of several rows of one user and item: the latest stays, their values are "
        "added up, or their number is what counts.  [default: latest; sum where words have values; "
        "count where nothing is rated]",
    )


def ingest(
    source: Source,
    out: Path | str,
    *,
    test: Source | None = None,
    client: Client | None = None,
    choices: IngestOptions | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Manifest:
    """Turn raw ratings into a data set on disk.

    Parameters
    ----------
    source : Source
    out : Path
        Folder of the data set, or a link to it. It is there as a whole or not at all, whatever
        happens.
    test : Source, optional
        What is held out, in place of a split, or of a column of `source` that tells it. Its pairs
        of user and item are no training ratings, even if `source` has them too.
    client : distributed.Client, optional
        Its workers read and write; they see the same files as this process. Without one, threads
        of this process do: a little data is done before a cluster has started.
    choices : IngestOptions, optional
    overwrite : bool
        Replace a data set that is there already, once the new one is done.
    progress : Progress, optional

    Returns
    -------
    Manifest

    Raises
    ------
    InputError
        If no rating is good, too many rows of a file are bad, the split cannot be done, `test` does
        not fit, or `out` is taken.
    RefusedError
        If another process is ingesting into `out`, or disk or memory would not do.
    """
    choices = choices or IngestOptions()
    split = _split(choices, source, test)
    if test is not None:
        source = join_test(source, test)
    if split.needs_timestamps and not source.has_timestamps:
        raise InputError(
            f"`split` {split}: {source.name} has no timestamps; choose random or sequence"
        )
    out = resolve_link(Path(out).absolute())
    with explained(out), file_lock(out, "ingesting into"):
        check_target(out, overwrite)
        with atomic_directory(out) as fresh, executor(client, progress, parallel=False) as run:
            return _build(source, fresh, replace(choices, split=split), run)


def _split(choices: IngestOptions, source: Source, test: Source | None) -> Split:
    """Return what holds ratings out."""
    if test is not None and (source.has_split or test.has_split):
        raise InputError("`test` is what is held out; leave out `columns` split=")
    given = "`test`" if test is not None else "`columns` split=" if source.has_split else None
    if given and choices.split not in (None, Split(GIVEN)):
        raise InputError(f"{given} says what is held out; leave out `split` {choices.split}")
    if given:
        return Split(GIVEN)
    if choices.split == Split(GIVEN):
        raise InputError(
            f"`split` {GIVEN}: give the ratings that are held out as `test`, or the column that "
            "tells them as `columns` split=NAME"
        )
    return choices.split or Split("random", 0.1)


@contextmanager
def explained(out: Path) -> Iterator[None]:
    """Turn errors in writing to `out` into what a user can mend."""
    try:
        yield
    except OSError as error:
        said = _explained(error, out)
        if said is None:
            raise
        raise said from error


def check_target(out: Path, overwrite: bool) -> None:
    """Raise `InputError` if `out` is there and may not be replaced."""
    if not out.exists():
        return
    if not (out / FILE_NAME).exists():
        raise InputError(f"{out}: is there already and is no data set; choose another `out`")
    if not overwrite:
        raise InputError(
            f"{out}: holds a data set already; replace it with `overwrite`, or choose another `out`"
        )


def _explained(error: OSError, out: Path) -> MfdaskError | None:
    """Return what a user makes of an error in writing to `out`; None if it was something else."""
    if error.errno in FULL:
        return NoSpaceError(f"{out}: no space left on the disk; free some, or write elsewhere")
    place = Path(str(error.filename))
    if place.is_relative_to(out.parent) or out.is_relative_to(place):
        return InputError(f"{out}: cannot write there ({error}); write elsewhere")
    return None


def _build(source: Source, root: Path, choices: IngestOptions, run: Executor) -> Manifest:
    """Write everything, and return the manifest."""
    FolderStore.create(root)
    if not source.parts:
        raise InputError(f"{source.origin}: holds no ratings")
    run.start("load-kernels", load_kernels)
    repeats = choices.repeats or source.repeats
    if source.has_weights and repeats != "latest":
        raise InputError(
            f"{source.origin}: what is added up ({repeats}) has no weights; leave out `columns` "
            "weight=, or take the latest of `repeats`"
        )
    reading = read_source(source, run, are_counts=repeats == "sum", spill_into=root / SCRATCH)
    refuse_useless(reading, source, choices.max_rejected)
    files = write_rejected(root, reading, source.parts, run)
    ids = _rank(root, reading, source, run)
    plan = _plan(root, reading, ids, choices, source, run)
    plan = plan._replace(feedback=_feedback(source, repeats), repeats=repeats)
    starts = partition(plan, reading, ids, run)
    taken = [file for file, _ in taken_files(source.parts, reading.facts)]
    digests = [part.digest for part in reading.facts]
    n_read, n_rejected, n_zeros = reading.n_read, reading.n_rejected, reading.n_zeros
    del reading  # and with it the ratings that the workers hold: they are in the buckets now
    users = _build_users(plan, starts, ids, run)
    counts = count(n_read, n_rejected, n_zeros, users, plan)
    if n_shared := sum(block.n_shared for block in users):
        _LOG.warning(
            "%s: %s training rows are left out: the test part has their user and item",
            source.name,
            f"{n_shared:,}",
        )
    files |= merged(block.files for block in users)
    files |= write_rest(plan, plan.writer.write_items, ids, run)
    manifest = describe(source, plan, counts, users, files, digests, taken)
    return plan.writer.finish(manifest).manifest


def refuse_useless(reading: Reading, source: Source, max_rejected: float) -> None:
    """Raise `InputError` for a file of too many bad rows, or where they are all there is."""
    if reading.n_read == 0:
        raise InputError(f"{source.origin}: holds no ratings")
    if reading.n_read == reading.n_rejected:
        raise InputError(
            f"{source.origin}: none of its {reading.n_read:,} rows is a rating; the first is "
            f"{first_bad_row(reading, source.parts)}; check the file and `columns`"
        )
    if reading.n_read == reading.n_rejected + reading.n_zeros:
        raise InputError(f"{source.origin}: nothing has happened in it: all its counts are 0")
    refuse_bad_rows(reading, source.parts, max_rejected)


def _feedback(source: Source, repeats: Repeats) -> Feedback:
    """Return what the values of a data set of a source are."""
    if repeats != "latest":
        return "counts"
    return "ratings" if source.has_ratings else "events"


def _rank(root: Path, reading: Reading, source: Source, run: Executor) -> dict[str, Handle]:
    """Give the ids of both sides their rows; items of the catalogue that nobody rated, too."""
    write_catalogue(root, source)
    unrated = run.submit("catalogue-items", count_catalogue, root)
    counted = reading.counts | {"items": [*reading.counts["items"], unrated]}
    return {side: run.submit(f"rank-{side}", rank_ids, parts) for side, parts in counted.items()}


def _plan(
    root: Path,
    reading: Reading,
    ids: dict[str, Handle],
    choices: IngestOptions,
    source: Source,
    run: Executor,
) -> BuildPlan:
    """Cut both sides into blocks, and find what the split needs to know of all ratings."""
    n_good = reading.n_read - reading.n_rejected
    require_space(root.parent, n_good * _BYTES_PER_RATING, f"a data set of {n_good:,} ratings")
    n_blocks = choices.blocks or default_blocks(n_good)
    cuts = [run.submit(f"cut-{side}", _bounds, ids[side], n_blocks) for side in ("users", "items")]
    user_bounds, item_bounds = run.results(cuts)
    split, draws = choices.split, None
    assert split is not None
    if split.is_by_rows and not source.has_split:
        draws = f"{SCRATCH}/split/draws.npy"
        if split.kind == GIVEN:
            drawn = rows_held_out(reading, source.n_test_parts)
        else:
            drawn = sequence_draws(reading.n_read, split.share, choices.seed)
        write_arrays(root, f"{SCRATCH}/split", {"draws": drawn})
    return BuildPlan(root, user_bounds, item_bounds, split, choices.seed, None, draws)


def partition(
    plan: BuildPlan, reading: Reading, ids: dict[str, Handle], run: Executor
) -> list[npt.NDArray[np.int64]]:
    """Sort all parts into user blocks, and return where each block begins in each part."""
    parts = zip(reading.first_rows(), reading.ratings, strict=True)
    arguments = [
        (plan, n, first_row, ratings, ids["users"], ids["items"])
        for n, (first_row, ratings) in enumerate(parts)
    ]
    return run.map("partition", fill_buckets, arguments)


def _bounds(ranked: Ranked, n_blocks: int) -> list[int]:
    return block_bounds(ranked.counts, n_blocks)


def _keys(ranked: Ranked) -> npt.NDArray[np.uint64]:
    return id_keys(ranked.ids)


def _build_users(
    plan: BuildPlan, starts: list[npt.NDArray[np.int64]], ids: dict[str, Handle], run: Executor
) -> list[UserBlock]:
    largest = int(np.sum([np.diff(of_part) for of_part in starts], axis=0).max())
    if largest > LARGEST_BLOCK:
        raise InputError(f"a block of {largest:,} ratings is too large; give more `blocks`")
    n_blocks = len(plan.user_bounds) - 1
    if plan.split.kind == "time":
        run.map("sort", write_kept, [(plan, block, starts) for block in range(n_blocks)])
        plan = plan._replace(cutoff=time_cutoff(plan.root, n_blocks, plan.split.share, run))
    keys = split_keys(plan, ids, run)
    arguments = [(plan, block, starts, *keys) for block in range(n_blocks)]
    return run.map("user shards", build_user_block, arguments)


def split_keys(plan: BuildPlan, ids: dict[str, Handle], run: Executor) -> list[Handle | None]:
    """Start what gives each user and item its key; None for sides that do not decide."""
    return [
        run.submit(f"keys-{side}", _keys, ids[side]) if side in plan.split.hashed_sides else None
        for side in ("users", "items")
    ]


def write_rest(
    plan: BuildPlan, write_items: Callable[[int], Files], ids: dict[str, Handle], run: Executor
) -> Files:
    """Write the item shards, each by the task of its number, and the tables of both sides."""
    blocks = [(block,) for block in range(len(plan.item_bounds) - 1)]
    files = merged(run.map("item shards", write_items, blocks))
    tables = [
        run.submit(f"write-{side}", write_side_table, plan, side, ids[side]) for side in SIDES
    ]
    return files | merged(run.results(tables))
