"""The steps of a night. Each can be repeated after an interruption, with the same result."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from distributed import Client

from mfdask.cluster import dashboard_link, open_cluster
from mfdask.errors import InputError
from mfdask.models import check_data, load_model, save_model
from mfdask.nightly import journal
from mfdask.nightly.config import NightlyConfig
from mfdask.nightly.downstream import make_tables
from mfdask.nightly.gate import ModelWithData, Verdict, judge
from mfdask.nightly.inbox import InboxFile, put_away
from mfdask.nightly.intake import Intake, judge_intake, measure
from mfdask.nightly.paths import NightlyPaths, write_json
from mfdask.nightly.registry import FACTS, Release, admit, publish, version_name
from mfdask.nightly.retention import prune
from mfdask.nightly.start import SOURCES, data_to_extend, is_admitted, plan_night, taken_contents
from mfdask.nightly.state import State
from mfdask.nightly.update import DataUpdate, data_as_of
from mfdask.progress import Progress
from mfdask.shards import Dataset


@dataclass
class Night:
    """One run: its configuration, state and cluster."""

    config: NightlyConfig
    home: NightlyPaths
    state: State
    base: Release | None
    progress: Progress
    stack: ExitStack
    given_client: Client | None = None
    opened_client: Client | None = None

    @property
    def inbox(self) -> Path:
        """Where the new files lie."""
        return self.home.root / self.config.inbox.folder

    @property
    def files(self) -> list[InboxFile]:
        """Return the files that this run takes in."""
        return [InboxFile(**said) for said in self.state.files]

    @property
    def taken(self) -> list[InboxFile]:
        """Return those of them that are no bad ones."""
        bad = self.state.facts.get("bad", {})
        return [arrival for arrival in self.files if arrival.name not in bad]

    @property
    def reason(self) -> str:
        """Why the gate refused the candidate; empty where it did not."""
        return "; ".join(self.state.facts.get("reasons", []))

    def client(self) -> Client:
        """Return the cluster, started when a step asks for it."""
        if self.given_client is not None:
            return self.given_client
        if self.opened_client is None:
            self.opened_client = self.stack.enter_context(open_cluster(self.config.cluster))
            if link := dashboard_link(self.opened_client):
                self.progress("dashboard", 1, 1, link)
        return self.opened_client

    def client_for(self, data: Dataset) -> Client | None:
        """Return the cluster if it is there already, or worth its start for a data set."""
        there = self.given_client or self.opened_client
        return self.client() if there or self.config.cluster.pays_for(data.n_train) else None

    def release_cluster(self) -> None:
        """End the cluster that was started here."""
        self.stack.close()
        self.opened_client = None


def _check(night: Night) -> None:
    """Refuse what the machine cannot hold, before it is begun."""
    if night.files or night.config.training.always:
        known = [InboxFile(**said) for said in night.state.facts["known"]]
        plan_night(night.config, night.home, night.base, night.files, known).check(night.home)


def _grow(night: Night) -> None:
    """Make the night's data set in the work folder, or find that there is nothing to do."""
    home, config, facts = night.home, night.config, night.state.facts
    begin = data_to_extend(config, night.base)
    wanted = begin is not None and (night.base is None or config.training.always)
    if not (night.files or wanted):
        facts["outcome"] = "nothing"
        return
    shutil.rmtree(home.work, ignore_errors=True)
    home.work.mkdir()
    files = [night.inbox / arrival.name for arrival in night.files]
    growth = DataUpdate(begin, home.work / "data", files, config.data, night.client, night.progress)
    grown = growth.grow()
    facts["bad"] = growth.bad
    if growth.bad and config.inbox.on_bad_file == "stop":
        name, reason = next(iter(growth.bad.items()))
        raise InputError(f"{night.inbox / name}: {reason}; take the file out, or mend it")
    if not (grown or wanted):
        said = [f"{name}: {reason}" for name, reason in growth.bad.items()]
        facts |= {"outcome": "refused", "reasons": ["no file could be taken in", *said]}
        return
    data = Dataset.open(home.work / "data")
    old = Dataset.open(begin) if begin else None
    before = old.manifest.counts.kept if old else 0
    facts |= {
        "intake": measure(data, old).facts(),
        "data_as_of": data_as_of(data),
        "ratings": data.manifest.counts.kept,
        "new_ratings": data.manifest.counts.kept - before,
        "users": data.n_users,
        "items": data.n_items,
    }


def _train(night: Night) -> None:
    """Learn the candidate's models."""
    if "outcome" in night.state.facts:
        return
    data = Dataset.open(night.home.work / "data")
    for training in night.config.trainings.values():
        check_data(training.estimator(), data)  # before a cluster is started
    learned = {name: _learn(night, name, data) for name in night.config.trainings}
    night.state.facts |= {**learned["model"], "ranking": learned.get("ranking")}


def _learn(night: Night, name: str, data: Dataset) -> dict[str, Any]:
    """Learn one of the models; a fit that was broken off goes on from its checkpoint.

    Returns its kind, its sweeps, and whether it began with the published one's rows.
    """
    training, work = night.config.trainings[name], night.home.work
    estimator = training.estimator()
    before = night.base.models.get(name) if night.base else None
    can_start = training.warm and before is not None and estimator.can_start_from(before)
    start = before if can_start else None
    checkpoint = work / f"checkpoint-{name}"
    options: dict[str, Any] = {
        "client": night.client_for(data),
        "start": start,
        "checkpoint": checkpoint,
        "checkpoint_every": 0 if estimator.begins_afresh else training.checkpoint_every,
        "progress": night.progress,
    }
    options |= training.features
    resume = checkpoint.exists()
    try:
        model = estimator.fit(data, resume=resume, **options)
    except InputError:
        if not resume:
            raise
        shutil.rmtree(checkpoint)  # a power cut has damaged it
        model = estimator.fit(data, **options)
    # Published, the data lie elsewhere: beside the model.
    save_model(replace(model, data=replace(model.data, address=None)), work / name)
    return {"kind": model.kind, "sweeps": model.history[-1].sweep, "warm": bool(start)}


def _judge(night: Night) -> None:
    """Let the gate decide, and give the release its name."""
    state = night.state
    if "outcome" in state.facts:
        return
    base, work = night.base, night.home.work
    data, old = Dataset.open(work / "data"), Dataset.open(base.data) if base else None
    scores, reasons = [], []
    for name in night.config.trainings:
        published = None
        if base and old and name in base.models:
            published = ModelWithData(load_model(base.models[name]), old)
        candidate = ModelWithData(load_model(work / name), data)
        verdict = judge(candidate, published, night.config.gate)
        scores += verdict.scores
        reasons += [reason for reason in verdict.reasons if reason not in reasons]
    verdict = Verdict(scores, reasons + _judge_intake(night))
    state.facts |= verdict.facts()
    state.facts["version"] = version_name(state.run, state.facts["data_as_of"])
    state.facts["outcome"] = "refused" if verdict.reasons else "published"


def _judge_intake(night: Night) -> list[str]:
    """Hold what the night has taken in against the limits; nothing is, without files."""
    facts, home = night.state.facts, night.home
    if not night.taken:
        return []
    newest, started = facts["data_as_of"], datetime.fromisoformat(facts["started"])
    age = None if newest is None else started.timestamp() - newest
    lines = journal.read(home.journal)
    return judge_intake(Intake(**facts["intake"]), age, lines, night.config.gate)


def _settle(night: Night) -> None:
    """Publish the release, or lay it aside with the other candidates."""
    facts, home = night.state.facts, night.home
    if "version" not in facts:
        return
    refused = facts["outcome"] == "refused"
    folder, version = home.candidates if refused else home.models, facts["version"]
    if not is_admitted(night.state, home):
        _describe(night)
        admit(home.work, folder, version)
    if not refused:
        publish(home, version)


def _describe(night: Night) -> None:
    """Write what a release says of itself, and leave nothing else beside model and data set."""
    work, state = night.home.work, night.state
    for place in work.iterdir():
        if place.name not in (*night.config.trainings, "data"):
            shutil.rmtree(place) if place.is_dir() else place.unlink()
    taken = {arrival.contents: arrival.name for arrival in night.taken}
    write_json(work / SOURCES, taken_contents(night.base) | taken, indent=1)
    own = (
        "data_as_of",
        "ratings",
        "users",
        "items",
        "kind",
        "sweeps",
        "scores",
        "reasons",
        "ranking",
    )
    said = {
        "run": state.run,
        "created": journal.now(),
        "before": state.before,
        **{name: state.facts[name] for name in own},
        "files": list(taken.values()),
    }
    write_json(work / FACTS, said, indent=1)


def _put_away(night: Night) -> None:
    """Empty the inbox of this run's files, now that it is settled what became of them."""
    facts, home, run = night.state.facts, night.home, f"{night.state.run:06d}"
    bad, reasons = facts.get("bad", {}), {}
    for arrival in night.files:
        if arrival.name in bad:
            reasons[arrival.contents] = bad[arrival.name]
        elif facts["outcome"] == "refused":
            reasons[arrival.contents] = f"refused with the night's model: {night.reason}"
    for arrival in [*night.files, *(InboxFile(**said) for said in facts["known"])]:
        reason = reasons.get(arrival.contents)  # by contents: a second copy goes the same way
        folder = (home.refused if reason else home.taken) / run
        put_away(arrival, night.inbox, folder, reason)


def _follow(night: Night) -> None:
    """Bring the tables up to the published release."""
    night.release_cluster()
    night.state.facts["failed_jobs"] = make_tables(night.home, night.config.downstream)


def _tidy(night: Night) -> None:
    shutil.rmtree(night.home.work, ignore_errors=True)
    night.state.facts["removed"] = prune(night.home, night.config.retention)


STEPS: dict[str, Callable[[Night], None]] = {
    "check": _check,
    "grow": _grow,
    "train": _train,
    "gate": _judge,
    "publish": _settle,
    "put away": _put_away,
    "downstream": _follow,
    "tidy": _tidy,
}
