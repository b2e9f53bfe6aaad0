"""What tests of the report share."""

import pytest

from mfdask.models import ALS, Bayes
from mfdask.shards import Dataset


@pytest.fixture(scope="session")
def data(small_data):
    return Dataset.open(small_data)


@pytest.fixture(scope="session")
def models(data):
    """Return a model of each kind."""
    return {
        "als": ALS(n_factors=4, n_sweeps=5).fit(data),
        "genre": ALS(n_factors=3, n_sweeps=4, item_prior="genre").fit(data),
        "two": ALS(n_factors=2, n_sweeps=3).fit(data),
        "bias": ALS(n_factors=0, n_sweeps=3).fit(data),
        "bayes": Bayes(n_factors=2, n_sweeps=9, burn_in=4).fit(data),
    }
