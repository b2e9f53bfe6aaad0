"""Groups of ratings by time: those of a user on one day, or of an item in one period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mfdask.execution import Executor
from mfdask.kernels.types import Int32s, Int64s
from mfdask.shards import Dataset
from mfdask.shards.refs import dataset_ref

DAY = 86_400
#: A key is a row, and the number of a day or period in its lower half, from the middle of that.
_BITS, _MIDDLE = 32, 2**31


class Grouping(NamedTuple):
    """What ratings make a group: a row of a side, and a span of days counted from 1970, in UTC.

    Attributes
    ----------
    name : {"user-day", "item-period"}
    days : int
        Length of the span.
    """

    name: str
    days: int

    @property
    def side(self) -> str:
        """The side whose rows have offsets."""
        return "users" if self.name.startswith("user") else "items"

    def keys(
        self,
        users: npt.NDArray[np.integer],
        items: npt.NDArray[np.integer],
        times: npt.NDArray[np.integer],
    ) -> Int64s:
        """Return the group of each rating, int64 (ratings,); below 0 where the row is.

        Parameters
        ----------
        users, items : int (ratings,)
            Row numbers.
        times : int64 (ratings,)
            Seconds since 1970.
        """
        rows = (users if self.side == "users" else items).astype(np.int64)
        return (rows << _BITS) + (times // (DAY * self.days) + _MIDDLE)

    def rows(self, keys: Int64s) -> Int64s:
        """Return the row of each group."""
        return keys >> _BITS

    def first_days(self, keys: Int64s) -> Int64s:
        """Return the first day of each group, in days since 1970."""
        return ((keys & (2**_BITS - 1)) - _MIDDLE) * self.days


@dataclass(frozen=True)
class RatingGroups:
    """The groups of all ratings of a data set, as handles of tasks.

    Attributes
    ----------
    keys : handle of list of int64 (groups,)
        For each grouping the keys of its groups, ascending.
    users, items, test : list of handle of list of int32 (ratings,)
        For each block, and in it for each grouping, the number of each rating's group.
    """

    keys: Any
    users: list[Any]
    items: list[Any]
    test: list[Any]

    @classmethod
    def submit(
        cls, run: Executor, data: Dataset, groupings: Sequence[Grouping], homes: Mapping[str, Any]
    ) -> RatingGroups:
        """Submit the tasks that find the groups; `homes` says where those of a side run."""
        given = dataset_ref(run, data), groupings
        each = [(*given, block) for block in range(data.n_blocks("users"))]
        own = run.submit_each("group-keys-of", _keys_of_block, each)
        keys = run.submit("group-keys", _join_keys, own)

        def of(side: str, part: str) -> list[Any]:
            each = [(*given, keys, side, part, block) for block in range(data.n_blocks(side))]
            return run.submit_each(f"groups-{side}-{part}", _groups_of_block, each, homes[side])

        test = of("users", "test") if data.n_test else []
        return cls(keys, of("users", "train"), of("items", "train"), test)

    def of_side(self, side: str) -> list[Any]:
        """Return the groups of the training ratings of a side's blocks."""
        return self.users if side == "users" else self.items


def _keys_of_block(data: Dataset, groupings: Sequence[Grouping], block: int) -> list[Int64s]:
    users, items, times = _rated_at(data, "users", "train", block)
    return [np.unique(grouping.keys(users, items, times)) for grouping in groupings]


def _join_keys(blocks: list[list[Int64s]]) -> list[Int64s]:
    return [np.unique(np.concatenate(own)) for own in zip(*blocks, strict=True)]


def _groups_of_block(
    data: Dataset,
    groupings: Sequence[Grouping],
    keys: list[Int64s],
    side: str,
    part: str,
    block: int,
) -> list[Int32s]:
    rated = _rated_at(data, side, part, block)
    return [
        places_among(known, grouping.keys(*rated))
        for grouping, known in zip(groupings, keys, strict=True)
    ]


def _rated_at(data: Dataset, side: str, part: str, block: int) -> tuple[Int64s, Int64s, Int64s]:
    """Return user, item and time of each rating of a shard."""
    shard, times = data.shard(side, block, part), data.timestamps(block, part, side)
    assert times is not None
    own, other = shard.rows, shard.indices.astype(np.int64)
    return (own, other, times) if side == "users" else (other, own, times)


def places_among(known: Int64s, keys: Int64s) -> Int32s:
    """Return the place of each key among known ones, which ascend; -1 where it is not there."""
    places = np.searchsorted(known, keys)
    found = np.append(known, -1)[places] == keys
    return np.where(found & (keys >= 0), places, -1).astype(np.int32)
