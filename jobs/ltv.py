"""Tell how active each user will be, or what they will spend, from what is known at a date."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from jobs.churn import run_study, study_options
from jobs.common import Outcome, cluster_options, job
from mfdask.cluster import ClusterConfig
from mfdask.downstream.customers import Spend, StudyOptions, study_ltv


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
    data: str,
    model: Path,
    out: Path | None,
    spend: str | None,
    choices: StudyOptions,
    cluster: ClusterConfig,
) -> Outcome:
    """See the module."""
    amounts = None if spend is None else Spend.read(spend)
    study = partial(study_ltv, spend=amounts)
    return run_study("ltv", study, data, model, out, choices, cluster, amounts)


if __name__ == "__main__":
    main()
