"""The start of a night: from the published release, or from an interrupted run."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from mfdask.decoding import check_keys_of
from mfdask.errors import InputError
from mfdask.models import load_model
from mfdask.nightly import journal
from mfdask.nightly.config import NightlyConfig
from mfdask.nightly.downstream import check_jobs
from mfdask.nightly.inbox import Inbox, InboxFile, look_into
from mfdask.nightly.paths import NightlyPaths, read_json
from mfdask.nightly.plan import NightPlan, make_plan
from mfdask.nightly.registry import Release, current, releases
from mfdask.nightly.state import State
from mfdask.shards import Dataset

#: What a release's data set holds: the `InboxFile.contents` of each file, and its name.
SOURCES = "sources.json"
_TAKEN = {"taken": Mapping[str, str]}


def look_ahead(config: NightlyConfig) -> NightPlan:
    """Return what the next night would do; nothing is changed.

    Raises
    ------
    InputError
    """
    check_jobs(config.downstream)
    home = NightlyPaths(config.home)
    inbox = home.root / config.inbox.folder
    found = look_into(inbox, config.inbox.settle_seconds) if inbox.is_dir() else Inbox([], {})
    base = release_to_extend(home)
    files, known = _split_known(base, found.ready)
    return replace(plan_night(config, home, base, files, known), waiting=found.waiting)


def plan_night(
    config: NightlyConfig,
    home: NightlyPaths,
    base: Release | None,
    files: list[InboxFile],
    known: list[InboxFile],
) -> NightPlan:
    """Estimate a night that begins at `base`; see `make_plan`."""
    begin = data_to_extend(config, base)
    return make_plan(config, begin, base, files, known, journal.read(home.journal))


def release_to_extend(home: NightlyPaths) -> Release | None:
    """Return the published release, or None before the first.

    Raises
    ------
    InputError
        If there are releases and none is published, or there was one and none is left: a night
        that began with nothing would publish the newest files alone.
    """
    base = current(home)
    there = {release.version for release in releases(home.models)}
    if (unfinished := State.load(home.state)) is not None:
        there.discard(unfinished.facts.get("version", ""))  # which it publishes next
    if base is None and not there:
        before = [line for line in journal.read(home.journal) if line["status"] == "published"]
        if before:
            raise InputError(
                f"{home.models}: holds no release, but run {before[-1]['run']} has published "
                f"{before[-1]['version']}; is a volume not mounted? Put the releases back, or move "
                f"{home.journal} away to begin with nothing"
            )
    if base is None and there:
        raise InputError(
            f"{home.models}: none of its releases is published, the link `current` is gone; choose "
            "one of `mfdask models list` and promote it"
        )
    return base


def data_to_extend(config: NightlyConfig, base: Release | None) -> Path | None:
    """Return the data set to extend: the published one, or the one that is there at the start."""
    if base is not None:
        return base.data
    return Path(config.data.start) if config.data.start else None


def _split_known(
    base: Release | None, found: list[InboxFile]
) -> tuple[list[InboxFile], list[InboxFile]]:
    """Part files into new ones and those whose contents are taken in already."""
    taken = set(taken_contents(base))
    files: list[InboxFile] = []
    known: list[InboxFile] = []
    for arrival in found:
        (known if arrival.contents in taken else files).append(arrival)
        taken.add(arrival.contents)
    return files, known


def taken_contents(base: Release | None) -> dict[str, str]:
    """Return what a release's data set holds: the contents of each file, and its name.

    Raises
    ------
    InputError
        If the file that says so is damaged: all that was taken in would be taken for new.
    """
    if base is None:
        return {}
    file = base.folder / SOURCES
    try:
        taken = check_keys_of({"taken": read_json(file)}, _TAKEN)["taken"]
        missing = [name for name in base.facts["files"] if name not in taken.values()]
        if missing:
            raise ValueError(f"{missing[0]} is not in it")
    except (OSError, ValueError) as error:
        line = " ".join(str(error).split())
        raise InputError(
            f"{file}: damaged ({line}); put it back from a backup, or promote another release"
        ) from None
    return dict(taken)


def begin(config: NightlyConfig, home: NightlyPaths) -> State:
    """Return the state to go on from, or that of a new run.

    A run that was broken off is begun anew, under its number, where its data set is not made yet,
    what it has made is gone or damaged, or something that shapes its result has changed; the last
    not once its outcome is settled.

    Raises
    ------
    InputError
        If what is published cannot be begun with.
    """
    old = State.load(home.state)
    if old and "outcome" in old.facts and _is_there(old, home):
        return old
    base = release_to_extend(home)
    before = base.version if base else None
    identity = _identity(config)
    if old and _is_there(old, home) and _still_holds(old, identity, before, config, home):
        return old
    found = look_into(home.root / config.inbox.folder, config.inbox.settle_seconds)
    files, known = _split_known(base, found.ready)
    shutil.rmtree(home.work, ignore_errors=True)
    run = old.run if old else next_run(home)
    state = State(run, identity, before, [asdict(arrival) for arrival in files])
    state.facts["known"] = [asdict(arrival) for arrival in known]
    state.facts["waiting"] = found.waiting
    state.facts["started"] = journal.now()
    state.save(home.state)
    return state


def _is_there(old: State, home: NightlyPaths) -> bool:
    """Whether what a run goes on with is there: to get space somebody may have cleared a folder."""
    base_is_there = old.before is None or (home.models / old.before).exists()
    return is_admitted(old, home) or (base_is_there and _is_whole(home.work, old))


def _is_whole(work: Path, old: State) -> bool:
    """Whether the steps behind a run have left what they have made: a power cut may have torn it.

    Checkpoints look after themselves.
    """
    try:
        if "intake" in old.facts:
            Dataset.open(work / "data", verify=True)
        for name in ("model", "ranking") if "kind" in old.facts else ():
            if name == "model" or old.facts.get("ranking"):
                load_model(work / name)
    except InputError:
        return False
    return work.exists()


def is_admitted(state: State, home: NightlyPaths) -> bool:
    """Whether a run's release lies in its place: from then on it needs nothing that came before.

    A refused candidate may have been promoted since.
    """
    version = state.facts.get("version")
    places = [folder / version for folder in (home.models, home.candidates)] if version else []
    return "publish" in state.done or any(place.exists() for place in places)


def base_of(state: State, home: NightlyPaths) -> Release | None:
    """Return the release that a run begins at; None without one, or once nothing needs it."""
    if state.before is None or is_admitted(state, home):
        return None
    return Release.open(home.models / state.before)


def _still_holds(
    old: State, identity: str, before: str | None, config: NightlyConfig, home: NightlyPaths
) -> bool:
    """Whether a run that was broken off is worth going on with."""
    inbox = home.root / config.inbox.folder
    unchanged = all(InboxFile(**said).is_at(inbox / said["name"]) for said in old.files)
    same = old.identity == identity and old.before == before
    return "grow" in old.done and same and unchanged


def _identity(config: NightlyConfig) -> str:
    shaping = config.inbox, config.data, *config.trainings.values(), config.gate
    parts = [asdict(part) for part in shaping]  # type: ignore[call-overload]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def next_run(home: NightlyPaths) -> int:
    """Count on from the highest number there is: the clock has no say in it.

    A run that was broken off, and of which nothing else is known, is begun anew under its number.
    """
    made = [*releases(home.models), *releases(home.candidates)]
    numbers = [release.facts["run"] for release in made]
    lines = journal.read(home.journal)
    numbers += [line["run"] for line in lines if line["status"] in journal.FINAL]
    return max(numbers, default=0) + 1
