"""Compute and write dense predictions, chunk by chunk, on a cluster."""

from __future__ import annotations

import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
from distributed import Client

from mfdask.downstream.dense.encoding import Encoding, item_vectors
from mfdask.downstream.dense.store import (
    IDENTITY,
    ChunkLayout,
    create,
    put,
    read_identity,
    stored_ids,
)
from mfdask.errors import InputError, RefusedError
from mfdask.execution import Reference, executor
from mfdask.files import atomic_directory, file_lock, replace_folder, require_space
from mfdask.kernels.dense import fill_block, interleave
from mfdask.kernels.topn import GROUP, TILE
from mfdask.kernels.types import read_only
from mfdask.models import Ability, FactorModel
from mfdask.models.design import Array
from mfdask.models.factor_model import require_factors
from mfdask.models.store import ModelRef
from mfdask.progress import Progress, silent
from mfdask.recommendation.candidates import known_rows
from mfdask.recommendation.topn import Rows

#: Chunks that a task writes: some tenths of a second's work.
TASK_CHUNKS = 32


class Densified(NamedTuple):
    """The result of `densify`.

    Attributes
    ----------
    shape : tuple of int
        Users, items.
    bytes : int
        Of all chunks.
    found : int
        Of those that an earlier run had written.
    max_error : float
        See `Encoding.max_error`.
    """

    shape: tuple[int, int]
    bytes: int
    found: int
    max_error: float


def densify(
    model: Path,
    out: Path,
    *,
    dtype: str = "float32",
    user_ids: Any = None,
    item_ids: Any = None,
    force: bool = False,
    client: Client | None = None,
    progress: Progress = silent,
) -> Densified:
    """Write the prediction of every user and item, or of some, as a Zarr folder.

    The folder appears when it is whole. Until then its chunks lie in a folder beside it, under the
    name of this model, these options and ids: the same call finds them there after a kill, and
    writes what is missing; the outcome is the same to the byte. Any other call throws them away.
    Memory is bounded by the model and, for each thread, one chunk.

    Parameters
    ----------
    model : Path
        The model's directory, which every worker must be able to read.
    out : Path
        Left as it is where it holds these predictions already.
    dtype : str, optional
        One of `DTYPES`, see `Encoding`.
    user_ids, item_ids : sequence of raw ids, optional
        Rows and columns, in this order; by default all, in the model's order.
    force : bool, optional
        Begin though the disk looks too small, and replace other predictions in `out`.
    client : distributed.Client, optional
        Where the chunks are written; without one, in this process.
    progress : Progress, optional

    Returns
    -------
    Densified

    Raises
    ------
    InputError
        If an id is unknown, the ratings do not fit the type, or `out` holds something else.
    RefusedError
        If the disk is too small, `out` holds other predictions, or another process is writing
        there.
    """
    ref = ModelRef.of(model)
    learned = _factors(ref)
    encoding = Encoding(dtype, learned.data.rating_min, learned.data.rating_max)
    wanted = {"users": user_ids, "items": item_ids}
    rows = {side: _chosen(learned, side, ids) for side, ids in wanted.items()}
    layout = ChunkLayout.of((len(rows["users"]), len(rows["items"])), np.dtype(dtype).itemsize)
    said = _description(learned, ref, encoding)
    said[IDENTITY] = _identity(said, layout, rows)
    total = layout.n_chunks * layout.chunk_bytes
    work = out.with_name(f".{out.name}.unfinished").absolute()
    with file_lock(out, "writing"):
        if _is_there(out, said[IDENTITY], force):
            shutil.rmtree(work, ignore_errors=True)
            return Densified(layout.shape, total, total, said["max_error"])
        _clear(work, said[IDENTITY])
        folder = work / said[IDENTITY]
        missing = layout.missing(folder)
        if not force:
            _check_space(out, layout, len(missing), dtype)
        if not folder.exists():
            ids = {
                "user_id": learned.users["user_id"].take(rows["users"]),
                "item_id": learned.items["item_id"].take(rows["items"]),
            }
            with atomic_directory(folder) as fresh:
                create(fresh, layout, encoding, ids, said)
        _write_chunks(_MatrixRef(ref, folder, layout, encoding), missing, client, progress)
        replace_folder(folder, out)
        shutil.rmtree(work)
    found = total - len(missing) * layout.chunk_bytes
    return Densified(layout.shape, total, found, said["max_error"])


def _factors(ref: ModelRef) -> FactorModel:
    return require_factors(ref.open(), "the completed matrix", Ability.BIASES)


def _chosen(model: FactorModel, side: str, ids: Any) -> Rows:
    """Return the rows of a side to write, each once."""
    if ids is None:
        return np.arange(len(model.users if side == "users" else model.items), dtype=np.int32)
    rows = known_rows(model, side, dict.fromkeys(ids))
    if not len(rows):
        raise InputError(f"no {side} to write: the list of {side} is empty")
    return rows


def _description(model: FactorModel, ref: ModelRef, encoding: Encoding) -> dict[str, Any]:
    """Return what the folder says of itself; nothing of this run, so that runs can be compared."""
    return {
        "written_by": f"mfdask {version('mfdask')}",
        "formula": "mean + b_u + b_i + p_u . q_i, kept on the rating scale",
        "model_kind": model.kind,
        "model_crc32": f"{ref.crc32:08x}",
        "model_created": json.loads(Path(ref.path, "model.json").read_text())["created"],
        "data": model.data.name,
        "data_fingerprint": model.data.fingerprint,
        "rating_min": encoding.low,
        "rating_max": encoding.high,
        "dtype": encoding.dtype,
        "max_error": encoding.max_error(model),
    }


def _identity(said: dict[str, Any], layout: ChunkLayout, rows: dict[str, Rows]) -> str:
    """Name the work: whatever decides a byte of the outcome is in it."""
    name = hashlib.sha256(json.dumps([said, *layout.chunk]).encode())
    for chosen in rows.values():
        name.update(f" {len(chosen)} ".encode() + chosen.tobytes())
    return name.hexdigest()[:16]


def _is_there(out: Path, identity: str, force: bool) -> bool:
    """Whether `out` holds these predictions; refuse to replace anything else unasked."""
    if not out.exists():
        return False
    found = read_identity(out)
    if found is None:
        raise InputError(f"{out}: is there already and holds no predictions; give another `out`")
    if found != identity and not force:
        raise RefusedError(
            f"{out}: holds predictions of another model, selection or `dtype`; give another "
            "`out`, or replace them with `force`"
        )
    return found == identity


def _check_space(out: Path, layout: ChunkLayout, missing: int, dtype: str) -> None:
    users, items = layout.shape
    try:
        require_space(
            out, missing * layout.chunk_bytes, f"the matrix of {users:,} x {items:,} {dtype} values"
        )
    except RefusedError as error:
        raise RefusedError(
            f"{error}, take `dtype` uint8, fewer users or items, or begin all the same with `force`"
        ) from None


def _clear(work: Path, identity: str) -> None:
    """Throw away what other runs have left: other predictions, and chunks cut short."""
    for left in work.iterdir() if work.exists() else ():
        if not left.is_dir():
            left.unlink()
        elif left.name != identity or read_identity(left) != identity:
            shutil.rmtree(left)


@dataclass(frozen=True)
class _MatrixRef(Reference):
    """Names the matrix in the making, and the model that its chunks are computed from."""

    model: ModelRef
    folder: Path
    layout: ChunkLayout
    encoding: Encoding

    def open(self) -> _Matrix:
        """Return what chunks are computed from, read once in each process that writes."""
        return _read_once(self)


class _Matrix(NamedTuple):
    """The matrix in the making, and the vectors that its chunks are computed from."""

    folder: Path
    layout: ChunkLayout
    encoding: Encoding
    model: FactorModel
    users: Rows  # of the matrix's rows
    items: Array  # from `interleave`


@lru_cache(maxsize=1)
def _read_once(ref: _MatrixRef) -> _Matrix:
    model, layout = _factors(ref.model), ref.layout
    user_ids, item_ids = stored_ids(ref.folder)
    vectors = item_vectors(model, known_rows(model, "items", item_ids))
    items = read_only(interleave(vectors, TILE, layout.across * layout.chunk[1]))
    users = known_rows(model, "users", user_ids)
    return _Matrix(ref.folder, layout, ref.encoding, model, users, items)


def _write_chunks(
    matrix: _MatrixRef, chunks: list[int], client: Client | None, progress: Progress
) -> None:
    """Write chunks into the unfinished folder, all threads of a worker on one task at a time."""
    n_chunks = matrix.layout.n_chunks

    def in_chunks(stage: str, done: int, total: int, note: str = "") -> None:
        missing = len(chunks) - done * TASK_CHUNKS
        progress(stage, n_chunks - max(missing, 0), n_chunks, note)

    starts = range(0, len(chunks), TASK_CHUNKS)
    arguments = [(matrix, chunks[start : start + TASK_CHUNKS]) for start in starts]
    with executor(client, in_chunks) as run:
        run.map("densify", _write_some, arguments)


def _write_some(matrix: _Matrix, chunks: list[int]) -> None:
    """Write the chunks of a task, shared out among threads: while one stores, another computes."""
    threads = min(numba.get_num_threads(), len(chunks))
    with ThreadPoolExecutor(threads) as pool:
        shares = [chunks[t::threads] for t in range(threads)]
        list(pool.map(partial(_write_share, matrix), shares))  # the list raises their errors


def _write_share(matrix: _Matrix, chunks: list[int]) -> None:
    """Compute chunks and write them; one that is written twice is the same both times."""
    layout, encoding, folder = matrix.layout, matrix.encoding, matrix.folder
    block = np.empty(layout.chunk, np.uint8 if encoding.packed else np.float32)
    for number in chunks:
        vectors = encoding.user_vectors(matrix.model, matrix.users[layout.users(number)])
        users = interleave(vectors, GROUP, layout.chunk[0])
        columns = layout.items(number)
        tiles = matrix.items[columns.start // TILE : -(-columns.stop // TILE)]
        fill_block(read_only(users), tiles, read_only(encoding.limits), block)
        stored = block.astype(encoding.dtype, copy=False)
        put(stored, layout.file(folder, number), folder.parent)
