"""Warms up and runs jobs, as a script in a process of its own.

Prints a JSON list of what the jobs made Numba compile, or load, that the warmup had not.
"""

from __future__ import annotations

import json
import sys

from click.testing import CliRunner
from numba.core.dispatcher import Dispatcher

from mfdask.jobs.cli import main

_TRAIN = ("train", "d", "--sweeps", "3")
JOBS = [
    ("ingest", "old", "--out", "d"),
    ("ingest", "new", "--into", "d"),
    ("ingest", "gone", "--into", "d", "--withdraw"),
    *(("ingest", "old", "--out", "o", "--overwrite", "--split", split)
      for split in ("time:0.2", "user-time:0.2", "cold-items:0.2", "none")),
    ("ingest", "synthetic:users=50,items=40,ratings=900", "--out", "s"),
    (*_TRAIN, "--out", "als", "--factors", "9"),
    (*_TRAIN, "--out", "als2", "--factors", "9", "--start", "als", "--update", "alternating"),
    (*_TRAIN, "--out", "bias", "--model", "bias"),
    (*_TRAIN, "--out", "genre", "--model", "genre"),
    ("train", "d", "--out", "bayes", "--model", "bayes", "--sweeps", "6", "--burn-in", "2"),
    (*_TRAIN, "--out", "rated", "--user-prior", "rated", "--item-prior", "genre+rated"),
    (*_TRAIN, "--out", "bpr", "--model", "bpr"),
    *(("evaluate", model, "d", "--ranking") for model in ("als", "bias", "genre", "bayes")),
    ("compare", "als", "genre", "d", "--resamples", "10"),
    ("recommend", "als", "--data", "d", "--user", "3", "--min-ratings", "0"),
    ("recommend", "als", "--data", "d", "--user", "3", "--min-ratings", "0", "--variety", "0.3"),
    ("recommend", "bayes", "--rated", "3=5", "--min-ratings", "0"),
    ("report", "--data", "d", "--model", "als", "--model", "genre", "--out", "r.html"),
]  # fmt: skip


def signatures() -> set[str]:
    """Return what each kernel can be called with by now."""
    modules = [module for name, module in sys.modules.items() if name.startswith("mfdask.kernels.")]
    return {
        f"{kernel.__module__}.{kernel.__name__}{signature}"
        for module in modules
        for kernel in vars(module).values()
        if isinstance(kernel, Dispatcher)
        for signature in kernel.overloads
    }


def run(*job: str) -> None:
    """Run a job, and end where it fails."""
    done = CliRunner().invoke(main, job)
    if done.exit_code:
        sys.exit(f"{job}: {done.output}")


if __name__ == "__main__":
    run("warmup")
    before = signatures()
    for job in JOBS:
        run(*job)
    print(json.dumps(sorted(signatures() - before)))
