"""Counter-based random numbers: each is a hash of a key and the number of its draw.

So what is drawn depends on what it is drawn for, and not on the thread or the order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def bits(key: np.uint64, draw: Any) -> Any:
    """Hash (key, draw) to 64 random bits: the splitmix64 generator as a function of its counter.

    Parameters
    ----------
    key : uint64
    draw : uint64 or uint64 array
        Number of the draw, from 0.

    Returns
    -------
    uint64 or uint64 array
        Of the shape of `draw`.
    """
    z = key + np.uint64(0x9E3779B97F4A7C15) * (draw + np.uint64(1))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(nogil=True, cache=True)
def stream(key: np.uint64, number: int) -> np.uint64:
    """Key of a stream of its own."""
    return bits(key, np.uint64(number))


@njit(nogil=True, cache=True)
def uniform(key: np.uint64, draw: int) -> float:
    """Draw from [0, 1)."""
    return float(bits(key, np.uint64(draw)) >> np.uint64(11)) * 2.0**-53


@njit(nogil=True, cache=True)
def exponential(key: np.uint64, draw: int) -> float:
    """Draw from the exponential distribution of mean 1."""
    return -math.log(1.0 - uniform(key, draw))


@njit(nogil=True, cache=True)
def normal(key: np.uint64, pair: int) -> float:
    """Draw from the standard normal distribution, by Box and Muller; takes two of the draws."""
    radius = math.sqrt(2.0 * exponential(key, 2 * pair))
    return radius * math.cos(2.0 * math.pi * uniform(key, 2 * pair + 1))
