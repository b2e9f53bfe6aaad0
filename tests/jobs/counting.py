"""A job as another package would bring it: it counts the items of a model."""

from __future__ import annotations

from pathlib import Path

import click

from mfdask.jobs.common import Outcome, job
from mfdask.jobs.options import MODEL, PATH
from mfdask.models import load_model


@click.command("count")
@click.argument("model", type=MODEL)
@click.option("--out", type=PATH, required=True)
@job
def main(model: Path, out: Path) -> Outcome:
    """Count the items of MODEL."""
    n_items = len(load_model(model).items)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(f"{n_items}\n")
    return Outcome({"items": n_items})
