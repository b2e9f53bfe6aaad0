"""Writers of ratings in every form that is read."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import scipy.io
from scipy import sparse

COLUMNS = ["user_id", "item_id", "rating", "timestamp"]
#: Options that `open_source` needs for a form.
Options = dict[str, Any]


def csv(frame: pd.DataFrame, folder: Path) -> Path:
    frame.to_csv(folder / "r.csv", index=False)
    return folder / "r.csv"


def tsv(frame: pd.DataFrame, folder: Path) -> Path:
    frame.to_csv(folder / "r.tsv", index=False, sep="\t")
    return folder / "r.tsv"


def parquet(frame: pd.DataFrame, folder: Path) -> Path:
    frame.to_parquet(folder / "r.parquet", row_group_size=3)
    return folder / "r.parquet"


def feather(frame: pd.DataFrame, folder: Path) -> Path:
    pyarrow.feather.write_feather(pa.table(frame), folder / "r.feather", chunksize=3)
    return folder / "r.feather"


def arrow_stream(frame: pd.DataFrame, folder: Path) -> Path:
    table = pa.table(frame)
    with pa.ipc.new_stream(folder / "r.arrows", table.schema) as stream:
        stream.write_table(table, max_chunksize=3)
    return folder / "r.arrows"


def orc(frame: pd.DataFrame, folder: Path) -> Path:
    columns = {n: np.asarray(c) if c.dtype != "str" else c.tolist() for n, c in frame.items()}
    pyarrow.orc.write_table(pa.table(columns), folder / "r.orc")
    return folder / "r.orc"


def json_lines(frame: pd.DataFrame, folder: Path) -> Path:
    lines = [json.dumps({"x": [1], **row}) for row in _rows(frame)]
    (folder / "r.jsonl").write_text("\n".join(lines))
    return folder / "r.jsonl"


def json_list(frame: pd.DataFrame, folder: Path) -> Path:
    (folder / "r.json").write_text(json.dumps(_rows(frame), indent=1))
    return folder / "r.json"


def sqlite(frame: pd.DataFrame, folder: Path) -> Path:
    with closing(sqlite3.connect(folder / "r.db")) as database:
        database.execute("CREATE TABLE r (user_id, item_id, rating REAL, timestamp)")
        rows = [tuple(row.values()) for row in _rows(frame)]
        database.executemany(f"INSERT INTO r VALUES ({','.join('?' * len(frame.columns))})", rows)
        database.commit()
    return folder / "r.db"


def hive(frame: pd.DataFrame, folder: Path) -> Path:
    for number, (user, rows) in enumerate(frame.groupby("user_id", sort=False)):
        inner = folder / "h" / f"user_id={user}"
        inner.mkdir(parents=True)
        rows.drop(columns="user_id").to_csv(inner / f"part-{number}.csv", index=False)
    return folder / "h"


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [dict(zip(frame.columns, row, strict=True)) for row in frame.astype(object).to_numpy()]


#: Forms that hold any ids, ratings and times, in order.
ANY: dict[str, Callable[[pd.DataFrame, Path], Path]] = {
    form.__name__: form
    for form in (csv, tsv, parquet, feather, arrow_stream, orc, json_lines, json_list, sqlite)
}
QUERY: Options = {"query": "SELECT * FROM r"}


def options(form: str) -> Options:
    return QUERY if form == "sqlite" else {}


def netflix(frame: pd.DataFrame, path: Path) -> Path:
    """Whole stars of a day, in blocks of items."""
    blocks = []
    for item, rows in frame.groupby("item_id", sort=False):
        days = pd.to_datetime(rows["timestamp"], unit="s").dt.strftime("%Y-%m-%d")
        lines = zip(rows["user_id"], rows["rating"].astype(int), days, strict=True)
        blocks.append(f"{item}:\n" + "".join(f"{u},{r},{d}\n" for u, r, d in lines))
    path.write_text("".join(blocks))
    return path


def matrix(frame: pd.DataFrame) -> sparse.coo_array:
    """Ratings as users by items; ids are small numbers."""
    return sparse.coo_array((frame["rating"].to_numpy(), (frame["user_id"], frame["item_id"])))


def market(frame: pd.DataFrame, folder: Path) -> Path:
    moved = frame.assign(user_id=frame["user_id"] - 1, item_id=frame["item_id"] - 1)
    scipy.io.mmwrite(folder / "r.mtx", matrix(moved).astype(np.float64))
    return folder / "r.mtx"


def npz(frame: pd.DataFrame, folder: Path) -> Path:
    sparse.save_npz(folder / "r.npz", matrix(frame).tocsr())
    return folder / "r.npz"


def zst(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zst,
}


def tar(path: Path, files: dict[str, bytes]) -> Path:
    """Write a tar file, compressed as its name says."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    compress = COMPRESSED.get({".tgz": ".gz"}.get(path.suffix, path.suffix), bytes)
    path.write_bytes(compress(plain.getvalue()))
    return path


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path
