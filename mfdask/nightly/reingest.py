"""Stand-in for `mfdask.shards.extend`: ingests everything again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from distributed import Client

from mfdask.progress import Progress, silent
from mfdask.ratings.formats import open_source
from mfdask.ratings.source import Source
from mfdask.ratings.splits import Split
from mfdask.shards import Dataset, Manifest
from mfdask.shards.build import Choices, ingest


def extend(
    data: Path,
    sources: Sequence[Source],
    *,
    client: Client,
    withdrawn: Sequence[Source] = (),
    progress: Progress = silent,
) -> Manifest:
    """Take the ratings of `sources` into a data set."""
    held = Dataset.open(data)
    frames = [_ratings(held)]
    frames += [part.read().ratings for source in sources for part in source.parts]
    file = data.with_name("everything.parquet")
    pd.concat(frames, ignore_index=True).to_parquet(file)
    said = held.manifest
    choices = Choices(Split.parse(said.split), said.seed, held.n_blocks("users"))
    made = ingest(
        open_source(str(file)), data, client=client, choices=choices, overwrite=True,
        progress=progress,
    )  # fmt: skip
    file.unlink()
    return made


def _ratings(data: Dataset) -> pd.DataFrame:
    """Return all ratings by raw id."""
    users, items = data.users()["user_id"].to_numpy(), data.items()["item_id"].to_numpy()
    frames = []
    for part in ("train", "test"):
        for block in range(data.n_blocks("users")):
            shard = data.shard("users", block, part)
            rows = np.repeat(np.arange(shard.start, shard.stop), np.diff(shard.indptr))
            columns = {
                "user_id": users[rows], "item_id": items[shard.indices], "rating": shard.ratings
            }  # fmt: skip
            times = data.timestamps(block, part)
            if times is not None:
                columns["timestamp"] = times
            frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)
