"""A measurement that was kept as JSON is shown again, and pages hold what their files say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mfdask.bench.whole import STEPS, draw_whole
from mfdask.jobs.bench_show import with_tables
from mfdask.jobs.cli import main

DOCS = Path(__file__).parents[2] / "docs"
_TAKEN = {step: {"seconds": 2.5, "peak_bytes": 10**9} for step in STEPS}


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    found = {
        "command": "mfdask bench whole --json",
        "ratings": 1234,
        "file_bytes": 2**20,
        "here": _TAKEN,
        "script": {"missing": "left out"},
    }
    (tmp_path / "whole.json").write_text(json.dumps(found))
    return tmp_path / "whole.json"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["bench", "show", *map(str, arguments)])


def test_a_file_is_shown_as_its_command_did(kept: Path) -> None:
    done = run(kept)
    assert done.exit_code == 0, done.output
    assert "mfdask bench whole" in done.stdout
    assert "1,234 ratings" in done.stdout
    assert "20.0" in done.stdout


def test_a_page_gets_the_tables_of_its_files(kept: Path) -> None:
    page = kept.parent / "page.md"
    page.write_text("before\n<!-- bench: whole.json -->\nold\n<!-- end -->\nafter <i>\n")
    assert run("--into", page).exit_code == 0
    text = page.read_text()
    assert text.startswith("before\n<!-- bench: whole.json -->\n")
    assert text.endswith("<!-- end -->\nafter <i>\n")
    assert "| all | 20.0 | 1.00 |" in text
    assert "\nold\n" not in text
    assert with_tables(page) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [(b"no marker", "there is no place for a table"), (b"\xff\xfe\0", "no text in UTF-8")],
)
def test_pages_that_will_not_do(tmp_path: Path, text: bytes, words: str) -> None:
    page = tmp_path / "page.md"
    page.write_bytes(text)
    done = run("--into", page)
    assert done.exit_code == 2
    assert words in done.stderr
    assert page.read_bytes() == text
    assert run("--into", tmp_path / "none.md").exit_code == 2


@pytest.mark.parametrize(
    "text", [None, "no JSON", "[]", "{}", '{"command": "mfdask bench"}', '{"command": "a b whole"}']
)
def test_files_that_will_not_do(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "x.json").write_text(text)
    done = run(tmp_path / "x.json")
    assert done.exit_code == 2
    assert str(tmp_path / "x.json") in done.stderr
    assert run().exit_code == 2


def test_the_documentation_shows_what_its_files_say() -> None:
    page = DOCS / "benchmarks.md"
    assert with_tables(page) == page.read_text(encoding="utf-8")
    found = json.loads((DOCS / "measured" / "whole.json").read_text(encoding="utf-8"))
    assert (DOCS / "images" / "whole.svg").read_text(encoding="utf-8") == draw_whole(found)
