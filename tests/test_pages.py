"""The pages of the documentation: commands are run, and the site is built."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from unittest.mock import MagicMock
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import mfdask
from mfdask.downstream.customers.columns import COLUMNS
from tests.consoles import ROOT, check, run, text_of

PAGES = sorted(ROOT.glob("docs/*.md"))


def python_blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def described(page: str) -> dict[str, set[str]]:
    """Return the columns that a page describes, for each table of which a heading names files."""
    found = {}
    for table in re.findall(r"^\| `[^|]*parquet`.*\n(?:\|.*\n)+", page, re.MULTILINE):
        head, _, *lines = (line.split("|")[1] for line in table.splitlines())
        found[head.strip()] = {name for line in lines for name in re.findall("`([^`]+)`", line)}
    return found


def written(head: str, folder: Path) -> set[str]:
    """Return the columns of the files that a heading names; factors count as their first."""
    found = {file for name in re.findall("`([^`]+)`", head) for file in folder.glob(f"**/{name}")}
    files = [file for file in found if "truth" not in file.parts]
    assert files, head
    names = {name for file in files for name in pq.read_schema(file).names}
    return {re.sub(r"^p\d\d$", "p00", name) for name in names}


@pytest.mark.movielens
def test_the_tables_and_their_columns(movielens_zip, tmp_path):
    (tmp_path / "data" / "downloads").mkdir(parents=True)
    shutil.copy(movielens_zip, tmp_path / "data" / "downloads")
    page = text_of("downstream.md")
    assert check(page, tmp_path) > 10
    found = described(page)
    customers = found.pop("`churn.parquet`, `ltv.parquet`")
    assert customers == {*COLUMNS, "p00"}  # also those of amounts, which the page has none of
    assert written("`churn.parquet`, `ltv.parquet`", tmp_path) <= customers
    for head, columns in found.items():
        assert columns == written(head, tmp_path), head
    tables = {
        file.name for place in ("lists", "found") for file in (tmp_path / place).glob("*.parquet")
    }
    named = {Path(name) for head in found for name in re.findall("`([^`]+)`", head)}
    assert all(any(Path("lists", table).match(str(name)) for name in named) for table in tables)
    for part in ("predictions", "predictions/prediction"):
        attributes = json.loads((tmp_path / part / "zarr.json").read_text())["attributes"]
        assert [name for name in attributes if f"`{name}`" not in page] == []

    page = text_of("inject.md")
    assert check(page, tmp_path) == 1
    for name, columns in re.findall(r"^\| `(\w+)` \| (`.*) \|$", page, re.MULTILINE):
        if (file := tmp_path / f"output/injected/ml-latest-small/truth/{name}.parquet").exists():
            assert set(re.findall("`([^`]+)`", columns)) == set(pq.read_schema(file).names), name


@pytest.fixture
def files(tmp_path):
    """Return a folder with a file of each form that the pages speak of."""
    rng = np.random.default_rng(1)
    pairs = pd.DataFrame(
        {"customer": rng.integers(400, size=6000), "sku": rng.integers(30, size=6000)}
    )
    pairs["stars"] = rng.integers(1, 11, size=6000) / 2
    pairs["when"] = 1_600_000_000 + np.arange(6000)
    pairs.to_csv(tmp_path / "shop.csv", sep=";", decimal=",", index=False)
    pairs.set_axis(["user", "item", "rating", "timestamp"], axis=1).to_csv(
        tmp_path / "ratings.csv", index=False
    )
    pairs.pivot_table(index="customer", columns="sku", values="stars").to_csv(tmp_path / "wide.csv")
    plays = pairs.rename(columns={"customer": "listener", "sku": "song"})
    plays[["listener", "song", "when"]].to_csv(tmp_path / "plays.csv", index=False)
    (tmp_path / "events").mkdir()
    words = pd.DataFrame({"u": pairs["customer"], "i": pairs["sku"], "event": "view"})
    words.to_parquet(tmp_path / "events" / "1.parquet")
    words[:50].assign(event="buy").to_parquet(tmp_path / "events" / "2.parquet")
    with contextlib.closing(sqlite3.connect(tmp_path / "shop.sqlite")) as database:
        pairs.to_sql("ratings", database, index=False)
    return tmp_path


def test_the_commands_of_the_recipes(files):
    assert check(text_of("howto.md"), files) > 4


def test_the_recipe_for_frames_and_matrices(files, monkeypatch):
    monkeypatch.chdir(files)
    exec(python_blocks(text_of("howto.md"))[0], {})
    assert mfdask.Dataset.open("data/frame").n_users == 2


def test_the_recipe_for_mlflow(files, monkeypatch):
    """The recipe runs with something in MLflow's place that remembers what it was given."""
    mlflow = MagicMock()
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.chdir(files)
    run("mfdask ingest ratings.csv --out data/mine", files)
    (recipe,) = (block for block in python_blocks(text_of("howto.md")) if "import mlflow" in block)
    exec(recipe, {})
    assert mlflow.log_params.call_args.args[0]["factors"] == 20
    assert 0 < mlflow.log_metrics.call_args.args[0]["test_rmse"] < 5
    assert Path(mlflow.log_artifacts.call_args.args[0], "model.json").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_shown_as_python_is_python(page):
    for block in python_blocks(page.read_text(encoding="utf-8")):
        ast.parse(block)


class Links(HTMLParser):
    """The addresses that a page of the site leads to, and the anchors that it has."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name == "id" and value:
                self.anchors.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the built site; a warning fails."""
    pytest.importorskip("sphinx")
    folder = tmp_path_factory.mktemp("site")
    sphinx = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-d",
        str(folder / "trees"),
    ]
    done = subprocess.run(
        [*sphinx, str(ROOT / "docs"), str(folder / "html")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_links_of_the_site_hold(site):
    pages = {page: Links(page) for page in site.glob("*.html")}
    assert {f"{page.stem}.html" for page in PAGES if page.stem != "pypi"} <= {
        page.name for page in pages
    }
    for page, found in pages.items():
        for link in found.links:
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = unquote(link).partition("#")
            target = page if not path else (page.parent / path.partition("?")[0]).resolve()
            assert target.exists(), f"{page.name}: {link}"
            if anchor and target in pages:
                assert anchor in pages[target].anchors, f"{page.name}: {link}"


@pytest.mark.parametrize("name", [name for name in mfdask.__all__ if name != "__version__"])
def test_a_public_name_is_in_the_reference(name, site):
    pages = [page.read_text(encoding="utf-8") for page in site.glob("reference_*.html")]
    assert sum(f'id="mfdask.{name}"' in page for page in pages) == 1
