"""A week of nights on real ratings, cut by time, each held against cold retrains.

``python -m tests.nightly.week ml-latest-small.zip 0.0005`` prints a table, for that tolerance.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from mfdask.cluster import ClusterConfig, open_cluster
from mfdask.evaluation import evaluate
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.nightly.config import NightlyConfig
from mfdask.nightly.paths import NightlyPaths
from mfdask.nightly.registry import current
from mfdask.nightly.run import run_night
from mfdask.ratings.formats import open_source
from mfdask.ratings.splits import Split
from mfdask.shards import Dataset

#: Of all ratings, what is there after the first night, and what each of the seven others brings.
FIRST, EACH = 0.79, 0.03
SEEDS = range(1, 6)
COLUMNS = (
    "night", "new", "ratings", "users", "items", "sweeps", "cold", "RMSE", "cold retrain",
    "warm less cold", "other seeds and orders", "equal",
)  # fmt: skip


def main() -> None:
    """Run the week."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = open_source(sys.argv[1], cache_dir=folder / "cache")
        ratings = pd.concat([part.read().ratings for part in source.parts], ignore_index=True)
        ratings = ratings.sort_values("timestamp", kind="stable")
        said = {
            "inbox": {"settle_seconds": 0},
            "training": {"preset": "small", "sweeps": 60, "tolerance": float(sys.argv[2])},
        }
        config = NightlyConfig.of(said, folder)
        (config.home / "inbox").mkdir(parents=True)
        print(f"| {' | '.join(COLUMNS)} |")
        print(f"|{'---|' * len(COLUMNS)}")
        cluster = ClusterConfig(threads=2, dashboard_address="127.0.0.1:0")
        with open_cluster(cluster) as client:
            before = 0
            for night in range(8):
                end = round(len(ratings) * (FIRST + EACH * night))
                inbox = config.home / "inbox" / f"day-{night}.csv"
                ratings.iloc[before:end].to_csv(inbox, index=False)
                line = run_night(config, client=client)
                cold = cold_start(config, ratings.iloc[:end], folder, client)
                print(row(night, line, config, *cold), flush=True)
                before = end


def cold_start(config, ratings, folder, client):
    """Ingest everything at once, and learn from random rows of several seeds."""
    ratings.to_csv(folder / "all.csv", index=False)
    choices = IngestOptions(Split.parse(config.data.split))
    ingest(
        open_source(str(folder / "all.csv")), folder / "all",
        client=client, choices=choices, overwrite=True,
    )  # fmt: skip
    data, method = Dataset.open(folder / "all"), config.training.estimator()
    return data, [rmse_of(replace(method, seed=seed).fit(data), data) for seed in SEEDS]


def rmse_of(model, data):
    """Return the RMSE of the ratings held out."""
    return evaluate(model, data).clipped.rmse()[0]


def row(night, line, config, data, others):
    """Return a line of the table."""
    assert line["status"] == "published", line
    grown = Dataset.open(current(NightlyPaths(config.home)).data)
    retrained = config.training.estimator().fit(
        grown
    )  # the night's data and seed, from random rows
    warm, cold = line["scores"][0]["candidate"], rmse_of(retrained, grown)
    cells = [
        str(night), f"{line['new_ratings']:,}", f"{line['ratings']:,}", f"{line['users']:,}",
        f"{line['items']:,}", str(line["sweeps"]), str(retrained.history[-1].sweep),
        f"{warm:.4f}", f"{cold:.4f}", f"{warm - cold:+.4f}", f"{min(others):.4f}…{max(others):.4f}",
        "yes" if ratings_of(grown).equals(ratings_of(data)) else "NO",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def ratings_of(data: Dataset) -> pd.DataFrame:
    """Return all ratings by raw id, with times and sides, in an order of their own."""
    users, items = data.users()["user_id"].to_numpy(), data.items()["item_id"].to_numpy()
    frames = []
    for part in ("train", "test"):
        for block in range(data.n_blocks("users")):
            shard = data.shard("users", block, part)
            rows = np.repeat(np.arange(shard.start, shard.stop), np.diff(shard.indptr))
            frames.append(
                pd.DataFrame(
                    {
                        "user": users[rows],
                        "item": items[shard.indices],
                        "rating": shard.ratings,
                        "time": data.timestamps(block, part),
                        "part": part,
                    }
                )
            )
    return pd.concat(frames).sort_values(["user", "item"], ignore_index=True)


if __name__ == "__main__":
    main()
