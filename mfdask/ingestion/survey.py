"""What a source holds, and which of its rows are bad, before anything is built of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from mfdask.cores import n_cores
from mfdask.errors import InputError
from mfdask.ingestion.parts import PartFacts, read_batch
from mfdask.ingestion.rejected import MAX_REJECTED
from mfdask.ingestion.summary import outliers
from mfdask.progress import Progress, silent
from mfdask.ratings.ids import rank_ids
from mfdask.ratings.source import Part, Source


@dataclass(frozen=True)
class Survey:
    """What was found in a source.

    Attributes
    ----------
    files : DataFrame
        A line a file: `file`, `read`, `bad` (rows).
    rejected : DataFrame
        A line a reason, the most frequent first: `reason`, `n`, and where the first such row is:
        `file`, `row`, `text`.
    cells : DataFrame
        Good rows: `month` (text such as 2020-01, empty without timestamps), `rating`, `n`. Events
        without ratings have the rating 1.
    users, items : int
        Different ids among the good rows.
    first, last : int or None
        Seconds since 1970.
    """

    files: pd.DataFrame
    rejected: pd.DataFrame
    cells: pd.DataFrame
    users: int
    items: int
    first: int | None
    last: int | None

    @property
    def ratings(self) -> pd.Series:
        """How often each rating occurs, by rating."""
        return self.cells.groupby("rating")["n"].sum()

    @property
    def warnings(self) -> list[str]:
        """Return what an ingest would refuse or warn of, in words."""
        bad = self.files[self.files["bad"] > MAX_REJECTED * self.files["read"]]
        said = [
            f"{file}: ingest refuses it, {own:,} of its {read:,} rows are bad and "
            f"{MAX_REJECTED:.0%} may be; see the reasons"
            for file, read, own in bad.itertuples(index=False)
        ]
        far = [f"{value:g}" for value in outliers(self.ratings.index.to_numpy(np.float32))]
        if far:
            said.append(
                f"ratings of {' and '.join(far)} lie outside the others; if they stand for none, "
                f"give them as missing: {','.join(far)}"
            )
        return said


class _PartSurvey(NamedTuple):
    """What is kept of a part."""

    facts: PartFacts
    rejected: pd.DataFrame
    cells: pd.DataFrame
    users: pd.Series
    items: pd.Series
    times: tuple[int, int] | None


def survey(source: Source, progress: Progress = silent) -> Survey:
    """Read a source once, part by part, and count what it holds.

    Raises
    ------
    InputError
        As an ingest would: if a file cannot be read as it was told or guessed, or no row is good.
    """
    parts = source.parts
    found: list[_PartSurvey] = []
    with ThreadPoolExecutor(n_cores()) as pool:  # readers leave Python to each other
        for one in pool.map(_survey_part, parts):
            found.append(one)
            progress("check", len(found), len(parts), f"{one.facts.n_read:,} rows")
    cells = pd.concat([one.cells for one in found]).groupby(["month", "rating"])["n"].sum()
    if not len(cells):
        raise InputError(f"{source.origin}: holds no good row; {_first_bad(parts, found)}")
    times = [when for one in found if one.times for when in one.times]
    return Survey(
        _files(parts, found),
        _reasons(parts, found),
        cells.reset_index(),
        len(rank_ids([one.users for one in found]).ids),
        len(rank_ids([one.items for one in found]).ids),
        min(times, default=None),
        max(times, default=None),
    )


def _survey_part(part: Part) -> _PartSurvey:
    batch = read_batch([part])
    ratings = batch.ratings
    assert isinstance(ratings, pd.DataFrame)  # no folder is given to spill into
    values = ratings["rating"] if "rating" in ratings else pd.Series(1.0, index=ratings.index)
    months, times = np.full(len(ratings), "", object), None
    if "timestamp" in ratings and len(ratings):
        seconds = ratings["timestamp"].to_numpy()
        months = seconds.astype("datetime64[s]").astype("datetime64[M]").astype(str)
        times = int(seconds.min()), int(seconds.max())
    cells = pd.DataFrame({"month": months, "rating": values.to_numpy(np.float32)})
    counted = cells.groupby(["month", "rating"]).size().rename("n").reset_index()
    (facts,) = batch.facts
    return _PartSurvey(facts, batch.rejected, counted, batch.users, batch.items, times)


def _files(parts: Sequence[Part], found: Sequence[_PartSurvey]) -> pd.DataFrame:
    facts = [one.facts for one in found]
    read, bad = [each.n_read for each in facts], [each.n_bad for each in facts]
    table = pd.DataFrame({"file": [part.file for part in parts], "read": read, "bad": bad})
    return table.groupby("file", sort=False).sum().reset_index()


def _reasons(parts: Sequence[Part], found: Sequence[_PartSurvey]) -> pd.DataFrame:
    """Return a line for each reason, with the place of its first row as people count it."""
    before: dict[str, int] = defaultdict(int)
    tables = []
    for part, one in zip(parts, found, strict=True):
        own = one.rejected[["file", "row", "reason", "text"]].copy()
        own["row"] += part.first_row + before[part.file]
        before[part.file] += one.facts.n_lines
        tables.append(own)
    every = pd.concat(tables, ignore_index=True)
    first = every.groupby("reason", sort=False).first()
    first.insert(0, "n", every.groupby("reason", sort=False).size())
    return first.reset_index().sort_values("n", ascending=False, kind="stable", ignore_index=True)


def _first_bad(parts: Sequence[Part], found: Sequence[_PartSurvey]) -> str:
    reasons = _reasons(parts, found)
    if not len(reasons):
        return "it has no rows"
    file, row, why = reasons.loc[0, ["file", "row", "reason"]]
    return f"the first bad one is row {row} of {file}: {why}"
