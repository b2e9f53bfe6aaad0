"""Timings are taken in turn; ratios are taken within a round."""

from __future__ import annotations

import pytest

from mfdask.bench.rounds import Rounds, take_in_turn


def test_rounds_go_around() -> None:
    order: list[str] = []
    told: list[tuple[int, int, str]] = []

    def timed(name: str, seconds: float) -> float:
        order.append(name)
        return seconds * len(order)

    taken = take_in_turn(
        {"a": lambda: timed("a", 1.0), "b": lambda: timed("b", 10.0)},
        rounds=2,
        progress=lambda stage, done, total, note="": told.append((done, total, note)),
    )
    assert order == ["a", "b", "a", "b"]
    assert taken.seconds == {"a": [1, 3], "b": [20, 40]}
    assert told == [(0, 4, "a"), (1, 4, "b"), (2, 4, "a"), (3, 4, "b"), (4, 4, "")]


def test_medians_and_ratios() -> None:
    # The second round was slow for both: the ratio of medians would be 3.
    taken = Rounds({"a": [1.0, 9.0, 3.0], "b": [2.0, 18.0, 1.0]})
    assert taken.median("a") == 3
    assert taken.median("b") == 2
    assert taken.ratio("a", "b") == 0.5


def test_what_failed_is_left_out() -> None:
    taken = Rounds({"a": [1.0], "b": [float("nan")]}).without(["b"])
    assert taken.seconds == {"a": [1.0]}
    with pytest.raises(KeyError):
        taken.median("b")
