"""Look after the models that nights have published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from mfdask.errors import InputError
from mfdask.nightly.by_hand import publish_by_hand
from mfdask.nightly.config import NightlyConfig
from mfdask.nightly.paths import NightlyPaths
from mfdask.nightly.registry import (
    Release,
    current,
    damaged,
    metric_of,
    promote,
    published_version,
    releases,
    roll_back,
)
from mfdask.nightly.retention import prune
from mfdask.nightly.start import release_to_extend

from .common import Outcome, job
from .nightly import config_option
from .terminal import facts_table, say, table


@click.group("models", help=__doc__)
def main() -> None:
    """See the module."""


def _home(config: Path) -> NightlyPaths:
    return NightlyPaths(NightlyConfig.read(config).home)


def _existing(home: NightlyPaths) -> NightlyPaths:
    """Refuse a home that is not there: none is made to keep nights out of it."""
    if not home.root.is_dir():
        raise InputError(f"{home.root}: no such folder; is `home` in the configuration right?")
    return home


@main.command("list")
@job
@config_option
def list_all(config: Path) -> Outcome:
    """List releases and refused candidates, oldest first."""
    home = _home(config)
    published = published_version(home)
    values: list[dict[str, Any]] = []
    torn: list[str] = []
    view = table(str(home.models), "version", "state", "data as of", "ratings", "sweeps", "RMSE")
    for folder, state in ((home.models, ""), (home.candidates, "refused")):
        for release in releases(folder):
            here = "published" if release.version == published else state
            values.append({"version": release.version, "state": here, **_facts(release)})
            view.add_row(release.version, here, *_cells(release))
        for version in damaged(folder):
            values.append({"version": version, "state": "damaged"})
            view.add_row(version, "damaged")
            torn.append(str(folder / version))
    return Outcome({"models": values}, [view], trouble=_trouble(home, torn))


def _trouble(home: NightlyPaths, torn: list[str]) -> InputError | None:
    """Return what is wrong with the releases, once all are listed."""
    if torn:
        return InputError(f"damaged: {', '.join(torn)}; put these back from a backup, or away")
    try:
        release_to_extend(home)
    except InputError as error:
        return error
    return None


@main.command("show")
@click.argument("version", required=False)
@job
@config_option
def show(version: str | None, config: Path) -> Outcome:
    """Show all about a version; by default the published one."""
    release = _find(_home(config), version)
    values = {"version": release.version, "folder": str(release.folder), **release.facts}
    facts = {
        name.replace("_", " "): _say(fact)
        for name, fact in (values | {"data_as_of": release.data_day}).items()
        if name not in ("scores", "version")
    }
    for score in release.facts["scores"]:
        was = "" if score["published"] is None else f", the one before {score['published']:.4f}"
        facts[f"{metric_of(score)} {score['slice']}"] = f"{score['candidate']:.4f}{was}"
    return Outcome(values, [facts_table(release.version, facts)])


@main.command("promote")
@click.argument("version")
@job
@config_option
def promote_one(version: str, config: Path) -> Outcome:
    """Publish a version, or a candidate that the gate refused."""
    return _published(config, lambda home: promote(home, version))


@main.command("rollback")
@job
@config_option
def rollback(config: Path) -> Outcome:
    """Publish the version that the published one was learned from."""
    return _published(config, roll_back)


@main.command("prune")
@click.option(
    "--keep",
    type=click.IntRange(1),
    help="Keep this many newest versions.  [default: retention.models of the configuration]",
)
@job
@config_option
def prune_old(config: Path, keep: int | None) -> Outcome:
    """Remove what the configuration does not keep; never what is published or being read."""
    told = NightlyConfig.read(config)
    home, rules = NightlyPaths(told.home), told.retention
    with _existing(home).alone():
        gone = prune(home, replace(rules, models=keep) if keep else rules)
    return Outcome({"removed": gone}, [f"removed: {', '.join(gone) or 'nothing'}"])


def _find(home: NightlyPaths, version: str | None) -> Release:
    if version is None:
        release = current(home)
        if release is None:
            raise InputError(f"{home.root}: nothing is published yet; run `mfdask nightly`")
        return release
    folder = next(
        (f for f in (home.models, home.candidates) if (f / version).is_dir()), home.models
    )
    return Release.open(folder / version)


def _published(config: Path, publish: Callable[[NightlyPaths], Release]) -> Outcome:
    """Publish by hand, and bring the metrics up to it."""
    told = NightlyConfig.read(config)
    home = NightlyPaths(told.home)
    release, trouble = publish_by_hand(_existing(home), publish, told.metrics)
    if trouble:
        say(trouble)
    line = (
        f"{release.version} is published; files that a later version took in stay in taken/: put "
        "them back into the inbox if their ratings are wanted"
    )
    return Outcome({"published": release.version}, [line])


def _facts(release: Release) -> dict[str, Any]:
    facts = release.facts
    own = ("created", "data_as_of", "ratings", "users", "items", "kind", "sweeps", "reasons")
    return {name: facts[name] for name in own} | {"rmse": release.rmse}


def _cells(release: Release) -> list[str]:
    rmse = release.rmse
    return [
        release.data_day,
        f"{release.facts['ratings']:,}",
        str(release.facts["sweeps"]),
        "" if rmse is None else f"{rmse:.4f}",
    ]


def _say(fact: Any) -> str:
    if isinstance(fact, list):
        return ", ".join(map(str, fact)) or "none"
    return f"{fact:,}" if isinstance(fact, int) else str(fact)
