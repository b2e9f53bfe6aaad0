"""Compiling is timed in fresh processes."""

from __future__ import annotations

import numba
import pytest

from mfdask.bench.compiling import compile_here, measure_compiling


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="compiling is switched off: NUMBA_DISABLE_JIT")
def test_a_cache_saves_most_of_it() -> None:
    taken = measure_compiling(n_factors=2)
    assert taken.keys() == {"cold", "warm", "import"}
    assert 0 < taken["warm"] < taken["cold"]
    assert taken["import"] > 0


def test_what_the_process_runs() -> None:
    said = compile_here(n_factors=2)
    assert said.keys() == {"import", "compile"}
    assert said["compile"] >= 0
