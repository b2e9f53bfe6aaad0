"""What tests of the command line share."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from jobs.cli import main
from mfdask.ratings.formats import open_source
from mfdask.ratings.splits import Split
from mfdask.shards.build import Choices, ingest


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


@pytest.fixture(scope="session")
def small_data(client, tmp_path_factory):
    """Return the folder of a small data set in two blocks a side; leave it as it is."""
    folder = tmp_path_factory.mktemp("small") / "d"
    source = open_source("synthetic:users=300,items=200,ratings=9000")
    ingest(source, folder, client=client, choices=Choices(Split.parse("random:0.1"), blocks=2))
    return folder
