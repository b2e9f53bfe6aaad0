"""Write the top-N lists of all users as Parquet files, block by block, on a cluster."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client

from mfdask.errors import InputError
from mfdask.execution import Reference
from mfdask.files import atomic_directory, check_place, file_lock, require_space
from mfdask.models import FactorModel, Model
from mfdask.models.store import ModelRef
from mfdask.progress import Progress, silent
from mfdask.recommendation.candidates import Ranking, known_rows
from mfdask.recommendation.topn import Rows, Search, check_same_data, rank_rows, search_of
from mfdask.shards import Dataset
from mfdask.shards.refs import dataset_ref, executor_for

#: Users in a task and in a part: about half a second's work and a few MB for short lists.
BLOCK_USERS = 16_384
#: Lines of a block at most, so that long lists do not need more memory.
BLOCK_LINES = 4_000_000
#: Tells a folder of recommendations from others; readers of Parquet pass it over.
MARK = "_recommendations.json"
_LINE_BYTES = 32
_SCORE = "mean + b_u + bias_weight * b_i + p_u . q_i"


@dataclass(frozen=True)
class _SearchRef(Reference):
    """Names a model's search among the items that may be offered."""

    model: ModelRef
    ranking: Ranking

    def open(self) -> Search:
        """Return it, made once in each process that ranks."""
        return _search_once(self)


@lru_cache(maxsize=1)
def _search_once(ref: _SearchRef) -> Search:
    return search_of(ref.model.open(), ref.ranking)


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
    ref = ModelRef.of(model)
    learned = ref.open()
    check_same_data(learned, data)
    check_place(out, MARK, "recommendations")
    rows = _chosen(learned, user_ids)
    top = min(ranking.top, len(ranking.candidates(learned)))
    require_space(out, len(rows) * top * _LINE_BYTES, "the table")
    step = max(1, min(BLOCK_USERS, BLOCK_LINES // top))
    blocks = [rows[start : start + step] for start in range(0, len(rows), step)]
    with file_lock(out, "writing"), atomic_directory(out) as fresh:
        lines = _write_blocks(ref, data, ranking, blocks, fresh.absolute(), client, progress)
        (fresh / MARK).write_text(json.dumps(_description(learned, ranking, data)) + "\n")
    return lines


def _chosen(model: Model, user_ids: Any) -> Rows:
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
    with executor_for(data, client, progress) as run:
        history = None if data is None else dataset_ref(run, data)
        search = _SearchRef(model, ranking)
        arguments = [
            (model, search, history, ranking, rows, folder / f"part-{b:05d}.parquet")
            for b, rows in enumerate(blocks)
        ]
        return sum(run.map("recommend", _write_part, arguments))


def _write_part(
    model: Model, search: Search, history: Dataset | None, ranking: Ranking, rows: Rows, file: Path
) -> int:
    """Rank for a block of users; a task may run twice, so what it writes takes its place whole."""
    table = rank_rows(model, rows, history, ranking, search)
    fresh = file.with_name(f".{uuid.uuid4().hex}")
    table.to_parquet(fresh, index=False)
    fresh.rename(file)
    return len(table)


def _description(model: Model, ranking: Ranking, data: Dataset | None) -> dict[str, Any]:
    said = asdict(ranking)
    allow, deny = said.pop("allow"), said.pop("deny")
    return {
        **said,
        "allowed_items": None if allow is None else len(allow),
        "denied_items": len(deny),
        "rated_items": "included" if data is None else "left out",
        "score": _SCORE if isinstance(model, FactorModel) else "predicted rating",
        "model": model.kind,
        "data": asdict(model.data),
    }
