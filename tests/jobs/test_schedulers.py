"""Jobs on a cluster that was started by hand: by TLS, with strangers in it, and when it dies."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

import pytest

from tests.by_hand import (
    cluster_by_hand,
    dying_scheduler,
    scheduler_address,
    started,
    wait_until_joined,
)

from .helpers import refused

_RUN = [sys.executable, "-c", "from mfdask.jobs.cli import run; run()"]

#: What a process runs that lies about its mfdask.
_LIE = """
import distributed.versions
from importlib.metadata import version
distributed.versions.version = lambda name: {answer} if name == "mfdask" else version(name)
"""


def start(*words, **environment):
    """Start a job as a process of its own, with more environment."""
    return subprocess.Popen(
        [*_RUN, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | environment,
    )  # fmt: skip


def ended(job):
    """Return how a job ends, in bounded time: exit code and what it printed."""
    try:
        out, err = job.communicate(timeout=120)  # of which a busy machine takes most to start it
    finally:
        job.kill()
    assert "Traceback" not in err
    return job.returncode, out, told(err)


def told(err):
    """Return what a job has printed, but for its progress and for what it says in any case."""
    usual = "mfdask train: ", "compiling, once"
    return [
        line for line in err.splitlines() if line and "━" not in line and not line.startswith(usual)
    ]


@pytest.mark.parametrize(
    ("answer", "has"), [("'0.0.1'", "mfdask 0.0.1"), ("None", "no mfdask")], ids=["old", "none"]
)
def test_a_worker_with_another_mfdask(mfdask, small_data, tmp_path, answer, has):
    (tmp_path / "lie.py").write_text(_LIE.format(answer=answer))
    lie = "--preload", tmp_path / "lie.py"
    with cluster_by_hand(tmp_path, "stranger", options=lie) as address:
        done = mfdask("train", small_data, "--scheduler", address)
    refused(done, f"--scheduler {address}: its worker tcp://", f"has {has}, this job mfdask ")
    assert len(told(done.stderr)) == 1


def test_no_address_where_no_dashboard_answers(mfdask, small_data, tmp_path):
    with cluster_by_hand(tmp_path, "worker") as address:
        done = mfdask("train", small_data, "--sweeps", 2, "--scheduler", address)
    assert done.exit_code == 0, done.output
    assert "Dask dashboard" not in done.stderr


def test_a_scheduler_that_dies_in_mid_train(small_data, tmp_path):
    alone = "--host", "127.0.0.1", "--port", 0, "--no-dashboard"
    own = "--resources", "solver=1", "--nthreads", 1, "--no-dashboard"
    endless = "--sweeps", 100_000, "--tolerance", 0, "--checkpoint-every", 2
    with started(tmp_path / "s", "scheduler", *alone) as scheduler:
        address = scheduler_address(scheduler)
        with started(tmp_path / "w", "worker", address, *own) as worker:
            wait_until_joined(worker)
            job = start(
                "train", small_data, "--out", tmp_path / "m", *endless, "--scheduler", address
            )
            deadline = time.monotonic() + 60
            while not (tmp_path / ".m.checkpoint").exists():
                assert job.poll() is None, job.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.1)
            scheduler.kill()
            code, out, lines = ended(job)
    assert (code, out) == (3, "")
    assert lines[-1] == (
        f"mfdask: the scheduler at {address} is gone; start it and run this again; "
        "with --resume it goes on from the last checkpoint"
    )
    assert (tmp_path / ".m.checkpoint").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("ingest", "synthetic:users=50,items=40,ratings=900", "--out", "d"),
        ("recommend", "MODEL", "--data", "DATA", "--out", "lists"),
        ("densify", "MODEL", "--out", "dense"),
        ("anomalies", "MODEL", "DATA"),
    ],
    ids=lambda words: words[0],
)
def test_a_scheduler_that_dies_under_any_job(mfdask, small_data, model_folder, words):
    known = {"MODEL": model_folder, "DATA": small_data}
    with dying_scheduler() as address:
        done = mfdask(*[known.get(word, word) for word in words], "--scheduler", address)
    refused(done, f"the scheduler at {address} is gone; start it and run this again", code=3)


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    """Return what makes an environment of those who have a certificate, as docs/scaling.md says."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificates, is not on this machine")
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=mfdask"

    def environment(name):
        folder = tmp_path_factory.mktemp(name)
        files = "-keyout", "key.pem", "-out", "cert.pem"
        subprocess.run([*make.split(), *files], cwd=folder, check=True, capture_output=True)
        said = {"REQUIRE_ENCRYPTION": "True", "TLS__CA_FILE": f"{folder}/cert.pem"}
        for who in ("SCHEDULER", "WORKER", "CLIENT"):
            said[f"TLS__{who}__CERT"] = f"{folder}/cert.pem"
            said[f"TLS__{who}__KEY"] = f"{folder}/key.pem"
        return {f"DASK_DISTRIBUTED__COMM__{key}": value for key, value in said.items()}

    return environment


def test_tls_lets_in_who_has_the_certificate_and_nobody_else(certified, small_data, tmp_path):
    own, other = certified("own"), certified("other")
    authority = "DASK_DISTRIBUTED__COMM__TLS__CA_FILE"
    tls = "--protocol", "tls"
    with cluster_by_hand(tmp_path, "worker", options=tls, **own) as address:
        plain = address.replace("tls:", "tcp:")

        def train(name, scheduler, **environment):
            words = "--out", tmp_path / name, "--sweeps", 2, "--scheduler", scheduler
            return start("train", small_data, *words, **environment)

        friend = train("friend", address, **own)
        strangers = {
            "this account has no certificate set": train("none", address),
            f"{plain}: no Dask scheduler answers there": train("plain", plain),
            "check its certificates and your own": train(
                "other", address, **other | {authority: own[authority]}
            ),
            "encryption required": train("unencrypted", plain, **own),
        }
        code, _, lines = ended(friend)
        assert code == 0, lines
        for said, stranger in strangers.items():
            code, out, lines = ended(stranger)
            assert (code, out, len(lines)) == (2, "", 1), lines
            assert said in lines[0]
    assert (tmp_path / "friend" / "model.json").exists()
