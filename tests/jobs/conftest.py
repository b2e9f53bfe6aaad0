"""What tests of the command line share."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from mfdask.jobs.cli import main
from mfdask.models import ALS, load_model, save_model
from mfdask.shards import Dataset
from tests.downstream.customers.lively import everybody


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
def model_folder(small_data, tmp_path_factory):
    """Return the folder of a model of the small data set; leave it as it is."""
    folder = tmp_path_factory.mktemp("models") / "m"
    save_model(ALS(n_factors=4, n_sweeps=3).fit(Dataset.open(small_data)), folder)
    return folder


@pytest.fixture(scope="session")
def model(model_folder):
    """Return the model itself."""
    return load_model(model_folder)


@pytest.fixture(scope="session")
def lively(client, tmp_path_factory):
    """Return the folders of a model and of its data set, of people who come back."""
    data = everybody(client, tmp_path_factory.getbasetemp())
    model = tmp_path_factory.mktemp("models") / "m"
    save_model(ALS(n_factors=3, n_sweeps=3).fit(Dataset.open(data)), model)
    return model, data
