"""`mfdask warmup` compiles what other jobs use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mfdask.kernels.cache import VARIABLE
from tests.jobs.helpers import QUIET

_RUN = [sys.executable, "-c", "from mfdask.jobs.cli import run; run()"]


@pytest.fixture
def mfdask_cold(tmp_path):
    """Return a function that runs a job in a process of its own, with a cache that begins empty."""
    env = {**os.environ, VARIABLE: str(tmp_path / "cache")}

    def run(*words):
        done = subprocess.run(
            [*_RUN, *map(str, words)], env=env, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done

    return run


def _compiled(folder: Path) -> set[str]:
    return {file.name for file in folder.rglob("*.nbc")}


def test_after_a_warmup_no_job_compiles(mfdask_cold, tmp_path):
    done = mfdask_cold("warmup")
    assert "compiling, once" in done.stderr
    assert str(tmp_path / "cache") in done.stdout
    before = _compiled(tmp_path / "cache")
    assert {"rows", "csr", "topn"} <= {name.partition(".")[0] for name in before}
    (source := tmp_path / "r").mkdir()
    lines = [f"{u},{i},{(u * i) % 10 / 2 + 0.5},{u * 9}" for u in range(40) for i in range(30)]
    (source / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + "\n".join(lines))
    films = "".join(f"{i},Film {i} (1999),Drama|War\n" for i in range(30))
    (source / "movies.csv").write_text(f"movieId,title,genres\n{films}")
    mfdask_cold("ingest", source, "--out", "d")
    for kind, sweeps in (("als", 2), ("bias", 2), ("genre", 2), ("bayes", 32)):
        mfdask_cold("train", "d", "--model", kind, "--sweeps", sweeps, "--out", kind, *QUIET)
    mfdask_cold("evaluate", "als", "d")
    mfdask_cold("recommend", "als", "--data", "d", "--min-ratings", 0, "--out", "lists", *QUIET)
    mfdask_cold("recommend", "als", "--rated", "3=5", "--min-ratings", 0)
    mfdask_cold("report", "--data", "d", "--model", "als", "--out", "r.html")
    assert _compiled(tmp_path / "cache") - before == set()
