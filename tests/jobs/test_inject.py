"""`mfdask inject` as a user meets it."""

import json

import pandas as pd
import pytest

from mfdask.downstream.events import all_events
from mfdask.ingestion.build import ingest
from mfdask.ratings.formats import open_source
from mfdask.shards import Dataset
from tests.jobs.helpers import refused


def test_everything_at_once(result_of, mfdask, small_data, tmp_path):
    arguments = (
        "inject", small_data, "--attack", "bandwagon", "--direction", "nuke", "--size", "0.1",
        "--targets", 2, "--target-ratings", 10, 60, "--sharing", 4, "--sharing-style", "handover",
        "--drift", 3, "--drift-size", 1, "--drift-shape", "ramp", "--mix", 2, "--min-ratings", 20,
    )  # fmt: skip
    said = result_of(*arguments)
    out = tmp_path / said["out"]
    assert said["out"] == "output/injected/synthetic-300x200x9000"
    assert said["command"] == f"mfdask ingest {said['out']}"
    counts = {"attack_users": 30, "attacked_items": 2, "shared_accounts": 4, "drifting_items": 3}
    for name, n in {**counts, "mixed_items": 2}.items():
        assert said[name] == n == len(pd.read_parquet(out / "truth" / f"{name}.parquet"))
    read = pd.read_csv(out / "ratings.csv")
    assert read.columns.tolist() == ["user_id", "item_id", "rating", "timestamp"]
    assert len(read) == said["ratings"]
    plan = json.loads((out / "injected.json").read_text())["plan"]
    assert plan["attack"]["kind"] == "bandwagon"
    assert plan["drift"] == {
        "n_items": 3, "size": 1.0, "shape": "ramp", "direction": "both", "min_ratings": 20,
    }  # fmt: skip
    ingested = result_of("ingest", said["out"], "--out", "d")
    assert ingested["ratings"] == said["ratings"]
    assert ingested["rejected"] == ingested["duplicates"] == 0
    shown = mfdask(*arguments, "--out", "elsewhere")
    assert shown.exit_code == 0
    assert "attacked from" in shown.stdout
    assert (tmp_path / "elsewhere" / "ratings.csv").read_bytes() == (
        out / "ratings.csv"
    ).read_bytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), ["nothing to inject", "attack, sharing, drift or mix"]),
        (("--attack", "bribe"), ["--attack must be random or", "bandwagon", "'bribe'"]),
        (
            ("--attack", "copy", "--size", "0"),
            ["--size must be a number above 0, up to 0.5, not 0"],
        ),
        (("--attack", "copy", "--size", "0.6"), ["to 0.5, not 0.6"]),
        (("--attack", "copy", "--window-days", "99999"), ["the ratings span", "--window-days"]),
        (("--attack", "copy", "--targets", "201"), ["201 targets", "--target-ratings"]),
        (("--sharing", "0"), ["--sharing must be a whole number from 1 up, not 0"]),
        (("--sharing", "151"), ["151 shared accounts", "ask for fewer"]),
        (("--drift", "3", "--drift-size", "0"), ["--drift-size must be"]),
        (("--drift", "3", "--min-ratings", "1"), ["--min-ratings must be"]),
        (("--drift", "3", "--drift-size", "9"), ["drift of 9 stars"]),
        (("--mix", "300"), ["300 items"]),
        (("--mix", "3", "--seed", "-1"), ["--seed must be 0 or more, not -1"]),
    ],
)
def test_bad_input(options, words, mfdask, small_data, tmp_path):
    refused(mfdask("inject", small_data, "--out", "x", *options), *words)
    assert not (tmp_path / "x").exists()


def test_bad_places(mfdask, small_data, tmp_path):
    refused(mfdask("inject", "nowhere", "--mix", 1), "nowhere", "mfdask ingest")
    refused(mfdask("inject", small_data, "--mix", 1, "--out", tmp_path), "no injected ratings")


def test_ratings_without_times(mfdask, client, tmp_path):
    (tmp_path / "r.csv").write_text("user,item,rating\n1,1,3\n1,2,4\n2,1,5\n")
    ingest(open_source(str(tmp_path / "r.csv")), tmp_path / "d", client=client)
    for more in ((), ("--attack", "copy")):
        told = mfdask("inject", "d", "--mix", 1, *more)
        refused(told, "no timestamps, which `mfdask inject` needs")


@pytest.mark.parametrize("kind", ["copy", "obfuscated", "average"])
def test_an_attack_without_times(mfdask, result_of, small_data, client, tmp_path, kind):
    events, folder = all_events(Dataset.open(small_data)), tmp_path / "timeless"
    table = {"user": events.users, "item": events.items, "rating": events.ratings}
    pd.DataFrame(table).to_csv(tmp_path / "r.csv", index=False)
    ingest(open_source(str(tmp_path / "r.csv")), folder, client=client)
    shown = mfdask("inject", folder, "--attack", kind, "--target-ratings", 5, 60, "--out", "i")
    assert shown.exit_code == 0
    assert "attacked from" not in shown.stdout
    assert pd.read_csv(tmp_path / "i" / "ratings.csv").columns.tolist()[-1] == "rating"
    assert result_of("ingest", "i", "--out", "again")["ratings"] > len(events.items)
    assert not Dataset.open(tmp_path / "again").manifest.has_timestamps


@pytest.mark.movielens
def test_real_ratings(result_of, movielens_zip):
    result_of("ingest", movielens_zip, "--out", "d")
    said = result_of("inject", "d", "--attack", "aop", "--sharing", 20, "--out", "i")
    result_of("ingest", "i", "--out", "again")
    one, other = Dataset.open("d").items(), Dataset.open("again").items()
    titles = (table.set_index("item_id")["title"].sort_index() for table in (one, other))
    pd.testing.assert_series_equal(*titles)
    assert said["attack_users"] == 30  # 5 % of the 590 users that are left
