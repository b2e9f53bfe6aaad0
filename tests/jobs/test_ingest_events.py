"""Logs without ratings as a user takes them in: files of each format, words, booleans, counts."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

from mfdask.shards import Dataset
from tests.jobs.helpers import refused
from tests.shards.oracle import ratings_of

LOG = pd.DataFrame(
    {
        "who": ["a", "a", "b", "a", "c", "c"],
        "what": ["x", "x", "x", "y", "z", "z"],
        "event": ["view", "buy", "view", "view", "view", "look"],
        "bought": [False, True, False, True, True, True],
        "when": [10, 30, 20, 5, 9, 8],
    }
)
COLUMNS = ("--columns", "user=who,item=what,timestamp=when")
WORDS = ("--columns", "user=who,item=what,timestamp=when,rating=event")


def write(name):
    """Write the log in the format that a name tells."""
    if name.endswith(".parquet"):
        LOG.to_parquet(name, row_group_size=4)
        return name
    text = LOG.to_csv(index=False, sep="\t" if name.endswith(".tsv") else ",")
    if name.endswith(".dat"):
        text = LOG.to_csv(index=False).replace(",", "::")
    data = text.encode()
    Path(name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return name


def held(folder="d"):
    """Return the value of each pair."""
    lines = ratings_of(Dataset.open(folder, verify=True), "train")
    pairs = zip(lines["user_id"], lines["item_id"], strict=True)
    return dict(zip(map("".join, pairs), lines["rating"].tolist(), strict=True))


@pytest.mark.parametrize("name", ["l.csv", "l.tsv", "l.dat", "l.csv.gz", "l.parquet"])
def test_each_format(result_of, name):
    none = ("--split", "none", "--overwrite", "--out", "d")
    said = result_of("ingest", write(name), *COLUMNS, *none)
    assert (said["feedback"], said["repeats"]) == ("counts", "count")
    assert (said["read"], said["ratings"], said["duplicates"]) == (6, 4, 2)
    assert held() == {"ax": 2, "ay": 1, "bx": 1, "cz": 2}
    said = result_of("ingest", name, *COLUMNS, "--repeats", "latest", *none)
    assert said["feedback"] == "events"
    assert held() == {"ax": 1, "ay": 1, "bx": 1, "cz": 1}
    words = ("--map", "view=1,buy=5,look=0", *none)
    said = result_of("ingest", name, *WORDS, *words)
    assert (said["feedback"], said["repeats"], said["zeros"]) == ("counts", "sum", 1)
    assert said["read"] == said["ratings"] + said["duplicates"] + said["zeros"]
    assert held() == {"ax": 6, "ay": 1, "bx": 1, "cz": 1}
    said = result_of("ingest", name, *WORDS, *words, "--repeats", "latest")
    assert (said["feedback"], said["zeros"]) == ("ratings", 0)
    assert held() == {"ax": 5, "ay": 1, "bx": 1, "cz": 1}
    said = result_of("ingest", name, f"{COLUMNS[0]}={COLUMNS[1]},rating=bought", *none)
    assert (said["repeats"], said["zeros"]) == ("sum", 2)
    assert held() == {"ax": 1, "ay": 1, "cz": 2}


def test_rows_of_unknown_words_are_bad_and_counted(mfdask, result_of):
    given = ("ingest", write("l.csv"), *WORDS, "--map", "view=1, buy=5", "--out", "d")
    refused(mfdask(*given), "l.csv: 1 of its 6 rows are bad", "row 7: event has no value", "look")
    said = result_of(*given, "--max-rejected", "0.2", "--split", "none")
    assert (said["rejected"], said["read"]) == (1, 6)
    bad = pd.read_parquet("d/rejected.parquet")
    assert bad.to_numpy().tolist() == [["l.csv", 7, "event has no value", "c,z,look,8"]]


def test_positions_without_a_header(result_of):
    Path("l.csv").write_text("1,7,100\n1,7,200\n2,7,50\n")
    said = result_of("ingest", "l.csv", "--columns", "user=0,item=1", "--out", "d")
    assert (said["feedback"], said["users"]) == ("counts", 2)
    assert said["read"] == 3


def test_negative_counts(mfdask, result_of):
    Path("l.csv").write_text("user,item,rating\n1,1,2\n1,1,-1\n2,1,3\n")
    given = ("ingest", "l.csv", "--out", "d", "--split", "none")
    refused(mfdask(*given, "--repeats", "sum"), "row 3: count is negative ('1,1,-1.0')")
    assert result_of(*given)["feedback"] == "ratings"  # on a scale of ratings it may be


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--map", "view"], "--map view: write WORD=NUMBER"),
        (["--map", "view=1,view=2"], "each word once"),
        (["--map", "view=much"], "--map view=much: write WORD=NUMBER"),
        (["--map", "view=nan"], "--map view=nan: write WORD=NUMBER"),
        (["--map", "view=1"], "no column has the words of --map; name it with --columns rating"),
        (["--map", "view=0,buy=0,look=0", *WORDS], "all its counts are 0"),
    ],
)
def test_what_words_cannot_mean(mfdask, words, message):
    columns = () if "--columns" in words else COLUMNS
    refused(mfdask("ingest", write("l.csv"), *columns, *words), message)


def test_files_with_ratings_and_without(mfdask):
    Path("a.csv").write_text("user,item,rating\n1,1,5\n")
    Path("b.csv").write_text("user,item\n1,1\n")
    done = mfdask("ingest", "?.csv", "--columns", "user=user,item=item", "--out", "d")
    refused(done, "a.csv has ratings, b.csv has none")


def test_more_events_are_added(mfdask, result_of):
    result_of("ingest", write("l.csv"), *COLUMNS, "--split", "none", "--out", "d")
    Path("more.csv").write_text("user,item,timestamp\na,x,5\nd,x,99\n")
    said = result_of("ingest", "more.csv", "--into", "d")
    assert (said["feedback"], said["read"], said["ratings"]) == ("counts", 8, 5)
    assert held() == {"ax": 3, "ay": 1, "bx": 1, "cz": 2, "dx": 1}
    assert Dataset.open("d").timestamps(0).max() == 99
    again = mfdask("ingest", "more.csv", "--into", "d", "--json")
    assert "its contents were taken in before" in " ".join(again.stderr.split())
    assert held()["ax"] == 3


def test_what_a_data_set_says_of_itself(mfdask, result_of):
    result_of("ingest", write("l.csv"), *COLUMNS, "--split", "none", "--out", "d")
    shown = mfdask("inspect", "d").stdout
    assert "counts, numbers of rows" in shown
    assert "1 to 2, step 1" in shown
    assert "mean training count" in shown
    said = result_of("inspect", "d")
    assert (said["feedback"], said["repeats"], said["schema_version"]) == ("counts", "count", 6)
    assert "counts" in repr(Dataset.open("d"))
    manifest = json.loads(Path("d/manifest.json").read_text())
    assert manifest["feedback"] == "counts"


@pytest.fixture
def counted(result_of):
    """Make the data set `d` of counts, with times and a test part."""
    frame = pd.DataFrame(
        [(u, i, 10 * u + i) for u in range(12) for i in range(9) if (u * i) % 4 < 3],
        columns=["user", "item", "timestamp"],
    )
    pd.concat([frame, frame[::3]]).to_csv("log.csv", index=False)
    columns = ("--columns", "user=user,item=item")
    return result_of("ingest", "log.csv", *columns, "--split", "random:0.3", "--out", "d")


def test_rating_models_refuse_counts_before_anything_starts(mfdask, counted):
    for kind in ("als", "bias", "bayes", "genre"):
        done = mfdask("train", "d", "--model", kind)
        refused(done, f"log: holds counts, and a model of kind {kind} learns from ratings")
        assert "dashboard" not in done.stderr
    refused(mfdask("tune", "d", "--preset", "k-sweep"), "log: holds counts")
    assert not Path("output/models").exists()


def test_ratings_that_are_all_equal(mfdask, result_of):
    Path("r.csv").write_text("user,item,rating\n" + "".join(f"{n},{n % 3},1\n" for n in range(9)))
    result_of("ingest", "r.csv", "--out", "d")
    refused(mfdask("train", "d"), "r: all its ratings are 1, and a model of kind als")


def test_jobs_that_need_ratings(mfdask, model_folder, counted):
    refused(mfdask("anomalies", model_folder, "d"), "anomalies needs ratings, and log holds counts")
    done = mfdask("inject", "d", "--attack", "bandwagon")
    refused(done, "inject needs ratings, and log holds counts")
    done = mfdask("evaluate", model_folder, "d", "--allow-leaks")
    refused(done, "an error of predicted ratings needs ratings, and log holds counts")
    assert mfdask("report", "--data", "d", "--out", "r.html").exit_code == 0
