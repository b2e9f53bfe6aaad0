"""How kernels are compiled: without what nobody calls, and timed."""

from __future__ import annotations

from typing import Any

from numba import njit
from numba.core import event

from mfdask.kernels.clock import CLOCK

#: Compiles a function that other kernels alone call. Python could not: it leaves out the wrappers
#: for that, which would take a fifth of the time.
inner = njit(nogil=True, cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)


class _Listener(event.Listener):
    """Hands what Numba says of its compiling on to the clock."""

    def on_start(self, event: Any) -> None:
        CLOCK.start()

    def on_end(self, event: Any) -> None:
        CLOCK.stop()


event.register("numba:compile", _Listener())
