"""Serve pages to look at models, nights and tables with a browser."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from pathlib import Path

import click

from mfdask.app.pages import pages_of, warm_up
from mfdask.app.server import AppServer, ServeOptions
from mfdask.app.site import Site, shown_of
from mfdask.errors import InputError
from mfdask.nightly.paths import NightlyPaths

from .common import Outcome, job
from .options import DATA, MODEL, PATH, options_of
from .terminal import facts_table, say


@click.command("app", help=__doc__)
@click.argument("models", type=MODEL, nargs=-1)
@click.option(
    "--data",
    type=DATA,
    help="The models' data set.  [default: the one that the first was learned from, if it is "
    "where it was]",
)
@click.option(
    "--home",
    type=PATH,
    help="Folder of the nights (`home` of nightly.toml); without MODEL the published one is shown.",
)
@click.option("--anomalies", type=PATH, help="Folder that `mfdask anomalies` wrote.")
@click.option("--churn", type=PATH, help="Table that `mfdask churn` wrote.")
@click.option("--ltv", type=PATH, help="Table that `mfdask ltv` wrote.")
@click.option(
    "--allow-promote",
    is_flag=True,
    help="Let every reader of the page Nights publish another release, or roll back.",
)
@job
@options_of(ServeOptions, "serve")
def main(
    models: tuple[Path, ...],
    data: str | None,
    home: Path | None,
    anomalies: Path | None,
    churn: Path | None,
    ltv: Path | None,
    allow_promote: bool,
    serve: ServeOptions,
) -> Outcome:
    """Serve until interrupted."""
    if not models and home is None:
        raise InputError("give a MODEL, or `home` with the folder of the nights")
    if home is not None and not home.is_dir():
        raise InputError(f"{home}: no such folder; give `home` of nightly.toml")
    if allow_promote and home is None:
        raise InputError("`allow_promote`: there is nothing to publish without `home`")
    site = Site(
        shown_of(models, data) if models else None,
        None if home is None else NightlyPaths(home),
        anomalies,
        [table for table in (churn, ltv) if table is not None],
        allow_promote,
    )
    with closing(site):
        _make_ready(site)
        pages = pages_of(site)
        server = AppServer(site, pages, serve)
        say(f"{server.url}  (Ctrl-C ends it)")
        began = time.monotonic()
        with suppress(KeyboardInterrupt):
            server.run()
    seconds = time.monotonic() - began
    paths = [page.path for page in pages]
    values = {"url": server.url, "pages": paths, "seconds": seconds}
    facts = {"was at": server.url, "pages": ", ".join(paths), "seconds": f"{seconds:.0f}"}
    return Outcome(values, [facts_table("app", facts)])


def _make_ready(site: Site) -> None:
    """Make ready what readers would wait for; what is not there is for the pages to say."""
    try:
        warm_up(site)
    except InputError as error:
        if site.fixed is not None:
            raise
        say(str(error))
