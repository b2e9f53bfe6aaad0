"""Other libraries on the same ratings, each in an environment of its own.

Their requirements exclude each other's and mfdask's, so `make_environments` gives each a virtual
environment. It is timed in a process of that environment's Python, which reads .npy files and runs
`mfdask.bench.peer_runner` by its path. An epoch is the seconds of a longer fit less those of a
shorter one, for each epoch between them: what a fit does once drops out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mfdask.bench.kernel import whole_side
from mfdask.bench.machine import FailedRunError, blas_environ, measure_command
from mfdask.kernels.types import Float32s
from mfdask.models import ALS
from mfdask.progress import Progress, silent
from mfdask.shards import SIDES, Dataset

#: For what still runs in this process's environment: the script of `bench whole`, and top-k lists.
INSTALL = "pip install 'mfdask[peers]'"
#: Names a folder of environments, in place of that in the user's cache.
FOLDER_VARIABLE = "MFDASK_PEERS"
_RUNNER = Path(__file__).with_name("peer_runner.py")


@dataclass(frozen=True)
class Peer:
    """A method of another library.

    Attributes
    ----------
    environment : str
        One of `ENVIRONMENTS`.
    method : str
        For people.
    """

    environment: str
    method: str


#: What is installed into the environment of each library: versions that work with Python 3.11.
ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "cmfrec": ("cmfrec==3.5.1.post13", "numpy", "scipy", "threadpoolctl"),
    "implicit": ("implicit==0.7.3", "numpy", "scipy"),
    "lenskit": ("lenskit==2025.8.1", "numpy", "pandas"),
    "spark": ("pyspark==3.5.8", "numpy", "pyarrow", "setuptools"),
}
PEERS = {
    "cmfrec": Peer("cmfrec", "CMF, Cholesky (use_cg=False), float32"),
    "lenskit": Peer("lenskit", "BiasedMFScorer (ALS)"),
    "spark": Peer("spark", "MLlib ALS, local"),
    "implicit_exact": Peer("implicit", "AlternatingLeastSquares, Cholesky (use_cg=False)"),
    "implicit_cg": Peer("implicit", "AlternatingLeastSquares, conjugate gradient"),
    "implicit_bpr": Peer("implicit", "BayesianPersonalizedRanking"),
}
#: Those that learn preferences; and all that `bench sweep` runs, those that learn ratings first.
PREFERENCE_PEERS = ("implicit_exact", "implicit_cg")
SWEEP_PEERS = ("cmfrec", "lenskit", "spark", *PREFERENCE_PEERS)


def peers_folder() -> Path:
    """Return where the environments are: what `FOLDER_VARIABLE` names, or in the user's cache."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get(FOLDER_VARIABLE) or caches / "mfdask" / "peers")


def make_environments(folder: Path, progress: Progress = silent) -> dict[str, str | None]:
    """Make the environment of each library anew, with pip. What cannot be made is taken away.

    Returns
    -------
    dict of str to str or None
        For each of `ENVIRONMENTS`, None, or why it could not be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made: dict[str, str | None] = {}
    for place, (name, requirements) in enumerate(ENVIRONMENTS.items()):
        progress("environments", place, len(ENVIRONMENTS), name)
        made[name] = _make_environment(folder / name, requirements)
    progress("environments", len(ENVIRONMENTS), len(ENVIRONMENTS))
    return made


def _make_environment(place: Path, requirements: tuple[str, ...]) -> str | None:
    shutil.rmtree(place, ignore_errors=True)
    try:
        venv.create(place, with_pip=True)
        pip = [str(_python(place)), "-m", "pip", "install", "--quiet", *requirements]
        subprocess.run(pip, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        shutil.rmtree(place, ignore_errors=True)
        said = getattr(error, "stderr", None) or str(error)
        return str(said).strip().splitlines()[-1]
    return None


def _python(place: Path) -> Path:
    return place / "bin" / "python"


def missing_peer(name: str) -> str | None:
    """Return why a peer cannot be run, and what to do; None if it can."""
    environment = PEERS[name].environment
    if not _python(peers_folder() / environment).exists():
        return f"no environment in {peers_folder()}: make it with `mfdask bench peers --setup`"
    if environment == "spark" and not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        return "Spark needs Java 17, and there is no `java` on the path"
    return None


def measure_peer(name: str, data: Path, n_factors: int, threads: int) -> dict[str, Any]:
    """Return ``version``, ``method``, ``seconds`` of an epoch, and ``peak_bytes`` at most.

    Raises
    ------
    FailedRunError
        If the peer fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        return _run(name, data, n_factors, threads, None, Path(folder))


def peer_rmse(name: str, data: Path, n_factors: int, threads: int, epochs: int) -> float | None:
    """Return the test RMSE that a peer has after so many epochs; None if it predicts no stars.

    Raises
    ------
    FailedRunError
        If the peer fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        rmse: float | None = _run(name, data, n_factors, threads, epochs, Path(folder))["rmse"]
        return rmse


def peer_vectors(
    name: str, data: Path, n_factors: int, threads: int, epochs: int
) -> tuple[Float32s, Float32s]:
    """Return the vectors of users and of items that a peer has after so many epochs.

    Raises
    ------
    FailedRunError
        If the peer fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        _run(name, data, n_factors, threads, epochs, Path(folder))
        users, items = (np.load(Path(folder) / f"{side}.npy") for side in SIDES)
    return users, items


def _run(
    name: str, data: Path, n_factors: int, threads: int, epochs: int | None, folder: Path
) -> dict[str, Any]:
    """Write what the runner reads into a folder, run it, and return what it says."""
    dataset = Dataset.open(data)
    _write_ratings(dataset, folder)
    # What multiplies the squared factors where squared errors count once.
    weight = ALS.presets["large"]["factor_reg"] / ALS.fidelity
    job = {"peer": name, "items": dataset.n_items, "factors": n_factors, "threads": threads}
    words = json.dumps(job | {"weight": weight, "epochs": epochs})
    (folder / "job.json").write_text(words, encoding="utf-8")
    environ = {**blas_environ(threads=1), "OMP_NUM_THREADS": str(threads)}
    environ |= {"LK_NUM_THREADS": str(threads), "LK_NUM_BACKEND_THREADS": "1"}
    python = _python(peers_folder() / PEERS[name].environment)
    # Spark starts Python by its name.
    environ |= {"PYSPARK_PYTHON": str(python), "PYSPARK_DRIVER_PYTHON": str(python)}
    run = measure_command([python, "-I", _RUNNER, folder], environ)
    try:
        said = run.json()
    except (ValueError, IndexError) as error:
        raise FailedRunError(f"`{run.command}` did not end with a line of JSON") from error
    return said | {"method": PEERS[name].method, "peak_bytes": run.peak_bytes}


def _write_ratings(data: Dataset, folder: Path) -> None:
    """Write the training ratings by user, and the test ratings one by one, as .npy files."""
    train = whole_side(data, "users")
    blocks = range(data.n_blocks("users") if data.n_test else 0)
    test = [data.shard("users", block, "test") for block in blocks]
    users = [np.repeat(np.arange(s.start, s.stop, dtype=np.int32), np.diff(s.indptr)) for s in test]
    arrays = {
        "indptr": train.indptr,
        "indices": train.indices,
        "ratings": train.ratings,
        "test_users": np.concatenate([np.empty(0, np.int32), *users]),
        "test_items": np.concatenate([np.empty(0, np.int32), *(s.indices for s in test)]),
        "test_ratings": np.concatenate([np.empty(0, np.float32), *(s.ratings for s in test)]),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
