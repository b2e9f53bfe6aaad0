"""What libraries say of their own stays out of the terminal."""

import logging
import subprocess
import sys

_RUN = [sys.executable, "-c", "from mfdask.jobs.cli import run; run()"]


def test_a_task_that_fails_on_a_worker_is_told_in_one_line(tmp_path):
    (tmp_path / "ratings.csv").write_text("user,item,rating\n1,2,3\n2,2,x\n1,3,5\n")
    cluster = "--workers", "2", "--dashboard-address", "127.0.0.1:0"
    job = *_RUN, "ingest", "ratings.csv", "--out", "data", "--on-bad-rows", "fail", *cluster
    done = subprocess.run(job, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.strip() and "━" not in line]
    told, *lines = (line for line in lines if not line.startswith("compiling, once"))
    assert told.startswith("mfdask ingest: Turn raw ratings into a data set")
    assert len(lines) == 2, done.stderr
    assert lines[0].startswith("Dask dashboard: ")
    assert lines[1].startswith("mfdask: ")


def test_libraries_log_for_debug_alone(mfdask, capsys):
    for debug in ((), ("--debug",)):
        mfdask("inspect", "nothing", *debug)
        kept = [
            filter_(logging.makeLogRecord({"name": name}))
            for filter_ in logging.getLogger().handlers[0].filters
            for name in ("distributed.worker", "tornado.application", "mfdask.x", "own")
        ]
        assert kept == ([] if debug else [False, False, True, True])
