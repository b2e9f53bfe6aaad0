"""Jobs that other packages register: listed, run, and named by nights, as ours are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mfdask.jobs
from mfdask.errors import InputError
from mfdask.job_registry import GROUP, job_command, registered_jobs
from mfdask.nightly.config import DownstreamConfig
from mfdask.nightly.downstream import check_jobs
from mfdask.ratings.synthetic import open_synthetic
from tests.jobs.helpers import refused

ROOT = Path(__file__).parents[2]
#: Modules beside the jobs.
SHARED = {
    "__init__",
    "bench_common",
    "bench_guard",
    "bench_peers",
    "bench_show",
    "bench_whole",
    "bench_lists",
    "bench_views",
    "cli",
    "common",
    "errors",
    "examples",
    "ids",
    "lists",
    "options",
    "pipes",
    "sources",
    "terminal",
}

NIGHTS = """
home = "home"
[inbox]
settle_seconds = 0
[training]
factors = 2
sweeps = 2
[[downstream]]
job = "count"
arguments = ["{model}", "--out", "{tables}/n"]
"""


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """Let an installed package register jobs, in this process and in those that it starts."""
    facts = tmp_path / "site" / "elsewhere-1.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1\n")
    (facts / "entry_points.txt").write_text(
        f"[{GROUP}]\ncount = tests.jobs.counting:main\nbroken = tests.no_such_module:main\n"
        "train = tests.jobs.counting:main\n"
    )
    monkeypatch.syspath_prepend(facts.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(facts.parent), str(ROOT)]))


def test_every_file_of_a_job_is_registered():
    files = {file.stem for file in Path(mfdask.jobs.__file__).parent.glob("*.py")}
    ours = {name: job.value for name, job in registered_jobs().items()}
    assert ours == {name: f"mfdask.jobs.{name}:main" for name in files - SHARED}


@pytest.mark.usefixtures("registered")
def test_on_the_command_line(mfdask, result_of, model_folder, model, tmp_path):
    listed = mfdask("--help").stdout
    assert "A job as another package would bring it" in listed
    assert result_of("count", model_folder, "--out", "n")["items"] == len(model.items)
    assert mfdask("train", "--help").stdout.startswith("Usage: mfdask train [OPTIONS] DATA")
    command = job_command("count", str(model_folder), "--out", str(tmp_path / "m"))
    subprocess.run(command, check=True, cwd=tmp_path)
    assert (tmp_path / "m").read_text() == f"{len(model.items)}\n"


@pytest.mark.usefixtures("registered")
def test_one_that_cannot_be_imported_is_in_nobodys_way(mfdask):
    assert "broken" in mfdask("--help").stdout
    refused(mfdask("broken", "x", "--y"), "tests.no_such_module:main cannot be imported")


@pytest.mark.usefixtures("registered")
def test_by_a_night(result_of, tmp_path):
    (tmp_path / "nightly.toml").write_text(NIGHTS)
    (tmp_path / "home" / "inbox").mkdir(parents=True)
    (part,) = open_synthetic("synthetic:users=60,items=60,ratings=1000", seed=1).parts
    part.read().ratings.to_csv(tmp_path / "home" / "inbox" / "new.csv", index=False)
    line = result_of("nightly")
    assert (line["status"], line["failed_jobs"]) == ("published", [])
    assert (tmp_path / "home" / "tables" / "n").read_text() == f"{line['items']}\n"


def test_nobody_has_registered_it(mfdask):
    with pytest.raises(InputError, match="there is no job 'count'"):
        check_jobs((DownstreamConfig("count"),))
    assert mfdask("count").exit_code == 2


@pytest.mark.usefixtures("registered")
def test_help_lists_every_job_in_the_order_of_work(mfdask):
    told = mfdask("--help").stdout
    ours = [name for name, job in registered_jobs().items() if job.module.startswith("mfdask.")]
    lines = told.partition("Of other packages:")
    assert all(f"\n  {name} " in lines[0] for name in ours)
    assert "\n  count " in lines[2]
    places = [told.index(f"\n  {name} ") for name in ("ingest", "train", "recommend", "nightly")]
    assert places == sorted(places)


def test_help_imports_no_job():
    code = (
        "import sys; from mfdask.jobs.cli import main; "
        "main(['--help'], standalone_mode=False); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"numpy", "pandas", "rich", "numba", "dask", "mfdask.jobs.train"}


def test_train_loads_what_a_fit_needs():
    code = "import sys, mfdask.jobs.train; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "mfdask.models.als" in loaded
    of_others = {"scipy.optimize", "scipy.sparse", "scipy.special", "scipy.stats"}
    assert not loaded & (of_others | {"bokeh", "distributed", "jax", "optax", "sklearn"})


def test_a_job_loads_its_own_module_alone():
    code = (
        "import sys; from mfdask.jobs.cli import main; "
        "main(['ingest', '--help'], standalone_mode=False); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if name.startswith("mfdask.jobs.")}
    own = {
        "bench_common",
        "bench_guard",
        "bench_peers",
        "bench_show",
        "bench_whole",
        "bench_lists",
        "bench_views",
        "ids",
        "lists",
    }  # of one job, and of those that make lists
    shared = {f"mfdask.jobs.{name}" for name in SHARED - {"__init__"} - own}
    assert loaded == shared | {"mfdask.jobs.ingest"}
