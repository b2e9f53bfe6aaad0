"""A sample of the trials with damaged files of ratings."""

from __future__ import annotations

from tests.trials.sources import run


def test_damaged_files_are_read_or_refused() -> None:
    found = run(3)
    assert {what for _, what in found} == {"read", "refused"}
