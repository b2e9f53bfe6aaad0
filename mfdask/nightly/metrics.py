"""Metrics of the nights as a text file for Prometheus' node_exporter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime

from mfdask.errors import InputError
from mfdask.nightly import journal
from mfdask.nightly.journal import STATUSES, Line, is_good
from mfdask.nightly.paths import NightlyPaths, write_durably
from mfdask.nightly.registry import Release, current, metric_of


def write_metrics(home: NightlyPaths, place: str) -> str | None:
    """Write the text file, and return what went wrong with it, if anything: nothing fails by it.

    Parameters
    ----------
    home : NightlyPaths
    place : str
        Where it goes, within the home or absolute; empty: nowhere.
    """
    if not place:
        return None
    release = None
    with suppress(InputError):  # of a damaged release: the runs are told all the same
        release = current(home)
    try:
        write_durably(home.root / place, metrics_text(journal.read(home.journal), release))
    except (OSError, ValueError) as error:
        return f"metrics: {error}"
    return None


def metrics_text(lines: Sequence[Line], release: Release | None) -> str:
    """Return the exposition of the last runs, and of the published release.

    Parameters
    ----------
    lines : sequence
        Of `runs.jsonl`, oldest first.
    release : Release or None
        Before the first, and where it is damaged.
    """
    text = _of_runs(lines) if lines else []
    if release:
        text += _of_release(release)
    return "\n".join(text) + "\n"


def _of_runs(lines: Sequence[Line]) -> list[str]:
    last = lines[-1]
    good = [line for line in lines if is_good(line)]
    text = [
        *_metric(
            "last_run_timestamp_seconds",
            "When the last run ended.",
            [("", _seconds(last["ended"]))],
        ),
        *_metric(
            "last_run_status",
            "1 for how the last run ended.",
            [(f'status="{status}"', int(last["status"] == status)) for status in STATUSES],
        ),
        *_metric(
            "step_seconds",
            "Duration of each step of the last run.",
            [(f'step="{step}"', seconds) for step, seconds in last["seconds"].items()],
        ),
    ]
    text += _of_files(last)
    if good:
        when = _seconds(good[-1]["ended"])
        text += _metric(
            "last_success_timestamp_seconds", "When a run last ended well.", [("", when)]
        )
    return text


def _of_files(line: Line) -> list[str]:
    """Return what became of the files of a run, and of their rows."""
    files = [("taken", "files"), ("set_aside", "bad"), ("waiting", "waiting")]
    text = _metric(
        "files",
        "Files of the last run: taken in, set aside, or waiting for another night.",
        [(f'state="{state}"', len(line.get(key, ()))) for state, key in files],
    )
    intake = line.get("intake")
    if intake:
        rows = ("read", "duplicates", "withdrawn")
        text += _metric(
            "rows", "Rows of the last run.", [(f'what="{what}"', intake[what]) for what in rows]
        )
        text += _metric(
            "rejected_rows",
            "Bad rows of the last run, left out.",
            [(f'reason="{_label(why)}"', n) for why, n in intake["rejected"].items()],
        )
    return text


def _label(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _of_release(release: Release) -> list[str]:
    facts = release.facts
    version = f'version="{_label(release.version)}",kind="{_label(facts["kind"])}"'
    text = [
        *_metric("model_info", "The published model.", [(version, 1)]),
        *_metric("ratings", "Ratings in its data set.", [("", facts["ratings"])]),
    ]
    for name, metric, meaning in (
        ("rmse", "RMSE", "Its RMSE on held-out ratings."),
        ("ndcg", "NDCG@10", "NDCG of its lists of 10, on held-out ratings."),
    ):
        slices = [
            (f'slice="{score["slice"]}"', score["candidate"])
            for score in facts["scores"]
            if metric_of(score) == metric
        ]
        text += _metric(name, meaning, slices) if slices else []
    if facts["data_as_of"] is not None:
        newest = [("", facts["data_as_of"])]
        text += _metric("data_timestamp_seconds", "Time of its newest rating.", newest)
    return text


def _metric(name: str, meaning: str, values: Iterable[tuple[str, float]]) -> list[str]:
    """Return a gauge with a line for each set of labels."""
    name = f"mfdask_nightly_{name}"
    lines = [
        f"{name}{{{labels}}} {value}" if labels else f"{name} {value}" for labels, value in values
    ]
    return [f"# HELP {name} {meaning}", f"# TYPE {name} gauge", *lines] if lines else []


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
