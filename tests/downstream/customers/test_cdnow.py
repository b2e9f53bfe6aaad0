"""The purchase models against the library lifetimes, on the public purchases of CDNOW.

Its file of all 23,570 customers comes with that library: `pip install lifetimes`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mfdask.downstream.customers.gamma_gamma import Amounts, GammaGamma
from mfdask.downstream.customers.origins import parse_date
from mfdask.downstream.customers.outlook import Purchases
from mfdask.downstream.customers.spend import Spend
from mfdask.downstream.events import DAY

lifetimes = pytest.importorskip("lifetimes", reason="lifetimes, which brings CDNOW, is absent")

CUTOFF, HORIZON = parse_date("1998-04-01"), 90 * DAY


@pytest.fixture(scope="module")
def table():
    file = Path(lifetimes.__file__).parent / "datasets" / "CDNOW_master.txt"
    names = ["user_id", "date", "n", "amount"]
    table = pd.read_csv(file, sep=r"\s+", skiprows=1, names=names)
    dates = pd.to_datetime(table["date"].astype(str), utc=True)
    return table.assign(timestamp=(dates - pd.Timestamp(0, tz="UTC")).dt.days * DAY)


@pytest.fixture(scope="module")
def bought(table):
    users = pd.DataFrame({"user_id": np.arange(1, 23_571)})
    return Purchases.of(users, CUTOFF, HORIZON, Spend(table))


def oracle(bought, modified):
    kind = lifetimes.ModifiedBetaGeoFitter if modified else lifetimes.BetaGeoFitter
    return kind().fit(*bought.rhythm)


@pytest.mark.parametrize("modified", [False, True])
def test_parameters_and_expectations(bought, modified):
    other, own = oracle(bought, modified), bought.models[modified]
    fitted = [float(other.params_[name]) for name in ("r", "alpha", "a", "b")]
    np.testing.assert_allclose(own[:4], fitted, rtol=2e-3)
    told = other.conditional_expected_number_of_purchases_up_to_time(90 / 7, *bought.rhythm)
    np.testing.assert_allclose(own.expected(bought.rhythm, 90 / 7), told, rtol=5e-3, atol=1e-4)
    alive = other.conditional_probability_alive(*bought.rhythm)
    np.testing.assert_allclose(own.still_active(bought.rhythm), alive, atol=2e-3)


def test_amounts(bought):
    amounts = bought.amounts
    positive = amounts.mean > 0
    own = GammaGamma.fit(Amounts(amounts.n[positive], amounts.mean[positive]))
    other = lifetimes.GammaGammaFitter().fit(amounts.n[positive], amounts.mean[positive])
    told = other.conditional_expected_average_profit(amounts.n, amounts.mean)
    np.testing.assert_allclose(own.expected(amounts), told, rtol=5e-3)


def test_better_than_the_reference(bought, table):
    """The best of its models has a mean absolute error of 33.85 dollars on this cohort."""
    past = table[table["timestamp"] < CUTOFF].groupby("user_id")["timestamp"]
    recent = CUTOFF - past.max() <= 180 * DAY
    cohort = past.nunique().index[(past.nunique() >= 3) & recent]
    assert len(cohort) == 4904
    came = Spend(table).between(CUTOFF, CUTOFF + HORIZON, cohort)
    told = bought.expected(True).reindex(cohort).fillna(0.0).to_numpy()
    assert np.abs(told - came).mean() < 33.85
    deciles = np.array_split(np.argsort(-told, kind="stable"), 10)
    errors = [abs(told[rows].mean() - came[rows].mean()) for rows in deciles]
    assert np.mean(errors) < 5.6
    whole = bought.outlook(True, 0.0)
    actual = Spend(table).between(CUTOFF, CUTOFF + HORIZON, whole.index)
    held = (actual >= whole["value_low"]) & (actual <= whole["value_high"])
    assert 0.9 <= held.mean() <= 0.98  # most spend nothing: no interval holds just 90 %
