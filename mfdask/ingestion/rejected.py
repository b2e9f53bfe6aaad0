"""The table of the bad rows of a source."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mfdask.errors import InputError
from mfdask.execution import Executor
from mfdask.ingestion.reading import Reading
from mfdask.ratings.source import Part
from mfdask.shards.store import FileFacts

FILE_NAME = "rejected.parquet"
#: Share of bad rows up to which a file is taken in, unless somebody wants it otherwise: more are
#: rarely the odd slip, and mostly a broken or misread file.
MAX_REJECTED = 0.01
#: Bad rows that a message names.
_SHOWN = 3
_TEXT_SHOWN = 120  # characters of a bad row in a message
_SCHEMA = pa.schema(
    [("file", pa.string()), ("row", pa.int64()), ("reason", pa.string()), ("text", pa.string())]
)


def first_bad_row(reading: Reading, parts: Sequence[Part]) -> str:
    """Describe the first bad row: file, row, reason and text. There must be one."""
    number = next(n for n, facts in enumerate(reading.facts) if facts.n_rejected)
    row = reading.rejected_of(number).iloc[0]
    place = int(row["row"]) + _rows_before(reading, parts)[number]
    return f"{row['file']}, row {place}: {row['reason']} ({row['text']!r})"


def refuse_bad_rows(reading: Reading, parts: Sequence[Part], max_rejected: float) -> None:
    """Raise `InputError` if a file has a larger share of bad rows, and name the first of them."""
    numbered = enumerate(zip(parts, reading.facts, strict=True))
    for file, of_file in groupby(numbered, key=lambda pair: pair[1][0].file):
        own = [(number, facts) for number, (_, facts) in of_file]
        read = sum(facts.n_read for _, facts in own)
        bad = sum(facts.n_bad for _, facts in own)
        if bad > max_rejected * read:
            first = "; ".join(_bad_rows(reading, parts, [number for number, _ in own]))
            raise InputError(
                f"{file}: {bad:,} of its {read:,} rows are bad, {_percent(bad / read)}, and "
                f"{_percent(max_rejected)} may be: {first}; mend the file, or leave such rows out "
                "with a larger `max_rejected`"
            )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _bad_rows(reading: Reading, parts: Sequence[Part], numbers: Sequence[int]) -> list[str]:
    """Describe the first bad rows of some parts."""
    before, lines = _rows_before(reading, parts), list[str]()
    for number in numbers:
        if reading.facts[number].n_rejected and len(lines) < _SHOWN:
            rows = reading.rejected_of(number).head(_SHOWN - len(lines))
            texts = rows[["row", "reason", "text"]].itertuples(index=False)
            lines += [
                f"row {row + before[number]}: {why} ({_short(text)!r})" for row, why, text in texts
            ]
    return lines


def _short(text: str) -> str:
    return text if len(text) <= _TEXT_SHOWN else text[:_TEXT_SHOWN] + "…"


def write_rejected(
    root: Path, reading: Reading, parts: Sequence[Part], run: Executor, earlier: Path | None = None
) -> dict[str, FileFacts]:
    """Write the bad rows of all parts, numbered within their files, behind those of `earlier`."""
    before = np.array(_rows_before(reading, parts))
    bad = [
        (frame, before[batch])
        for frame, batch in zip(reading.rejected, reading.batches, strict=True)
        if any(reading.facts[number].n_rejected for number in batch)
    ]
    frames, numbers = [frame for frame, _ in bad], [first for _, first in bad]
    written = run.submit("write-rejected", _write, root, frames, numbers, earlier)
    return {FILE_NAME: run.results([written])[0]}


def read_rejected(data: Path) -> pd.DataFrame:
    """Return the bad rows of a data set, in the order in which they came.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    try:
        return pd.read_parquet(data / FILE_NAME)
    except FileNotFoundError:  # of a data set that was made from another one
        return _SCHEMA.empty_table().to_pandas()
    except (OSError, ValueError) as error:  # Arrow's errors are among these
        line = " ".join(str(error).split())
        raise InputError(f"{data / FILE_NAME}: the file is damaged ({line})") from error


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
    root: Path,
    frames: list[pd.DataFrame],
    before: list[npt.NDArray[np.int64]],
    earlier: Path | None,
) -> FileFacts:
    with pq.ParquetWriter(root / FILE_NAME, _SCHEMA) as writer:
        if earlier is not None:
            writer.write_table(pq.read_table(earlier, schema=_SCHEMA))
        for frame, first in zip(frames, before, strict=True):
            numbered = frame.assign(row=frame["row"] + first[frame["part"]])
            writer.write_table(pa.Table.from_pandas(numbered, _SCHEMA, preserve_index=False))
    return FileFacts.of(root / FILE_NAME)
