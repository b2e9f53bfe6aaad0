"""Every job's help ends with examples, which are read without complaint."""

import shlex

import click
import pytest
from click.testing import CliRunner
from rich.cells import cell_len

from mfdask.job_registry import registered_jobs
from mfdask.jobs import terminal
from mfdask.jobs.cli import main
from mfdask.jobs.examples import EXAMPLES

JOBS = sorted(name for name, job in registered_jobs().items() if job.module.startswith("mfdask."))


def test_every_job_has_two_and_there_are_no_others():
    assert sorted(EXAMPLES) == JOBS
    assert all(len(lines) == len(set(lines)) == 2 for lines in EXAMPLES.values())


def parsed(group, words):
    """Parse a line as click does, down to the command that would run it."""
    name, command, rest = group.resolve_command(click.Context(group), words)
    context = command.make_context(name, list(rest))
    if isinstance(command, click.Group):
        return parsed(command, [*context._protected_args, *context.args])
    return context


@pytest.mark.parametrize("job", JOBS)
def test_examples(job, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "nightly.toml").write_text("")
    shown = CliRunner().invoke(main, [job, "--help"], terminal_width=80)
    assert shown.exit_code == 0
    for line in EXAMPLES[job]:
        assert f"  {line}\n" in shown.output  # in one piece
        assert cell_len(line) <= 90
        program, *words = shlex.split(line)
        assert (program, words[0]) == ("mfdask", job)
        assert parsed(main, words).params is not None


def printed(capsys, monkeypatch, width, table):
    monkeypatch.setenv("COLUMNS", str(width))
    terminal.show_part(table)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_no_table_is_wider_than_the_terminal_and_titles_are_whole(capsys, monkeypatch, width):
    names = [f"model-of-many-signs-{k}" for k in range(7)]
    title = "what was measured of all these models on the ratings that were held out"
    table = terminal.table(title, "metric", *names)
    table.add_row("RMSE, users with 6 to 20 ratings", *(f"{k}.1234" for k in range(7)))
    lines = printed(capsys, monkeypatch, width, table)
    assert lines[0].strip() == title
    assert max(map(cell_len, lines[1:])) <= width
    text = "\n".join(lines)
    assert all(text.count(name) == 1 and f"{k}.1234" in text for k, name in enumerate(names))
    pieces = sum(line.startswith("┏") for line in lines)
    assert text.count("metric") == pieces
    assert (pieces == 1) == (width == 200)


def test_a_word_is_never_cut(capsys, monkeypatch):
    word = "x" * 100
    text = "\n".join(printed(capsys, monkeypatch, 80, terminal.facts_table("", {"name": word})))
    assert word in text
