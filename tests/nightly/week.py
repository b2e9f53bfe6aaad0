"""A week of nights on real ratings, cut by time, each held against a cold start on everything.

``python -m tests.nightly.week ml-latest-small.zip`` prints a table.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pandas as pd

from mfdask.cluster import ClusterConfig, open_cluster
from mfdask.evaluation import measure_accuracy
from mfdask.nightly.config import NightlyConfig
from mfdask.nightly.registry import current
from mfdask.nightly.run import run_night
from mfdask.ratings.formats import open_source
from mfdask.ratings.splits import Split
from mfdask.shards import Dataset
from mfdask.shards.build import Choices, ingest

#: Of all ratings, what is there after the first night, and what each of the seven others brings.
FIRST, EACH = 0.79, 0.03


def main() -> None:
    """Run the week."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = open_source(sys.argv[1], cache_dir=folder / "cache")
        ratings = pd.concat([part.read().ratings for part in source.parts], ignore_index=True)
        ratings = ratings.sort_values("timestamp", kind="stable")
        said = {
            "inbox": {"settle_seconds": 0},
            "training": {"preset": "small", "sweeps": 60, "tolerance": 0.0005},
        }
        config = NightlyConfig.of(said, folder)
        (config.home / "inbox").mkdir(parents=True)
        print("| night | new | ratings | users | items | sweeps | cold | RMSE | cold | equal |")
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
    """Ingest everything at once and learn from random rows."""
    ratings.to_csv(folder / "all.csv", index=False)
    choices = Choices(Split.parse(config.data.split))
    all_of_it = folder / "all"
    ingest(
        open_source(str(folder / "all.csv")), all_of_it,
        client=client, choices=choices, overwrite=True,
    )  # fmt: skip
    data = Dataset.open(all_of_it)
    return data, config.training.method().fit(data, client=client)


def row(night, line, config, data, cold):
    """Return a line of the table."""
    assert line["status"] == "published", line
    from mfdask.nightly.home import Home

    grown = Dataset.open(current(Home(config.home)).data)
    rmse = measure_accuracy(cold, data).clipped.rmse()[0]
    equal = ratings_of(grown).equals(ratings_of(data))
    cells = [
        str(night), f"{line['new_ratings']:,}", f"{line['ratings']:,}", f"{line['users']:,}",
        f"{line['items']:,}", str(line["sweeps"]), str(cold.history[-1].sweep),
        f"{line['scores'][0]['candidate']:.4f}", f"{rmse:.4f}", "yes" if equal else "NO",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def ratings_of(data: Dataset) -> pd.DataFrame:
    """Return all ratings by raw id, with times and sides, in an order of their own."""
    users, items = data.users()["user_id"].to_numpy(), data.items()["item_id"].to_numpy()
    frames = []
    for part in ("train", "test"):
        for block in range(data.n_blocks("users")):
            shard = data.shard("users", block, part)
            rows = pd.Series(range(shard.start, shard.stop)).repeat(
                pd.Series(shard.indptr).diff().iloc[1:].to_numpy().astype(int)
            )
            frames.append(
                pd.DataFrame(
                    {
                        "user": users[rows.to_numpy()],
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
