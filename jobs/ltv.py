"""Tell how active each user will be, or what they will spend, from what is known at a date."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from mfdask.cluster import ClusterConfig
from mfdask.downstream.customers import Spend, StudyOptions, study_ltv

from .churn import out_file, run_study, study_options
from .common import Outcome, job
from .options import cluster_options


@click.command("ltv", help=__doc__)
@click.option(
    "--spend",
    metavar="FILE:COLUMN",
    help="Predict this amount in place of active days: a column of a Parquet or CSV file with "
    "user_id and timestamp.",
)
@job
@study_options
@cluster_options
def main(
    model: Path,
    data: str,
    out: Path | None,
    form: str | None,
    spend: str | None,
    choices: StudyOptions,
    cluster: ClusterConfig,
) -> Outcome:
    """See the module."""
    amounts = None if spend is None else Spend.read(spend)
    study = partial(study_ltv, spend=amounts)
    return run_study("ltv", study, model, data, out_file(out, form), choices, cluster, amounts)
