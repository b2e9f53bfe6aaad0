"""The callback by which long work reports its progress."""

from typing import Protocol


class Progress(Protocol):
    """Called whenever a stage moves on."""

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Report that `done` of `total` steps of `stage` are finished."""


def silent(stage: str, done: int, total: int, note: str = "") -> None:
    """Listen to nothing: the default."""
