"""What tests of the command line share."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from jobs.cli import main


@pytest.fixture
def mfdask(tmp_path, monkeypatch):
    """Return a function that runs a job in an empty folder: ``mfdask("train", path, …)``."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def result_of(mfdask):
    """Return a function that runs a job with ``--json`` and returns the object it prints."""

    def run(*arguments):
        done = mfdask(*arguments, "--json")
        assert done.exit_code == 0, done.output
        (line,) = done.stdout.splitlines()
        return json.loads(line)

    return run
