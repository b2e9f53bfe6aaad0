"""Read all parts of a source on the workers, and count good and bad rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mfdask.cluster import FEW_RATINGS
from mfdask.execution import Executor, Handle
from mfdask.ingestion.parts import PartFacts, clean_partition, read_batch
from mfdask.ratings.partitions import Batch, parts_frame
from mfdask.ratings.source import Parsed, Part, Source

if TYPE_CHECKING:
    from dask.delayed import Delayed

#: Rows, and parts, that are read by one task: less would not be worth it.
_BATCH_ROWS = 300_000
_BATCH_PARTS = 256


def are_few(sources: Sequence[Source]) -> bool:
    """Tell whether sources are taken in sooner without a cluster than one has started."""
    return sum(source.n_rows for source in sources) <= FEW_RATINGS


@dataclass(frozen=True)
class Reading:
    """A source that is read; all of it stays on the workers but `facts`.

    Attributes
    ----------
    batches : list of list of int
        The numbers of the parts that were read together.
    ratings : list of Handle
        For each batch its good ratings, as `ReadBatch` describes them.
    counts : dict
        ``"users"`` and ``"items"``: for each batch, how often each id occurs.
    rejected : list of Handle
        For each batch its bad rows.
    facts : list of PartFacts
        Of each part.
    """

    batches: list[list[int]]
    ratings: list[Handle]
    counts: dict[str, list[Handle]]
    rejected: list[Handle]
    facts: list[PartFacts]

    @property
    def n_read(self) -> int:
        """Rows read."""
        return sum(part.n_read for part in self.facts)

    @property
    def n_rejected(self) -> int:
        """Bad rows among them."""
        return sum(part.n_rejected for part in self.facts)

    @property
    def n_zeros(self) -> int:
        """Rows among them that say that nothing has happened: counts of 0."""
        return sum(part.n_zeros for part in self.facts)

    def first_rows(self) -> list[int]:
        """Return for each batch how many rows were read before it."""
        read = [sum(self.facts[number].n_read for number in batch) for batch in self.batches]
        return [0, *np.cumsum(read)[:-1].tolist()]

    def rejected_of(self, part: int) -> pd.DataFrame:
        """Return the bad rows of a part."""
        batch = next(n for n, numbers in enumerate(self.batches) if part in numbers)
        rows = self.rejected[batch].result()
        return rows[rows["part"] == self.batches[batch].index(part)]


def read_source(
    source: Source,
    run: Executor,
    what: str = "ratings",
    are_counts: bool = False,
    chosen: Sequence[int] | None = None,
    spill_into: Path | None = None,
) -> Reading:
    """Read the parts of a source, small ones together.

    Parameters
    ----------
    source : Source
    run : Executor
        On a cluster, they are partitions of a Dask DataFrame.
    what : str
        Tells tasks apart by what they read.
    are_counts : bool
        See `parts.read_batch`.
    chosen : sequence of int, optional
        The parts that are read, ascending; all by default.
    spill_into : Path, optional
        A folder that all workers see, where the ratings wait that are more than a few.
    """
    wanted = range(len(source.parts)) if chosen is None else chosen
    parts = [source.parts[number] for number in wanted]
    batches = _batches(parts)
    groups = [[parts[number] for number in batch] for batch in batches]
    spill_into = None if are_few([source]) else spill_into
    reads = _reads(source, groups, run, what, (are_counts, spill_into))

    def each(name: str) -> list[Handle]:
        return [
            run.submit(f"{what}-part-{name}-{number}", attrgetter(name), read)
            for number, read in enumerate(reads)
        ]

    return Reading(
        batches=batches,
        ratings=each("ratings"),
        counts={side: each(side) for side in ("users", "items")},
        rejected=each("rejected"),
        facts=list(chain.from_iterable(run.finish("read", each("facts")))),
    )


def _batches(parts: Sequence[Part]) -> list[list[int]]:
    """Group parts that follow each other into such that are worth a task.

    A part of which nobody knows how long it is stays alone.
    """
    batches: list[list[int]] = []
    room = 0
    for number, part in enumerate(parts):
        if not part.n_rows or part.n_rows > room or len(batches[-1]) == _BATCH_PARTS:
            batches.append([])
            room = _BATCH_ROWS if part.n_rows else 0
        batches[-1].append(number)
        room -= part.n_rows
    return batches


def _reads(
    source: Source,
    groups: Sequence[list[Part]],
    run: Executor,
    what: str,
    how: tuple[bool, Path | None],
) -> list[Handle]:
    """Start the tasks that read, each with a `ReadBatch` as its result.

    `how` are the last two arguments of `read_batch`.
    """
    names = [f"read-{what}-{number}" for number in range(len(groups))]
    partitioned = any(part.partition is not None for parts in groups for part in parts)
    if run.client is None and not partitioned:
        return [
            run.submit(name, read_batch, parts, *how)
            for name, parts in zip(names, groups, strict=True)
        ]
    partitions = _partitions(source, groups)
    named = zip(names, partitions, groups, strict=True)
    arguments = {name: (own, _read_already(parts), *how) for name, own, parts in named}
    return run.compute(clean_partition, arguments)


def _read_already(parts: Sequence[Part]) -> list[Part]:
    """Return parts without what reads them: a task carries no more than it needs."""
    return [replace(part, read=_unread, partition=None) for part in parts]


def _unread() -> Parsed:
    raise NotImplementedError


def _partitions(source: Source, groups: Sequence[list[Part]]) -> list[Delayed]:
    """Return a partition for each group: of the frame it comes from, or of one of its own."""
    own = [Batch(tuple(parts)) for parts in groups if parts[0].partition is None]
    made = iter(parts_frame(source, own).to_delayed() if own else [])
    theirs = [parts[0].partition for parts in groups]
    return [next(made) if partition is None else partition for partition in theirs]
