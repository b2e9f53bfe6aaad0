"""The command group of the console command `mfdask`."""

from __future__ import annotations

import ast
import atexit
import gc
import sys
import warnings
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path

import click

import mfdask
from mfdask.job_registry import registered_jobs

from .errors import LITTLE_MEMORY, EndedError, is_of_little_memory
from .examples import examples_of
from .pipes import outlive_readers

#: Our jobs in the order of work.
_GROUPS = {
    "Data": ("ingest", "inspect", "check", "download"),
    "Models": ("train", "evaluate", "compare", "abtest", "tune", "models"),
    "Lists": ("recommend", "similar", "polarity", "densify", "embed"),
    "Tables": ("anomalies", "churn", "ltv", "inject"),
    "Nights": ("nightly", "status", "schedule"),
    "Pages": ("report", "app"),
    "This machine": ("demo", "warmup", "bench"),
}
_OTHERS = "Of other packages"

#: Jobs that are done as soon as they could say what they do.
_QUICK = {"embed", "inspect", "models", "polarity", "schedule", "similar", "status"}


class JobGroup(click.Group):
    """Finds each job where it is registered, and imports no other for it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name every job, ours and others'."""
        return [job.name for jobs in _grouped().values() for job in jobs]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the jobs by groups, and what each does, without importing one."""
        for title, jobs in _grouped().items():
            with formatter.section(title):
                formatter.write_dl([(job.name, _purpose(job) or _unknown(job)) for job in jobs])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Say what a job does, and import it, which takes up to some seconds."""
        job = registered_jobs().get(args[0])
        asks = ctx.resilient_parsing or {"-h", "--help"} & set(args)
        if job and not asks and job.name not in _QUICK and (purpose := _purpose(job)):
            click.echo(f"mfdask {job.name}: {purpose}", err=True)
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the job `name`."""
        job = registered_jobs().get(name)
        return None if job is None else _load(job)


def _grouped() -> dict[str, list[EntryPoint]]:
    """Return the jobs by groups, in the order of work; empty groups go."""
    jobs = registered_jobs()
    ours = {title: [jobs.pop(n) for n in names if n in jobs] for title, names in _GROUPS.items()}
    found = {**ours, _OTHERS: [jobs[name] for name in sorted(jobs)]}
    return {title: group for title, group in found.items() if group}


def _purpose(job: EntryPoint) -> str:
    """Return the first line of a job's module, without importing it."""
    try:
        source = find_spec(job.module)
        text = Path(source.origin or "").read_text() if source else ""
        first = '"""'.join(text.split('"""')[:2]) + '"""'  # to read all takes ten times as long
        tree = ast.parse(first if text.startswith('"""') else text)
        return (ast.get_docstring(tree) or "").partition("\n")[0]
    except (ImportError, OSError, SyntaxError, ValueError):
        return ""  # importing it says more


def _unknown(job: EntryPoint) -> str:
    """Return why nothing is known of a job, or what itself says."""
    return _load(job).get_short_help_str(limit=200)


def _load(job: EntryPoint) -> click.Command:
    """Import a job; one that cannot be imported is listed with the reason, and ends with it."""
    try:
        command: click.Command = job.load()
        if job.module.startswith(f"{__package__}."):
            command.epilog = examples_of(job.name)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        reason = f"{job.name}: {job.value} cannot be imported ({why}); mend what registers it"
        code = 2
        if is_of_little_memory(error):
            code, reason = 3, LITTLE_MEMORY

        @click.command(job.name, help=reason, context_settings={"ignore_unknown_options": True})
        @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
        def command(arguments: tuple[str, ...]) -> None:
            raise EndedError(code, reason)

    return command


@click.command("mfdask", cls=JobGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(mfdask.__version__, prog_name="mfdask")
def main() -> None:
    """Learn a rating model from tens of millions of ratings on one workstation."""


def run() -> None:
    """Run `mfdask` as the process's only purpose."""
    # Looking for garbage takes a job a sixth of its start, while it loads what it needs, and a
    # quarter of a second of its end, among what goes with the process anyway.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    outlive_readers()
    if not sys.warnoptions and "--debug" not in sys.argv:
        warnings.simplefilter("ignore")  # libraries warn those who call them, which are we
        sys.unraisablehook = lambda _: None  # what they fail at while they clear up, as at an end
    main(prog_name="mfdask")
