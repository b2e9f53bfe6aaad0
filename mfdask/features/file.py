"""Features of items or users from a file, matched to the rows of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from mfdask.errors import InputError
from mfdask.features.encoder import EVERY_ITEM, EVERY_USER, FeatureEncoder, FeatureScale
from mfdask.files import crc32
from mfdask.kernels.types import Float32s
from mfdask.shards import Dataset

_WANTED = "give a CSV or Parquet file of ids and their features"
#: What one row of a side is.
ONE = {"users": "user", "items": "item"}


class Matched(NamedTuple):
    """A file of features, held against the items or the users of a data set.

    Attributes
    ----------
    table : DataFrame
        The file's columns but for the ids, in row order of the data set; missing for rows that the
        file lacks.
    n_missing : int
        Rows that the file lacks.
    n_unknown : int
        Lines of ids that the data set lacks.
    """

    table: pd.DataFrame
    n_missing: int
    n_unknown: int


class FeatureFile(NamedTuple):
    """Names a file of features; the checksum tells it from another that took its place."""

    path: str
    crc32: int

    @classmethod
    def at(cls, path: Path | str) -> FeatureFile:
        """Return the name of a file that is there.

        Raises
        ------
        InputError
            If it is not, or cannot be read.
        """
        try:
            return cls(str(Path(path).absolute()), crc32(Path(path)))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); {_WANTED}") from error

    def match(self, data: Dataset, side: str = "items") -> Matched:
        """Read the file and put its lines in the order of a data set's items, or users.

        The first line names the columns: the id is `item_id` or `user_id`, or else the first.

        Raises
        ------
        InputError
            If it is no table of features, an id comes twice, or none is of the data set.
        """
        ids = _described(data, side).iloc[:, 0]
        table = read_features(self, pd.api.types.is_integer_dtype(ids.dtype), side)
        places = table.index.get_indexer(pd.Index(ids))
        n_missing = int((places < 0).sum())
        if n_missing == len(ids):
            raise InputError(
                f"{self.path}: none of its {len(table):,} ids in column {table.index.name!r} is of "
                f"the {side} of {data.name}; {_WANTED}"
            )
        n_unknown = len(table) - (len(ids) - n_missing)
        return Matched(table.reindex(pd.Index(ids)).reset_index(drop=True), n_missing, n_unknown)


def _described(data: Dataset, side: str) -> pd.DataFrame:
    """Return the table of a side of a data set, its ids in the first column."""
    return data.items() if side == "items" else data.users()


@dataclass(frozen=True, eq=False)
class SideFeatures:
    """Features that a side's prior depends on: genres, unless `file` or `known` are given.

    Attributes
    ----------
    side : {"users", "items"}
    encoder : FeatureEncoder
    file : FeatureFile or None
        Where the columns come from.
    known : DataFrame or None
        The columns themselves, by raw id: those of a model that is learned again.
    """

    side: str
    encoder: FeatureEncoder
    file: FeatureFile | None = None
    known: pd.DataFrame | None = None

    @classmethod
    def of(
        cls,
        side: str,
        prior: str,
        data: Dataset,
        source: Path | SideFeatures | None,
        scale: FeatureScale = "deviation",
    ) -> SideFeatures | None:
        """Learn the encoding of the features that the prior of a side asks for, if any.

        Raises
        ------
        InputError
            If it asks for a file and there is none, or the other way round, or that says nothing.
        """
        follows, one = prior.split("+"), ONE[side]
        wanted = "features" in follows
        if wanted and source is None:
            raise InputError(
                f"a prior of {one} features needs their file; give `{one}_features`, a CSV or "
                "Parquet file"
            )
        if source is not None and not wanted:
            raise InputError(
                f"`{one}_features`: the {side}' prior is {prior!r} and follows no file; ask for "
                "the prior 'features', or leave the file out"
            )
        if isinstance(source, SideFeatures):
            return source
        if source is not None:
            file, every = FeatureFile.at(source), EVERY_ITEM if side == "items" else EVERY_USER
            table = file.match(data, side).table
            return cls(side, FeatureEncoder.of(table, scale, every, "rated" in follows), file)
        if "genre" in follows:
            return cls(side, FeatureEncoder.genres_of(data.items()))
        return None

    def table(self, data: Dataset) -> pd.DataFrame:
        """Return the columns that are encoded, in row order."""
        own = self.own_table(data)
        return _described(data, self.side) if own is None else own

    def own_table(self, data: Dataset) -> pd.DataFrame | None:
        """Return the columns that are encoded, where they are not those of the data set."""
        if self.known is not None:
            ids = pd.Index(_described(data, self.side).iloc[:, 0])
            return self.known.reindex(ids).reset_index(drop=True)
        return None if self.file is None else self.file.match(data, self.side).table

    def encode(self, data: Dataset, rows: slice | npt.NDArray[np.integer]) -> Float32s:
        """Return the features of some rows of a data set, float32 (rows, features)."""
        return self.encoder.encode(self.table(data).iloc[rows])


#: Features by the side whose prior follows them.
FeaturesOf = Mapping[str, SideFeatures]


@lru_cache(maxsize=2)  # one for each side
def read_features(file: FeatureFile, whole_ids: bool, side: str = "items") -> pd.DataFrame:
    """Return the columns of a file by id; not to be changed, for it is read once a process.

    With `whole_ids` the ids are whole numbers, else text.

    Raises
    ------
    InputError
        See `FeatureFile.match`.
    """
    path = Path(file.path)
    if FeatureFile.at(path) != file:
        raise InputError(f"{path}: was changed while it was being read; start again")
    try:
        table = _read_table(path, side)
    except (OSError, ValueError, pa.ArrowException) as error:
        line = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read ({line}); {_WANTED}") from error
    if table.shape[1] < 2:
        raise InputError(f"{path}: has no column beside the ids; {_WANTED}")
    ids = _ids(table.pop(_id_column(table, side)), whole_ids, path, ONE[side])
    flags = dict.fromkeys(table.select_dtypes("bool"), "float32")  # which may be missing
    return table.astype(flags).set_axis(ids)


def _read_table(path: Path, side: str) -> pd.DataFrame:
    """Read CSV or Parquet, whichever it is; the ids of CSV as text, leading zeros and all."""
    with path.open("rb") as opened:
        parquet = opened.read(4) == b"PAR1"
    if parquet:
        return pd.read_parquet(path)
    name = _id_column(pd.read_csv(path, nrows=0), side)
    return pd.read_csv(path, dtype={name: "str"}, low_memory=False)


def _id_column(table: pd.DataFrame, side: str) -> Any:
    name = f"{ONE[side]}_id"
    return name if name in table else table.columns[0]


def _ids(column: pd.Series, whole: bool, path: Path, one: str) -> pd.Index:
    """Return the ids as the data set has them, each once."""
    ids = pd.to_numeric(column, errors="coerce") if whole else column.astype("str")
    bad = ids.isna() | (ids % 1 != 0) if whole else ids.isna()
    if bad.any():
        line = int(np.flatnonzero(bad)[0])
        kind = "whole number, as those of the data set are" if whole else "id"
        raise InputError(
            f"{path}: {column.name} {column.iloc[line]!r} ({one} {line + 1}) is no {kind}"
        )
    index = pd.Index(ids.astype("int64") if whole else ids, name=column.name)
    twice = index[index.duplicated()]
    if len(twice):
        raise InputError(f"{path}: {one} {twice[0]} is there twice; give each {one} one line")
    return index
