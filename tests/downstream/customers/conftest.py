"""The people, the data set and the model that most tests of churn and lifetime value take."""

from __future__ import annotations

import pytest

from mfdask.models import ALS
from mfdask.shards import Dataset

from .lively import everybody, made_up


@pytest.fixture(scope="session")
def ratings():
    return made_up()


@pytest.fixture(scope="session")
def data(client, tmp_path_factory):
    return Dataset.open(everybody(client, tmp_path_factory.getbasetemp()))


@pytest.fixture(scope="session")
def model(data):
    return ALS(n_factors=3, n_sweeps=4).fit(data)
