"""Write changed ratings of a data set as a folder that `mfdask ingest` reads."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv

from mfdask.downstream.events import Events
from mfdask.files import require_space
from mfdask.kernels.types import Int64s
from mfdask.shards import Dataset

_LOG = logging.getLogger(__name__)
#: Ratings turned into text at a time.
_PIECE = 1 << 20
_LINE_BYTES = 48


def write_ratings_folder(data: Dataset, events: Events, user_ids: pd.Series, folder: Path) -> None:
    """Write ``ratings.csv``, and ``movies.csv`` where the data have titles and integer ids.

    Times are written if `data` has them.

    Parameters
    ----------
    data : Dataset
        Where the ratings come from: its item ids and titles are those of `events`.
    events : Events
        Of all users.
    user_ids : Series
        Raw id of each user row of the events.
    folder : Path
        Is there already.

    Raises
    ------
    RefusedError
        If the disk is too small.
    """
    require_space(folder, _LINE_BYTES * len(events.ratings), "ratings.csv")
    if data.has_weights:
        _LOG.warning("%s: the weights of its ratings are not written", data.name)
    items = data.items()
    times = events.timestamps if data.manifest.has_timestamps else None
    _write_ratings(events, times, (user_ids, items["item_id"]), folder / "ratings.csv")
    if (data.manifest.user_kind, data.manifest.item_kind) == ("int", "int"):
        _write_movies(items, folder / "movies.csv")


def _write_ratings(
    events: Events, times: Int64s | None, ids: tuple[pd.Series, pd.Series], path: Path
) -> None:
    """Write the ratings by user and time, a piece after the other."""
    user_ids, item_ids = map(pa.array, ids)
    rows = events.users
    kinds = {"user_id": user_ids.type, "item_id": item_ids.type, "rating": pa.float32()}
    schema = pa.schema(kinds | ({} if times is None else {"timestamp": pa.int64()}))
    no_header = pacsv.WriteOptions(include_header=False)  # it would be put in quotes
    with path.open("wb") as file:
        file.write(f"{','.join(schema.names)}\n".encode())
        with pacsv.CSVWriter(file, schema, write_options=no_header) as writer:
            for start in range(0, len(rows), _PIECE):
                piece = slice(start, start + _PIECE)
                columns = [
                    user_ids.take(pa.array(rows[piece])),
                    item_ids.take(pa.array(events.items[piece])),
                    events.ratings[piece],
                    *([] if times is None else [times[piece]]),
                ]
                writer.write_table(pa.table(columns, schema=schema))


def _write_movies(items: pd.DataFrame, path: Path) -> None:
    """Write titles and genres as MovieLens does, if there are any.

    It is read as data, so a title that a spreadsheet would take for a formula stays as it is.
    """
    titled = items[items["title"] != ""]
    if len(titled):
        columns = {"item_id": "movieId", "title": "title", "genres": "genres"}
        titled[list(columns)].rename(columns=columns).to_csv(path, index=False)
