"""The source archive, the wheel made of it, and the wheel at work in somebody's folder."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import urllib.request
import venv
import zipfile
from pathlib import Path

import pandas as pd
import pytest

import mfdask
from mfdask.job_registry import registered_jobs
from mfdask.ratings.synthetic import open_synthetic
from tests.consoles import check, text_of

ROOT = Path(__file__).parents[1]
#: The pages of the tutorial, the second of which goes on where the first ends.
TUTORIAL = ("tutorial.md", "tutorial_nights.md")
#: What a source archive is made of.
FOLDERS = ("docs", "jobs", "mfdask", "tests")
SINGLE = [
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "MANIFEST.in", "Makefile"),
    *("constraints.txt", "pyproject.toml", "setup.py"),
    *("CITATION.cff", "SECURITY.md", "Dockerfile", "compose.yaml", ".dockerignore"),
]

NIGHTS = """
home = "home"
[inbox]
settle_seconds = 0
[training]
factors = 2
sweeps = 3
[gate]
tolerance = 1.0
surprise = 10.0
[cluster]
threads = 1
dashboard_address = "127.0.0.1:0"
[[downstream]]
job = "recommend"
arguments = [
    "{model}", "--data", "{data}", "--out", "{tables}/top", "--top", "3", "--min-ratings", "0",
    "--threads", "1", "--dashboard-address", "127.0.0.1:0",
]
"""


def build(kind, source, out):
    """Build ``sdist`` or ``wheel`` with what is installed here: there may be no network."""
    code = f"from setuptools.build_meta import build_{kind} as b; import sys; b(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(out)], cwd=source, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (made,) = out.glob("*.tar.gz" if kind == "sdist" else "*.whl")
    return made


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    source = tmp_path_factory.mktemp("source") / "mfdask"
    for folder in FOLDERS:
        shutil.copytree(
            ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    for file in SINGLE:
        shutil.copy(ROOT / file, source)
    return build("sdist", source, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(archive, tmp_path_factory):
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as tar:
        tar.extractall(unpacked, filter="data")
    (source,) = unpacked.iterdir()
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


def files_below(*folders):
    return {
        file.relative_to(ROOT)
        for folder in folders
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


def test_what_the_archive_holds(archive):
    with tarfile.open(archive) as tar:
        names = {Path(*Path(member.name).parts[1:]) for member in tar if member.isfile()}
    assert files_below(*FOLDERS) | set(map(Path, SINGLE)) <= names


def test_what_the_wheel_holds(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = set(map(Path, file.namelist()))
        (metadata,) = (name for name in names if name.name == "METADATA")
        text = file.read(str(metadata)).decode()
    assert {name.parts[0] for name in names} == {"mfdask", metadata.parts[0]}
    assert files_below("mfdask") <= names
    jobs = {Path("mfdask/jobs", *name.parts[1:]) for name in files_below("jobs")}
    assert jobs <= names
    assert len([name for name in names if name.parts[0] == "mfdask"]) == len(
        jobs | files_below("mfdask")
    )
    assert "Requires-Python: >=3.11\n" in text
    assert "](docs/" not in text  # an index has nothing behind such a link
    checked = subprocess.run(
        [sys.executable, "-P", "-m", "check_wheel_contents", str(wheel)],
        capture_output=True,
        text=True,
        cwd=wheel.parent,
    )
    assert checked.returncode == 0, checked.stdout


@pytest.fixture(scope="module")
def scripts(wheel, tmp_path_factory):
    """Return the scripts of a fresh environment that has the wheel, and what it needs from here."""
    home = tmp_path_factory.mktemp("machine") / "venv"
    venv.create(home, symlinks=True)
    (site,) = home.glob("lib/python*/site-packages")
    (site / "needs.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    pip = [sys.executable, "-m", "pip", "--python", str(home), "install", "--quiet"]
    subprocess.run([*pip, "--no-index", "--no-deps", str(wheel)], check=True, cwd=home)
    return home / "bin"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder of somebody who has a package `jobs` of their own."""
    home = tmp_path_factory.mktemp("somebody")
    (home / "jobs").mkdir()
    for name in ("__init__", "recommend", "nightly", "common"):
        (home / "jobs" / f"{name}.py").write_text("raise SystemExit('not this one')\n")
    return home


@pytest.fixture
def run(folder):
    """Return what runs a command there with the installed wheel."""

    def run(command, **options):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_it_works_beside_a_package_of_the_same_name(run, folder, scripts):
    python = str(scripts / "python")
    mfdask = [python, "-m", "mfdask"]
    place = run([python, "-c", "import mfdask.jobs; print(mfdask.jobs.__file__)"])
    assert place.strip().startswith(str(scripts.parent / "lib"))
    run([str(scripts / "mfdask"), "--version"])

    run([*mfdask, "ingest", "synthetic:users=60,items=60,ratings=1500", "--out", "d"])
    small = ["--factors", "2", "--sweeps", "2", "--threads", "1"]
    run([*mfdask, "train", "d", "--out", "m", *small, "--dashboard-address", "127.0.0.1:0"])

    ratings = pd.concat(
        [
            part.read().ratings
            for part in open_synthetic("synthetic:users=60,items=60,ratings=1500", seed=1).parts
        ]
    )
    (folder / "nightly.toml").write_text(NIGHTS)
    (folder / "home" / "inbox").mkdir(parents=True)
    ratings[:1000].to_csv(folder / "home" / "inbox" / "first.csv", index=False)
    run([*mfdask, "nightly"])
    top = folder / "home" / "tables" / "top"
    before = pd.read_parquet(top)
    assert set(before["rank"]) == {1, 2, 3}

    ratings[1000:].to_csv(folder / "home" / "inbox" / "second.csv", index=False)
    printed = run([*mfdask, "schedule", "--at", "02:30"])
    (line,) = (line for line in printed.splitlines() if line.startswith("30 2 * * * "))
    run(["sh", "-c", line.removeprefix("30 2 * * * ")])
    assert "second.csv" in (folder / "home" / "runs.jsonl").read_text()
    assert not pd.read_parquet(top).equals(before)


def test_a_first_configuration_is_in_it(run, folder, scripts):
    run([str(scripts / "mfdask"), "nightly", "--init", "new"])
    assert (folder / "new" / "nightly.toml").read_text() == (
        ROOT / "mfdask" / "nightly" / "nightly.toml"
    ).read_text()
    assert (folder / "new" / "nightly" / "inbox").is_dir()


def test_start_from_the_wheel(scripts, tmp_path):
    source = open_synthetic("synthetic:users=300,items=40,ratings=6000", seed=1)
    ratings = pd.concat([part.read().ratings for part in source.parts])
    ratings.to_csv(tmp_path / "ratings.csv", index=False)
    assert check(text_of("start.md"), tmp_path, scripts) > 4


@pytest.mark.movielens
def test_the_tutorial_from_the_wheel(scripts, movielens_zip, tmp_path):
    downloads = tmp_path / "data" / "downloads"
    downloads.mkdir(parents=True)
    shutil.copy(movielens_zip, downloads)
    commands = sum(check(text_of(page), tmp_path, scripts) for page in TUTORIAL)
    assert commands > 15
    (served,) = re.findall(r"^mfdask (app .*)$", text_of(TUTORIAL[1]), re.MULTILINE)
    with subprocess.Popen(
        [str(scripts / "mfdask"), *served.split(), "--port", "0"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    ) as app:
        assert app.stderr is not None
        url = next(found[0] for line in app.stderr if (found := re.search(r"http://\S+", line)))
        with urllib.request.urlopen(url) as answer:
            assert answer.status == 200
        app.send_signal(signal.SIGINT)
        app.stderr.read()
    assert app.returncode == 0


def parsed(file):
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))


def test_the_version_is_the_same_everywhere():
    assert parsed("CITATION.cff")["version"] == mfdask.__version__
    images = {service["image"] for service in parsed("compose.yaml")["services"].values()}
    assert images == {f"mfdask:{mfdask.__version__}"}


def test_containers_fetch_nothing_and_start_what_there_is():
    """No engine runs here: the files are parsed, and their commands compared with what there is."""
    services = parsed("compose.yaml")["services"]
    assert set(services) == {"scheduler", "worker", "app", "job"}
    assert all(service["pull_policy"] == "never" for service in services.values())
    assert services["worker"]["deploy"]["replicas"] == 2
    assert "solver=1" in services["worker"]["command"]
    job, *words = services["app"]["command"]
    options = {
        word for parameter in registered_jobs()[job].load().params for word in parameter.opts
    }
    assert {word for word in words if word.startswith("--")} <= options
    for service in services.values():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:")  # neither page has accounts
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "RUN mfdask warmup" in image
    assert "USER 1000" in image


def test_workflows_call_the_commands_of_the_makefile():
    jobs = parsed(".github/workflows/test.yml")["jobs"]
    targets = (ROOT / "Makefile").read_text(encoding="utf-8")
    for job in jobs.values():
        (made,) = (step["run"] for step in job["steps"] if "run" in step)
        assert re.search(rf"^{made.removeprefix('make ')}:", targets, re.MULTILINE)
    matrix = jobs["test"]["strategy"]["matrix"]["python"]
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert matrix == re.findall(r'"Programming Language :: Python :: ([\d.]+)"', text)
