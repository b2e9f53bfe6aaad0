"""Read all parts of a source on the workers, and count good and bad rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from mfdask.execution import Executor, Handle
from mfdask.ingestion.parts import PartFacts, read_part
from mfdask.ratings.source import Source

#: Rows that threads of one process take in before the workers of a cluster are there.
FEW_ROWS = 2_000_000


def are_few(sources: Sequence[Source]) -> bool:
    """Tell whether sources are taken in sooner without a cluster than one has started."""
    return sum(source.n_rows for source in sources) <= FEW_ROWS


@dataclass(frozen=True)
class Reading:
    """A source that is read; all of it stays on the workers but `facts`.

    Attributes
    ----------
    ratings : list of Handle
        For each part its good ratings, as `ReadPart` describes them.
    counts : dict
        ``"users"`` and ``"items"``: for each part, how often each id occurs.
    rejected : list of Handle
        For each part its bad rows.
    facts : list of PartFacts
    """

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
        """Return for each part how many rows were read before it."""
        return [0, *np.cumsum([part.n_read for part in self.facts])[:-1].tolist()]

    def only(self, parts: Sequence[int]) -> Reading:
        """Return the reading of some of the parts, by their numbers."""

        def chosen(values: list[Any]) -> list[Any]:
            return [values[number] for number in parts]

        return Reading(
            ratings=chosen(self.ratings),
            counts={side: chosen(counts) for side, counts in self.counts.items()},
            rejected=chosen(self.rejected),
            facts=chosen(self.facts),
        )


def read_source(
    source: Source, run: Executor, what: str = "ratings", are_counts: bool = False
) -> Reading:
    """Read all parts, each in a task of its own; `what` they hold tells their tasks apart."""
    reads = [
        run.submit(f"read-{what}-{number}", read_part, part, are_counts)
        for number, part in enumerate(source.parts)
    ]

    def each(name: str) -> list[Handle]:
        return [
            run.submit(f"{what}-part-{name}-{number}", attrgetter(name), read)
            for number, read in enumerate(reads)
        ]

    return Reading(
        ratings=each("ratings"),
        counts={side: each(side) for side in ("users", "items")},
        rejected=each("rejected"),
        facts=run.finish("read", each("facts")),
    )
