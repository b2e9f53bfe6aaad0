"""What models and data sets show of themselves."""

from __future__ import annotations

from dataclasses import replace

from mfdask.models import ALS
from mfdask.shards import Dataset
from mfdask.summaries import Summarised
from tests.downstream.random_model import random_model


def test_a_data_set_in_a_few_lines(small_data):
    data = Dataset.open(small_data)
    lines = repr(data).splitlines()
    assert lines[0] == f"Dataset {data.name}"
    assert 4 <= len(lines) <= 8
    assert f"{data.n_users:,}, {data.n_items:,}" in repr(data)
    assert data._repr_html_().count("<tr>") == len(lines) - 1


def test_a_model_in_a_few_lines(small_data):
    model = ALS(n_factors=2, n_sweeps=2).fit(Dataset.open(small_data))
    lines = repr(model).splitlines()
    assert lines[0] == "FactorModel of kind als"
    assert 4 <= len(lines) <= 8
    assert "n_factors=2" in repr(model)
    assert repr(replace(random_model(0), history=[])).startswith("FactorModel")


def test_text_from_data_is_text():
    class Hostile(Summarised):
        def summary(self):
            return "<b>\x1b[31m", {"<script>": "a\u202eb\nc</td>"}

    shown = repr(Hostile())
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert len(shown.splitlines()) == 2
    page = Hostile()._repr_html_()
    assert "<b>" not in page
    assert "<script>" not in page
    assert page.count("</td>") == 1
