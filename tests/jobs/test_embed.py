"""`mfdask embed` as a user meets it."""

import pandas as pd
import pytest


@pytest.fixture
def model(mfdask, small_data):
    done = mfdask("train", small_data, "--factors", 2, "--sweeps", 2, "--out", "m")
    assert done.exit_code == 0, done.output
    return "m"


def test_embed(result_of, mfdask, model, tmp_path):
    found = result_of("embed", model, "--method", "direct", "--out", "e.parquet")
    table = pd.read_parquet("e.parquet")
    assert list(table) == ["kind", "item_id", "title", "genres", "n_train", "x", "y"]
    assert len(table) == found["items"] + found["genres"]
    items = table[table["kind"] == "item"]
    rows = pd.read_parquet("m/items.parquet").set_index("item_id").loc[items["item_id"]]
    assert (items["x"].to_numpy() == rows["f00"].to_numpy()).all()
    shown = mfdask("embed", model)
    assert shown.exit_code == 0, shown.output
    assert (tmp_path / "output/embeddings/m-pca.parquet").exists()
    assert "genres by pca" in shown.stdout


def test_bad_options(mfdask, model, tmp_path):
    done = mfdask("embed", model, "--min-ratings", 10**6)
    assert done.exit_code == 2
    assert "leaves 0 of" in done.stderr
    (tmp_path / "folder").mkdir()
    assert mfdask("embed", model, "--out", "folder").exit_code == 2
    done = mfdask("embed", model, "--out", "e.csv")
    assert done.exit_code == 2
    assert "e.csv: the table is written as Parquet; let the file end in .parquet" in done.stderr
    assert not (tmp_path / "e.csv").exists()
    assert mfdask("embed", "nothing").exit_code == 2
