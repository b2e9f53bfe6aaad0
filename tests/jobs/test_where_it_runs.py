"""Jobs on few ratings run in the process itself, and on a cluster where one is asked for."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.jobs.helpers import QUIET

#: Columns of what it took.
_COSTS = ["seconds", "bytes_moved"]
#: What each job is called with, beside the model of `lively`, its data set, and a place to write.
JOBS = {
    "train": ["DATA", "--factors", 3, "--sweeps", 3],
    "tune": [
        "DATA",
        "--search",
        "factors=2,3",
        "--search",
        "sweeps=2",
        "--sampler",
        "grid",
        "--study",
        "OUT.db",
    ],
    "recommend": ["MODEL", "--data", "DATA", "--min-ratings", 0],
    "densify": ["MODEL", "--dtype", "uint8"],
    "anomalies": ["MODEL", "DATA", "--folds", 2, "--only", "drift"],
    "churn": ["MODEL", "DATA", "--origins", 2, "--horizon", 30],
}


def contents(place):
    """Return what lies at a place, by its name there; tables without how long things took."""
    files = [file for file in Path().glob(f"{place}*/**/*") if file.is_file()]
    files += Path().glob(f"{place}*.parquet")
    return {
        str(file).removeprefix(place): (
            pd.read_parquet(file).drop(columns=_COSTS, errors="ignore").to_csv()
            if file.suffix == ".parquet"
            else file.read_bytes()
        )
        for file in files
        if file.suffix != ".json"  # of the day and the machine, but for counts of the tables
    }


@pytest.mark.parametrize("job", JOBS)
def test_the_same_comes_out(job, mfdask, lively):
    said = {}
    for place, options in (("here", []), ("there", [*QUIET, "--workers", 2])):
        out = f"{place}.parquet" if job in ("churn", "tune") else place
        given = {"MODEL": lively[0], "DATA": lively[1], "OUT.db": f"{place}.db"}
        words = [given.get(word, word) for word in JOBS[job]]
        said[place] = mfdask(job, *words, "--out", out, *options)
        assert said[place].exit_code == 0, said[place].output
    assert "Dask dashboard: " not in said["here"].stderr
    assert "Dask dashboard: " in said["there"].stderr
    here, there = contents("here"), contents("there")
    assert here.keys() == there.keys() != set()
    assert [name for name in here if here[name] != there[name]] == []
