"""`mfdask bench` as one types it, on tiny data."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from distributed import Client

import mfdask.jobs.bench
import mfdask.jobs.bench_lists
from mfdask.bench import ingest as bench_ingest
from mfdask.bench import kernel as bench_kernel
from mfdask.bench import parts as bench_parts
from mfdask.bench import sweep as bench_sweep
from mfdask.bench.machine import copy_rate
from mfdask.bench.parts import PARTS
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.jobs.cli import main
from mfdask.models import ALS, save_model
from mfdask.ratings.splits import Split
from mfdask.ratings.synthetic import open_synthetic
from mfdask.shards import Dataset

ONE_THREAD = ["--threads", "1", "--dashboard-address", "127.0.0.1:0"]


@pytest.fixture(scope="module")
def folders(client: Client, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return two data sets, the first twice as large and with nothing held out."""
    root: Path = tmp_path_factory.mktemp("bench")
    made = []
    for ratings, split in ((1600, "none"), (800, "random:0.1")):
        source = open_synthetic(f"synthetic:users=60,items=80,ratings={ratings}", seed=3)
        out = root / f"{ratings}"
        choices = IngestOptions(split=Split.parse(split))
        ingest(source, out, client=client, choices=choices)
        made.append(str(out))
    return made


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure small matrices, no compiling, and no peers: their own tests do."""
    product = bench_sweep.gemm_seconds
    for module in (bench_sweep, bench_kernel, bench_parts):
        monkeypatch.setattr(module, "gemm_seconds", partial(product, side=64))
    monkeypatch.setattr(bench_parts, "copy_rate", lambda: copy_rate(megabytes=1))
    monkeypatch.setattr(bench_sweep, "missing_peer", lambda name: "not installed: see [peers]")
    monkeypatch.setattr(
        mfdask.jobs.bench, "measure_compiling", lambda n: {"cold": 9.0, "warm": 0.5, "import": 0.1}
    )


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["bench", *arguments])


def said(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 1
    values: dict[str, Any] = json.loads(result.stdout)
    assert values["command"].startswith("mfdask bench")
    assert values["machine"]["cores"] >= 1
    return values


def test_sweeps_on_two_data_sets_in_json(folders: list[str]) -> None:
    options = ["--factors", "2", "--sweeps", "2", "--rounds", "1", "--json", *ONE_THREAD]
    values = said(run("sweep", *folders, *options))
    assert values["compile_seconds"]["cold"] == 9
    large, small = values["data_sets"]
    assert (large["ratings"], large["test"]) == (1600, 0)
    assert small["ratings"] + small["test"] == 800
    assert "evaluate_test" in small["seconds"]
    assert "evaluate_test" not in large["seconds"]
    for found in (large, small):
        assert found["train"]["peak_memory_bytes"] > 0
        assert found["threads"] == 1
        assert found["peers"]["cmfrec"] == {"missing": "not installed: see [peers]"}


def test_sweeps_are_shown(folders: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    train = {"seconds": 3.0, "seconds_per_sweep": 0.5, "peak_memory_bytes": 700 * 2**20}
    monkeypatch.setattr(mfdask.jobs.bench, "measure_train", lambda *given: train)
    shown = run("sweep", *folders, "--factors", "2", "--sweeps", "2", "--rounds", "1", *ONE_THREAD)
    assert shown.exit_code == 0, shown.output
    for words in (
        "bare kernel, all threads",
        "through Dask, test scored",
        "not installed: see [peers]",  # no markup: the brackets stay
        "train job: 3.0 s in all, 0.5 s a sweep, at most 700 MiB over all processes",
        "Time per rating",
        "compiling: 9.0 s the first time, 0.50 s with a warm cache",
    ):
        assert words in shown.stdout


@pytest.mark.parametrize("model", ["als", "ials"])
def test_parts_of_the_kernel(folders: list[str], model: str) -> None:
    options = ["--model", model, "--factors", "3", "--rounds", "2", "--parts", "--threads", "1"]
    values = said(run("kernel", folders[1], *options, "--json"))
    assert values["sweeps"]["one thread"]["share_of_gemm"] > 0
    found = values["parts"]
    assert list(found["parts"]) == ["priors", *PARTS]
    upto = found["rounds"]["accounting"]
    whole = sum(part["seconds"] for part in found["parts"].values())
    assert whole == pytest.approx(sum(upto) / 2)  # the parts leave nothing out
    assert all(part["bound"] >= 0 for part in found["parts"].values())
    flop = found["parts"]["products"]["gflop"] + found["parts"]["solving"]["gflop"]
    assert found["share_of_gemm"] == pytest.approx(flop / found["sweep"] / found["gflops"])
    shown = run("kernel", folders[1], *options)
    assert shown.exit_code == 0, shown.output
    assert "assembling" in shown.stdout


def test_a_kernel_without_parts(folders: list[str]) -> None:
    options = ["--factors", "3", "--rounds", "1", "--threads", "2", "--json"]
    values = said(run("kernel", folders[1], *options))
    assert list(values["sweeps"]) == ["one thread", "2 threads"]
    assert "parts" not in values


def test_tiers(folders: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--factors", "2", "--budget", "0.2", *ONE_THREAD]
    values = said(run("tiers", folders[1], "--json", *options))
    assert [tier["name"] for tier in values["tiers"]][-1] == "Dask"
    assert "interpreted" in run("tiers", folders[1], *options).stdout


def test_ingest(tmp_path: Path) -> None:
    pytest.importorskip("mfdask.jobs.ingest")
    values = said(run("ingest", "--ratings", "600", "--rounds", "1", "--json", "--threads", "1"))
    assert values["ingest"]["ratings"] == 600
    assert values["ingest"]["peak_memory_bytes"] > 2**26


def test_ingest_is_shown_without_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        mfdask.jobs.bench,
        "measure_ingest",
        lambda source, rounds, arguments, progress: {
            "file_bytes": 2**20,
            "ingest": {"ratings": source, "seconds": 1.5, "peak_memory_bytes": 3 * 2**20},
            "baseline": {"missing": f"SciPy is not installed: {bench_ingest.INSTALL}"},
        },
    )
    shown = run("ingest", "--ratings", "1234")
    assert shown.exit_code == 0, shown.output
    assert "1,234 ratings" in shown.stdout
    assert "1.50" in shown.stdout


@pytest.fixture(scope="module")
def model(folders: list[str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a model of the second data set."""
    out: Path = tmp_path_factory.mktemp("bench-model") / "m"
    save_model(ALS(n_factors=2, n_sweeps=2).fit(Dataset.open(folders[1])), out)
    return str(out)


def test_ials(folders: list[str]) -> None:
    options = ["--factors", "3", "--sweeps", "2", "--rounds", "1"]
    values = said(run("ials", folders[1], "--json", *options, *ONE_THREAD))
    assert values["seconds"] > 0
    assert values["peers"]["implicit_cg"] == {"missing": "not installed: see [peers]"}
    assert values["quality"] == []


def test_lists_of_ials_after_equal_seconds(folders: list[str]) -> None:
    options = ["--factors", "3", "--sweeps", "2", "--rounds", "1", "--seconds", "1e-6"]
    done = run("ials", folders[1], *options, *ONE_THREAD)
    assert "Precision at 10" in done.stdout
    values = said(run("ials", folders[1], "--json", *options, *ONE_THREAD))
    assert [one["seconds"] for one in values["quality"]] == [2.5e-7, 5e-7, 1e-6]
    for one in values["quality"]:
        assert one["sweeps"] == {"ials": 1}  # one at least
        assert 0 <= one["precision"]["ials"] <= 1


def test_topn(folders: list[str], model: str) -> None:
    options = ["--users", "30", "--top", "3", "--rounds", "1", "--threads", "1", "--no-peers"]
    values = said(run("topn", model, folders[1], "--json", *options))
    assert (values["users"], values["top"], values["threads"]) == (30, 3, 1)
    assert values["models"]["learned"]["seconds"] > 0
    assert values["implicit"] == {"missing": "left out"}


def test_rerank(folders: list[str], model: str) -> None:
    options = ["--min-ratings", "0"]
    for weights in ("0 0 0", "1 0 0.3", "0 1 0"):
        options += ["--weights", *weights.split()]
    plain, chosen, calibrated = said(run("rerank", model, folders[1], "--json", *options))["lists"]
    assert (chosen["variety"], chosen["tail"]) == (1, 0.3)
    assert chosen["tail_share"] >= 0.3
    assert chosen["likeness"] < plain["likeness"]
    assert calibrated["divergence"] < plain["divergence"]
    assert plain["precision"] > 0
    shown = run("rerank", model, folders[1], *options)
    assert shown.exit_code == 0, shown.output
    assert "lists of 10" in shown.stdout
    assert "1, 0, 0.3" in shown.stdout


def test_topn_is_shown(folders: list[str], model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    options = ["--rounds", "1", "--no-peers"]
    shown = run("topn", model, folders[1], *options)
    assert shown.exit_code == 0, shown.output
    assert "10 of 80 items for 60 users; 2 factors" in shown.stdout
    assert "implicit: left out" in shown.stdout
    one = {"seconds": 1.5, "implicit_seconds": 6.0, "over_implicit": 0.25, "same_places": 0.9999}
    found = {
        "data": "d", "users": 10**6, "items": 7, "factors": 2, "top": 3, "threads": 2,
        "models": {"learned": one}, "implicit": {"version": "0.7"},
    }  # fmt: skip
    monkeypatch.setattr(mfdask.jobs.bench_lists, "measure_topn", lambda *given: found)
    shown = run("topn", model, folders[1], *options)
    assert ["learned", "1.5", "1.5", "6", "0.250"] in [
        line.replace("│", " ").split() for line in shown.stdout.splitlines()
    ]
    assert "the same item in 99.9900% of learned places" in " ".join(shown.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sweep", "nowhere"], "nowhere: no data set"),
        (["tiers", "nowhere"], "nowhere: no data set"),
        (["ingest", "nowhere.csv"], "nowhere.csv: there is no such file"),
        (["sweep", "nowhere", "--sweeps", "1"], "--sweeps"),
        (["sweep"], "DATA"),
        (["tiers", "nowhere", "--budget", "0"], "--budget"),
        (["tiers", "nowhere", "--factors", "0"], "--factors"),
        (["topn", "nowhere", "nothing"], "nowhere: no model"),
        (["topn", "nowhere"], "DATA"),
        (["topn", "nowhere", "nothing", "--top", "0"], "--top"),
    ],
)
def test_mistakes(arguments: list[str], words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_the_completed_matrix(folders: list[str], tmp_path: Path) -> None:
    save_model(ALS(n_factors=2, n_sweeps=1).fit(Dataset.open(folders[1])), tmp_path / "m")
    options = ["--users", "9", "--rounds", "2", "--folder", str(tmp_path), *ONE_THREAD]
    values = said(run("dense", str(tmp_path / "m"), *options, "--json"))
    assert (values["users"], values["bytes"]) == (9, 9 * values["items"])
    taken = values["rounds"]
    limits = [max(pair) for pair in zip(taken["product"], taken["writes"], strict=True)]
    shares = [limit / own for limit, own in zip(limits, taken["densify"], strict=True)]
    assert values["share_of_limit"] == pytest.approx(sum(shares) / 2)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m"]
    assert "densify reaches" in run("dense", str(tmp_path / "m"), *options).output


def test_exchange(folders: list[str], small_data: Path) -> None:
    options = ["--factors", "2", "--sweeps", "3", "--rounds", "1", *ONE_THREAD, "--workers", "2"]
    values = said(run("exchange", str(small_data), *options, "--json"))
    assert values["workers"] == 2
    data = Dataset.open(small_data)
    assert values["sides"]["users"]["rows"] == data.n_items
    assert values["sides"]["items"]["rows"] == data.n_users
    assert 0.5 < values["sides"]["users"]["fill"] <= 1
    for found in values["ways"].values():
        assert found["bytes_moved"] >= found["expected"] / 4 > 0
    assert values["ways"]["needed"]["expected"] <= values["ways"]["whole"]["expected"]
    assert "MB a worker" in run("exchange", str(small_data), *options).output
    alone = run("exchange", str(small_data), *ONE_THREAD)
    assert alone.exit_code == 2
    assert "give --workers 2" in alone.stderr
    few = run("exchange", folders[0], *ONE_THREAD, "--workers", "2")
    assert few.exit_code == 2
    assert "--blocks 4" in few.stderr
