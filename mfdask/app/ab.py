"""The page *A/B*: two models against each other on held-out events, and in a simulated test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
from bokeh.layouts import column
from bokeh.models import NumeralTickFormatter
from bokeh.models.ui import UIElement
from bokeh.models.widgets import Button, Select, Slider

from mfdask.app.address import unless
from mfdask.app.lists import element
from mfdask.app.page import AppPage, Card
from mfdask.errors import InputError
from mfdask.evaluation.abtest import ABOptions, ABResult, compare_by_clicks
from mfdask.evaluation.click_test import ClickModel
from mfdask.figures.figure import Figure, add_hover, html_table, lift_legend, new_plot
from mfdask.figures.theme import MAIN, OTHER
from mfdask.report.parts import rule

#: Users whose lists are compared, by default: a page does not wait for all of a large data set.
_USERS = 2000
#: Sliders of the page: name, title, ends, step, and what a fresh page has.
_SLIDERS = {
    "lift": ("Lift to be found, %", 1, 50, 1, 5),
    "day": ("Visitors a day", 100, 20_000, 100, 1000),
    "days": ("Days of the simulated test", 2, 120, 1, 28),
    "liked": ("Chance of a click on a liked item, %", 1, 100, 1, 40),
    "other": ("Chance of a click on any other item, %", 0, 20, 0.5, 2),
}


class AB(AppPage):
    """Estimates, what a real test needs, and how it may be read."""

    path = "ab"
    title = "A/B"
    intro = "Two models against each other, before a test of real users and in a simulated one."

    def build(self) -> None:
        """See `AppPage.build`."""
        self.shown = self.site.now()
        if len(self.shown.models) < 2:
            raise InputError("two models are needed; give another MODEL of the same data")
        if self.shown.data is None:
            raise InputError("the models' data set is needed, for its held-out ratings; give data")
        if not self.shown.data.n_test:
            raise InputError("nothing is held out in the data set: ingest it with a split")
        first, second, *_ = names = list(self.shown.models)
        self.a, self.b = (
            self._model(title, key, names, default)
            for title, key, default in (("Model A", "a", first), ("Model B", "b", second))
        )
        self.sliders = {name: self._slider(name) for name in _SLIDERS}
        self.estimates, self.test = self.html("estimates"), self.html("test")
        self.swap = Button(label="Another simulated test")
        self.swap.stylesheets = [self.widget_sheet]
        self.swap.on_click(lambda: self.do(self._again))
        self.seed = int(self.address.number("seed", ABOptions.seed, 0, 2**31))
        self.daily, self.decided = Daily(_NO_DAYS), Decided(_NO_SHARES)
        choice = column(self.a, self.b, *self.sliders.values(), self.swap,
                        sizing_mode="stretch_width")  # fmt: skip
        self.cards = [
            Card("choice", "What is compared", choice),
            Card("estimates", "From held-out events", self.estimates, _ESTIMATES),
            Card.of_figure(self.daily),
            Card.of_figure(self.decided),
            Card("test", "What a real test needs", self.test, _TEST, "wide"),
        ]
        self._compare()

    def state(self) -> Mapping[str, Any]:
        """See `AppPage.state`."""
        first, second, *_ = self.shown.models
        sliders = {
            name: unless(float(slider.value), float(_SLIDERS[name][-1]))
            for name, slider in self.sliders.items()
        }
        return {
            "a": unless(self.a.value, first),
            "b": unless(self.b.value, second),
            "seed": unless(self.seed, ABOptions.seed),
            **sliders,
        }

    def _model(self, title: str, key: str, names: list[str], default: str) -> Select:
        value = self.address.choice(key, names, default)
        options: list[str | tuple[Any, str]] = [*names]
        select = Select(title=title, value=value, options=options, sizing_mode="stretch_width")
        watched: Select = self.watch(select, self._compare)
        return watched

    def _slider(self, name: str) -> Slider:
        title, low, high, step, default = _SLIDERS[name]
        value = self.address.number(name, default, low, high)
        slider = Slider(
            title=title, start=low, end=high, step=step, value=value, bar_color=MAIN,
            sizing_mode="stretch_width",
        )  # fmt: skip
        watched: Slider = self.watch(slider, self._compare, "value_throttled")
        return watched

    def _again(self) -> None:
        self.seed += 1
        self._compare()

    # ---- what is shown

    def _compare(self) -> None:
        options, clicks = self._options(), self._clicks()
        names, data = (self.a.value, self.b.value), self.shown.data
        models = self.shown.models[names[0]], self.shown.models[names[1]]
        assert data is not None
        key = ("ab", *names, options, clicks)
        self.test.text = element("p", "Lists are made…", "soft")
        self.later(
            lambda: self.shown.remember(
                key, lambda: compare_by_clicks(models, data, options, clicks)
            ),
            lambda found: self._show(found, options, clicks),
        )

    def _options(self) -> ABOptions:
        return ABOptions(n_users=_USERS, lift=self.sliders["lift"].value / 100, seed=self.seed)

    def _clicks(self) -> ClickModel:
        value = {name: slider.value for name, slider in self.sliders.items()}
        return replace(
            ClickModel(),
            click_liked=value["liked"] / 100,
            click_other=value["other"] / 100,
            users_a_day=int(value["day"]),
            days=int(value["days"]),
        )

    def _show(self, found: ABResult, options: ABOptions, clicks: ClickModel) -> None:
        self.daily.update(found.daily)
        self.decided.update(found.decided)
        self.estimates.text = self._table(found)
        facts = {
            "Visits with a click": f"{found.rates[0]:.2%} with {self.a.value}, "
            f"{found.rates[1]:.2%} with {self.b.value}: a lift of {found.lift:+.1%}",
            f"To find a lift of {options.lift:.0%}": _users(found.needed["lift"], clicks),
            "To find the lift above": _users(found.needed["measured"], clicks),
        }
        lines = "".join(element("dt", name) + element("dd", fact) for name, fact in facts.items())
        self.test.text = f'<dl class="facts">{lines}</dl>'

    def _table(self, found: ABResult) -> str:
        table = pd.DataFrame({"estimate": [name.capitalize() for name in
                                           found.estimates["estimator"]]})  # fmt: skip
        heads = {"a": self.a.value, "b": self.b.value, "difference": "difference"}
        for part, head in heads.items():
            ends = found.estimates[[part, f"{part}_low", f"{part}_high"]].to_numpy()
            sign = "+" if part == "difference" else ""
            name = head if head not in table else f"{head} (B)"
            table[name] = [
                f"{v:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})" for v, low, high in ends
            ]
        on = ", ".join(f"{n:,}" for n, _ in found.on_list)
        weighed = ", ".join(f"{each:,.0f}" for _, each in found.on_list)
        note = (
            f"{found.n_events:,} held-out ratings of {found.n_users:,} users; on the lists of A "
            f"and B {on} of them, worth {weighed} of equal weight. {found.caution}"
        )
        return html_table(table) + element("p", note.strip(), "soft")


_ESTIMATES = (
    "Mean reward of what the lists show, 1 for an item that was liked, with 95 % intervals. Items "
    "are taken to have been seen in proportion to their training ratings."
)
_TEST = (
    "A visitor looks at place r of a list of ten with chance 1/r, and clicks what they look at "
    "with a chance that depends on whether they liked it in the held-out part. Each sees A or B by "
    "the toss of a coin. Numbers are for a level of 5 %, a power of 80 %, and one look at the end."
)


def _users(an_arm: int | None, clicks: ClickModel) -> str:
    if an_arm is None:
        return "no number of visitors would do"
    days = -(-2 * an_arm // clicks.users_a_day)
    plural = "" if days == 1 else "s"
    return f"{2 * an_arm:,} visitors: {days:,} day{plural} at {clicks.users_a_day:,} a day"


_COLUMNS = ("day", "difference", "low", "high", "fixed_low", "fixed_high", "rate_a", "rate_b")
_NO_DAYS = pd.DataFrame({name: [1.0, 2.0] if name == "day" else [0.0, 0.0] for name in _COLUMNS})
_SHARES = ("day", "always_valid", "fixed", "always_valid_by_mistake", "fixed_by_mistake")
_NO_SHARES = pd.DataFrame({name: [1.0, 2.0] if name == "day" else [0.0, 0.0] for name in _SHARES})


class Daily(Figure):
    """One simulated test, see `click_test.daily`."""

    name = "daily"
    title = "One simulated test, looked at every day"
    caption = (
        "Rate of B less that of A so far. The wide band is always valid: a test may be stopped on "
        "the first day on which it leaves out 0. The narrow one is right for one look alone."
    )

    def draw(self) -> UIElement:
        """Return a line in two bands."""
        plot = new_plot("day", "difference of click rates", height=320)
        plot.toolbar_location = None
        plot.yaxis.formatter = NumeralTickFormatter(format="+0.0%")
        rule(plot, 0, upright=False)
        for low, high, alpha, label in (
            ("low", "high", 0.2, "always valid"),
            ("fixed_low", "fixed_high", 0.35, "one look"),
        ):
            look: dict[str, Any] = {"fill_color": MAIN, "fill_alpha": alpha, "legend_label": label}
            plot.varea("day", low, high, source=self.source, **look)
        plot.line("day", "difference", source=self.source, line_color=MAIN, line_width=2)
        dots = plot.scatter("day", "difference", source=self.source, size=5, color=MAIN)
        words = [
            ("day", "@day"),
            ("difference", "@difference{+0.00%}"),
            ("always valid", "@low{+0.00%} to @high{+0.00%}"),
            ("one look", "@fixed_low{+0.00%} to @fixed_high{+0.00%}"),
            ("rates of A, B", "@rate_a{0.00%}, @rate_b{0.00%}"),
        ]
        add_hover(plot, dots, words)
        lift_legend(plot)
        return plot


class Decided(Figure):
    """Shares of many simulated tests, see `ABResult.decided`."""

    name = "decided"
    title = "A thousand such tests: how many are decided by when"
    caption = (
        "Solid: with these two models. Dashed: were B as good as A, so that each is a mistake. "
        "Intervals for one look, looked at every day, go wrong far more often than one in twenty."
    )

    def draw(self) -> UIElement:
        """Return four lines."""
        plot = new_plot("day", "share of tests decided", height=320)
        plot.toolbar_location = None
        plot.y_range.update(start=-0.02, end=1.05)
        plot.yaxis.formatter = NumeralTickFormatter(format="0%")
        rule(plot, 0.05, upright=False)
        for name, colour, label in (
            ("always_valid", MAIN, "always valid"),
            ("fixed", OTHER, "one look, used daily"),
        ):
            look: dict[str, Any] = {"source": self.source, "line_color": colour, "line_width": 2}
            line = plot.line("day", name, legend_label=label, **look)
            wrong = plot.line("day", f"{name}_by_mistake", line_dash="dashed", **look)
            for drawn, key in ((line, name), (wrong, f"{name}_by_mistake")):
                add_hover(plot, drawn, [("day", "@day"), (label, f"@{key}{{0.0%}}")])
        lift_legend(plot)
        return plot
