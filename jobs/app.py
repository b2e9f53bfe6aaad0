"""Serve pages to look at models, nights and tables with a browser."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from pathlib import Path

import click

from mfdask.app.pages import pages_of
from mfdask.app.server import AppServer, ServeOptions
from mfdask.app.site import Site, shown_of
from mfdask.errors import InputError
from mfdask.nightly.paths import NightlyPaths

from .common import Outcome, facts_table, job, say
from .options import DATA, MODEL, PATH, options_of


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
@job
@options_of(ServeOptions, "serve")
def main(
    models: tuple[Path, ...], data: str | None, home: Path | None, serve: ServeOptions
) -> Outcome:
    """Serve until interrupted; nothing that is shown is changed."""
    if not models and home is None:
        raise InputError("give a MODEL, or `home` with the folder of the nights")
    site = Site(
        shown_of(models, data) if models else None, None if home is None else NightlyPaths(home)
    )
    with closing(site):
        site.now().warm_up()
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
