"""Clip eight lanes to the rating scale, and store them as float32 or as bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from mfdask.kernels.simd import LANES, float32x8

_INT8s = ir.VectorType(ir.IntType(8), LANES)
_INT32s = ir.VectorType(ir.IntType(32), LANES)


@intrinsic
def _clip(typing: Any, values: Any, low: Any, high: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values, low, high = args
        values = builder.select(builder.fcmp_ordered(">", values, low), values, low)
        return builder.select(builder.fcmp_ordered("<", values, high), values, high)

    return float32x8(float32x8, float32x8, float32x8), generate


@intrinsic
def _keep(typing: Any, array: Any, offset: Any, values: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array, offset, values = args
        if signature.args[0].dtype == types.uint8:
            values = builder.trunc(builder.fptosi(values, _INT32s), _INT8s)
        data = context.make_array(signature.args[0])(context, builder, array).data
        place = builder.bitcast(builder.gep(data, [offset]), values.type.as_pointer())
        builder.store(values, place, align=1)
        return context.get_dummy_value()

    return types.void(array, types.intp, float32x8), generate


def _plain_clip(values: Any, low: Any, high: Any) -> Any:
    return np.minimum(np.maximum(values, low), high)


def _plain_keep(array: Any, offset: int, values: Any) -> None:
    array[offset : offset + LANES] = values


#: ``clip(values, low, high)``: each value, no lower and no higher than its limits.
clip = _plain_clip if config.DISABLE_JIT else _clip
#: ``keep(array, offset, values)``: put eight values in a flat float32 or uint8 array; as bytes they
#: lose what is behind the point, and must lie from 0 to below 256.
keep = _plain_keep if config.DISABLE_JIT else _keep
