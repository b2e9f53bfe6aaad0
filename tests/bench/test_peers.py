"""Peers are run in environments of their own, and named where they are not there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from mfdask.bench import peer_runner, peers
from mfdask.bench.machine import FailedRunError
from mfdask.bench.peer_runner import EPOCHS, Fitted
from mfdask.bench.peers import (
    ENVIRONMENTS,
    PEERS,
    make_environments,
    measure_peer,
    missing_peer,
    peer_rmse,
    peer_vectors,
)
from mfdask.bench.quality import peer_learner, quality_after
from mfdask.jobs.cli import main
from mfdask.shards import Dataset

LIBRARIES = {
    "cmfrec": """
import numpy as np
class CMF:
    def __init__(self, **options):
        self.epochs = options["niter"]
        assert options["k"] == 4 and options["use_cg"] is False
    def fit(self, ratings):
        assert ratings.shape[0] > 0 and ratings.nnz > 0
        return self
    def predict(self, users, items):
        return np.full(len(users), 3.0)
""",
    "implicit/__init__": "",
    "implicit/cpu/__init__": "",
    "implicit/cpu/als": """
import numpy as np
class AlternatingLeastSquares:
    def __init__(self, factors, iterations, num_threads, use_cg):
        self.factors, self.iterations = factors, iterations
    def fit(self, observed, show_progress):
        self.user_factors = np.ones((observed.shape[0], self.factors), np.float32)
        rows = np.arange(observed.shape[1], dtype=np.float32)
        self.item_factors = np.outer(rows, np.ones(self.factors, np.float32)) * self.iterations
""",
}


@pytest.fixture
def environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of environments whose libraries are made up, and whose lenskit is broken."""
    monkeypatch.setenv(peers.FOLDER_VARIABLE, str(tmp_path))
    library = tmp_path / "library"
    for name, text in LIBRARIES.items():
        file = library / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for name in ("cmfrec", "implicit"):
        facts = library / f"{name}-9.9.dist-info" / "METADATA"
        facts.parent.mkdir()
        facts.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.9\n")
    start = tmp_path / "start.py"
    start.write_text(
        "import runpy, sys\n"
        f"sys.path.insert(0, {str(library)!r})\n"
        "sys.modules['mfdask'] = None\n"  # it is not there
        "assert sys.argv[1] == '-I'\n"
        "sys.argv = sys.argv[2:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    for name in ("cmfrec", "implicit", "lenskit"):
        python = tmp_path / name / "bin" / "python"
        python.parent.mkdir(parents=True)
        ends = "echo 'it is broken' >&2; exit 3" if name == "lenskit" else ""
        python.write_text(f'#!/bin/sh\n{ends}\nexec "{sys.executable}" "{start}" "$@"\n')
        python.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_that_is_not_there_names_the_command(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(peers.FOLDER_VARIABLE, str(tmp_path))
    assert missing_peer(name) == (
        f"no environment in {tmp_path}: make it with `mfdask bench peers --setup`"
    )
    assert PEERS[name].environment in ENVIRONMENTS
    assert name in peer_runner.PREPARE


def test_spark_without_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(peers.FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / "spark" / "bin").mkdir(parents=True)
    (tmp_path / "spark" / "bin" / "python").touch()
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "Java" in str(missing_peer("spark"))
    monkeypatch.setenv("JAVA_HOME", "/java")
    assert missing_peer("spark") is None


def test_a_peer_is_run_by_its_own_python(environments: Path, small: Dataset) -> None:
    assert small.path is not None
    assert missing_peer("cmfrec") is None
    said = measure_peer("cmfrec", small.path, n_factors=4, threads=1)
    assert said["version"] == "9.9"
    assert said["method"] == PEERS["cmfrec"].method
    assert said["peak_bytes"] > 0
    stars = np.concatenate(
        [small.shard("users", b, "test").ratings for b in range(small.n_blocks("users"))]
    )
    assert len(stars) == small.n_test > 0
    rmse = peer_rmse("cmfrec", small.path, 4, 1, epochs=2)
    assert rmse == pytest.approx(np.sqrt(np.mean((stars - 3.0) ** 2)))


def test_vectors_of_a_peer_come_from_its_process(environments: Path, small: Dataset) -> None:
    assert small.path is not None
    users, items = peer_vectors("implicit_cg", small.path, 2, 1, epochs=3)
    assert users.tolist() == [[1.0, 1.0]] * small.n_users
    assert items.tolist() == [[3.0 * item] * 2 for item in range(small.n_items)]
    assert peer_rmse("implicit_cg", small.path, 2, 1, epochs=1) is None  # it has no stars
    learner = peer_learner("implicit_cg", 0.5, small, 2, 1)
    assert learner.learn(1)(np.array([3])).tolist() == [[2.0 * i for i in range(small.n_items)]]
    found = quality_after(2.0, {"made": learner}, small)
    assert [one["sweeps"]["made"] for one in found] == [1, 2, 4]
    assert quality_after(0.0, {"made": learner}, small) == []


def test_a_peer_that_fails_says_why(environments: Path, small: Dataset) -> None:
    assert small.path is not None
    with pytest.raises(FailedRunError, match="ended with code 3: it is broken"):
        measure_peer("lenskit", small.path, 4, 1)


def test_an_epoch_is_the_difference_of_two_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, fits = [0.0], []

    def fit(epochs: int) -> Fitted:
        fits.append(epochs)
        clock[0] += 100 + 7 * epochs
        return Fitted()

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    assert peer_runner.time_epoch(fit) == 7
    assert fits == [EPOCHS[0], *EPOCHS]


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let an environment be a Python that takes what pip is given, but for one package."""

    def refuse(package: str) -> None:
        def create(place: Path, with_pip: bool) -> None:
            python = place / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.write_text(
                f'#!/bin/sh\necho "$@" > {place}/asked\n'
                f'case "$*" in *{package}*) echo "no such version" >&2; exit 1;; esac\n'
            )
            python.chmod(0o755)

        monkeypatch.setattr("venv.create", create)

    return refuse


def test_environments_are_made(tmp_path: Path, pip: Callable[[str], None]) -> None:
    pip("nothing-at-all")
    assert make_environments(tmp_path) == dict.fromkeys(ENVIRONMENTS)
    for name, requirements in ENVIRONMENTS.items():
        words = (tmp_path / name / "asked").read_text().split()
        assert words == ["-m", "pip", "install", "--quiet", *requirements]
        assert "==" in requirements[0]


def test_setup_tells_what_could_not_be_made(tmp_path: Path, pip: Callable[[str], None]) -> None:
    pip("implicit")
    done = CliRunner().invoke(main, ["bench", "peers", "--setup", "--into", str(tmp_path)])
    assert done.exit_code == 3
    assert "not made: implicit: no such version" in done.stderr
    assert not (tmp_path / "implicit").exists()
    assert (tmp_path / "cmfrec").exists()


def test_the_state_of_peers(environments: Path) -> None:
    done = CliRunner().invoke(main, ["bench", "peers", "--json"])
    assert done.exit_code == 0, done.output
    states = json.loads(done.stdout)["peers"]
    assert states["cmfrec"] is None
    assert "--setup" in states["spark"]
    wrong = CliRunner().invoke(main, ["bench", "peers", "--into", str(environments)])
    assert wrong.exit_code == 2
