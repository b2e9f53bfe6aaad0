"""Metrics of the nights as a text file for Prometheus' node_exporter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from mfdask.nightly.journal import STATUSES, Line, is_good


def metrics_text(lines: Sequence[Line]) -> str:
    """Return the exposition of the last runs; `lines` are those of `runs.jsonl`, oldest first."""
    last = lines[-1]
    good = [line for line in lines if is_good(line)]
    published = [line for line in lines if line["status"] == "published"]
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
    if published:
        text += _of_release(published[-1])
    return "\n".join(text) + "\n"


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


def _of_release(line: Line) -> list[str]:
    version = f'version="{line["version"]}",kind="{line["kind"]}"'
    return [
        *_metric("model_info", "The model published last.", [(version, 1)]),
        *_metric("ratings", "Ratings in its data set.", [("", line["ratings"])]),
        *_metric(
            "rmse",
            "Its RMSE on held-out ratings.",
            [(f'slice="{score["slice"]}"', score["candidate"]) for score in line["scores"]],
        ),
    ]


def _metric(name: str, meaning: str, values: Iterable[tuple[str, float]]) -> list[str]:
    """Return a gauge with a line for each set of labels."""
    name = f"mfdask_nightly_{name}"
    lines = [
        f"{name}{{{labels}}} {value}" if labels else f"{name} {value}" for labels, value in values
    ]
    return [f"# HELP {name} {meaning}", f"# TYPE {name} gauge", *lines] if lines else []


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
