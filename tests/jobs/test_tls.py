"""A remote scheduler behind certificates, as docs/scaling.md has it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.by_hand import scheduler_address, started

DOCS = Path(__file__).parents[2] / "docs" / "scaling.md"
RUN = [sys.executable, "-c", "from mfdask.jobs.cli import run; run()"]


def _certificate(folder):
    """Make a key and a certificate with the command of the documents."""
    folder.mkdir()
    (command,) = re.findall(r"^openssl req .*$", DOCS.read_text(), re.MULTILINE)
    subprocess.run(command, shell=True, cwd=folder, check=True, capture_output=True)
    return folder


def _environment(folder):
    """Return what the documents export, for certificates in a folder."""
    exported = re.findall(
        r"export (DASK_DISTRIBUTED__COMM\w+(?:\$\{who\}\w+)?)=(\S+)", DOCS.read_text()
    )
    assert len(exported) == 4
    return {
        name.replace("${who}", who): value.replace("/etc/mfdask", str(folder))
        for name, value in exported
        for who in ("SCHEDULER", "WORKER", "CLIENT")
    }


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes certificates with openssl")
def test_only_those_with_the_certificate_may_work(small_data, tmp_path):
    env = _environment(_certificate(tmp_path / "own"))
    foreign = _environment(_certificate(tmp_path / "foreign"))
    alone = "--protocol", "tls", "--host", "127.0.0.1", "--port", 0, "--no-dashboard"
    worker = "--protocol", "tls", "--resources", "solver=1", "--nthreads", 1, "--no-dashboard"
    with started(tmp_path / "s", "scheduler", *alone, **env) as scheduler:
        address = scheduler_address(scheduler)
        assert address.startswith("tls://")

        def train(environment):
            job = "train", small_data, "--sweeps", 1, "--out", "m", "--scheduler", address
            return subprocess.run(
                [*RUN, *map(str, job)],
                env=os.environ | environment,
                cwd=tmp_path,
                capture_output=True,
                text=True,
            )

        with started(tmp_path / "w", "worker", address, *worker, **env) as by_hand:
            for line in by_hand.stderr:
                if "Registered to" in line:
                    break
            done = train(env)
            assert done.returncode == 0, done.stderr
            assert (tmp_path / "m" / "model.json").is_file()
            for environment in ({}, foreign):
                done = train(environment)
                assert done.returncode == 2, done.stderr
                assert "Traceback" not in done.stderr
                assert "no Dask scheduler answers there" in done.stderr
