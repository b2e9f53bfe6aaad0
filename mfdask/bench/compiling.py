"""Compile times of the kernels, in a fresh process: `python -m mfdask.bench.compiling`.

Both half-steps and the scoring are run on four ratings. What the first run takes beyond the second
is compiling, or loading what an earlier process compiled.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from typing import Any

from mfdask.bench.machine import measure_module


def measure_compiling(n_factors: int) -> dict[str, float]:
    """Return the seconds of compiling without a cache and with a warm one, and of the imports.

    Returns
    -------
    dict
        ``cold``, ``warm``, ``import``.
    """
    with tempfile.TemporaryDirectory() as cache:
        environ = {**os.environ, "NUMBA_CACHE_DIR": cache}
        cold, warm = (
            measure_module("mfdask.bench.compiling", [n_factors], environ).json() for _ in range(2)
        )
    return {"cold": cold["compile"], "warm": warm["compile"], "import": warm["import"]}


def compile_here(n_factors: int) -> dict[str, Any]:
    """Import and run the kernels in this process, which must not have done so before."""
    began = time.perf_counter()
    import numpy as np

    from mfdask.models import ALS
    from mfdask.models.design import initial_rows
    from mfdask.models.half_step import half_step, squared_error
    from mfdask.shards import Shard

    imported = time.perf_counter()
    indptr, indices = np.array([0, 2, 4]), np.array([0, 1, 0, 1], np.int32)
    shard = Shard("users", 0, 0, indptr, indices, np.ones(4, np.float32))
    config = ALS.from_parameters({**ALS.presets["large"], "n_factors": n_factors})
    rule, prior = config.update_config(1.0), config.prior("users")
    rows = initial_rows(2, n_factors, 0.1, 1, "users")

    def run() -> float:
        start = time.perf_counter()
        moved = half_step(shard, rows, rows, rule, prior)
        squared_error(shard, moved.rows, rows, rule.mean_rating)
        return time.perf_counter() - start

    first, second = run(), run()
    return {"import": imported - began, "compile": max(first - second, 0.0)}


if __name__ == "__main__":
    import sys

    print(json.dumps(compile_here(int(sys.argv[1]))))
