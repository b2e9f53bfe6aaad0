"""Outputs of all jobs: what is there and must not be replaced is refused before any work."""

import os
import stat

import click
import pytest

from mfdask.job_registry import registered_jobs
from mfdask.jobs.options import OUT_FILE, OUT_FOLDER, OUT_PARQUET
from tests.jobs.helpers import refused

_WRITTEN = {"--out", "--clean-out", "--study", "--init", "--report", "--models"}


def _commands():
    for name, job in registered_jobs().items():
        command = job.load()
        subs = command.commands if isinstance(command, click.Group) else {"": command}
        yield from ((f"{name} {sub}", own) for sub, own in subs.items())


def test_every_output_knows_what_it_must_not_replace():
    for name, command in _commands():
        for own in command.params:
            if _WRITTEN & set(own.opts) and isinstance(own, click.Option) and name[:6] != "report":
                assert own.type in (OUT_FILE, OUT_FOLDER, OUT_PARQUET), (name, own.opts)


@pytest.mark.parametrize(
    ("job", "n_inputs"),
    [("churn", 2), ("ltv", 2), ("embed", 1), ("compare", 2), ("train", 1), ("recommend", 1)],
)
def test_a_named_pipe_is_refused_before_the_work(job, n_inputs, mfdask, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    inputs = ["no-such-model", "no-such-data"][2 - n_inputs :]
    refused(mfdask(job, *inputs, "--out", tmp_path / "pipe"), "pipe: is a named pipe; give")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert [f.name for f in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.parametrize("kind", ["html", "svg"])
def test_a_report_is_written_into_no_pipe(kind, mfdask, tmp_path, monkeypatch):
    monkeypatch.setattr("mfdask.jobs.report.find_browser", lambda: None)
    os.mkfifo(tmp_path / "pipe")
    done = mfdask("report", "--data", "none", "--format", kind, "--out", tmp_path / "pipe")
    refused(done, "pipe: is a named pipe; give")


def test_a_link_to_a_table_stays(mfdask, model_folder, tmp_path):
    (tmp_path / "link").symlink_to("table.parquet")
    done = mfdask("embed", model_folder, "--method", "pca", "--out", tmp_path / "link")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "table.parquet").read_bytes()[:4] == b"PAR1"
