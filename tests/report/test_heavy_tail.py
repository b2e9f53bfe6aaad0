"""Power laws and log-normals that were drawn are found again."""

import numpy as np
import pytest
from scipy import special, stats

from mfdask.report import heavy_tail
from mfdask.report.heavy_tail import LogNormal, PowerLaw, Sample, compare_tails


@pytest.mark.parametrize("exponent", [1.8, 2.5, 3.2])
def test_a_power_law_is_found_again(exponent):
    drawn = stats.zipf(exponent).rvs(20_000, random_state=1)
    fit = compare_tails(drawn)
    assert fit.power_law.exponent == pytest.approx(exponent, abs=4 * fit.exponent_error + 0.02)
    assert fit.power_law.distance < 0.02
    assert fit.verdict != "the log-normal is better"


def test_a_power_law_above_a_start_is_found_again():
    rng = np.random.default_rng(2)
    above = np.floor(30 * (1 - rng.random(20_000)) ** (-1 / 1.5)).astype(int)  # exponent 2.5
    below = rng.integers(1, 30, 30_000)
    law = compare_tails(np.concatenate([above, below])).power_law
    assert 20 <= law.start <= 60
    assert law.exponent == pytest.approx(2.5, abs=0.06)


def test_a_log_normal_is_told_from_a_power_law():
    drawn = np.rint(np.random.default_rng(3).lognormal(3, 0.6, 20_000)).astype(int)
    fit = compare_tails(drawn[drawn >= 5])
    assert fit.ratio < 0
    tail = heavy_tail.fit_log_normal(Sample.of(drawn).from_(5))
    assert tail.mu == pytest.approx(3, abs=0.03)
    assert tail.sigma == pytest.approx(0.6, abs=0.02)


@pytest.mark.parametrize("law", [PowerLaw(2.4, 3.0, 0.0), LogNormal(1.0, 0.7, 3.0)])
def test_masses_add_up(law):
    x = np.arange(3, 200_000, dtype=float)
    masses = np.exp(law.log_mass(x))
    assert masses.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(law.at_least(x[:50]), 1 - np.cumsum(masses)[:50] + masses[:50])


def test_the_log_normal_stays_finite_far_out():
    masses = LogNormal(0.0, 0.5, 1.0).log_mass(np.array([1e3, 1e6, 1e12]))
    assert np.isfinite(masses).all()
    assert (np.diff(masses) < 0).all()


def test_the_exponent_is_the_most_likely_one():
    drawn = stats.zipf(2.2).rvs(3_000, random_state=5)
    law = heavy_tail.fit_power_law(Sample.of(drawn))
    tail = drawn[drawn >= law.start]
    grid = np.linspace(law.exponent - 0.3, law.exponent + 0.3, 601)
    likelihood = -grid * np.log(tail).sum() - len(tail) * np.log(special.zeta(grid, law.start))
    assert grid[likelihood.argmax()] == pytest.approx(law.exponent, abs=0.001)


def test_the_test_of_vuong_by_hand():
    drawn = stats.zipf(2.0).rvs(2_000, random_state=6)
    fit = compare_tails(drawn)
    tail = drawn[drawn >= fit.power_law.start].astype(float)
    ratios = fit.power_law.log_mass(tail) - fit.log_normal.log_mass(tail)
    assert fit.n == len(tail)
    assert fit.ratio == pytest.approx(ratios.sum())
    assert fit.normalised == pytest.approx(ratios.sum() / (ratios.std() * np.sqrt(len(tail))))
    assert fit.p == pytest.approx(2 * stats.norm.sf(abs(fit.normalised)))


@pytest.mark.parametrize("counts", [[], [0, 0], [7] * 500, [1, 2, 3]])
def test_too_few_to_tell(counts):
    assert compare_tails(np.array(counts, np.int64)) is None
