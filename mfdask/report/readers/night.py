"""The report for who answers for the nights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mfdask.figures.figure import Figure, Missing, Section, TableFigure
from mfdask.nightly import journal
from mfdask.nightly.journal import STATUSES, Line, is_good
from mfdask.nightly.paths import NightlyPaths
from mfdask.nightly.registry import metric_of, published_version
from mfdask.report.nights.figures import ScoreHistory, Steps
from mfdask.report.nights.tables import (
    checks_table,
    releases_table,
    runs_table,
    score_history,
    steps_table,
)
from mfdask.report.readers.summary import counted, summary_section

#: Runs that are listed, the newest.
_RUNS = 30


def night_sections(home: NightlyPaths) -> list[Section]:
    """Return how the last night ended, the gate over the releases, and what the nights cost."""
    lines = journal.read(home.journal)
    if not lines:
        why = "There was no night yet: `mfdask nightly` runs one."
        return [Section("summary", "In short", why, [Missing("nights", "The nights", why)])]
    return [_summary(home, lines), Section("nights", "The nights", "", _figures(home, lines))]


def _summary(home: NightlyPaths, lines: Sequence[Line]) -> Section:
    last, published = lines[-1], published_version(home)
    ended = last["ended"][:16].replace("T", " ")
    verdict = f"Run {last['run']} ended {ended} UTC: {last['status']}"
    verdict += f", because {last['reason']}." if last["reason"] else "."
    if last.get("failed_jobs"):
        verdict += f" These jobs behind it failed: {'; '.join(last['failed_jobs'])}."
    verdict += f" {published} is published." if published else " Nothing is published."
    verdict += _scores_in_words(last)
    seconds = [sum(line["seconds"].values()) for line in lines]
    good = [line for line in lines if is_good(line)]
    numbers: dict[str, Any] = {
        "nights": len(lines),
        **{f"  {name}": sum(line["status"] == name for line in lines) for name in STATUSES},
        "last good night": good[-1]["ended"][:10] if good else "none",
        "seconds of the last night": round(seconds[-1], 1),
        "seconds of a night, median": round(float(np.median(seconds)), 1),
        "peak memory of the last night (MiB)": max(last["memory_bytes"].values(), default=0) >> 20,
        "rows read in the last night": (last.get("intake") or {}).get("read", 0),
    }
    return summary_section(verdict, {"value": numbers})


def _scores_in_words(line: Line) -> str:
    """Return what the gate measured on all held-out ratings, as a sentence."""
    for score in line.get("scores") or ():
        if score["slice"] == "held out" and score["candidate"] is not None:
            before = score["published"]
            was = "" if before is None else f", before {before:.4f}"
            return f" {metric_of(score)} on held-out ratings is {score['candidate']:.4f}{was}."
    return ""


def _figures(home: NightlyPaths, lines: Sequence[Line]) -> list[Figure | Missing]:
    history = score_history(home)
    parts: list[Figure | Missing] = [
        ScoreHistory(history[history["metric"] == metric].reset_index(drop=True), str(metric))
        for metric in dict.fromkeys(history["metric"])
    ]
    steps = steps_table(lines[-_RUNS:])
    if len(steps):
        parts.append(Steps(steps))
    last = checks_table(lines[-1:])[["what", "value"]]
    tables = {
        "runs": ("Runs", f"The last {counted(min(len(lines), _RUNS), 'run')}, the newest first."),
        "releases": ("Releases", "With the scores of the gate, as they were that night."),
        "checks": ("What came in last", "What the checks of the input measured."),
    }
    for (name, (title, caption)), table in zip(
        tables.items(), (runs_table(lines[-_RUNS:]), releases_table(home), last), strict=True
    ):
        shown = TableFigure(table)
        shown.name, shown.title, shown.caption, shown.wide = name, title, caption, True
        parts.append(shown)
    return parts
