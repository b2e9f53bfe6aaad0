"""The time that a process spends compiling kernels; reading it loads no Numba."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class CompileClock:
    """Adds up what compiling takes.

    Numba compiles one function at a time, and within it those that it calls.

    Attributes
    ----------
    seconds : float
        Of all compiling that has ended; what was compiled before and loaded counts as nothing.
    listeners : list of callable
        Called whenever compiling begins.
    """

    seconds: float = 0.0
    listeners: list[Callable[[], None]] = field(default_factory=list)
    _depth: int = 0
    _began: float = 0.0

    def start(self) -> None:
        """Begin with a function, or with one that it calls."""
        self._depth += 1
        if self._depth == 1:
            self._began = time.perf_counter()
            self.tell()

    def tell(self) -> None:
        """Call the listeners."""
        for listener in list(self.listeners):
            listener()

    def stop(self) -> None:
        """End with the function that began last."""
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.perf_counter() - self._began


#: Of this process.
CLOCK = CompileClock()


def compile_seconds() -> float:
    """Return the seconds that this process has spent compiling."""
    return CLOCK.seconds
