"""Text from data on the terminal: no markup, no escapes, and names are whole."""

import json

import pytest

from mfdask.jobs import terminal
from mfdask.models import ALS, save_model
from mfdask.shards import Dataset

TITLE = "[red]Bad[/x] \x1b[31m\u202egnp :smile:"
SEEN = "[red]Bad[/x] \ufffd[31m\ufffdgnp :smile:"


@pytest.fixture
def hostile(mfdask, tmp_path):
    """Return the folder of a data set and of a model whose names and titles are hostile."""
    (source := tmp_path / "o[" / "x]").mkdir(parents=True)
    lines = [f"{u},{i},{1 + (u * i) % 5},{u}" for u in range(1, 30) for i in range(1, 8)]
    (source / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + "\n".join(lines))
    films = [f'{i},"{TITLE}{i} (1999)",Drama' for i in range(1, 8)]
    films[6] = '7,"3",Drama'
    (source / "movies.csv").write_text("movieId,title,genres\n" + "\n".join(films))
    made = mfdask("ingest", source, "--out", "d[bold]")
    assert made.exit_code == 0, made.output
    assert "from x]" in made.stdout
    assert "d[bold]" in made.stdout
    save_model(ALS(n_factors=2, n_sweeps=2).fit(Dataset.open("d[bold]")), tmp_path / "m[" / "b]")
    return "d[bold]", "m[/b]"


def test_text_from_data_is_no_markup_and_no_escape(hostile, mfdask, result_of):
    data, model = hostile
    jobs = {
        ("inspect", data): "from x]",
        ("similar", model, "1", "--min-ratings", 1): SEEN,
        ("polarity", model, "--min-ratings", 1): SEEN,
        ("recommend", model, "--rated", "1=5", "--explain", "--min-ratings", 1): SEEN,
        ("recommend", model, "--include-rated", "--user", 1, "--min-ratings", 1): SEEN,
        ("evaluate", model, data, "--at", 3): "",
        ("compare", model, data, "--at", 3): "b]",
        (
            "report",
            "--data",
            data,
            "--model",
            model,
            "--figures",
            "statistics",
            "--out",
            "r[/i]",
        ): "r[/i]",
        ("train", data, "--sweeps", 1, "--out", "t[/q]"): "t[/q]",
    }
    for job, seen in jobs.items():
        done = mfdask(*job)
        assert done.exit_code == 0, (job, done.output)
        assert seen in done.stdout, (job, done.stdout)
        assert not {"\x1b", "\u202e"} & set(done.output), job
    found = result_of("similar", model, "2", "--min-ratings", 1)["similar"]
    assert any(one["title"].startswith(TITLE) for one in found)


def test_errors_and_progress_are_plain(mfdask, capsys):
    done = mfdask("inspect", "a\x1b[31m[/x]")
    assert done.exit_code == 2
    assert "a\ufffd[31m[/x]" in done.stderr
    with terminal.progress_bars() as progress:
        progress("[/x]stage", 1, 2, "[/y]\x1b")
    assert "[/x]stage" in (shown := capsys.readouterr().err)
    assert "\x1b]" not in shown


def test_an_id_is_an_id_and_the_heading_says_what_it_is(hostile, mfdask, result_of):
    _, model = hostile
    own = ("--min-ratings", 1)
    assert result_of("similar", model, "3", *own)["item_id"] == 3
    assert result_of("similar", model, "title:3", *own)["item_id"] == 7
    assert "like 3, id 7" in mfdask("similar", model, "title:3", *own).stdout
    assert f"{SEEN}3 (1999), id 3" in " ".join(mfdask("similar", model, "3", *own).stdout.split())
    rated = result_of("recommend", model, "--rated", "3=5", "--rated", "title:3=1", *own)["rated"]
    assert [line["item_id"] for line in rated] == [3, 7]


def test_words_in_tables_are_whole(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    versions = [f"2026-11-27T02-30-00-candidate-{n:012d}" for n in range(3)]
    view = terminal.table("versions", "version", "parent", "interval")
    for version in versions:
        view.add_row(version, versions[0], "+0.0123\n-0.123456…+0.123456")
    terminal.show_part(view)
    shown = capsys.readouterr().out
    assert "…+" in shown
    assert shown.count("…") == len(versions)
    for version in versions:
        assert version in shown
    terminal.show_part(terminal.facts_table("t", {"folder": "x" * 3000}))
    assert capsys.readouterr().out.count("x") == 3000


def test_compare_prints_whole_names_and_intervals(mfdask, small_data, tmp_path):
    names = [f"2026-11-27-{n}-{'long' * 6}" for n in range(4)]
    for n, name in enumerate(names):
        model = ALS(n_factors=2, n_sweeps=1, seed=n).fit(Dataset.open(small_data))
        save_model(model, tmp_path / name)
    done = mfdask("compare", *names, small_data, "--resamples", 20)
    assert done.exit_code == 0, done.output
    found = mfdask("compare", *names, small_data, "--resamples", 20, "--json")
    figures = json.loads(found.stdout)["figures"]
    for name in names:
        assert name in done.stdout
    for line in figures:
        if line["low"] is not None:
            assert f"{line['low']:.4f}…{line['high']:.4f}" in done.stdout
