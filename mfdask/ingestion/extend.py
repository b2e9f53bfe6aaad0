"""Extend a data set by new ratings, corrections and withdrawals.

What comes out holds the same ratings, on the same sides of the split, as an ingest of everything
at once. Only its row numbers differ: those that there were stay, new users and items come behind
them, so that a model of the old data set still lies beside the new one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.errors import InputError
from mfdask.execution import Executor, Handle, executor
from mfdask.files import atomic_directory, file_lock, require_space, resolve_link
from mfdask.ingestion.build import explained, partition, refuse_useless, split_keys, write_rest
from mfdask.ingestion.cutoff import time_cutoff
from mfdask.ingestion.partition import load_kernels
from mfdask.ingestion.plan import BuildPlan, UpdatePlan, UserBlock, grown_bounds
from mfdask.ingestion.provenance import taken_files
from mfdask.ingestion.reading import Reading, read_source
from mfdask.ingestion.rejected import FILE_NAME as REJECTED
from mfdask.ingestion.rejected import MAX_REJECTED, first_bad_row, write_rejected
from mfdask.ingestion.summary import count, describe
from mfdask.ingestion.tables import count_catalogue, write_catalogue
from mfdask.ingestion.update_blocks import extend_item_block, extend_user_block, write_kept_times
from mfdask.ingestion.withdrawals import write_withdrawn
from mfdask.progress import Progress, silent
from mfdask.ratings.ids import Ranked, append_ids
from mfdask.ratings.source import Source
from mfdask.ratings.splits import GIVEN, Split
from mfdask.ratings.values import Ids
from mfdask.shards.dataset import Dataset
from mfdask.shards.manifest import Manifest, TakenFile
from mfdask.shards.store import FolderStore
from mfdask.shards.writer import merged

if TYPE_CHECKING:
    from distributed import Client

#: Disk that a rating takes in the shards of both sides, and one more of the split by time.
_BYTES_PER_RATING = 16 + 8 + 8
_DESCRIPTION = ["item_id", "title", "year", "genres"]
_LOG = logging.getLogger(__name__)


class _Taken(NamedTuple):
    """Files that are read and are new to the data set.

    Attributes
    ----------
    source : Source
        Their parts.
    reading : Reading
    files : list of TakenFile
    """

    source: Source
    reading: Reading
    files: list[TakenFile]


def extend(
    data: Path | str,
    sources: Sequence[Source],
    *,
    client: Client | None = None,
    withdrawn: Sequence[Source] = (),
    max_rejected: float = MAX_REJECTED,
    verify: bool = True,
    progress: Progress = silent,
) -> Manifest:
    """Take new files of ratings into a data set.

    Of the ratings of one user for one item the latest stays, and of equally late ones that which
    was taken in last, as in `build.ingest`; those of a data set of counts are added to what is
    there. A withdrawal with a timestamp takes out what the user rated up to that second, whenever
    it is taken in, and a count as a whole, if none of it is later; one without takes out what there
    is, with the ratings of the same call. A file whose contents are in the data set already is left
    out.

    Parameters
    ----------
    data : Path
        Folder of the data set, or a link to it. It is replaced in one move, once all is done:
        whoever has files of the old one open keeps them, and nothing that happens can leave half
        of either.
    sources : sequence of Source
        In the order in which they came. What their catalogues say of an item replaces what was
        known of it.
    client : distributed.Client, optional
        Its workers read and write; they see the same files as this process. Without one, threads
        of this process do: a little data is done before a cluster has started.
    withdrawn : sequence of Source
        Ratings to take out, by user and item and, where there is one, timestamp.
    max_rejected : float
        Share of bad rows, which are left out, up to which a file of ratings is taken in; 0: none.
        A withdrawal must be good always.
    verify : bool
        Compare every file of the data set with its checksum first: what is damaged would be
        written anew with right checksums. Leave it out only where that has just been done.
    progress : Progress, optional

    Returns
    -------
    Manifest
        The old one, if no file was new.

    Raises
    ------
    InputError
        If there is no data set, its split cannot be extended, one of its files is damaged, or a
        source does not fit it.
    RefusedError
        If another process is writing the data set, or disk or memory would not do.
    """
    data = resolve_link(Path(data).absolute())
    with explained(data), file_lock(data, "taking ratings into"):
        old = Dataset.open(data)
        _check(old.manifest, sources, withdrawn)
        with executor(client, progress, parallel=False) as run:
            run.start("load-kernels", load_kernels)
            ratings = _take(old.manifest, sources, run)
            gone = _take(old.manifest, withdrawn, run, withdraws=True)
            if not ratings.files and not gone.files:
                return old.manifest
            _check_read(ratings, gone, max_rejected)
            if verify:
                verify_files(old, run)
            n_ratings = old.manifest.counts.kept + ratings.reading.n_read
            require_space(data.parent, n_ratings * _BYTES_PER_RATING, f"{n_ratings:,} ratings")
            # What still runs at an error writes into the fresh folder: it ends before that goes.
            with atomic_directory(data) as fresh, run.cancelling():
                return _grow(old, fresh, ratings, gone, run)


def verify_files(data: Dataset, run: Executor) -> None:
    """Compare each file of a data set on disk with its checksum, several at once.

    Raises
    ------
    InputError
        Names a file that differs.
    """
    assert data.path is not None
    store = FolderStore(data.path)
    run.map("verify", store.check, list(data.manifest.files.items()))


def ids_of(data: Manifest, wanted: Ids = "auto") -> Ids:
    """Return how the ids of more ratings are read, unless somebody wants it otherwise.

    As those of the data set are: a short file may happen to hold nothing but numbers among its
    names, or one bad row among its numbers.
    """
    if wanted != "auto":
        return wanted
    if data.user_kind == data.item_kind:
        return data.user_kind
    return "int,string" if data.user_kind == "int" else "string,int"


def columns_of(data: Manifest, wanted: Mapping[str, str] | None = None) -> dict[str, str] | None:
    """Return which column of more ratings is which, as far as somebody says.

    A data set that counts rows needs no ratings, and looks for none unless it is told which column
    they are.
    """
    no_ratings = {} if data.feedback == "ratings" or data.repeats == "sum" else {"rating": ""}
    return {**no_ratings, **(wanted or {})} or None


def _check(old: Manifest, sources: Sequence[Source], withdrawn: Sequence[Source]) -> None:
    """Raise `InputError` for what does not fit the data set."""
    split = Split.parse(old.split)
    if split.is_by_rows:
        how = "is given as it is" if split.kind == GIVEN else "draws for all rows in file order"
        raise InputError(
            f"{old.name}: its split {old.split} {how} and cannot be extended; ingest everything "
            "again, with random or time if more is to come"
        )
    for source in [*sources, *withdrawn]:
        if source.has_split:
            raise InputError(
                f"{source.origin}: the data set has a split of its own; leave out `columns` split="
            )
        for side, kind in (("user", source.user_kind), ("item", source.item_kind)):
            known = {"user": old.user_kind, "item": old.item_kind}[side]
            if kind != known:
                raise InputError(
                    f"{source.origin}: its {side} ids are of kind {kind}, those of the data set "
                    f"of kind {known}; read it with `ids` {ids_of(old)} if they are the same, or "
                    "ingest everything again"
                )
    for source in sources:
        if old.feedback == "ratings" and not source.has_ratings:
            raise InputError(f"{source.origin}: has no ratings; is it meant as a withdrawal?")
        if old.feedback == "events" and source.has_ratings:
            raise InputError(
                f"{source.origin}: has ratings, the data set holds events without any; leave them "
                "out with `columns` rating="
            )
        for role in ("timestamp", "weight"):
            _check_beside(old, source, role)


def _check_beside(old: Manifest, source: Source, role: str) -> None:
    """Raise `InputError` where only one of data set and source has times, or weights."""
    has, had = (getattr(one, f"has_{role}s") for one in (source, old))
    if has != had:
        one, other = ("has", "has none") if has else ("has no", "has")
        raise InputError(
            f"{source.origin}: {one} {role}s, the data set {other}; "
            f"`columns` {role}=NAME says which column they are, {role}= leaves them out"
        )


def _take(
    old: Manifest, sources: Sequence[Source], run: Executor, withdraws: bool = False
) -> _Taken:
    """Read sources, and leave out the files that the data set has."""
    source = _joined(old, sources)
    are_counts = old.repeats == "sum" and not withdraws
    what = "withdrawals" if withdraws else "ratings"
    reading = read_source(source, run, what, are_counts)
    known = {taken.digest for taken in old.sources if taken.withdraws == withdraws}
    files: list[TakenFile] = []
    chosen: list[int] = []
    first = 0
    for taken, n_parts in taken_files(source.parts, reading.facts, withdraws):
        if taken.digest in known:
            _LOG.warning("%s: its contents were taken in before; left out", taken.file)
        else:
            known.add(taken.digest)
            files.append(taken)
            chosen += range(first, first + n_parts)
        first += n_parts
    if len(chosen) < len(source.parts):  # batches may hold other files as well: they are read anew
        source = replace(source, parts=tuple(source.parts[number] for number in chosen))
        reading = read_source(source, run, f"new-{what}", are_counts)
    return _Taken(source, reading, files)


def _check_read(ratings: _Taken, gone: _Taken, max_rejected: float) -> None:
    """Raise `InputError` for rows that cannot be taken in, or out."""
    if ratings.files:
        refuse_useless(ratings.reading, ratings.source, max_rejected)
    if gone.reading.n_rejected:
        bad = first_bad_row(gone.reading, gone.source.parts)
        raise InputError(f"{bad}; every withdrawal must be readable, mend it")


def _joined(old: Manifest, sources: Sequence[Source]) -> Source:
    """Make one source of several, and of nothing a source without parts."""
    nothing = Source(
        name=old.name,
        parts=(),
        user_kind=old.user_kind,
        item_kind=old.item_kind,
        has_timestamps=old.has_timestamps,
        catalogue=None,
        origin=old.origin,
        has_weights=old.has_weights,
    )
    return nothing.joined(sources)


def _grow(old: Dataset, root: Path, ratings: _Taken, gone: _Taken, run: Executor) -> Manifest:
    """Write everything, and return the manifest."""
    assert old.path is not None
    FolderStore.create(root)
    reading = ratings.reading
    files = write_rejected(root, reading, ratings.source.parts, run, old.path / REJECTED)
    ids = _rank(root, old, ratings, run)
    frames, has_times = gone.reading.ratings, old.manifest.has_timestamps
    withdrawn = run.submit(
        "withdrawn", write_withdrawn, root, old.path, frames, has_times, ids["users"], ids["items"]
    )
    growth = _plan(root, old, ids, run)
    starts = partition(growth.plan, reading, ids, run) if reading.ratings else []
    files |= run.results([withdrawn])[0]
    users = _extend_users(growth, starts, ids, run)
    files |= merged(block.files for block in users)
    files |= write_rest(growth.plan, partial(extend_item_block, growth), ids, run)
    was, taken = old.manifest.counts, [*ratings.files, *gone.files]
    counts = count(
        was.read + reading.n_read,
        was.rejected + reading.n_rejected,
        was.zeros + reading.n_zeros,
        users,
        growth.plan,
        was.withdrawn + sum(block.n_withdrawn for block in users),
    )
    digests = [old.fingerprint, *(file.digest for file in taken)]
    every = [*old.manifest.sources, *taken]
    manifest = describe(ratings.source, growth.plan, counts, users, files, digests, every)
    return growth.plan.writer.finish(manifest).manifest


def _rank(root: Path, old: Dataset, ratings: _Taken, run: Executor) -> dict[str, Handle]:
    """Give new ids rows behind the old ones, items of new catalogues too."""
    known, new = old.items()[_DESCRIPTION], ratings.source.catalogue
    catalogue = known if new is None else pd.concat([new[_DESCRIPTION], known], ignore_index=True)
    write_catalogue(root, replace(ratings.source, catalogue=catalogue))
    unrated = run.submit("catalogue-items", count_catalogue, root)
    counted = ratings.reading.counts
    counted = counted | {"items": [*counted["items"], unrated]}
    return {
        side: run.submit(f"rank-{side}", _append_ids, old.path, side, parts)
        for side, parts in counted.items()
    }


def _append_ids(data: Path, side: str, parts: list[pd.Series]) -> Ranked:
    table = FolderStore(data).table(side)
    return append_ids(pd.Index(table.iloc[:, 0]), table["n_read"].to_numpy(), parts)


def _plan(root: Path, old: Dataset, ids: dict[str, Handle], run: Executor) -> UpdatePlan:
    """Extend the blocks over the new rows."""
    n_old = {"users": old.n_users, "items": old.n_items}
    new = [run.submit(f"new-{side}", _new_counts, ids[side], n_old[side]) for side in n_old]
    users, items = (
        grown_bounds(old.manifest.blocks[side], _last_ratings(old, side), counts)
        for side, counts in zip(n_old, run.results(new), strict=True)
    )
    manifest = old.manifest
    split, kind = Split.parse(manifest.split), (manifest.feedback, manifest.repeats)
    plan = BuildPlan(root, users, items, split, manifest.seed, None, None, *kind)
    assert old.path is not None
    keeps = manifest.beside, manifest.counts.repeat_events is not None
    return UpdatePlan(plan, old.path, manifest.blocks, manifest.files, *keeps)


def _new_counts(ranked: Ranked, n_old: int) -> npt.NDArray[np.int64]:
    return ranked.counts[n_old:]


def _last_ratings(old: Dataset, side: str) -> int:
    """Count the ratings of the last block of a side."""
    last = old.n_blocks(side) - 1
    parts = ("train", "test") if side == "users" else ("train",)
    return sum(old.shard(side, last, part).n_ratings for part in parts)


def _extend_users(
    growth: UpdatePlan, starts: list[npt.NDArray[np.int64]], ids: dict[str, Handle], run: Executor
) -> list[UserBlock]:
    plan = growth.plan
    n_blocks = len(plan.user_bounds) - 1
    if plan.split.kind == "time":
        run.map("merge", write_kept_times, [(growth, block, starts) for block in range(n_blocks)])
        plan = plan._replace(cutoff=time_cutoff(plan.root, n_blocks, plan.split.share, run))
        growth = growth._replace(plan=plan)
    keys = split_keys(plan, ids, run)
    arguments = [(growth, block, starts, *keys) for block in range(n_blocks)]
    return run.map("user shards", extend_user_block, arguments)
