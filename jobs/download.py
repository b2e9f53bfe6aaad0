"""Fetch data sets of the catalogue ahead of time, such as before a machine has no network.

NAME is a set such as ml-32m, or all. Later, `mfdask ingest NAME` takes the file that is there.
"""

from __future__ import annotations

import click

from mfdask.ratings.catalogue import NAMES, fetch
from mfdask.ratings.options import CACHE_DIR

from .common import Outcome, job, running
from .terminal import facts_table


@click.command("download", help=__doc__)
@click.argument(
    "names", nargs=-1, required=True, metavar="NAME…", type=click.Choice([*NAMES, "all"])
)
@job
def main(names: tuple[str, ...]) -> Outcome:
    """Fetch each, unless it is there."""
    wanted = NAMES if "all" in names else tuple(dict.fromkeys(names))
    with running() as run:
        files = {name: fetch(name, CACHE_DIR, progress=run.progress) for name in wanted}
    sizes = {name: file.stat().st_size for name, file in files.items()}
    values = {
        "files": [
            {"name": name, "file": str(file), "bytes": sizes[name]} for name, file in files.items()
        ]
    }
    facts = {name: f"{sizes[name] / 1e6:,.1f} MB in {file}" for name, file in files.items()}
    return Outcome(values, [facts_table("Data sets that are here", facts)])
