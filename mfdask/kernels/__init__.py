"""Numba kernels: arrays in, arrays out.

Modules here load Numba, which takes half a second. Whoever may not need it, or not at once, writes
``from mfdask import kernels`` and ``kernels.csr.sort_pairs``: each module loads at its first use.
"""

from importlib import import_module
from typing import Any

from mfdask.kernels.cache import use_cache

#: Where compiled kernels are kept.
CACHE = use_cache()


def __getattr__(name: str) -> Any:
    """Load a module of kernels when it is first asked for."""
    path = f"{__name__}.{name}"
    try:
        return import_module(path)
    except ModuleNotFoundError as error:
        if error.name != path:
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
