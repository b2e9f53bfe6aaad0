"""The group behind the console command `mfdask`."""

from __future__ import annotations

import atexit
import gc
import importlib
import pkgutil

import click

import jobs
import mfdask

_NOT_JOBS = {"cli", "common"}


class JobGroup(click.Group):
    """Finds each job in the file of its name, and imports no other file for it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name every file of this folder that is a job."""
        return sorted({m.name for m in pkgutil.iter_modules(jobs.__path__)} - _NOT_JOBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the job `name`."""
        if name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"jobs.{name}").main
        return command


@click.command(cls=JobGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(mfdask.__version__, prog_name="mfdask")
def main() -> None:
    """Learn a rating model from tens of millions of ratings on one workstation."""


def run() -> None:
    """Run `mfdask` as the process's only purpose."""
    # Looking for garbage takes a job a sixth of its start, while it loads what it needs, and a
    # quarter of a second of its end, among what goes with the process anyway.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    main()


if __name__ == "__main__":
    run()
