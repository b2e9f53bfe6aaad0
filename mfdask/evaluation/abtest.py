"""Two models against each other: off-policy estimates, and a simulated test."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from mfdask.errors import InputError
from mfdask.evaluation.click_test import ClickModel, daily, decided, simulated_arms
from mfdask.evaluation.off_policy import LoggedEvents, effective_events, estimates
from mfdask.evaluation.ranking import held_out_lists
from mfdask.evaluation.ranking_plan import RankingPlan
from mfdask.evaluation.sequential import users_needed
from mfdask.kernels.types import Bools, Float64s, Int32s, Int64s
from mfdask.models import Model
from mfdask.parameters import Parametrised, parameter
from mfdask.progress import Progress, silent
from mfdask.shards import Dataset

#: Simulated tests, of which the shares that are decided are told.
_TESTS = 1000


@dataclass(frozen=True)
class ABOptions(Parametrised):
    """What is compared, and how sure one wants to be."""

    k: int = parameter(10, "Length of the lists.", "at", at_least=1, metavar="K")
    threshold: float | None = parameter(
        None,
        "A held-out item rated this high is liked.  [default: 4; every one where there are no "
        "ratings]",
        above=0,
    )
    n_users: int | None = parameter(
        None, "Take a random sample of this many users.  [default: all]", "users", at_least=2
    )
    exposure: float = parameter(
        1.0,
        "Chance that an item was seen by itself: its training ratings, and one, to this power; 0 "
        "takes all items as seen alike.",
        at_least=0,
    )
    lift: float = parameter(
        0.05, "The lift that a test is to find, as a share of the first model's rate.", above=0
    )
    level: float = parameter(
        0.05, "Chance to find a difference where there is none.", above=0, below=0.5
    )
    power: float = parameter(0.8, "Chance to find that lift.", above=0.5, below=1)
    seed: int = parameter(42, "Seed of all that is drawn at random.", at_least=0)


class ABResult(NamedTuple):
    """The result of `compare_by_clicks`.

    Attributes
    ----------
    estimates : DataFrame
        `estimator`, and of `a`, `b` and the `difference` (B less A) the value, and its ends in
        columns with `_low` and `_high`: the share liked of what the lists show.
    n_events, n_users : int
        Held-out ratings, and who made them.
    on_list : tuple of (int, float)
        For A and B: events whose item is on the list, and how many of equal weight say as much.
    rates : tuple of float
        Chance that a visit has a click, of A and B, by the click model.
    needed : dict
        Users that each arm of a real test needs: for the wanted ``lift``, and for the one that the
        click model ``measured``; None where that is 0 or no rate.
    daily : DataFrame
        One simulated test, see `click_test.daily`.
    decided : DataFrame
        Of many simulated tests, see `click_test.decided`; and of as many without a difference, in
        columns with ``_by_mistake``.
    """

    estimates: pd.DataFrame
    n_events: int
    n_users: int
    on_list: tuple[tuple[int, float], tuple[int, float]]
    rates: tuple[float, float]
    needed: dict[str, int | None]
    daily: pd.DataFrame
    decided: pd.DataFrame

    @property
    def caution(self) -> str:
        """What to say of the estimates, empty if there is nothing."""
        lines = self.estimates.set_index("estimator")
        if lines.loc["inverse propensity", ["a", "b"]].max() <= 1:
            return ""
        return (
            "A mean reward above 1 cannot be: users took these items up more often than they would "
            "by popularity alone, so inverse propensity overstates both; self-normalised values "
            "are shares all the same"
        )

    @property
    def lift(self) -> float:
        """Of B over A by the click model, as a share of A's rate."""
        return self.rates[1] / self.rates[0] - 1 if self.rates[0] else math.nan


def compare_by_clicks(
    models: tuple[Model, Model],
    data: Dataset,
    options: ABOptions | None = None,
    clicks: ClickModel | None = None,
    progress: Progress = silent,
) -> ABResult:
    """Hold the lists of two models against the held-out events of a data set.

    Raises
    ------
    InputError
        If nothing is held out, or the options do not suit the data.
    """
    options, clicks = options or ABOptions(), clicks or ClickModel()
    plan = RankingPlan((options.k,), options.threshold, options.n_users, options.seed)
    plan.check(data)
    log = _Log.read(models, data, options, plan, progress)
    rates = log.a.visit_rate(clicks), log.b.visit_rate(clicks)
    tau = max(options.lift * rates[0], 1e-6)
    one = simulated_arms(rates, clicks, 1, options.seed)
    return ABResult(
        _estimates(log, options),
        len(log.events.user),
        log.n_users,
        (log.a.on_list(log.events), log.b.on_list(log.events)),
        rates,
        _needed(rates, options),
        daily(one, options.level, tau),
        _decided(rates, clicks, options, tau),
    )


class _Listed(NamedTuple):
    """What one model lists.

    Attributes
    ----------
    shown : bool (events,)
        Whether each event's item is on its user's list.
    liked, rated : float64 (users, k)
        1 where the item at a place was liked, or rated without that.
    """

    shown: Bools
    liked: Float64s
    rated: Float64s

    @classmethod
    def of(cls, lists: Int64s, user: Int64s, item: Int32s, liked: Float64s) -> _Listed:
        """Return what the lists of some users hold of their events."""
        same = lists[user] == item[:, None]
        shown, place = same.any(axis=1), same.argmax(axis=1)
        of_liked, of_rated = np.zeros((2, *lists.shape))
        of_liked[user[shown], place[shown]] = liked[shown]
        of_rated[user[shown], place[shown]] = 1 - liked[shown]
        return cls(shown, of_liked, of_rated)

    def visit_rate(self, clicks: ClickModel) -> float:
        """Return the chance that a visit of one of the users has a click."""
        return float(clicks.visit_rates(self.liked, self.rated).mean())

    def on_list(self, events: LoggedEvents) -> tuple[int, float]:
        """Return how many events are on the lists, and how many of equal weight say as much."""
        return int(self.shown.sum()), effective_events(events, self.shown)


class _Log(NamedTuple):
    """Held-out events, and what the two models list."""

    events: LoggedEvents
    n_users: int
    a: _Listed
    b: _Listed

    @classmethod
    def read(
        cls,
        models: tuple[Model, Model],
        data: Dataset,
        options: ABOptions,
        plan: RankingPlan,
        progress: Progress,
    ) -> _Log:
        """Rank for the users of the plan, and read what was held out of them."""
        weight = (data.items()["n_train"].to_numpy(np.float64) + 1) ** options.exposure
        threshold = plan.threshold_on(data)
        events: list[LoggedEvents] = []
        listed: list[list[_Listed]] = []
        done = 0
        for held in held_out_lists([model.align(data).scores for model in models], data, plan):
            n = len(held.rows)
            own = np.bincount(held.train[0], weight[held.train[1]], minlength=n)
            user, item, rating = held.test
            liked = (rating >= threshold).astype(np.float64)
            events.append(
                LoggedEvents(user + done, liked, weight[item] / (weight.sum() - own)[user])
            )
            listed.append([_Listed.of(lists, user, item, liked) for lists in held.lists])
            done += n
            progress("lists", done, held.n_users)
        if not events:
            raise InputError(f"{data.name}: nobody has test ratings; ingest it with a split")
        joined = [_Listed(*map(np.concatenate, zip(*one, strict=True))) for one in
                  zip(*listed, strict=True)]  # fmt: skip
        return cls(LoggedEvents(*map(np.concatenate, zip(*events, strict=True))), done, *joined)


def _estimates(log: _Log, options: ABOptions) -> pd.DataFrame:
    of_a, of_b = (estimates(log.events, own.shown, options.k) for own in (log.a, log.b))
    lines = []
    for name, a in of_a.items():
        parts = {"a": a.interval(options.level), "b": of_b[name].interval(options.level)}
        parts["difference"] = of_b[name].beyond(a, options.level)
        ends = {
            f"{part}{end}": value
            for part, found in parts.items()
            for end, value in zip(("", "_low", "_high"), found, strict=True)
        }
        lines.append({"estimator": name, **ends})
    return pd.DataFrame(lines)


def _needed(rates: tuple[float, float], options: ABOptions) -> dict[str, int | None]:
    measured = rates[1] / rates[0] - 1 if rates[0] else math.nan
    found: dict[str, int | None] = {}
    for name, lift in (("lift", options.lift), ("measured", measured)):
        try:
            found[name] = users_needed(rates[0], lift, options.level, options.power)
        except InputError:
            found[name] = None
    return found


def _decided(
    rates: tuple[float, float], clicks: ClickModel, options: ABOptions, tau: float
) -> pd.DataFrame:
    """Return how soon tests are decided, and how often by mistake where B is as good as A."""
    apart, alike = (
        decided(simulated_arms(pair, clicks, _TESTS, options.seed), options.level, tau)
        for pair in (rates, (rates[0], rates[0]))
    )
    alike = alike.drop(columns="day").add_suffix("_by_mistake")
    return pd.concat([apart, alike], axis=1)
