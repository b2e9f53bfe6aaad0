"""What is refused alike by all jobs that start a cluster."""

from __future__ import annotations

import click
import pytest

from jobs.cli import main

from .helpers import refused


def jobs_with_a_cluster():
    """Yield the words of each such command, with something for each of its arguments."""
    group = click.Context(main)
    for name in main.list_commands(group):
        command = main.get_command(group, name)
        subcommands = getattr(command, "commands", {})
        for words, each in [((name,), command), *(((name, n), c) for n, c in subcommands.items())]:
            if any("--memory-limit" in option.opts for option in each.params):
                arguments = [p for p in each.params if isinstance(p, click.Argument)]
                yield (*words, *["there"] * len(arguments))


@pytest.mark.parametrize("words", list(jobs_with_a_cluster()), ids=" ".join)
@pytest.mark.parametrize("limit", ["180MB", "1KB"])
def test_too_little_memory_for_a_worker(mfdask, words, limit, tmp_path):
    (tmp_path / "there").touch()
    (tmp_path / "nightly.toml").touch()
    done = mfdask(*words, "--memory-limit", limit)
    refused(done, "must be 700MB or more", f"not '{limit}'")
