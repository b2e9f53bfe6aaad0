"""Write the top-N lists of all users as Parquet files, block by block, on a cluster."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mfdask.errors import InputError
from mfdask.execution import Reference
from mfdask.files import atomic_directory, check_place, file_lock, require_space
from mfdask.models import Model
from mfdask.models.store import ModelRef
from mfdask.progress import Progress, silent
from mfdask.recommendation.candidates import Ranking, known_rows
from mfdask.recommendation.topn import (
    Rows,
    Search,
    check_same_data,
    check_stars,
    rank_rows,
    search_of,
)
from mfdask.shards import Dataset
from mfdask.shards.refs import dataset_ref, executor_for

if TYPE_CHECKING:
    from distributed import Client

#: Users in a task and in a part: about half a second's work and a few MB for short lists.
BLOCK_USERS = 16_384
#: Lines of a block at most, so that long lists do not need more memory.
BLOCK_LINES = 4_000_000
#: Tells a folder of recommendations from others; readers of Parquet pass it over.
MARK = "_recommendations.json"
_LINE_BYTES = 100  # most titles are in a dictionary


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


class Written(NamedTuple):
    """What `write_recommendations` has written.

    Attributes
    ----------
    users, lines : int
    empty : int
        Users without a line: they have rated everything that may be offered.
    short : int
        Users with fewer lines than asked for.
    candidates : int
        Items that may be offered.
    """

    users: int
    lines: int
    empty: int
    short: int
    candidates: int

    @classmethod
    def of(cls, lengths: npt.NDArray[np.intp], top: int, candidates: int) -> Written:
        """Count lists by their lengths."""
        empty = int((lengths == 0).sum())
        short = int((lengths < top).sum()) - empty
        return cls(len(lengths), int(lengths.sum()), empty, short, candidates)


def write_recommendations(
    model: Path,
    out: Path,
    data: Dataset | None,
    ranking: Ranking | None = None,
    *,
    stars: Path | None = None,
    user_ids: Any = None,
    client: Client | None = None,
    progress: Progress = silent,
) -> Written:
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
    stars : Path, optional
        The directory of a model that predicts the stars of what is listed, see `recommend`.
    user_ids : sequence of raw ids, optional
        By default every user.
    client : distributed.Client, optional
        Where the blocks run; without one, in this process.
    progress : Progress, optional

    Returns
    -------
    Written

    Raises
    ------
    InputError
        As `recommend`, and if `out` is there and holds something else.
    RefusedError
        If the disk is too small, or another process is writing there.
    """
    ranking = ranking or Ranking()
    ranking.check_history(data)
    ref = ModelRef.of(model)
    learned = ref.open()
    check_same_data(learned, data)
    shown = None if stars is None else ModelRef.of(stars)
    check_stars(learned, None if shown is None else shown.open())
    check_place(out, MARK, "recommendations")
    rows = _chosen(learned, user_ids)
    n_candidates = len(ranking.candidates(learned))
    top = min(ranking.top, n_candidates)
    require_space(out, len(rows) * top * _LINE_BYTES, "the table")
    step = max(1, min(BLOCK_USERS, BLOCK_LINES // min(ranking.offered, n_candidates)))
    blocks = [rows[start : start + step] for start in range(0, len(rows), step)]
    with file_lock(out, "writing"), atomic_directory(out) as fresh:
        lengths = _write_blocks(
            ref, shown, data, ranking, blocks, fresh.absolute(), client, progress
        )
        (fresh / MARK).write_text(json.dumps(_description(learned, ranking, data)) + "\n")
    return Written.of(np.concatenate(lengths), ranking.top, n_candidates)


def _chosen(model: Model, user_ids: Any) -> Rows:
    """Return the rows of the users to rank for."""
    if user_ids is None:
        return np.arange(len(model.users), dtype=np.int32)
    if not len(user_ids):
        raise InputError("no users to rank for: the list of users is empty")
    return known_rows(model, "users", user_ids)


def _write_blocks(
    model: ModelRef,
    stars: ModelRef | None,
    data: Dataset | None,
    ranking: Ranking,
    blocks: list[Rows],
    folder: Path,
    client: Client | None,
    progress: Progress,
) -> list[npt.NDArray[np.intp]]:
    with executor_for(data, client, progress) as run:
        history = None if data is None else dataset_ref(run, data)
        search = _SearchRef(model, ranking)
        arguments = [
            (model, stars, search, history, ranking.top, rows, folder / f"part-{b:05d}.parquet")
            for b, rows in enumerate(blocks)
        ]
        return run.map("recommend", _write_part, arguments)


def _write_part(
    model: Model,
    stars: Model | None,
    search: Search,
    history: Dataset | None,
    top: int,
    rows: Rows,
    file: Path,
) -> npt.NDArray[np.intp]:
    """Rank for a block of users, and return the length of each one's list.

    A task may run twice, so what it writes takes its place whole.
    """
    table = rank_rows(model, rows, history, top, search, stars)
    fresh = file.with_name(f".{uuid.uuid4().hex}")
    table.to_parquet(fresh, index=False)
    fresh.rename(file)
    firsts = np.append(np.flatnonzero(table["rank"] == 1), len(table))
    lengths = np.zeros(len(rows), np.intp)
    lengths[: len(firsts) - 1] = np.diff(firsts)  # which user has which does not matter
    return lengths


def _description(model: Model, ranking: Ranking, data: Dataset | None) -> dict[str, Any]:
    said = asdict(ranking)
    allow, deny = said.pop("allow"), said.pop("deny")
    return {
        **said,
        "bias_weight": ranking.weight_for(model),
        "min_ratings": ranking.least_for(model),
        "allowed_items": None if allow is None else len(allow),
        "denied_items": len(deny),
        "rated_items": "included" if data is None else "left out",
        "score": ranking.unit(model),
        "model": model.kind,
        "data": asdict(model.data),
    }
