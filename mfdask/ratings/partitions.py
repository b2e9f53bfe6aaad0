"""Parts of a source as partitions of a Dask DataFrame: typed ratings, with bad rows beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from mfdask.ratings.source import Parsed, Part, Source

if TYPE_CHECKING:
    import dask.dataframe as dd

#: The attribute of a partition that holds what is beside its ratings.
_BESIDE = "mfdask_beside"


class _Facts(NamedTuple):
    n_good: int
    rejected: pd.DataFrame
    n_read: int
    n_lines: int
    digest: str


@dataclass(frozen=True, eq=False)  # compared by identity: pandas compares attributes
class _Beside:
    """What is known of each part of a partition, but for its ratings."""

    parts: list[_Facts]


@dataclass(frozen=True)
class Batch:
    """Parts that follow each other, and are read by one task."""

    parts: tuple[Part, ...]


def load_dask() -> None:
    """Begin to load Dask's DataFrames, which takes a second, while a cluster starts."""
    import distributed  # noqa: F401 - first: no two threads are to load the same modules

    Thread(target=import_module, args=("dask.dataframe",), daemon=True).start()


def parts_frame(source: Source, batches: Sequence[Batch]) -> dd.DataFrame:
    """Return a Dask DataFrame with a partition for each batch, none of which is read yet.

    Parameters
    ----------
    source : Source
    batches : sequence of Batch
        Of its parts.

    Returns
    -------
    dask.dataframe.DataFrame
        `user_id`, `item_id` and, where there are any, `rating`, `timestamp`, `held_out` and
        `weight`, as `Parsed` has them; `parsed_of` tells the bad rows of a partition.
    """
    import dask  # takes a second, and few ratings need no Dask
    import dask.dataframe as dd

    with dask.config.set({"dataframe.convert-string": False}):  # ids stay of the type they are
        return dd.from_map(
            read_partition,
            batches,
            meta=_meta(source),
            label="read-ratings",
            enforce_metadata=False,
        )


def _meta(source: Source) -> pd.DataFrame:
    """Return a partition without rows."""
    of_kind = {"int": "int64", "string": "str"}
    as_text = {role for part in source.parts for role in part.forms}
    types = {"user_id": of_kind[source.user_kind], "item_id": of_kind[source.item_kind]}
    if source.has_ratings:
        types["rating"] = "str" if "rating" in as_text else "float32"
    if source.has_timestamps:
        types["timestamp"] = "str" if "timestamp" in as_text else "int64"
    if source.has_split:
        types["held_out"] = "str"
    if source.has_weights:
        types["weight"] = "float32"
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in types.items()})


def read_partition(batch: Batch) -> pd.DataFrame:
    """Read some parts into one partition."""
    return partition_of([part.read() for part in batch.parts])


def partition_of(parsed: Sequence[Parsed]) -> pd.DataFrame:
    """Make one partition of parts that were read."""
    frames = [one.ratings for one in parsed]
    frame = frames[0] if len(frames) == 1 else pd.concat(frames)
    facts = [
        _Facts(len(one.ratings), one.rejected, one.n_read, one.n_lines, one.digest)
        for one in parsed
    ]
    frame.attrs = {_BESIDE: _Beside(facts)}
    return frame


def parsed_of(partition: pd.DataFrame) -> list[Parsed]:
    """Return the parts that a partition was made of."""
    beside: _Beside = partition.attrs.pop(_BESIDE)
    found, begin = [], 0
    for facts in beside.parts:
        end = begin + facts.n_good
        ratings = partition if len(beside.parts) == 1 else partition.iloc[begin:end]
        found.append(Parsed(ratings, *facts[1:]))
        begin = end
    return found
