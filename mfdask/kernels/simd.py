"""Vectors of float32 for Numba code, of eight lanes: `load`, `splat`, `fma`, `store`, `prefetch`.

LLVM vectorises neither a rank-1 update into an array (it cannot rule out aliasing) nor a small
triangular solve. With a vector type the kernels say themselves what stays in which register, and
still read as ordinary Python. `load_wide`, `splat_wide` and `zero_wide` make vectors of sixteen
lanes. Every offset counts elements of a flat float32 array; nothing here checks bounds, so callers
check their arrays once, before the loops.

A multiply and the add behind it may be fused, but nothing is reordered: results depend on the input
alone. Under ``NUMBA_DISABLE_JIT=1`` the same names are plain NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic, models, register_model

LANES = 8
_WIDE = 16
#: Whether one register of this machine holds a wide vector. No result depends on it.
HAS_WIDE = "+avx512f" in get_host_cpu_features().split(",")

_FLOAT = ir.FloatType()
_INT32 = ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_FUSE = ("contract",)


class FloatVector(types.Type):
    """Numba's name for float32 lanes."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"float32x{lanes}")


float32x8 = FloatVector(LANES)


@register_model(FloatVector)
class _FloatVectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, frontend: FloatVector) -> None:
        super().__init__(manager, frontend, ir.VectorType(_FLOAT, frontend.lanes))


def _address(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset])


def _broadcast(builder: Any, scalar: Any, lanes: int) -> Any:
    nothing = ir.Constant(ir.VectorType(_FLOAT, lanes), ir.Undefined)
    first = builder.insert_element(nothing, scalar, _INT32(0))
    return builder.shuffle_vector(
        first, nothing, ir.Constant(ir.VectorType(_INT32, lanes), [0] * lanes)
    )


def _makers(lanes: int) -> tuple[Any, Any, Any]:
    """Return `zero`, `load` and `splat` of vectors of so many lanes."""
    own, vector = FloatVector(lanes), ir.VectorType(_FLOAT, lanes)

    @intrinsic
    def zero(typing: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return ir.Constant(vector, [0.0] * lanes)

        return own(), generate

    @intrinsic
    def load(typing: Any, array: Any, offset: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            place = _address(context, builder, signature.args[0], *args)
            return builder.load(builder.bitcast(place, vector.as_pointer()), align=4)

        return own(array, types.intp), generate

    @intrinsic
    def splat(typing: Any, array: Any, offset: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            value = builder.load(_address(context, builder, signature.args[0], *args))
            return _broadcast(builder, value, lanes)

        return own(array, types.intp), generate

    return zero, load, splat


_zero, _load, _splat = _makers(LANES)
_zero_wide, _load_wide, _splat_wide = _makers(_WIDE)


@intrinsic
def _store(typing: Any, array: Any, offset: Any, vector: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = _address(context, builder, signature.args[0], *args[:2])
        builder.store(args[2], builder.bitcast(place, _VECTOR.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, float32x8), generate


@intrinsic
def _add_to(typing: Any, array: Any, offset: Any, vector: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = _address(context, builder, signature.args[0], *args[:2])
        place = builder.bitcast(place, args[2].type.as_pointer())
        builder.store(builder.fadd(builder.load(place, align=4), args[2]), place, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic
def _fma(typing: Any, a: Any, b: Any, total: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a, b, total = args
        return builder.fadd(builder.fmul(a, b, flags=_FUSE), total, flags=_FUSE)

    return total(a, b, total), generate


@intrinsic
def _fnma(typing: Any, a: Any, b: Any, total: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a, b, total = args
        return builder.fsub(total, builder.fmul(a, b, flags=_FUSE), flags=_FUSE)

    return float32x8(float32x8, float32x8, float32x8), generate


@intrinsic
def _add(typing: Any, a: Any, b: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(*args)

    return float32x8(float32x8, float32x8), generate


@intrinsic
def _load_apart(typing: Any, array: Any, offset: Any, stride: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = _address(context, builder, signature.args[0], *args[:2])
        vector = ir.Constant(_VECTOR, ir.Undefined)
        for lane in range(LANES):
            step = builder.mul(args[2], ir.Constant(args[2].type, lane))
            value = builder.load(builder.gep(place, [step]))
            vector = builder.insert_element(vector, value, _INT32(lane))
        return vector

    return float32x8(array, types.intp, types.intp), generate


@intrinsic
def _mul(typing: Any, a: Any, b: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fmul(*args)

    return float32x8(float32x8, float32x8), generate


@intrinsic
def _prefetch(typing: Any, array: Any, offset: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, _INT32, _INT32, _INT32])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        place = builder.bitcast(_address(context, builder, signature.args[0], *args), pointer)
        builder.call(fetch, [place, _INT32(0), _INT32(3), _INT32(1)])  # read, keep close, data
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


def _plain_store(array: Any, offset: int, vector: Any) -> None:
    array[offset : offset + LANES] = vector


def _plain_add_to(array: Any, offset: int, vector: Any) -> None:
    array[offset : offset + len(vector)] += vector


def _choose(compiled: Any, plain: Callable[..., Any]) -> Any:
    return plain if config.DISABLE_JIT else compiled


#: ``zero()``: eight zeros.
zero = _choose(_zero, lambda: np.zeros(LANES, np.float32))
#: ``load(array, offset)``: the eight values from `offset` on.
load = _choose(_load, lambda array, offset: array[offset : offset + LANES].copy())
#: ``store(array, offset, vector)``: put them there.
store = _choose(_store, _plain_store)
#: ``add_to(array, offset, vector)``: add them to what is there.
add_to = _choose(_add_to, _plain_add_to)
#: ``splat(array, offset)``: one value, eight times.
splat = _choose(_splat, lambda array, offset: np.full(LANES, array[offset], np.float32))
#: ``zero_wide()``, ``load_wide(array, offset)``, ``splat_wide(array, offset)``: of sixteen lanes.
zero_wide = _choose(_zero_wide, lambda: np.zeros(_WIDE, np.float32))
load_wide = _choose(_load_wide, lambda array, offset: array[offset : offset + _WIDE].copy())
splat_wide = _choose(_splat_wide, lambda array, offset: np.full(_WIDE, array[offset], np.float32))
#: ``fma(a, b, total)``: ``a * b + total``.
fma = _choose(_fma, lambda a, b, total: a * b + total)
#: ``fnma(a, b, total)``: ``total - a * b``.
fnma = _choose(_fnma, lambda a, b, total: total - a * b)
#: ``mul(a, b)``: ``a * b``.
mul = _choose(_mul, lambda a, b: a * b)
#: ``add(a, b)``: ``a + b``.
add = _choose(_add, lambda a, b: a + b)
#: ``load_apart(array, offset, stride)``: eight values, `stride` apart, from `offset` on.
load_apart = _choose(
    _load_apart,
    lambda array, offset, stride: array[offset : offset + (LANES - 1) * stride + 1 : stride].copy(),
)
#: ``prefetch(array, offset)``: ask for that cache line, wait for nothing.
prefetch = _choose(_prefetch, lambda array, offset: None)
