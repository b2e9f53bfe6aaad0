"""Offsets by time: of a user on a day, of an item in a period; each rating has one of either.

The ratings of one user on one day, or of one item in one period, are a *group*. Its offset is taken
off its ratings before rows are solved, and is solved or drawn itself from what rows leave over
(Koren 2009; Rendle et al. 2019). A group without training ratings has the offset 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mfdask.features.groups import DAY, Grouping, places_among
from mfdask.kernels.types import Float32s, Float64s, Int32s, Int64s
from mfdask.shards import Shard

_FILES = {"user-day": "user_days.parquet", "item-period": "item_periods.parquet"}

Read = Callable[[str], npt.NDArray[Any]]


class GroupSums(NamedTuple):
    """Number of ratings and sum of their residuals, by weight, for a range of groups.

    Attributes
    ----------
    first : int
        Number of the first group.
    n, total : float64 (groups,)
    """

    first: int
    n: Float64s
    total: Float64s

    @classmethod
    def of(
        cls, groups: Int32s, residuals: npt.NDArray[np.floating], roots: Float32s | None = None
    ) -> GroupSums:
        """Return the sums of ratings, by their weights.

        Parameters
        ----------
        groups : int32 (ratings,)
        residuals : float (ratings,)
        roots : float32 (ratings,), optional
            Of the weights; without them, each is 1.
        """
        weights = np.ones(len(groups)) if roots is None else np.square(roots, dtype=np.float64)
        first = int(groups.min()) if len(groups) else 0
        n, total = (np.bincount(groups - first, own) for own in (weights, weights * residuals))
        return cls(first, n.astype(np.float64), total.astype(np.float64))

    @classmethod
    def joined(cls, blocks: Sequence[GroupSums], n_groups: int) -> GroupSums:
        """Add blocks up, in their order, to the sums of all groups."""
        whole = cls(0, np.zeros(n_groups), np.zeros(n_groups))
        for first, n, total in blocks:
            whole.n[first : first + len(n)] += n
            whole.total[first : first + len(n)] += total
        return whole

    def mean(self, fidelity: float, precision: float) -> Float64s:
        """Return the offsets that ``fidelity * sum (e - a)**2 + precision * a**2`` is least at."""
        found: Float64s = fidelity * self.total / (precision + fidelity * self.n)
        return found

    def draw(self, fidelity: float, precision: float, random: np.random.Generator) -> Float64s:
        """Draw the offsets, normal around `mean` with the variance ``1/(precision + fidelity n)``.

        `fidelity` is the precision of the ratings' noise, `precision` that of the offsets.
        """
        deviation = 1 / np.sqrt(precision + fidelity * self.n)
        return self.mean(fidelity, precision) + deviation * random.standard_normal(len(self.n))


def draw_offset_precision(values: Float64s, random: np.random.Generator) -> float:
    """Draw the precision of offsets around 0 from ``Gamma(1 + G/2, rate 1 + sum a**2 / 2)``."""
    return float(random.gamma(1 + len(values) / 2) / (1 + np.square(values).sum() / 2))


class Offsets(NamedTuple):
    """The offsets of all groupings after a sweep.

    Attributes
    ----------
    values : list of float32 (groups,)
    precisions : list of float
        What their squares are penalised by, or the precision that they are drawn with next.
    """

    values: list[Float32s]
    precisions: list[float]

    @classmethod
    def first(cls, keys: list[Int64s], precision: float) -> Offsets:
        """Return offsets of 0."""
        values = [np.zeros(len(own), np.float32) for own in keys]
        return cls(values, [precision] * len(keys))

    @property
    def penalty(self) -> float:
        """``sum precision * a**2``."""
        each = zip(self.values, self.precisions, strict=True)
        return sum(own * float(np.square(v, dtype=np.float64).sum()) for v, own in each)

    def replaced(self, which: int, values: Float64s, precision: float) -> Offsets:
        """Return these with other offsets of one grouping."""
        all_values, precisions = list(self.values), list(self.precisions)
        all_values[which], precisions[which] = values.astype(np.float32), precision
        return Offsets(all_values, precisions)

    def of_ratings(self, groups: list[Int32s], but: int | None = None) -> Float32s:
        """Return what the groups of each rating add to it, float32 (ratings,).

        Parameters
        ----------
        groups : list of int32 (ratings,)
            For each grouping, -1 for one without training ratings.
        but : int, optional
            Number of a grouping that is left out.
        """
        total = np.zeros(len(groups[0]), np.float32)
        for which, (own, values) in enumerate(zip(groups, self.values, strict=True)):
            if which != but:
                total += _at(values, own)
        return total

    def arrays(self, groupings: Sequence[Grouping]) -> dict[str, npt.NDArray[Any]]:
        """Return what a checkpoint keeps."""
        names = [f"offsets-{grouping.name}" for grouping in groupings]
        return dict(zip(names, self.values, strict=True)) | {
            "offsets-precisions": np.array(self.precisions)
        }

    @classmethod
    def load(cls, read: Read, groupings: Sequence[Grouping]) -> Offsets:
        """Return the offsets of a checkpoint, of which `read` returns an array by its name."""
        values = [read(f"offsets-{grouping.name}") for grouping in groupings]
        return cls(values, read("offsets-precisions").tolist())


def _at(values: npt.NDArray[Any], places: npt.NDArray[np.integer]) -> Float32s:
    """Return some values, 0 at a place of -1."""
    return np.append(values, np.float32(0))[places]


def without_offsets(shard: Shard, groups: list[Int32s] | None, offsets: Offsets | None) -> Shard:
    """Return a shard whose ratings are less the offsets of their groups."""
    if groups is None or offsets is None:
        return shard
    return replace(shard, ratings=shard.ratings - offsets.of_ratings(groups))


@dataclass(frozen=True, eq=False)
class TimeOffsets:
    """The offsets of one grouping, by the rows of a model.

    Attributes
    ----------
    grouping : Grouping
    keys : int64 (groups,)
        Ascending.
    values : float32 (groups,)
        In rating units.
    deviations : float32 (groups,) or None
        Of the draws of each offset, where it was drawn.
    covariances : float32 (groups,) or None
        Of the draws of each offset and of the bias of its row: where one is high, the other is low.
    spread : float
        Standard deviation of the offset of a group without training ratings; 0 where offsets are
        not drawn.
    """

    grouping: Grouping
    keys: Int64s
    values: Float32s
    deviations: Float32s | None = None
    covariances: Float32s | None = None
    spread: float = 0.0

    def places(self, users: Int32s, items: Int32s, times: Int64s) -> Int32s:
        """Return the number of each rating's group, -1 for one without training ratings."""
        return places_among(self.keys, self.grouping.keys(users, items, times))

    def at(self, users: Int32s, items: Int32s, times: Int64s) -> Float32s:
        """Return the offset of ratings at some times, float32 (ratings,), 0 where none is known."""
        return _at(self.values, self.places(users, items, times))

    def variance(self, users: Int32s, items: Int32s, times: Int64s | None) -> Float64s:
        """Return what the offset adds to the variance of each rating, float64 (ratings,).

        Without times it is that of an unknown day. That of a known one may be below 0: bias and
        offset together are better known than the bias.
        """
        unknown = np.full(len(users), self.spread**2)
        if times is None or self.deviations is None:
            return unknown
        places = self.places(users, items, times)
        known = self.deviations.astype(np.float64) ** 2
        if self.covariances is not None:
            known += 2 * self.covariances
        return np.where(places < 0, unknown, _at(known, places))

    def write(self, folder: Path, ids: Mapping[str, pd.Series]) -> None:
        """Write them into a model's folder: id, first day, offset, and deviation if there is one.

        `ids` are those of the rows of each side.
        """
        own = ids[self.grouping.side]
        days = self.grouping.first_days(self.keys).astype(np.int32)
        columns = {
            str(own.name): pa.array(own.take(self.grouping.rows(self.keys))),
            "first_day": pa.array(days, pa.date32()),
            "offset": pa.array(self.values),
        }
        if self.deviations is not None:
            columns["deviation"] = pa.array(self.deviations)
        if self.covariances is not None:
            columns["covariance"] = pa.array(self.covariances)
        table = pa.table(columns).replace_schema_metadata({"spread": repr(self.spread)})
        pq.write_table(table, folder / _FILES[self.grouping.name])

    @classmethod
    def read(cls, folder: Path, grouping: Grouping, ids: Mapping[str, pd.Series]) -> TimeOffsets:
        """Read them back.

        Raises
        ------
        OSError, KeyError, ValueError, pyarrow.ArrowException
            If the table is missing, or of other rows.
        """
        table = pq.read_table(folder / _FILES[grouping.name])
        own = ids[grouping.side]
        rows = pd.Index(own).get_indexer(pd.Index(table[str(own.name)].to_pandas()))
        seconds = table["first_day"].cast(pa.int32()).to_numpy().astype(np.int64) * DAY
        keys = grouping.keys(rows, rows, seconds)
        if (rows < 0).any() or (np.diff(keys) <= 0).any():
            raise ValueError(f"{_FILES[grouping.name]} is of other rows")
        deviations, covariances = (  # a model of before has no covariances
            table[name].to_numpy() if name in table.column_names else None
            for name in ("deviation", "covariance")
        )
        return cls(
            grouping,
            keys,
            table["offset"].to_numpy(),
            deviations,
            covariances,
            float(table.schema.metadata[b"spread"]),
        )


class OffsetDraws:
    """Sums over the offsets of the draws that are kept."""

    def __init__(self, groupings: Sequence[Grouping]) -> None:
        self._groupings = groupings
        self._arrays: dict[str, npt.NDArray[Any]] = {}

    def add(self, offsets: Offsets, keys: list[Int64s], rows: Mapping[str, Float32s]) -> None:
        """Take one draw, with the keys of the groups and the design rows of either side."""
        each = zip(self._groupings, keys, *offsets, strict=True)
        for grouping, own, values, precision in each:
            name = f"draws-offsets-{grouping.name}"
            biases = rows[grouping.side][grouping.rows(own), 0].astype(np.float64)
            moments = np.stack(
                [values, np.square(values, dtype=np.float64), biases, values * biases]
            )
            for part, one in (("", moments), ("-variance", np.array([1 / precision]))):
                self._arrays[name + part] = self._arrays.get(name + part, 0.0) + one

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what was gathered, for a checkpoint."""
        return self._arrays

    def load(self, read: Read) -> None:
        """Take back what a checkpoint holds after the first draw."""
        for grouping in self._groupings:
            for part in ("", "-variance"):
                name = f"draws-offsets-{grouping.name}{part}"
                self._arrays[name] = read(name)

    def means(self, offsets: Sequence[TimeOffsets], n: int) -> tuple[TimeOffsets, ...]:
        """Return offsets with the means and deviations of `n` draws in place of the last values."""
        found = []
        for own in offsets:
            name = f"draws-offsets-{own.grouping.name}"
            mean, square, bias, product = self._arrays[name] / n
            found.append(
                replace(
                    own,
                    values=mean.astype(np.float32),
                    deviations=np.sqrt(np.maximum(square - mean**2, 0)).astype(np.float32),
                    covariances=(product - mean * bias).astype(np.float32),
                    spread=float(np.sqrt(self._arrays[name + "-variance"][0] / n)),
                )
            )
        return tuple(found)
