"""Readers of what jobs print, who may leave at any time."""

import os
import subprocess
import sys

import pytest

_RUN = [sys.executable, "-c", "from mfdask.jobs.cli import run; run()"]


def _unread(*arguments, cwd, both):
    """Run a job whose reader is gone before it starts; return its exit code and its errors."""
    reader, writer = os.pipe()
    os.close(reader)
    errors = writer if both else subprocess.PIPE
    try:
        done = subprocess.run([*_RUN, *map(str, arguments)], stdout=writer, stderr=errors, cwd=cwd)
    finally:
        os.close(writer)
    return done.returncode, done.stderr or b""


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("job", [("inspect",), ("inspect", "--json"), ("inspect", "--help")])
def test_a_reader_that_leaves_is_no_failure(job, both, small_data, tmp_path):
    assert _unread(*job, small_data, cwd=tmp_path, both=both) == (0, b"")


def test_the_work_is_finished_without_a_reader(tmp_path):
    (tmp_path / "ratings.csv").write_text("user,item,rating\n" + "1,2,3\n2,2,4\n1,3,5\n")
    job = "ingest", "ratings.csv", "--out", "data", "--split", "none", "--workers", 2
    assert _unread(*job, cwd=tmp_path, both=True)[0] == 0
    assert (tmp_path / "data" / "manifest.json").is_file()


def test_an_error_keeps_its_exit_code_without_a_reader(tmp_path):
    assert _unread("inspect", "nothing", cwd=tmp_path, both=True)[0] == 2
