"""A simulated test of two models: who clicks by a stated model, day by day.

A visitor looks at place ``r`` of a list with chance ``r ** -patience``, and clicks what they look
at with a chance that depends on the item alone (the position-based model: Craswell, Zoeter, Taylor
& Ramsey 2008, "An experimental comparison of click position-bias models",
doi:10.1145/1341531.1341545): on an item that they liked in the held-out part, on one that they
rated there without liking it, and on any other. A visit counts if there is a click at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mfdask.evaluation.sequential import Arms, always_valid_room, fixed_room
from mfdask.kernels.types import Float64s
from mfdask.parameters import Parametrised, parameter


@dataclass(frozen=True)
class ClickModel(Parametrised):
    """Chances of a click, and how a test runs."""

    click_liked: float = parameter(
        0.4, "Chance of a click on a listed item that the visitor liked in the held-out part.",
        at_least=0, at_most=1,
    )  # fmt: skip
    click_rated: float = parameter(
        0.1, "Chance of a click on one that they rated there without liking it.",
        at_least=0, at_most=1,
    )  # fmt: skip
    click_other: float = parameter(
        0.02, "Chance of a click on any other listed item.", at_least=0, at_most=1
    )
    patience: float = parameter(
        1.0, "A visitor looks at place r of a list with chance r to the power of minus this.",
        at_least=0,
    )  # fmt: skip
    users_a_day: int = parameter(1000, "Visitors a day, of both models together.", at_least=2)
    days: int = parameter(28, "Days of a simulated test.", at_least=1)

    def visit_rates(self, liked: Float64s, rated: Float64s) -> Float64s:
        """Return the chance that a visit to each list has a click, float64 (lists,).

        Parameters
        ----------
        liked, rated : float64 (lists, k)
            1 where the item at a place was liked, or rated without being liked, else 0.
        """
        chance = (
            self.click_other
            + (self.click_liked - self.click_other) * liked
            + (self.click_rated - self.click_other) * rated
        )
        seen = np.arange(1.0, liked.shape[1] + 1) ** -self.patience
        found: Float64s = 1 - np.prod(1 - seen * chance, axis=1)
        return found


def simulated_arms(rates: tuple[float, float], model: ClickModel, n_tests: int, seed: int) -> Arms:
    """Return the counts of simulated tests at the end of each day, float64 (tests, days).

    Each visitor sees one of the models by a fair coin; `rates` are those of A and B.
    """
    random = np.random.default_rng(seed)
    n_a = random.binomial(model.users_a_day, 0.5, (n_tests, model.days))
    n_b = model.users_a_day - n_a
    counts = n_a, random.binomial(n_a, rates[0]), n_b, random.binomial(n_b, rates[1])
    a, clicks_a, b, clicks_b = (np.cumsum(own, axis=1).astype(np.float64) for own in counts)
    return Arms(np.maximum(a, 1), clicks_a, np.maximum(b, 1), clicks_b)


def daily(arms: Arms, level: float, tau: float) -> pd.DataFrame:
    """Return what one test shows at the end of each day.

    `day`, `visits_a`, `visits_b`, `rate_a`, `rate_b`, `difference`, its always-valid interval `low`
    and `high`, and that for a single look, `fixed_low` and `fixed_high`.
    """
    one = Arms(*(part[0] for part in arms))
    room, fixed = always_valid_room(one, level, tau), fixed_room(one, level)
    return pd.DataFrame(
        {
            "day": np.arange(1, len(one.n_a) + 1),
            "visits_a": one.n_a.astype(np.int64),
            "visits_b": one.n_b.astype(np.int64),
            "rate_a": one.clicks_a / one.n_a,
            "rate_b": one.clicks_b / one.n_b,
            "difference": one.difference,
            "low": one.difference - room,
            "high": one.difference + room,
            "fixed_low": one.difference - fixed,
            "fixed_high": one.difference + fixed,
        }
    )


def decided(arms: Arms, level: float, tau: float) -> pd.DataFrame:
    """Return by which day which share of the tests has been decided, if one looks every day.

    `day`, `always_valid` and `fixed`: by each kind of interval, at the first that leaves out 0.
    """
    size = np.abs(arms.difference)
    by = {
        "always_valid": size > always_valid_room(arms, level, tau),
        "fixed": size > fixed_room(arms, level),
    }
    shares = {name: np.maximum.accumulate(out, axis=1).mean(axis=0) for name, out in by.items()}
    return pd.DataFrame({"day": np.arange(1, size.shape[1] + 1), **shares})
