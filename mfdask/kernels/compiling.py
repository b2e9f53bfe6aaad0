"""How kernels are compiled: without what nobody calls, and timed."""

from __future__ import annotations

from typing import Any

from numba import njit
from numba.core import event

from mfdask.kernels.clock import CLOCK

#: Compiles a private function that other kernels alone call. Called by Python it crashes: what that
#: needs is left out, since it takes a fifth of the time.
inner = njit(nogil=True, cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)

#: The same, for what makes no array. Counting who holds an array is an atomic operation on memory
#: that all threads share: for a row's dozen of functions it took as long as its system.
borrowing = njit(nogil=True, cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False)


class _Listener(event.Listener):
    """Hands what Numba says of its compiling on to the clock."""

    def on_start(self, event: Any) -> None:
        CLOCK.start()

    def on_end(self, event: Any) -> None:
        CLOCK.stop()


event.register("numba:compile", _Listener())
