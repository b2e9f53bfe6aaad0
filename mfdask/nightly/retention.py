"""Removal of old releases and candidates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mfdask.nightly.config import RetentionConfig
from mfdask.nightly.paths import NightlyPaths
from mfdask.nightly.registry import Release, clear_remains, published_version, releases, remove
from mfdask.nightly.state import State


def prune(home: NightlyPaths, keep: RetentionConfig, now: datetime | None = None) -> list[str]:
    """Remove old releases and candidates, and return their versions.

    Kept are the newest of each, what is younger than ``keep.days``, the published release, what
    an unfinished run needs, and whatever somebody is reading.
    """
    kept = {published_version(home), *_unfinished(home)}
    since = (now or datetime.now(UTC)) - timedelta(days=keep.days)
    gone = []
    for folder, newest in ((home.models, keep.models), (home.candidates, keep.candidates)):
        if not folder.is_dir():
            continue
        clear_remains(folder)
        found = releases(folder)
        for release in found[: max(len(found) - newest, 0)]:
            wanted = release.version in kept or (keep.days and _created(release) > since)
            if not wanted and remove(release):
                gone.append(release.version)
    return gone


def _unfinished(home: NightlyPaths) -> set[str | None]:
    """Return the releases that an unfinished run begins at, or has made and not yet settled."""
    state = State.load(home.state)
    if state is None or "publish" in state.done:
        return set()
    return {state.before, state.facts.get("version")}


def _created(release: Release) -> datetime:
    return datetime.fromisoformat(release.facts["created"])
