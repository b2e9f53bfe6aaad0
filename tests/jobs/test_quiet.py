"""What libraries say of their own stays out of the terminal."""

import asyncio
import logging
import os
import re
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, closing, contextmanager

from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

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


def load(page):
    with urllib.request.urlopen(page) as answer:
        return answer.read().decode()


@contextmanager
def tab_of(page):
    """Load a page of Bokeh's as a browser does; its websocket does not answer within the block."""

    async def open_websocket():
        token = re.search('"token":"([^"]+)"', await asyncio.to_thread(load, page))[1]
        request = HTTPRequest(f"{page.replace('http', 'ws')}/ws")
        tab = await websocket_connect(request, subprotocols=["bokeh", token])
        assert "ACK" in await tab.read_message()
        return tab

    async def close(tab):
        tab.protocol.stream.close()  # without a word to the other side
        tab.close()

    with asyncio.Runner() as runner:
        tab = runner.run(open_websocket())
        try:
            yield tab.protocol.stream.socket
        finally:
            runner.run(close(tab))


def test_closed_and_silent_tabs_and_a_taken_port_are_not_worth_a_word(small_data, tmp_path):
    endless = "train", small_data, "--out", "m", "--sweeps", "100000", "--tolerance", "0"
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = f"{taken.getsockname()[1]}"
        job = *_RUN, *endless, "--threads", "1", "--dashboard-address", f"127.0.0.1:{port}"
        # Workers of other tests leave words there that keep Dask quiet in all that starts then.
        plain = {name: said for name, said in os.environ.items() if not name.startswith("DASK_")}
        with (
            ExitStack() as tabs,
            subprocess.Popen(
                job, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=plain
            ) as running,
        ):
            try:
                told = iter(running.stderr.readline, "")
                page = next(line for line in told if line.startswith("Dask dashboard: "))
                page = page.removeprefix("Dask dashboard: ").strip()
                for linger in (None, 0):
                    with tab_of(page) as connection:
                        if linger is not None:  # then the other side hears of a reset
                            ways = struct.pack("ii", 1, linger)
                            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ways)
                tabs.enter_context(tab_of(page))
                time.sleep(2)  # pages are renewed each second
            finally:
                running.terminate()
            rest = running.stderr.read()
    assert page.endswith("/mfdask")
    assert port not in page
    lines = [line for line in rest.splitlines() if line.strip() and "train als" not in line]
    assert lines == ["mfdask: interrupted; nothing was left half-written"]


def test_libraries_log_for_debug_alone(mfdask, capsys):
    for debug in ((), ("--debug",)):
        mfdask("inspect", "nothing", *debug)
        kept = [
            filter_(logging.makeLogRecord({"name": name}))
            for filter_ in logging.getLogger().handlers[0].filters
            for name in ("distributed.worker", "tornado.application", "mfdask.x", "own")
        ]
        assert kept == ([] if debug else [False, False, True, True])


def test_a_limit_of_address_space_ends_a_job_before_a_library_hangs_at_it(tmp_path):
    (tmp_path / "ratings.csv").write_text("user,item,rating\n1,2,3\n2,2,4\n1,3,5\n")
    limited = ["sh", "-c", 'ulimit -v 1200000; exec "$@"', "sh", *_RUN]
    job = *limited, "ingest", "ratings.csv", "--out", "data"
    done = subprocess.run(job, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    *_, told = done.stderr.splitlines()
    assert told.startswith("mfdask: a process may take 1.2 GB of address space (ulimit -v)")
    assert not (tmp_path / "data").exists()
