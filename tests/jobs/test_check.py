"""`mfdask check`: what it says of a source, and that an ingest finds the same."""

import random

import pandas as pd
import pytest

from mfdask.ingestion.survey import survey
from mfdask.ratings.formats import open_source
from tests.jobs.helpers import refused

YEAR = 1_577_836_800  # 2020-01-01


@pytest.fixture
def ratings(tmp_path):
    """Return a CSV of 400 ratings of a year, among them two bad rows."""
    draw = random.Random(3)
    lines = [
        f"{n % 40},i{n % 17},{draw.randrange(1, 11) / 2},{YEAR + n * 78_000}" for n in range(400)
    ]
    lines[7], lines[300] = "7,,4.0,1577836800", "5,i4,four,1577836800"
    (tmp_path / "r.csv").write_text("user,item,stars,when\n" + "\n".join(lines) + "\n")
    return tmp_path / "r.csv"


def test_what_it_says_is_what_an_ingest_finds(ratings, result_of):
    said = result_of("check", ratings, "--columns", "user=user,item=item,rating=stars")
    made = result_of("ingest", ratings, "--columns", "user=user,item=item,rating=stars")
    assert [said[k] for k in ("read", "rejected")] == [made["read"], made["rejected"]] == [400, 2]
    assert (said["users"], said["items"]) == (40, 17)
    assert sum(said["ratings"].values()) == 398
    assert said["read_as"] == made["read_as"]
    assert said["warnings"] == []


def test_reasons_are_shown_with_the_place_of_the_first(ratings, mfdask, tmp_path):
    done = mfdask("check", ratings, "--columns", "user=user,item=item,rating=stars,timestamp=when")
    assert done.exit_code == 0, done.output
    words = " ".join(done.stdout.split())
    assert "r.csv, row 9" in words
    assert "r.csv, row 302" in words
    assert "2020-01-01 to 2020-12-2" in words
    page = (tmp_path / "output" / "checks" / "r.html").read_text()
    assert "Ratings by value and month" in page


def test_what_an_ingest_would_refuse_or_warn_of_is_said(tmp_path, result_of):
    rows = [f"{n % 9},{n % 7},{(1, 2, 3, 4, 5, 99)[n % 6]}" for n in range(60)] + ["1,2,"] * 4
    (tmp_path / "r.csv").write_text("user,item,rating\n" + "\n".join(rows) + "\n")
    refusal, sentinel = result_of("check", "r.csv")["warnings"]
    assert refusal.startswith("r.csv: ingest refuses it, 4 of its 64 rows are bad")
    assert sentinel.endswith("give them as missing: 99")


def test_bad_input(tmp_path, mfdask):
    (tmp_path / "r.csv").write_text("user,item,rating\n1,2,x\n")
    refused(mfdask("check", "r.csv"), "r.csv: ")
    refused(mfdask("check", "nowhere.csv"), "nowhere.csv")
    (tmp_path / "ok.csv").write_text("user,item,rating\n1,2,3\n")
    refused(mfdask("check", "ok.csv", "--out", tmp_path), "is a folder")


def test_files_of_several_parts_are_counted_as_wholes(tmp_path):
    for name, n in (("a", 3), ("b", 5)):
        lines = [f"{k},{k},{k % 2 + 1}" for k in range(n)]
        (tmp_path / f"{name}.csv").write_text("user,item,rating\n" + "\n".join(lines) + "\n")
    found = survey(open_source(str(tmp_path / "*.csv")))
    assert found.files["read"].tolist() == [3, 5]
    assert found.ratings.tolist() == [5, 3]
    assert (found.users, found.items, found.first) == (5, 5, None)
    assert isinstance(found.cells, pd.DataFrame)
