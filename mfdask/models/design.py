"""Design rows: the one form in which a side's factors and biases are kept and moved."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mfdask.kernels.rows import row_width

Array = npt.NDArray[np.float32]

#: Cache lines are 64 bytes: rows that start on one touch the fewest.
_LINE = 16
#: What a client and a worker take before there are any rows.
_PROCESSES = 400 * 2**20


def empty_rows(n: int, n_factors: int) -> Array:
    """Return `n` design rows on a cache-line boundary, all zero but for the one in place 1."""
    rows = aligned(n, row_width(n_factors))
    rows[:] = 0.0
    rows[:, 1] = 1.0
    return rows


def aligned(n: int, width: int) -> Array:
    """Return an array on a cache-line boundary, its values not yet set.

    NumPy asks for huge pages when it is not asked for zeros: far fewer faults at first touch.
    """
    store = np.empty(n * width + _LINE, np.float32)
    skip = -(store.ctypes.data // 4) % _LINE
    return store[skip : skip + n * width].reshape(n, width)


def training_bytes(n_rows: int, n_factors: int, draws: int = 1) -> int:
    """Return what a fit holds in memory at least: a fit in one place, its ratings left out.

    The worker has the rows of the last state, of the next one, and of a side joined; the client
    the last ones and the model.
    """
    samples = n_rows * 4 * n_factors * (draws - 1)
    return _PROCESSES + 5 * n_rows * 4 * row_width(n_factors) + samples


def pack(bias: Array, factors: Array) -> Array:
    """Return design rows ``[bias, 1, factors..., 0...]``.

    Parameters
    ----------
    bias : float32 (n,)
    factors : float32 (n, n_factors)

    Returns
    -------
    float32 (n, width)
    """
    n_factors = factors.shape[1]
    rows = empty_rows(len(factors), n_factors)
    rows[:, 0] = bias
    rows[:, 2 : n_factors + 2] = factors
    return rows


def join(blocks: list[Array]) -> Array:
    """Return the rows of consecutive blocks as one side; a single block is handed on as it is."""
    if len(blocks) == 1:
        return blocks[0]
    rows = aligned(sum(map(len, blocks)), blocks[0].shape[1])
    np.concatenate(blocks, out=rows)
    return rows


def initial_rows(n: int, n_factors: int, scale: float, seed: int, side: str) -> Array:
    """Return rows with zero bias and normal factors that depend on (seed, side, row) only.

    The generator runs through the rows in order, so cutting them into blocks changes nothing, and
    rows appended later leave the earlier ones as they were.
    """
    rows = empty_rows(n, n_factors)
    random = np.random.Generator(np.random.Philox([seed, ("users", "items").index(side)]))
    rows[:, 2 : n_factors + 2] = scale * random.standard_normal((n, n_factors), dtype=np.float32)
    return rows


def swap_bias_columns(rows: Array) -> Array:
    """Return ``[1, bias, factors..., 0...]``: times a design row it gives biases plus factors."""
    turned = rows.copy()
    turned[:, 0], turned[:, 1] = rows[:, 1], rows[:, 0]
    return turned
