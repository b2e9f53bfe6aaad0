"""Ratings in a DataFrame of Dask or pandas, a part for each partition."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import dask.dataframe as dd
import pandas as pd
import pyarrow as pa
from dask.delayed import Delayed

from mfdask.errors import InputError
from mfdask.ratings import columns as column_choice
from mfdask.ratings.dialect import AS_GUESSED, Dialect
from mfdask.ratings.kinds import Kinds, types_of
from mfdask.ratings.options import ReadOptions
from mfdask.ratings.partitions import parsed_of, partition_of
from mfdask.ratings.readers.column_types import check_type, column_kind
from mfdask.ratings.readers.tabular import SAMPLE_ROWS, TableColumns
from mfdask.ratings.source import Parsed, Part, Source
from mfdask.ratings.tables import reading_of
from mfdask.ratings.values import STRING, Ids, Types, check_event_values

#: Of a part that is cut from a frame of pandas.
_PART_ROWS = 1_000_000


def open_frame(
    frame: dd.DataFrame | pd.DataFrame,
    *,
    name: str = "frame",
    columns: Mapping[str, str] | None = None,
    ids: Ids = "auto",
    catalogue: pd.DataFrame | None = None,
    event_values: Mapping[str, float] | None = None,
    dialect: Dialect = AS_GUESSED,
) -> Source:
    """Take ratings from a DataFrame: from all that Dask reads, such as a database or a lake.

    Parameters
    ----------
    frame : dask.dataframe.DataFrame or pandas.DataFrame
        A user, an item and, if there are any, a rating and a time in each row; other columns, and
        the index, are not looked at. Each partition must fit into a worker's memory.
    name : str
        What the data set is called.
    columns : mapping, optional
        `user`, `item`, `rating`, `timestamp` to the column of that name; guessed where left out,
        and an empty name leaves timestamps, or ratings, out, as in `open_source`. `split` and
        `weight` are never guessed.
    ids : {"auto", "int", "string", "int,string", "string,int"}
        What the ids are; "auto" looks at the first rows.
    catalogue : DataFrame, optional
        See `Source`.
    event_values : mapping, optional
        Values of the words in the place of ratings, as in `open_source`.
    dialect : Dialect, optional
        How values are written, as in `open_source`.

    Returns
    -------
    Source
        For `mfdask.ingestion.build.ingest`. Nothing but the first rows is computed yet.

    Raises
    ------
    InputError
        If a column is missing or of a type that does not fit, or there are no rows.
    """
    check_event_values(event_values)
    if isinstance(frame, pd.DataFrame):
        frame = dd.from_pandas(frame, chunksize=_PART_ROWS, sort=False)
    header = [str(column) for column in frame.columns]
    places = column_choice.by_name(header, columns, name)
    names = {role: header[place] for role, place in places.items()}
    # Strings as column names, whatever they were: those of the roles are told by place.
    frame = frame[[frame.columns[place] for place in places.values()]]
    options = ReadOptions(columns, ids, event_values=event_values, dialect=dialect)
    kinds = _kinds(frame, names, options, name)
    if event_values and "rating" not in kinds:
        raise InputError(f"{name}: no column has the words of `event_values`; name it as rating")
    said = reading_of(kinds, options)
    parse = FrameParser(TableColumns(name, names), types_of(kinds))
    meta = partition_of([parse.parsed(frame._meta_nonempty[:0])])
    typed = frame.map_partitions(parse, meta=meta, enforce_metadata=False)
    # Optimised once, and computed as one graph: what partitions share is done once.
    partitions = typed.to_delayed()
    return Source(
        name=name,
        parts=tuple(
            Part(name, ComputedPart(one), first_row=0, partition=one, **said) for one in partitions
        ),
        user_kind="string" if kinds["user"] == STRING else "int",
        item_kind="string" if kinds["item"] == STRING else "int",
        has_timestamps="timestamp" in kinds,
        catalogue=catalogue,
        origin=f"{name}, a DataFrame",
        has_ratings="rating" in kinds,
        has_split="split" in kinds,
        has_weights="weight" in kinds,
    )


def _kinds(
    frame: dd.DataFrame, names: Mapping[str, str], options: ReadOptions, label: str
) -> Kinds:
    sample = _table(frame.head(SAMPLE_ROWS, npartitions=-1), names)
    if sample.num_rows == 0:
        raise InputError(f"{label}: has columns but no rows; nothing to read")
    for role, name in names.items():
        check_type(sample.schema.field(name).type, name, role, label)
    return {
        role: column_kind(role, sample[name].combine_chunks(), options, name, label)
        for role, name in names.items()
    }


def _table(rows: pd.DataFrame, names: Mapping[str, str]) -> pa.Table:
    return pa.Table.from_pandas(rows.set_axis(list(names.values()), axis=1), preserve_index=False)


@dataclass(frozen=True)
class FrameParser:
    """Makes the rows of a partition, of any types, a partition as in `partitions`."""

    columns: TableColumns
    types: Types

    def __call__(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Check and type the rows."""
        return partition_of([self.parsed(rows)])

    def parsed(self, rows: pd.DataFrame) -> Parsed:
        """Return the rows as a part of a source."""
        values = pd.util.hash_pandas_object(rows, index=False).to_numpy()
        digest = hashlib.sha256(values.tobytes()).hexdigest()
        return self.columns.parse(_table(rows, self.columns.names), self.types, digest)


@dataclass(frozen=True)
class ComputedPart:
    """Computes one partition of a frame by itself: the `read` of a `Part`."""

    partition: Delayed

    def __call__(self) -> Parsed:
        """Compute it, in the thread that asks."""
        (parsed,) = parsed_of(self.partition.compute(scheduler="synchronous"))
        return parsed
