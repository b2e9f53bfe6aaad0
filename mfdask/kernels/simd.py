"""Vectors of float32 for Numba code, of eight lanes: `load`, `splat`, `fma`, `store`, `prefetch`.

`add_outer` works on whole blocks of them, such as `zeros_4x24`, with lanes as the machine has them.

LLVM vectorises neither a rank-1 update into an array (it cannot rule out aliasing) nor a small
triangular solve. With a vector type the kernels say themselves what stays in which register, and
still read as ordinary Python. Every offset counts elements of a flat float32 array; nothing here
checks bounds, so callers check their arrays once, before the loops.

A multiply and the add behind it may be fused, but nothing is reordered: results depend on the input
alone. Under ``NUMBA_DISABLE_JIT=1`` the same names are plain NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic, models, register_model

LANES = 8
#: Whether a register of this machine holds sixteen lanes. No result depends on it.
HAS_WIDE = "+avx512f" in get_host_cpu_features().split(",")
#: Systems that are solved at once, one a lane of a *wide* vector: of a whole register.
SYSTEMS = 16 if HAS_WIDE else LANES

_FLOAT = ir.FloatType()
_INT32 = ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_HALVES, _WORDS = (ir.VectorType(ir.IntType(bits), LANES) for bits in (16, 32))
_FUSE = ("contract",)


class FloatVector(types.Type):
    """Numba's name for float32 lanes."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"float32x{lanes}")


float32x8, wide = FloatVector(LANES), FloatVector(SYSTEMS)


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


class _Piece(NamedTuple):
    """What one vector of a block holds: values of one row, or in turn of two."""

    row: int
    height: int
    first: int
    width: int

    @property
    def lanes(self) -> int:
        return self.height * self.width

    def column(self, builder: Any, values: Any) -> Any:
        """Return the values of its rows, in turn."""
        return self._shuffled(builder, values, [n % self.height for n in range(self.lanes)])

    def line(self, builder: Any, values: Any) -> Any:
        """Return the values of its columns, each as often as there are rows."""
        return self._shuffled(builder, values, [n // self.height for n in range(self.lanes)])

    def part(self, builder: Any, values: Any, row: int) -> Any:
        """Return its own values of one of its rows."""
        return self._shuffled(builder, values, [n * self.height + row for n in range(self.width)])

    def _shuffled(self, builder: Any, values: Any, places: list[int]) -> Any:
        if places == list(range(values.type.count)):
            return values
        mask = ir.Constant(ir.VectorType(_INT32, len(places)), places)
        return builder.shuffle_vector(values, ir.Constant(values.type, ir.Undefined), mask)


class RegisterBlock(types.Type):
    """Numba's name for rows of values that stay in registers.

    Each row is cut into pieces of the same widths. A register of sixteen lanes holds those of eight
    columns of two rows.
    """

    def __init__(self, rows: int, widths: tuple[int, ...]) -> None:
        self.rows, self.widths = rows, widths
        self.llvm = ir.LiteralStructType([ir.VectorType(_FLOAT, p.lanes) for p in self.pieces()])
        super().__init__(name=f"float32x{rows}x{widths}")

    def pieces(self) -> list[_Piece]:
        """Return what each vector holds."""
        each = list(zip(accumulate((0, *self.widths)), self.widths, strict=False))
        return [
            _Piece(row, height, first, width)
            for first, width in each
            for height in [2 if HAS_WIDE and width == LANES and self.rows % 2 == 0 else 1]
            for row in range(0, self.rows, height)
        ]


@register_model(RegisterBlock)
class _RegisterBlockModel(models.PrimitiveModel):
    def __init__(self, manager: Any, frontend: RegisterBlock) -> None:
        super().__init__(manager, frontend, frontend.llvm)


def _choose(compiled: Any, plain: Callable[..., Any]) -> Any:
    return plain if config.DISABLE_JIT else compiled


def _zeros(rows: int, *widths: int) -> Any:
    """Return the function that makes a block of so many rows of zeros."""
    block = RegisterBlock(rows, widths)

    @intrinsic
    def zeros(typing: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return ir.Constant(block.llvm, None)

        return block(), generate

    return _choose(zeros, lambda: np.zeros((rows, sum(widths)), np.float32))


def _load_at(builder: Any, start: Any, offset: Any, lanes: int) -> Any:
    pointer = ir.VectorType(_FLOAT, lanes).as_pointer()
    return builder.load(builder.bitcast(builder.gep(start, [offset]), pointer), align=4)


@intrinsic
def _add_outer(typing: Any, array: Any, left: Any, right: Any, sums: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array_type, _, _, block = signature.args
        array, left, right, sums = args
        column = _address(context, builder, array_type, array, left)
        line = _address(context, builder, array_type, array, right)
        for number, piece in enumerate(block.pieces()):
            values = _load_at(builder, column, _INT32(piece.row), piece.height)
            others = _load_at(builder, line, _INT32(piece.first), piece.width)
            factors = piece.column(builder, values), piece.line(builder, others)
            product = builder.fmul(*factors, flags=_FUSE)
            total = builder.fadd(product, builder.extract_value(sums, number), flags=_FUSE)
            sums = builder.insert_value(sums, total, number)
        return sums

    return sums(array, types.intp, types.intp, sums), generate


@intrinsic
def _add_rows(typing: Any, array: Any, source: Any, target: Any, stride: Any, sums: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array, source, target, stride, sums = args
        starts = [_address(context, builder, signature.args[0], array, p) for p in (source, target)]
        for number, piece in enumerate(signature.args[4].pieces()):
            values = builder.extract_value(sums, number)
            pointer = ir.VectorType(_FLOAT, piece.width).as_pointer()
            for row in range(piece.height):
                step = builder.mul(stride, stride.type(piece.row + row))
                step = builder.add(step, stride.type(piece.first))
                before, after = (
                    builder.bitcast(builder.gep(start, [step]), pointer) for start in starts
                )
                own = piece.part(builder, values, row)
                builder.store(builder.fadd(builder.load(before, align=4), own), after, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, types.intp, sums), generate


@intrinsic
def _zero(typing: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(_VECTOR, [0.0] * LANES)

    return float32x8(), generate


def _loads(vector: FloatVector) -> Any:
    """Return the function that loads such vectors."""

    @intrinsic
    def load(typing: Any, array: Any, offset: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            place = _address(context, builder, signature.args[0], *args)
            if signature.args[0].dtype != types.uint16:
                pointer = ir.VectorType(_FLOAT, vector.lanes).as_pointer()
                return builder.load(builder.bitcast(place, pointer), align=4)
            halves = builder.load(builder.bitcast(place, _HALVES.as_pointer()), align=2)
            whole = builder.shl(builder.zext(halves, _WORDS), ir.Constant(_WORDS, [16] * LANES))
            return builder.bitcast(whole, _VECTOR)

        return vector(array, types.intp), generate

    def plain(array: Any, offset: int) -> Any:
        own = array[offset : offset + vector.lanes]
        if own.dtype == np.uint16:
            return (own.astype(np.uint32) << 16).view(np.float32)
        return own.copy()

    return _choose(load, plain)


def _splats(vector: FloatVector) -> Any:
    """Return the function that fills such vectors with a value of an array."""

    @intrinsic
    def splat(typing: Any, array: Any, offset: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            value = builder.load(_address(context, builder, signature.args[0], *args))
            return _broadcast(builder, value, vector.lanes)

        return vector(array, types.intp), generate

    return _choose(splat, lambda array, offset: np.full(vector.lanes, array[offset], np.float32))


def _fulls(vector: FloatVector) -> Any:
    """Return the function that fills such vectors with a number."""

    @intrinsic
    def full(typing: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return _broadcast(builder, args[0], vector.lanes)

        return vector(types.float32), generate

    return _choose(full, lambda value: np.full(vector.lanes, value, np.float32))


@intrinsic
def _store(typing: Any, array: Any, offset: Any, vector: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = _address(context, builder, signature.args[0], *args[:2])
        builder.store(args[2], builder.bitcast(place, args[2].type.as_pointer()), align=4)
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

    return total(a, b, total), generate


@intrinsic
def _add(typing: Any, a: Any, b: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(*args)

    return a(a, b), generate


@intrinsic
def _sub(typing: Any, a: Any, b: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fsub(*args)

    return a(a, b), generate


@intrinsic
def _inverse_root(typing: Any, vector: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.VectorType(_FLOAT, signature.args[0].lanes)
        name = f"llvm.sqrt.v{kind.count}f32"
        root = builder.module.declare_intrinsic(name, (), ir.FunctionType(kind, [kind]))
        ones = ir.Constant(kind, [1.0] * kind.count)
        return builder.fdiv(ones, builder.call(root, args))

    return vector(vector), generate


@intrinsic
def _add_double(typing: Any, sums: Any, offset: Any, vector: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        doubles = ir.VectorType(ir.DoubleType(), LANES)
        place = _address(context, builder, signature.args[0], *args[:2])
        place = builder.bitcast(place, doubles.as_pointer())
        own = builder.fpext(args[2], doubles)
        builder.store(builder.fadd(builder.load(place, align=8), own), place, align=8)
        return context.get_dummy_value()

    return types.void(sums, types.intp, float32x8), generate


@intrinsic
def _transpose(
    typing: Any, array: Any, offset: Any, stride: Any, out: Any, place: Any, step: Any
) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array, offset, stride, out, place, step = args
        source = _address(context, builder, signature.args[0], array, offset)
        target = _address(context, builder, signature.args[3], out, place)
        pointer = _VECTOR.as_pointer()

        def line(start: Any, apart: Any, row: int) -> Any:
            return builder.bitcast(
                builder.gep(start, [builder.mul(apart, apart.type(row))]), pointer
            )

        rows = [builder.load(line(source, stride, row), align=4) for row in range(LANES)]
        for row, vector in enumerate(_transposed(builder, rows)):
            builder.store(vector, line(target, step, row), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, out, types.intp, types.intp), generate


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Swap what lies off the diagonal, in halves, then in quarters of these, then in eighths."""
    for size in (4, 2, 1):
        upper = [lane + LANES - size if lane & size else lane for lane in range(LANES)]
        lower = [lane + LANES if lane & size else lane + size for lane in range(LANES)]
        masks = [ir.Constant(ir.VectorType(_INT32, LANES), mask) for mask in (upper, lower)]
        for row in range(LANES):
            if not row & size:
                pair = rows[row], rows[row + size]
                rows[row], rows[row + size] = (builder.shuffle_vector(*pair, m) for m in masks)
    return rows


@intrinsic
def _mul(typing: Any, a: Any, b: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fmul(*args)

    return a(a, b), generate


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
    array[offset : offset + len(vector)] = vector


def _plain_add_double(sums: Any, offset: int, vector: Any) -> None:
    sums[offset : offset + LANES] += vector


def _plain_transpose(array: Any, offset: int, stride: int, out: Any, place: int, step: int) -> None:
    for lane in range(LANES):
        start = offset + lane * stride
        out[place + lane : place + lane + LANES * step : step] = array[start : start + LANES]


def _plain_add_outer(array: Any, left: int, right: int, sums: Any) -> Any:
    rows, columns = sums.shape
    return sums + array[left : left + rows, None] * array[right : right + columns]


def _plain_add_rows(array: Any, source: int, target: int, stride: int, sums: Any) -> None:
    for row, values in enumerate(sums):
        before, after = (
            slice(place + row * stride, place + row * stride + len(values))
            for place in (source, target)
        )
        array[after] = array[before] + values


#: Lanes whose system has no solution, or is nobody's, hold no numbers: no reason for a warning.
_silent = np.errstate(divide="ignore", invalid="ignore")

#: ``zero()``: eight zeros.
zero = _choose(_zero, lambda: np.zeros(LANES, np.float32))
#: ``load(array, offset)``: the eight values from `offset` on; of uint16, the upper halves of such.
load = _loads(float32x8)
#: ``store(array, offset, vector)``: put them there.
store = _choose(_store, _plain_store)
#: ``splat(array, offset)``: one value, eight times.
splat = _splats(float32x8)
#: The same for wide vectors, as `full_wide` below. What takes vectors takes either.
load_wide, splat_wide = _loads(wide), _splats(wide)
#: ``fma(a, b, total)``: ``a * b + total``.
fma = _choose(_fma, lambda a, b, total: a * b + total)
#: ``fnma(a, b, total)``: ``total - a * b``.
fnma = _choose(_fnma, _silent(lambda a, b, total: total - a * b))
#: ``mul(a, b)``: ``a * b``.
mul = _choose(_mul, _silent(lambda a, b: a * b))
#: ``add(a, b)``: ``a + b``.
add = _choose(_add, lambda a, b: a + b)
#: ``sub(a, b)``: ``a - b``.
sub = _choose(_sub, lambda a, b: a - b)
#: ``full(value)``: one float32, eight times.
full, full_wide = _fulls(float32x8), _fulls(wide)
#: ``inverse_root(vector)``: ``1 / sqrt(vector)``; not finite where that is not above zero.
inverse_root = _choose(_inverse_root, _silent(lambda vector: np.float32(1.0) / np.sqrt(vector)))
#: ``add_double(sums, offset, vector)``: add it to the eight float64 there.
add_double = _choose(_add_double, _plain_add_double)
#: ``transpose(array, offset, stride, out, place, step)``: of eight values each, `stride` apart,
#: from `offset` on, put the first ones to `out` from `place` on, the second ones `step` behind it,
#: and so on.
transpose = _choose(_transpose, _plain_transpose)
#: ``prefetch(array, offset)``: ask for that cache line, wait for nothing.
prefetch = _choose(_prefetch, lambda array, offset: None)
#: Blocks of rows x columns, all zeros. Where vectors of sixteen lanes have registers, those of six
#: and eight rows are made of these.
zeros_4x8, zeros_4x16 = _zeros(4, 8), _zeros(4, 8, 8)
zeros_4x24 = _zeros(4, 16, 8) if HAS_WIDE else _zeros(4, 8, 8, 8)
zeros_6x8, zeros_6x24 = _zeros(6, 8), _zeros(6, 16, 8)
zeros_8x8, zeros_8x16 = _zeros(8, 8), _zeros(8, 16)
zeros_8x24, zeros_8x32 = _zeros(8, 16, 8), _zeros(8, 16, 16)
#: The same values as those of `zeros_8x16` and `zeros_6x24`, in fewer loads and more shuffles.
pairs_8x16, pairs_6x24 = _zeros(8, 8, 8), _zeros(6, 8, 8, 8)
#: ``add_outer(array, left, right, sums)``: the block `sums`, and to each of its rows, which are
#: whole vectors, one of the values from `left` on times all those from `right` on.
add_outer = _choose(_add_outer, _plain_add_outer)
#: ``add_rows(array, source, target, stride, sums)``: put what lies at `source`, and a block's rows
#: added to it, to `target`; rows are `stride` apart in either.
add_rows = _choose(_add_rows, _plain_add_rows)
