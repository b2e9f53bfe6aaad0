"""Fits that nobody has run, for tests of what is shown of them."""

from mfdask.watch import SweepEvent
from mfdask.watch.watcher import Watcher

WORKERS = ("tcp://127.0.0.1:1", "tcp://127.0.0.1:2")


def told(sweep, fit="aaaa1111", **other):
    """Return a sweep of a fit of 10."""
    known = {
        "fit": fit, "model": "als", "data": "small", "data_as_of": "2026-03-01T10:20:30+00:00",
        "sweep": sweep, "n_sweeps": 10, "train_rmse": 1 / sweep, "test_rmse": 2 / sweep,
        "seconds": 0.5, "ratings": 1000, "moved": {WORKERS[0]: 3000 * sweep, WORKERS[1]: 1000},
    }  # fmt: skip
    known |= other
    test = "" if known["test_rmse"] is None else f", test {known['test_rmse']:.4f}"
    return SweepEvent(note=f"RMSE train {known['train_rmse']:.4f}{test}", **known)


def solve(watcher, fit, sweep, workers=WORKERS):
    """Let the workers solve a block of each side each."""
    for side in ("users", "items"):
        for block, worker in enumerate(workers):
            key = f"half_step-{side}-{sweep}-{block}-{fit}"
            watcher.transition(key, "released", "waiting")
            watcher.transition(key, "waiting", "processing")
            watcher.transition(key, "processing", "memory", worker=worker)


def forget(watcher, fit, sweep, blocks=2):
    """Let the scheduler forget the tasks of a sweep."""
    for side in ("users", "items"):
        for block in range(blocks):
            watcher.transition(f"half_step-{side}-{sweep}-{block}-{fit}", "released", "forgotten")


def tell(watcher, *sweeps):
    """Let a watcher hear of sweeps in one message."""
    watcher.log_event("mfdask", [each._asdict() for each in sweeps])


def watched(*sweeps):
    """Return a watcher that has heard of a fit."""
    watcher = Watcher()
    for each in sweeps:
        solve(watcher, each.fit, each.sweep)
        tell(watcher, each)
    return watcher
