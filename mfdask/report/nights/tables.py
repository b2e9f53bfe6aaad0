"""Tables of the nights: runs, releases, scores of the gate, and what came in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mfdask.errors import InputError
from mfdask.nightly.journal import Line
from mfdask.nightly.paths import NightlyPaths
from mfdask.nightly.registry import (
    Release,
    damaged,
    metric_of,
    published_version,
    releases,
)

#: What `release.json` says of a release that is shown side by side.
_FACTS = ("created", "before", "ratings", "users", "items", "kind", "sweeps")


def runs_table(lines: Sequence[Line]) -> pd.DataFrame:
    """Return a line for each run, the newest first: how it ended, what came in, and its costs."""
    table = [
        {
            "run": line["run"],
            "ended": pd.Timestamp(line["ended"]).tz_convert("UTC").tz_localize(None),
            "status": line["status"],
            "version": line["version"] or "",
            "seconds": round(sum(line["seconds"].values()), 1),
            "peak_MiB": max(line["memory_bytes"].values(), default=0) >> 20,
            "files_taken": len(line.get("files", ())),
            "files_set_aside": len(line.get("bad", ())),
            **_rows(line),
            "reason": line["reason"] or "; ".join(line.get("failed_jobs", [])),
        }
        for line in lines
    ]
    return pd.DataFrame(table)[::-1].reset_index(drop=True)


def _rows(line: Line) -> dict[str, Any]:
    intake: Mapping[str, Any] = line.get("intake") or {}
    return {
        "rows_read": intake.get("read", 0),
        "rows_rejected": sum(intake.get("rejected", {}).values()),
        "duplicates": intake.get("duplicates", 0),
    }


def checks_table(lines: Sequence[Line]) -> pd.DataFrame:
    """Return what each run's input was: a line for each run and fact, the newest run first."""
    found = [
        {"run": line["run"], "what": name, "value": value}
        for line in reversed(lines)
        for name, value in _flat(line.get("intake") or {}, "")
    ]
    return pd.DataFrame(found, columns=["run", "what", "value"])


def _flat(facts: Mapping[str, Any], before: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, fact in facts.items():
        words = f"{before}{name}".replace("_", " ")
        if isinstance(fact, Mapping):
            found += _flat(fact, f"{words}: ")
        elif isinstance(fact, int | float):
            found.append((words, fact))
    return found


def steps_table(lines: Sequence[Line]) -> pd.DataFrame:
    """Return `run`, `step` and `seconds`, in the order of the runs and of their steps."""
    found = [
        (line["run"], step, seconds) for line in lines for step, seconds in line["seconds"].items()
    ]
    return pd.DataFrame(found, columns=["run", "step", "seconds"])


def all_releases(home: NightlyPaths) -> dict[str, tuple[Release, str]]:
    """Return releases and refused candidates by version, with their state, oldest first."""
    published = published_version(home)
    found = {}
    for folder, state in ((home.candidates, "refused"), (home.models, "")):
        for release in releases(folder):
            own = "published" if release.version == published and not state else state
            found[release.version] = release, own
    return dict(sorted(found.items()))


def releases_table(home: NightlyPaths) -> pd.DataFrame:
    """Return a line for each release, the newest first; damaged ones say no more than that."""
    table = [
        {
            "version": version,
            "state": state,
            "data_as_of": release.data_day,
            "ratings": release.facts["ratings"],
            "users": release.facts["users"],
            "items": release.facts["items"],
            "kind": release.facts["kind"],
            "sweeps": release.facts["sweeps"],
            **{f"{metric} {part}": value for (metric, part), value in gate_scores(release).items()},
        }
        for version, (release, state) in all_releases(home).items()
    ]
    table += [
        {"version": version, "state": "damaged"}
        for folder in (home.models, home.candidates)
        for version in damaged(folder)
    ]
    found = pd.DataFrame(table, columns=None if table else ["version", "state"])
    return found[::-1].reset_index(drop=True)


def gate_scores(release: Release) -> dict[tuple[str, str], float]:
    """Return a release's scores by metric and slice."""
    return {
        (metric_of(score), str(score["slice"])): float(score["candidate"] or 0)
        for score in release.facts["scores"]
    }


def score_history(home: NightlyPaths) -> pd.DataFrame:
    """Return `version`, `metric`, `slice` and `value` of all releases, oldest first."""
    found = [
        (version, metric, part, value)
        for version, (release, _) in all_releases(home).items()
        for (metric, part), value in gate_scores(release).items()
    ]
    return pd.DataFrame(found, columns=["version", "metric", "slice", "value"])


def compared_table(a: Release, b: Release) -> pd.DataFrame:
    """Return two releases side by side: facts, and the scores of the gate.

    `what`, the two versions, and `difference` (the second less the first) of numbers.
    """
    rows: list[tuple[str, Any, Any]] = [
        (name.replace("_", " "), a.facts[name], b.facts[name]) for name in _FACTS
    ]
    rows.insert(0, ("data as of", a.data_day, b.data_day))
    scores = gate_scores(a), gate_scores(b)
    measured = dict.fromkeys([*scores[0], *scores[1]])
    rows += [(" ".join(key), scores[0].get(key), scores[1].get(key)) for key in measured]
    reasons = ["; ".join(one.facts["reasons"]) for one in (a, b)]
    rows.append(("refused because of", reasons[0], reasons[1]))
    names = ("first", "second") if a.version == b.version else (a.version, b.version)
    return pd.DataFrame(
        [(what, one, other, _difference(one, other)) for what, one, other in rows],
        columns=["what", *names, "difference"],
    )


def _difference(one: Any, other: Any) -> Any:
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    return other - one if numbers else None


def release_named(home: NightlyPaths, version: str) -> Release:
    """Return a release or a refused candidate.

    Raises
    ------
    InputError
        If it is not there any more.
    """
    found = all_releases(home).get(version)
    if found is None:
        raise InputError(f"release {version}: is not there any more; load the page again")
    return found[0]
