"""`mfdask demo`, on fewer ratings than it shows people."""

from pathlib import Path

import pandas as pd

from mfdask.models import load_model
from mfdask.shards import Dataset

SOURCE = "synthetic:users=400,items=200,ratings=20000"


def test_the_full_model_beats_biases_and_all_is_left_to_look_at(result_of):
    found = result_of("demo", "--source", SOURCE, "--sweeps", 5)
    assert found["models"]["als"]["test_rmse"] < found["models"]["bias"]["test_rmse"]
    assert found["train"] + found["test"] == 20_000
    data = Dataset.open(found["data"], verify=True)
    for made in found["models"].values():
        assert load_model(made["path"]).data.fingerprint == data.fingerprint


def test_it_can_be_run_again_and_says_what_to_try(mfdask):
    for _ in range(2):
        done = mfdask("demo", "--source", SOURCE, "--sweeps", 2)
        assert done.exit_code == 0, done.output
    for word in ("biases alone", "mfdask inspect data/demo", "output/models/demo-als"):
        assert word in done.stdout
    assert len(pd.read_parquet("output/models/demo-als/history.parquet")) == 2
    assert "Content-Security-Policy" in Path("output/reports/demo.html").read_text()


def test_the_first_page_shows_what_the_demo_finds(result_of):
    page = (Path(__file__).parents[2] / "docs" / "start.md").read_text(encoding="utf-8")
    found = result_of("demo")
    for made in found["models"].values():
        assert f"│    {made['test_rmse']:.4f} │   {made['test_mae']:.4f} │" in page
