"""Comparison of eight lanes with a limit, as a bit mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from mfdask.kernels.simd import LANES, float32x8


@intrinsic
def _reaching(typing: Any, values: Any, limits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = builder.fcmp_ordered(">=", *args)
        return builder.zext(builder.bitcast(lanes, ir.IntType(LANES)), ir.IntType(64))

    return types.int64(float32x8, float32x8), generate


def _plain_reaching(values: Any, limits: Any) -> int:
    return int(np.packbits(values >= limits, bitorder="little")[0])


#: ``reaching(values, limits)``: a number whose bit `i` is set where ``values[i] >= limits[i]``.
reaching = _plain_reaching if config.DISABLE_JIT else _reaching
