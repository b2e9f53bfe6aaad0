"""The table of the bad rows of a source."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mfdask.errors import InputError
from mfdask.execution import Executor
from mfdask.ingestion.reading import Reading
from mfdask.ratings.source import Part
from mfdask.shards.store import FileFacts

FILE_NAME = "rejected.parquet"
_SCHEMA = pa.schema(
    [("file", pa.string()), ("row", pa.int64()), ("reason", pa.string()), ("text", pa.string())]
)


def first_bad_row(reading: Reading, parts: Sequence[Part]) -> str:
    """Describe the first bad row: file, row, reason and text. There must be one."""
    number = next(n for n, facts in enumerate(reading.facts) if facts.n_rejected)
    row = reading.rejected[number].result().iloc[0]
    place = int(row["row"]) + _rows_before(reading, parts)[number]
    return f"{row['file']}, row {place}: {row['reason']} ({row['text']!r})"


def refuse_bad_rows(reading: Reading, parts: Sequence[Part]) -> None:
    """Raise `InputError` if any row is bad, and name the first."""
    if reading.n_rejected:
        raise InputError(
            f"{first_bad_row(reading, parts)}; mend it, or leave such rows out by another "
            "`fail_on_bad_rows`"
        )


def write_rejected(
    root: Path, reading: Reading, parts: Sequence[Part], run: Executor, earlier: Path | None = None
) -> dict[str, FileFacts]:
    """Write the bad rows of all parts, numbered within their files, behind those of `earlier`."""
    before = _rows_before(reading, parts)
    bad = [n for n, facts in enumerate(reading.facts) if facts.n_rejected]
    frames = [reading.rejected[n] for n in bad]
    numbers = [before[n] for n in bad]
    written = run.submit("write-rejected", _write, root, frames, numbers, earlier)
    return {FILE_NAME: run.results([written])[0]}


def _rows_before(reading: Reading, parts: Sequence[Part]) -> list[int]:
    """Return for each part what makes its row numbers those of the file."""
    before = []
    numbered = zip(parts, reading.facts, strict=True)
    for _, of_file in groupby(numbered, key=lambda pair: pair[0].file):
        row = None
        for part, facts in of_file:
            row = part.first_row if row is None else row
            before.append(row)
            row += facts.n_lines
    return before


def _write(
    root: Path, frames: list[pd.DataFrame], before: list[int], earlier: Path | None
) -> FileFacts:
    with pq.ParquetWriter(root / FILE_NAME, _SCHEMA) as writer:
        if earlier is not None:
            writer.write_table(pq.read_table(earlier, schema=_SCHEMA))
        for frame, first in zip(frames, before, strict=True):
            numbered = frame.assign(row=frame["row"] + first)
            writer.write_table(pa.Table.from_pandas(numbered, _SCHEMA, preserve_index=False))
    return FileFacts.of(root / FILE_NAME)
