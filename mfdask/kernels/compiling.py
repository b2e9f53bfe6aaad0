"""How kernels are compiled: without what nobody calls, and timed."""

from __future__ import annotations

from typing import Any

from numba import njit
from numba.core import event

from mfdask.kernels.clock import CLOCK

#: Compiles a private function that other kernels alone call. Called by Python it crashes: what that
#: needs is left out, since it takes a fifth of the time.
inner = njit(nogil=True, cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)


class _Listener(event.Listener):
    """Hands what Numba says of its compiling on to the clock."""

    def on_start(self, event: Any) -> None:
        CLOCK.start()

    def on_end(self, event: Any) -> None:
        CLOCK.stop()


event.register("numba:compile", _Listener())
