"""Accounts that may write nothing of their own still run what is compiled."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mfdask.kernels import cache

NOBODY = 65534
#: This Python, or the system's of the same version where this one is in a folder of root's.
PYTHONS = [sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"]
SITE = Path(pytest.__file__).parents[1]
JOB = f"import site; site.addsitedir({str(SITE)!r}); from mfdask.jobs.cli import run; run()"


def _as_nobody(*words, cwd, **environment):
    """Run a program as an ordinary user without a home."""
    root = Path(cache.__file__).parents[2]
    env = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "PYTHONPATH": f"{root}:{SITE}"}
    who = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    how = {"capture_output": True, "text": True, "cwd": cwd, "env": env | environment, **who}
    for python in PYTHONS:
        try:
            return subprocess.run([python, *map(str, words)], **how)
        except (PermissionError, FileNotFoundError):
            continue
    pytest.skip("no Python that every user may run")


@pytest.fixture
def place(tmp_path):
    """Return a folder of the ordinary user's, who can run Python here and write nothing else."""
    if os.getuid() != 0:
        pytest.skip("only root may become another user")
    folder = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    os.chown(folder, NOBODY, NOBODY)
    kernels = Path(cache.__file__).parent
    code = f"import os, mfdask, sys; sys.exit(os.access({str(kernels)!r}, os.W_OK))"
    if _as_nobody("-c", code, cwd=folder).returncode:
        pytest.skip("this Python is not for every user, or its files are")
    yield folder
    subprocess.run(["rm", "-r", str(folder)], check=True)


def test_a_service_account_runs_jobs(place):
    mfdask = "-c", JOB
    own = {"TMPDIR": str(place), "CACHE_DIRECTORY": str(place / "cache")}
    ratings = "user,item,rating\n" + "".join(
        f"{u},{i},{1 + u % 5}\n" for u in range(9) for i in range(9)
    )
    (place / "r.csv").write_text(ratings)
    done = _as_nobody(*mfdask, "ingest", "r.csv", "--out", "d", cwd=place, **own)
    assert done.returncode == 0, done.stderr
    quiet = "--threads", 1, "--dashboard-address", "127.0.0.1:0"
    small = "--factors", 2, "--sweeps", 1
    done = _as_nobody(*mfdask, "train", "d", "--out", "m", *small, *quiet, cwd=place, **own)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "compiled code is kept in" in " ".join(done.stderr.split())
    assert list((place / "cache" / "numba").rglob("*.nbi"))


def test_without_any_folder_there_is_one_for_the_process(place):
    code = "from mfdask.kernels import CACHE, csr; print(CACHE); import os; os.chmod('.', 0o700)"
    (place / f"mfdask-numba-{NOBODY}").write_text("in the way")
    done = _as_nobody("-c", code, cwd=place, TMPDIR=str(place))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{place}/mfdask-numba-")
    assert not Path(done.stdout.strip()).exists()


def test_code_that_others_could_have_put_there_is_not_run(tmp_path):
    (own := tmp_path / "own").mkdir(mode=0o700)
    (open_to_all := tmp_path / "open").mkdir()
    open_to_all.chmod(0o777)
    (link := tmp_path / "link").symlink_to(own)
    assert cache._is_ours(own)
    assert not cache._is_ours(open_to_all)
    assert not cache._is_ours(link)


def test_what_numba_would_take_comes_first(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(cache._LOG, "warning", lambda text, *facts: said.append(text % facts))
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "mine"))
    assert cache.use_cache() == tmp_path / "mine"
    assert not said
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "file"))
    monkeypatch.setenv("MFDASK_CACHE", str(tmp_path / "c"))
    assert cache.use_cache() == tmp_path / "c" / "numba"
    assert os.environ[cache.VARIABLE] == str(tmp_path / "c" / "numba")
    (line,) = said
    assert f"may not write {tmp_path / 'file'}" in line


def test_a_relative_folder_is_told_as_such(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(cache._LOG, "warning", lambda text, *facts: said.append(text % facts))
    monkeypatch.setenv(cache.VARIABLE, "kept/here")
    monkeypatch.setenv("MFDASK_CACHE", str(tmp_path / "c"))
    assert cache.use_cache() == tmp_path / "c" / "numba"
    (line,) = said
    assert "kept/here is no absolute path" in line
    assert "may not write" not in line
