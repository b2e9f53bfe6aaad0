"""Cut-off dates of a study: the one asked for, and earlier ones to learn from and test on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import pandas as pd

from mfdask.downstream.events import DAY
from mfdask.errors import InputError
from mfdask.shards import Dataset
from mfdask.shards.store import REPEATS

#: In place of a date: the last one whose past is known in whole days.
LATEST = "latest"


class Span(NamedTuple):
    """The first and the last second of a data set's ratings, since 1970."""

    first: int
    last: int

    @classmethod
    def of(cls, data: Dataset, parts: tuple[str, ...] = ("train", "test", REPEATS)) -> Span:
        """Read the times of some parts of a data set that has them."""
        times = [
            data.timestamps(block, part)
            for part in parts
            for block in range(data.n_blocks("users"))
        ]
        filled = [time for time in times if time is not None and len(time)]
        return cls(int(min(t.min() for t in filled)), int(max(t.max() for t in filled)))


@dataclass(frozen=True)
class Origins:
    """Cut-offs, at UTC midnights, in seconds since 1970.

    Attributes
    ----------
    cutoff : int
        The one whose table is wanted: what is before it is known, what is not is the future.
    earlier : tuple of int
        The ones to learn from and to test on, ascending.
    horizon : int
        Seconds after a cut-off that its label looks at.
    end : int
        The last second of which anything is known.
    """

    cutoff: int
    earlier: tuple[int, ...]
    horizon: int
    end: int

    @classmethod
    def choose(
        cls, span: Span, cutoff: str, horizon_days: int, n_earlier: int, step_days: int
    ) -> Origins:
        """Return `cutoff` and up to `n_earlier` cut-offs before it, `step_days` apart.

        Those that would lie at or before the first rating are left out.

        Raises
        ------
        InputError
            If the date cannot be read or is outside the data.
        """
        # The day of the last rating is not over, as far as anybody knows.
        last_day = span.last // DAY * DAY
        chosen = last_day if cutoff == LATEST else parse_date(cutoff)
        if not span.first < chosen <= last_day + DAY:
            raise InputError(
                f"`cutoff` {cutoff}: outside the data, which go from {day_of(span.first)} to "
                f"{day_of(span.last)}; give a date between, or {LATEST}"
            )
        steps = (chosen - k * step_days * DAY for k in range(n_earlier, 0, -1))
        earlier = tuple(step for step in steps if step > span.first)
        return cls(chosen, earlier, horizon_days * DAY, span.last)

    @property
    def all(self) -> tuple[int, ...]:
        """All cut-offs, ascending."""
        return (*self.earlier, self.cutoff)

    def passed(self, cutoff: int, by: int | None = None) -> bool:
        """Whether the horizon of a cut-off is over, at the second `by` (by default the end)."""
        return cutoff + self.horizon <= (self.end if by is None else by)

    def before(self, cutoff: int) -> list[int]:
        """Return the cut-offs whose labels were complete at `cutoff`, ascending."""
        return [origin for origin in self.earlier if self.passed(origin, cutoff)]


def parse_date(text: str) -> int:
    """Return the UTC midnight that begins a day, in seconds since 1970.

    Raises
    ------
    InputError
        If the text is no date.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InputError(f"`cutoff` {text}: write the date as YYYY-MM-DD") from None
    return (day - date(1970, 1, 1)).days * DAY


def day_of(second: int) -> str:
    """Return the UTC day of a second since 1970, YYYY-MM-DD."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)).date().isoformat()


def timestamp(second: int) -> pd.Timestamp:
    """Return a second since 1970 as a timestamp of UTC."""
    return pd.Timestamp(second, unit="s", tz="UTC")
