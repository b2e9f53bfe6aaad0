"""Hold two models against each other: off-policy estimates, and how a test of them would go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pandas as pd
from rich.table import Table

from mfdask.evaluation import check_leaks
from mfdask.evaluation.abtest import ABOptions, ABResult, compare_by_clicks
from mfdask.evaluation.click_test import ClickModel
from mfdask.models import load_model
from mfdask.results import records
from mfdask.shards import Dataset

from .common import Outcome, job
from .evaluate import leak_option
from .options import DATA, MODEL, options_of
from .terminal import facts_table, progress_bars, table

_PARTS = ("a", "b", "difference")


@click.command("abtest", help=__doc__)
@click.argument("model_a", type=MODEL)
@click.argument("model_b", type=MODEL)
@click.argument("data", type=DATA)
@leak_option
@job
@options_of(ABOptions, "options")
@options_of(ClickModel, "clicks")
def main(
    model_a: Path,
    model_b: Path,
    data: str,
    allow_leaks: bool,
    options: ABOptions,
    clicks: ClickModel,
) -> Outcome:
    """Estimate from held-out events, and simulate a test with a stated click model."""
    models = load_model(model_a), load_model(model_b)
    dataset = Dataset.open(data, verify=True)
    leaked = [check_leaks(model, dataset, allow_leaks) for model in models]
    with progress_bars() as progress:
        found = compare_by_clicks(models, dataset, options, clicks, progress)
    names = [str(model_a), str(model_b)]
    values: dict[str, Any] = {
        "models": names,
        "leaked": leaked,
        "events": found.n_events,
        "users": found.n_users,
        "events_on_list": [n for n, _ in found.on_list],
        "effective_events": [effective for _, effective in found.on_list],
        "estimates": records(found.estimates),
        "click_rates": list(found.rates),
        "lift": found.lift,
        "users_needed_an_arm": found.needed,
        "daily": records(found.daily),
        "decided": records(found.decided),
    }
    test = facts_table("a test", _facts(found, options, clicks, names))
    caution = [found.caution] if found.caution else []
    return Outcome(values, [_estimates(found, options), *caution, test])


def _estimates(found: ABResult, options: ABOptions) -> Table:
    title = (
        f"mean reward of lists of {options.k} (1 for a liked item), from {found.n_events:,} "
        f"held-out events of {found.n_users:,} users"
    )
    view = table(title, "", "A", "B", "B less A")
    for _, line in found.estimates.iterrows():
        view.add_row(line["estimator"], *(interval_text(line, part) for part in _PARTS))
    view.add_row("events on the lists", *(f"{n:,}" for n, _ in found.on_list), "")
    view.add_row("  of equal weight", *(f"{each:,.0f}" for _, each in found.on_list), "")
    return view


def interval_text(line: pd.Series, part: str) -> str:
    """Return an estimate, and its interval below it."""
    value, low, high = (line[f"{part}{end}"] for end in ("", "_low", "_high"))
    if value != value:
        return ""
    sign = "+" if part == "difference" else ""
    interval = "" if low != low else f"\n{low:{sign}.4f}…{high:{sign}.4f}"
    return f"{value:{sign}.4f}{interval}"


def _facts(
    found: ABResult, options: ABOptions, clicks: ClickModel, names: list[str]
) -> dict[str, str]:
    last, by_end = found.daily.iloc[-1], found.decided.iloc[-1]
    return {
        "A, B": ", ".join(names),
        "visits with a click, by the click model": f"{found.rates[0]:.4f}, {found.rates[1]:.4f}",
        "lift of B": f"{found.lift:+.2%}",
        f"users to find a lift of {options.lift:.1%}": _users(found.needed["lift"], clicks),
        "users to find this lift": _users(found.needed["measured"], clicks),
        f"one test of {clicks.days} days: difference": f"{last['difference']:+.4f}",
        "  always-valid interval": f"{last['low']:+.4f}…{last['high']:+.4f}",
        "tests decided by then, looked at daily": f"{by_end['always_valid']:.1%}",
        "  by mistake, were there no difference": f"{by_end['always_valid_by_mistake']:.1%}",
        "  with intervals for one look": f"{by_end['fixed_by_mistake']:.1%}",
    }


def _users(an_arm: int | None, clicks: ClickModel) -> str:
    if an_arm is None:
        return "no number of users"
    days = -(-2 * an_arm // clicks.users_a_day)
    return f"{an_arm:,} an arm, {days:,} days at {clicks.users_a_day:,} a day"
