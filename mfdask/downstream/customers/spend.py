"""The amounts that users spent, from a table of user, time and amount."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mfdask.downstream.customers.origins import Span
from mfdask.downstream.events import DAY
from mfdask.errors import InputError

#: Features that a spend table adds, each before the cut-off.
SPEND = ("spend", "spend_180d")
_WINDOW = 180 * DAY


class Spend:
    """Amounts by user and time.

    Attributes
    ----------
    span : Span
        First and last second of the table.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self._table = table
        self.span = Span(int(table["timestamp"].min()), int(table["timestamp"].max()))

    @classmethod
    def read(cls, option: str) -> Spend:
        """Read ``FILE:COLUMN``, a Parquet or CSV file with `user_id`, `timestamp` and the column.

        Times are seconds since 1970, or dates with or without a time of day (taken as UTC).

        Raises
        ------
        InputError
            If there is no such file or column, or a line has a gap, a negative or infinite amount,
            or a time that cannot be read.
        """
        name, _, column = option.rpartition(":")
        if not name or not column:
            raise InputError(f"`spend` {option}: write it as FILE:COLUMN")
        table = _read(Path(name))
        for wanted in ("user_id", "timestamp", column):
            if wanted not in table:
                raise InputError(
                    f"{name}: has no column {wanted}, but {', '.join(map(str, table.columns))}"
                )
        if not len(table):
            raise InputError(f"{name}: holds no line")
        _refuse_currencies(name, table)
        numbers = pd.to_numeric(table[column], errors="coerce")
        amounts = numbers.to_numpy(np.float64, na_value=np.nan)
        _refuse(name, column, table[column], ~(np.isfinite(amounts) & (amounts >= 0)))
        _refuse(name, "user_id", table["user_id"], table["user_id"].isna())
        times = _seconds(table["timestamp"])
        _refuse(name, "timestamp", table["timestamp"], times.isna())
        seconds = times.astype(np.int64)
        return cls(
            pd.DataFrame({"user_id": table["user_id"], "timestamp": seconds, "amount": amounts})
        )

    def require_known(self, users: pd.Series) -> None:
        """Refuse a table whose users are all unknown: most likely their ids are written otherwise.

        Raises
        ------
        InputError
        """
        own = self._table["user_id"]
        if not own.isin(users).any():
            theirs, ours = (each.iloc[:1].tolist()[0] for each in (own, users))  # Python's types
            raise InputError(
                f"`spend`: none of its users, such as {theirs!r}, has ratings; their ids are "
                f"written as {ours!r}"
            )

    def between(self, start: int, stop: int, users: Any) -> np.ndarray:
        """Return what each of some users spent from `start` to before `stop`, float64 (users,).

        A user who is not in the table spent nothing.
        """
        times = self._table["timestamp"]
        inside = self._table[(times >= start) & (times < stop)]
        sums = inside.groupby("user_id")["amount"].sum()
        return sums.reindex(users, fill_value=0.0).to_numpy(np.float64)

    def purchases(self, cutoff: int, users: Any) -> pd.DataFrame:
        """Return frequency, recency and amounts before a cut-off, of those who bought by then.

        Returns
        -------
        DataFrame
            By `user_id`: `active_days` with a purchase, `recency_days` and `tenure_days` since the
            last and the first, and `mean_spend` of such a day.
        """
        table = self._table
        known = table[(table["timestamp"] < cutoff) & (table["amount"] > 0)]
        known = known[known["user_id"].isin(users)]
        days = known.assign(day=known["timestamp"] // DAY).groupby("user_id")
        n_days = days["day"].nunique()
        columns = {
            "active_days": n_days.astype(float),
            "recency_days": (cutoff - days["timestamp"].max()) / DAY,
            "tenure_days": (cutoff - days["timestamp"].min()) / DAY,
            "mean_spend": days["amount"].sum() / n_days,
        }
        return pd.DataFrame(columns)

    def features(self, cutoff: int, users: Any) -> dict[str, np.ndarray]:
        """Return what some users had spent before a cut-off, and in its last 180 days."""
        return {
            "spend": self.between(self.span.first, cutoff, users),
            "spend_180d": self.between(cutoff - _WINDOW, cutoff, users),
        }


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # Arrow's and the parser's errors are among these
        raise InputError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error


def _refuse_currencies(name: str, table: pd.DataFrame) -> None:
    """Refuse amounts of several currencies, where a column `currency` says so."""
    if "currency" in table and table["currency"].nunique(dropna=False) > 1:
        said = ", ".join(map(str, table["currency"].unique()[:5]))
        raise InputError(
            f"{name}: amounts are in several currencies ({said}); convert them to one, or give a "
            "table of each"
        )


def _seconds(column: pd.Series) -> pd.Series:
    """Return seconds since 1970, missing where there is no time."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.astype("Float64").round().astype("Int64")
    times = pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601")
    return (times.astype("datetime64[s, UTC]").astype("int64")).where(times.notna()).astype("Int64")


def _refuse(name: str, column: str, values: pd.Series, bad: Any) -> None:
    places = np.flatnonzero(bad)
    if len(places):
        raise InputError(
            f"{name}, row {places[0] + 1}: {column} is {values.iloc[places[0]]}, one of "
            f"{len(places):,} such rows; amounts must be 0 or more, without gaps (take a refund "
            "off its purchase), and each row needs its user and time"
        )
