"""`mfdask inspect` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.jobs.cli import main
from mfdask.ratings.synthetic import open_synthetic


def run(*words):
    return CliRunner().invoke(main, ["inspect", *words])


@pytest.fixture(autouse=True)
def made(client, tmp_path, monkeypatch):
    """Make the data set `d` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    source = open_synthetic("synthetic:users=40,items=30,ratings=500", 0)
    return ingest(source, tmp_path / "d", client=client, choices=IngestOptions(blocks=2))


def test_what_a_person_sees():
    done = run("d")
    assert done.exit_code == 0
    assert "500 = 500 + 0 + 0" in done.stdout
    assert "0.5 to 5, step 0.5" in done.stdout
    assert "Blocks" in done.stdout


def test_what_a_program_sees(made):
    said = json.loads(run("d", "--json").stdout)
    assert said["verified"] is True
    assert said["fingerprint"] == made.fingerprint
    assert said["ratings"] == said["read"] == said["train"] + said["test"] == 500
    assert said["blocks"] == {"users": 2, "items": 2}
    files = [path for path in Path("d").rglob("*") if path.is_file()]
    assert said["files"] == len(files) - 1  # all but the manifest
    sizes = sum(path.stat().st_size for path in files)
    assert said["bytes"] == sizes - Path("d/manifest.json").stat().st_size


def test_a_flipped_bit():
    file = Path("d/train/items-0000/ratings.npy")
    damaged = bytearray(file.read_bytes())
    damaged[-2] ^= 4
    file.write_bytes(damaged)
    done = run("d")
    assert done.exit_code == 2
    assert done.stderr == (
        "mfdask: d/train/items-0000/ratings.npy: the file does not match its checksum; "
        "ingest again\n"
    )


def test_no_data_set():
    done = run("nowhere")
    assert done.exit_code == 2
    assert done.stderr.startswith("mfdask: nowhere: no data set")
