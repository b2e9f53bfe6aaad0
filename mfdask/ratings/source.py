"""The class `Source`, which every reader of raw ratings returns: parts that tasks read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import pandas as pd

from mfdask.ratings.forms import ValueForm, WordValues

if TYPE_CHECKING:
    from dask.delayed import Delayed

IdKind = Literal["int", "string"]
#: What becomes of several rows of one user and item.
Repeats = Literal["latest", "sum", "count"]
#: What the values of a data set are.
Feedback = Literal["ratings", "counts", "events"]

REJECTED_COLUMNS = ["file", "row", "reason", "text"]


@dataclass(frozen=True)
class Parsed:
    """One part of a source, read and cleaned.

    Attributes
    ----------
    ratings : DataFrame
        The good rows: `user_id`, `item_id` (int64 or str, as the source's `user_kind` and
        `item_kind` say), `rating` (float32, finite), `timestamp` (int64, seconds since 1970, of the
        years 1 to 9999), `weight` (float32, finite, above 0). Ratings and times are texts where the
        part has `forms` of them; all but the ids are absent where the source has none. The index
        is the row's number within the part, rejected rows counted, so it has gaps where rows were
        rejected.
    rejected : DataFrame
        The bad rows, columns `REJECTED_COLUMNS`: `row` is the line (text files) or row (Parquet)
        number within the part, from 0; `text` the row as it was found.
    n_read : int
        Rows read: ``len(ratings) + len(rejected)``.
    n_lines : int
        Lines (or rows) of the file that this part covers, header and blank lines included: what
        later parts of the same file add to their row numbers.
    digest : str
        SHA-256 of the part's bytes, for the source fingerprint.
    """

    ratings: pd.DataFrame
    rejected: pd.DataFrame
    n_read: int
    n_lines: int
    digest: str


@dataclass(frozen=True)
class Part:
    """A piece of a source that one task reads: `read` can be pickled and called anywhere.

    `first_row` numbers the first line or row of the file for people: 1 in a text file, 0 in a
    Parquet file. `n_rows` is about how many there are, 0 where nobody knows. `forms` are those of
    the ratings or times that are read as texts, by their roles. `missing` are ratings that stand
    for none. `settled` are the roles whose kind the start of their file has settled: an id that is
    a name behind numbers, or a rating with a decimal comma behind others, is no bad row, but says
    that all are to be read in another way. `named` are the roles of ids that are texts unasked, so
    that words such as NULL stand for none among them. `partition` is the partition of a Dask
    DataFrame that holds the part alone, see `partitions`, where it comes from such a frame: a graph
    is then read as a whole, in place of part by part.
    """

    file: str
    read: Callable[[], Parsed]
    first_row: int = 1
    n_rows: int = 0
    forms: Mapping[str, ValueForm] = field(default_factory=dict)
    missing: tuple[float, ...] = ()
    settled: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()
    partition: Delayed | None = None


@dataclass(frozen=True)
class Source:
    """Raw ratings, or events, not yet read.

    Attributes
    ----------
    name : str
        Short name, fit for a folder.
    parts : tuple of Part
        In file order.
    user_kind, item_kind : {"int", "string"}
        What the ids are.
    has_timestamps : bool
        Whether each rating has a time.
    catalogue : DataFrame or None
        `item_id`, `title` (str), `year` (Int16, may be missing), `genres` (str, joined by ``|``,
        empty where unknown): items that are known by more than their id, rated or not.
    origin : str
        Where it came from, for the manifest (no absolute path: a file name or a spec).
    has_ratings : bool
        False where only users and items are read: events, or withdrawals.
    has_split : bool
        Whether a column tells the rows of the test part.
    has_weights : bool
        Whether a column tells how much each rating counts in a fit.
    n_test_parts : int
        So many of the last parts are the test part, where one is given.
    reading : str
        How the first file is read, as it was told or guessed, for people.
    """

    name: str
    parts: tuple[Part, ...]
    user_kind: IdKind
    item_kind: IdKind
    has_timestamps: bool
    catalogue: pd.DataFrame | None
    origin: str
    has_ratings: bool = True
    has_split: bool = False
    has_weights: bool = False
    n_test_parts: int = 0
    reading: str = ""

    @property
    def n_rows(self) -> int:
        """About how many rows there are."""
        return sum(part.n_rows for part in self.parts)

    @property
    def repeats(self) -> Repeats:
        """What becomes of several rows of one user and item, unless somebody wants it otherwise."""
        if not self.has_ratings:
            return "count"
        ratings = (part.forms.get("rating") for part in self.parts)
        return "sum" if any(isinstance(form, WordValues) for form in ratings) else "latest"

    def joined(self, others: Sequence[Source]) -> Source:
        """Return a source with the parts of others behind; what later catalogues say comes first.

        Names tell files apart: one that occurs in two sources gets a number.
        """
        parts = list(self.parts)
        for number, source in enumerate(others, 1 if self.parts else 0):
            taken = {part.file for part in parts}
            for part in source.parts:
                file = f"{part.file} ({number + 1})" if part.file in taken else part.file
                parts.append(replace(part, file=file))
        catalogues = [s.catalogue for s in [*reversed(others), self] if s.catalogue is not None]
        catalogue = pd.concat(catalogues, ignore_index=True) if catalogues else None
        return replace(self, parts=tuple(parts), catalogue=catalogue)
