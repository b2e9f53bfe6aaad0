"""`mfdask report` as a user meets it."""

import numpy as np
import pytest
from scipy import sparse

from mfdask.errors import InputError
from mfdask.models import ALS, save_model
from mfdask.report import browser
from mfdask.shards import Dataset
from tests.jobs.helpers import refused


def test_a_page(result_of, mfdask, small_data, tmp_path):
    said = result_of("report", "--data", small_data)
    assert said["out"] == "output/reports/d.html"
    page = tmp_path / said["out"]
    assert page.stat().st_size == said["bytes"]
    assert len(said["figures"]) == 20
    assert said["missing"] == {}
    shown = mfdask(
        "report", "--data", small_data, "--figures", "split,statistics", "--out", "p.html"
    )
    assert shown.exit_code == 0, shown.output
    assert "p.html" in shown.stdout
    text = (tmp_path / "p.html").read_text()
    assert text.count("<figure ") == 2
    assert text.index('id="statistics"') < text.index('id="split"')


def test_a_model_of_these_data(result_of, small_data, tmp_path):
    data = Dataset.open(small_data)
    for name in ("m", "other/m"):
        save_model(ALS(n_factors=2, n_sweeps=2).fit(data), tmp_path / name)
    said = result_of("report", "--data", small_data, "--model", "m", "--model", "other/m")
    assert len(said["figures"]) > 20
    assert len(set(said["figures"])) == len(said["figures"])


def test_bad_input(mfdask, small_data, tmp_path, monkeypatch):
    report = ("report", "--data", small_data)
    refused(mfdask("report", "--data", "none"), "none: no data set", "mfdask ingest")
    refused(mfdask(*report, "--figures", "bars"), "--figures bars: there is none", "statistics")
    refused(mfdask(*report, "--model", "none"), "none")
    refused(mfdask(*report, "--out", tmp_path), "is a folder")
    other = Dataset.from_csr(sparse.csr_array(np.diag(np.arange(1.0, 6))))
    save_model(ALS(n_factors=1, n_sweeps=1).fit(other), tmp_path / "m")
    refused(mfdask(*report, "--model", "m"), "the model was learned from", "fingerprint")
    monkeypatch.setattr(browser.shutil, "which", lambda name: None)
    refused(mfdask(*report, "--format", "png"), "need Chromium", "apt-get install chromium")
    assert not (tmp_path / "output").exists()


def test_single_figures(mfdask, result_of, small_data, tmp_path):
    try:
        browser.find_browser()
    except InputError as error:
        pytest.skip(str(error))
    options = ("report", "--data", small_data, "--format", "svg", "--out", "figures")
    said = result_of(*options, "--figures", "rating-histogram,statistics")
    (made,) = (tmp_path / said["out"]).iterdir()
    assert made.name == "rating-histogram.svg"
    assert made.read_text().startswith("<svg ")
    refused(mfdask(*options, "--figures", "statistics"), "tables are no pictures")


def test_by_reader(result_of, mfdask, small_data, tmp_path):
    said = result_of("report", "--data", small_data, "--for", "data")
    assert said["out"] == "output/reports/d-data.html"
    assert said["figures"][0] == "numbers"
    save_model(ALS(n_factors=2, n_sweeps=2).fit(Dataset.open(small_data)), tmp_path / "m")
    shown = mfdask(
        "report", "--data", small_data, "--model", "m", "--for", "model", "--out", "p.html"
    )
    assert shown.exit_code == 0, shown.output
    text = (tmp_path / "p.html").read_text()
    assert "m predicts held-out ratings to" in text
    assert text.index('id="summary"') < text.index('id="training"') < text.index('id="model-m"')
    refused(mfdask("report", "--for", "model", "--data", small_data), "--model: a report for model")
    refused(mfdask("report", "--for", "night"), "--home: a report for night needs")
    refused(mfdask("report", "--for", "night", "--home", "none"), "--home none: no such folder")
    refused(mfdask("report"), "--data: give the folder of a data set")
    (tmp_path / "home").mkdir()
    said = result_of("report", "--for", "night", "--home", "home")
    assert said["out"] == "output/reports/home-night.html"
    assert list(said["missing"]) == ["nights"]
