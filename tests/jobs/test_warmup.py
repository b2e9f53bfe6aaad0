"""`mfdask warmup` compiles what other jobs use."""

import json
import subprocess
import sys
from pathlib import Path

import numba
import pytest

HEAD = "userId,movieId,rating,timestamp\n"


def _lines(users, items):
    return [f"{u},{i},{(u * i) % 10 / 2 + 0.5},{(u * i) % 7 * 9000}" for u in users for i in items]


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="compiling is switched off: NUMBA_DISABLE_JIT")
def test_after_a_warmup_no_job_compiles(tmp_path):
    old, new = _lines(range(40), range(30)), _lines(range(38, 45), range(30, 33))
    for name, lines in (("old", old), ("new", new), ("gone", old[:50])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ratings.csv").write_text(HEAD + "\n".join(lines))
        films = "".join(f"{i},Film {i} (1999),Drama|War\n" for i in range(33))
        (tmp_path / name / "movies.csv").write_text(f"movieId,title,genres\n{films}")
    script = Path(__file__).with_name("beyond_warmup.py")
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
