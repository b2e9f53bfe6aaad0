"""A week of nights on real ratings, cut by time, each held against cold starts on everything.

``python -m tests.nightly.week ml-latest-small.zip 0.0005`` prints a table, for that tolerance.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import mean

import numpy as np
import pandas as pd

from mfdask.cluster import ClusterConfig, open_cluster
from mfdask.evaluation import measure_accuracy
from mfdask.nightly.config import NightlyConfig
from mfdask.nightly.home import Home
from mfdask.nightly.registry import current
from mfdask.nightly.run import run_night
from mfdask.ratings.formats import open_source
from mfdask.ratings.splits import Split
from mfdask.shards import Dataset
from mfdask.shards.build import Choices, ingest

#: Of all ratings, what is there after the first night, and what each of the seven others brings.
FIRST, EACH = 0.79, 0.03
SEEDS = range(1, 6)


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
        print("| night | new | ratings | users | items | sweeps | cold | RMSE | cold | equal |")
        print(f"|{'---|' * 10}")
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
    choices = Choices(Split.parse(config.data.split))
    ingest(
        open_source(str(folder / "all.csv")), folder / "all",
        client=client, choices=choices, overwrite=True,
    )  # fmt: skip
    data, method = Dataset.open(folder / "all"), config.training.method()
    return data, [replace(method, seed=seed).fit(data) for seed in SEEDS]


def row(night, line, config, data, cold):
    """Return a line of the table."""
    assert line["status"] == "published", line
    grown = Dataset.open(current(Home(config.home)).data)
    rmse = [measure_accuracy(model, data).clipped.rmse()[0] for model in cold]
    sweeps = [model.history[-1].sweep for model in cold]
    equal = ratings_of(grown).equals(ratings_of(data))
    cells = [
        str(night), f"{line['new_ratings']:,}", f"{line['ratings']:,}", f"{line['users']:,}",
        f"{line['items']:,}", str(line["sweeps"]), f"{mean(sweeps):.1f}",
        f"{line['scores'][0]['candidate']:.4f}",
        f"{mean(rmse):.4f} ({min(rmse):.4f}…{max(rmse):.4f})", "yes" if equal else "NO",
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
