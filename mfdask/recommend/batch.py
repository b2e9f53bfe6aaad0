"""Lists for all users, a block of them at a time, over a cluster and into a folder of Parquet."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from distributed import Client

from mfdask.errors import InputError
from mfdask.files import atomic_directory, check_place, crc32, file_lock, require_space
from mfdask.kernels.topn import Tiles
from mfdask.models import FactorModel, load_model
from mfdask.models.runner import DaskRunner, LocalRunner
from mfdask.progress import Progress, silent
from mfdask.recommend.candidates import Ranking, known_rows
from mfdask.recommend.topn import Rows, check_same_data, rank_rows
from mfdask.shards import Dataset

#: Users in a task and in a part: about half a second's work and a few MB for short lists.
BLOCK_USERS = 16_384
#: Lines of a block at most, so that long lists do not need more memory.
BLOCK_LINES = 4_000_000
#: Tells a folder of recommendations from others; readers of Parquet pass it over.
MARK = "_recommendations.json"
_LINE_BYTES = 32


class ModelRef(NamedTuple):
    """Names a model on disk, so that a task carries its address and not its rows.

    The checksum of its description tells a model from another that took its place.
    """

    path: str
    crc32: int

    @classmethod
    def of(cls, path: Path) -> ModelRef:
        """Return the reference of a model that is there."""
        return cls(str(path.absolute()), crc32(path / "model.json"))


def write_recommendations(
    model: Path,
    out: Path,
    data: Dataset | None,
    ranking: Ranking | None = None,
    *,
    user_ids: Any = None,
    client: Client | None = None,
    progress: Progress = silent,
) -> int:
    """Write the best items of all users, or of some, as a folder with one Parquet file a block.

    The columns are those of `recommend`. The folder appears when it is whole; one that is there
    already is replaced. Memory is bounded by the model and one block a worker.

    Parameters
    ----------
    model : Path
        The model's directory, which every worker must be able to read.
    out : Path
    data : Dataset or None
        What the model was learned from, see `recommend`.
    ranking : Ranking, optional
    user_ids : sequence of raw ids, optional
        By default every user.
    client : distributed.Client, optional
        Where the blocks run; without one, in this process.
    progress : Progress, optional

    Returns
    -------
    int
        Lines written.

    Raises
    ------
    InputError
        As `recommend`, and if `out` is there and holds something else.
    RefusedError
        If the disk is too small, or another process is writing there.
    """
    ranking = ranking or Ranking()
    learned = load_model(model)
    check_same_data(learned, data)
    check_place(out, MARK, "recommendations")
    rows = _chosen(learned, user_ids)
    top = min(ranking.top, len(ranking.candidates(learned)))
    require_space(out, len(rows) * top * _LINE_BYTES, "the table")
    step = max(1, min(BLOCK_USERS, BLOCK_LINES // top))
    blocks = [rows[start : start + step] for start in range(0, len(rows), step)]
    with file_lock(out, "writing"), atomic_directory(out) as fresh:
        lines = _write_blocks(
            ModelRef.of(model), data, ranking, blocks, fresh.absolute(), client, progress
        )
        (fresh / MARK).write_text(json.dumps(_description(learned, ranking, data)) + "\n")
    return lines


def _chosen(model: FactorModel, user_ids: Any) -> Rows:
    """Return the rows of the users to rank for."""
    if user_ids is None:
        return np.arange(len(model.users), dtype=np.int32)
    if not len(user_ids):
        raise InputError("no users to rank for: the list of users is empty")
    return known_rows(model, "users", user_ids)


def _write_blocks(
    model: ModelRef,
    data: Dataset | None,
    ranking: Ranking,
    blocks: list[Rows],
    folder: Path,
    client: Client | None,
    progress: Progress,
) -> int:
    run: Any = LocalRunner()
    history: Any = data
    if client is not None and (data is None or data.address is not None):
        run = DaskRunner(client)
        history = None if data is None else run.dataset(data)
    handles = [
        run.submit(
            f"recommend-{b}", _write_part, model, history, ranking, rows,
            str(folder / f"part-{b:05d}.parquet"),
        )
        for b, rows in enumerate(blocks)
    ]  # fmt: skip
    lines = 0
    for b, handle in enumerate(handles, 1):
        lines += run.result(handle)
        progress("recommend", b, len(blocks), f"{lines:,} lines")
    return lines


def _write_part(
    model: ModelRef, data: Dataset | str | None, ranking: Ranking, rows: Rows, file: str
) -> int:
    """Rank for a block of users; a task may run twice, so what it writes takes its place whole."""
    learned, tiles = _prepared(model, ranking)
    history = Dataset.open(data) if isinstance(data, str) else data
    check_same_data(learned, history)  # again: it may have been replaced since
    table = rank_rows(learned, rows, history, ranking, tiles)
    target = Path(file)
    fresh = target.with_name(f".{uuid.uuid4().hex}")
    table.to_parquet(fresh, index=False)
    fresh.rename(target)
    return len(table)


@lru_cache(maxsize=1)
def _prepared(ref: ModelRef, ranking: Ranking) -> tuple[FactorModel, Tiles]:
    """Read the model, once in each process that ranks."""
    if ModelRef.of(Path(ref.path)) != ref:
        raise InputError(f"{ref.path}: was replaced while it was being read; start again")
    learned = load_model(ref.path)
    return learned, ranking.tiles(learned)


def _description(model: FactorModel, ranking: Ranking, data: Dataset | None) -> dict[str, Any]:
    said = asdict(ranking)
    allow, deny = said.pop("allow"), said.pop("deny")
    return {
        **said,
        "allowed_items": None if allow is None else len(allow),
        "denied_items": len(deny),
        "rated_items": "included" if data is None else "left out",
        "score": "mean + b_u + bias_weight * b_i + p_u . q_i",
        "model": model.kind,
        "data": asdict(model.data),
    }
