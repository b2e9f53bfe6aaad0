"""Timings of several candidates in alternating rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from mfdask.progress import Progress, silent


@dataclass(frozen=True)
class Rounds:
    """Seconds of each candidate in each round.

    Attributes
    ----------
    seconds : dict of str to list of float
        For each thing that was timed, a figure a round.
    """

    seconds: dict[str, list[float]]

    def median(self, name: str) -> float:
        """Return the median over the rounds, seconds."""
        return median(self.seconds[name])

    def ratio(self, name: str, other: str) -> float:
        """Return the median over the rounds of one thing's seconds over another's."""
        pairs = zip(self.seconds[name], self.seconds[other], strict=True)
        return median(one / two for one, two in pairs)

    def difference(self, name: str, other: str) -> float:
        """Return the median over the rounds of one thing's seconds less another's."""
        pairs = zip(self.seconds[name], self.seconds[other], strict=True)
        return median(one - two for one, two in pairs)

    def without(self, names: Iterable[str]) -> Rounds:
        """Return all but the things named."""
        left_out = set(names)
        return Rounds({n: taken for n, taken in self.seconds.items() if n not in left_out})


def seconds_of(run: Callable[[], object]) -> float:
    """Return how long a call takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def processor_seconds_of(run: Callable[[], object]) -> float:
    """Return what a call takes of the processor, all threads together."""
    began = time.process_time()
    run()
    return time.process_time() - began


def take_in_turn(
    timed: Mapping[str, Callable[[], float]], rounds: int, progress: Progress = silent
) -> Rounds:
    """Time everything once in each round.

    Parameters
    ----------
    timed : mapping
        Name to a function that returns seconds.
    rounds : int
    progress : Progress, optional

    Returns
    -------
    Rounds
    """
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for turn in range(rounds):
        for place, (name, measure) in enumerate(timed.items()):
            progress("measure", turn * len(timed) + place, rounds * len(timed), name)
            seconds[name].append(measure())
    progress("measure", rounds * len(timed), rounds * len(timed))
    return Rounds(seconds)
