"""Releases: published by one rename, kept for their readers, removed when nobody needs them."""

import json
import shutil
import threading
from datetime import UTC, datetime

import pytest

from mfdask.errors import InputError, RefusedError
from mfdask.nightly.config import RetentionConfig
from mfdask.nightly.paths import NightlyPaths
from mfdask.nightly.registry import (
    FACTS,
    Release,
    current,
    damaged,
    holding,
    promote,
    publish,
    reading,
    releases,
    roll_back,
    version_name,
)
from mfdask.nightly.retention import prune
from tests.nightly.conftest import names

NOW = datetime(2026, 3, 10, tzinfo=UTC)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(Release, "verify", lambda release: None)  # these hold no models
    home = NightlyPaths(tmp_path)
    home.prepare(tmp_path / "inbox")
    for run in range(1, 6):
        make(home.models, run)
        publish(home, version_name(run, None))
    return home


def make(folder, run, day=None):
    made = folder / version_name(run, None)
    (made / "model").mkdir(parents=True)
    (made / "data").mkdir()
    (made / "model" / "run").write_text(str(run))
    before = version_name(run - 1, None) if run > 1 else None
    created = f"2026-03-{min(day or run, 28):02d}T02:30:00+00:00"
    counts = dict.fromkeys(("ratings", "users", "items", "sweeps"), 1)
    lists = {"scores": [], "reasons": [], "files": []}
    own = {"run": run, "created": created, "before": before, "kind": "als", "data_as_of": None}
    (made / FACTS).write_text(json.dumps({**counts, **lists, **own}))
    return made


def published(home):
    return current(home).facts["run"]


def test_names_sort_as_runs_do_whatever_the_clock_says():
    early, late = version_name(9, 2_000_000_000), version_name(10, 1_000_000_000)
    assert early < late
    assert late == "000010-20010909T014640Z"


def test_nothing_is_published_at_first(tmp_path):
    home = NightlyPaths(tmp_path)
    assert current(home) is None
    assert releases(home.models) == []
    with pytest.raises(InputError, match="nothing is published"), reading(home):
        pass
    with pytest.raises(RefusedError, match="no release before"):
        roll_back(home)


def test_roll_back_and_promote(home):
    assert published(home) == 5
    assert roll_back(home).facts["run"] == published(home) == 4
    assert roll_back(home).facts["run"] == 3
    promote(home, version_name(5, None))
    assert published(home) == 5
    assert (home.root / "model" / "run").read_text() == "5"
    with pytest.raises(InputError, match="no release there"):
        promote(home, "000099")
    assert published(home) == 5


@pytest.mark.parametrize("version", ["current", "../models/000002", "000002/", ".", ""])
def test_only_a_version_can_be_promoted(version, home):
    with pytest.raises(InputError, match="no release there"):
        promote(home, version)
    assert published(home) == 5


@pytest.mark.parametrize("part", ["model", "data", ""])
def test_a_published_release_that_is_gone(part, home):
    """Said by whatever begins with it; the rest can be looked at, pruned, and promoted."""
    shutil.rmtree(home.models / "000005" / part)
    for attempt in (current, roll_back):
        with pytest.raises(InputError, match=r"000005: the published release is gone.*promote"):
            attempt(home)
    with pytest.raises(InputError):
        promote(home, "000005")
    assert prune(home, RetentionConfig(models=3), NOW) == ["000001"]
    promote(home, "000004")
    assert published(home) == 4


def test_a_damaged_release_stands_in_nobodys_way(home):
    (home.models / "000002" / FACTS).write_text('{"run"')
    assert [release.version for release in releases(home.models)] == [
        "000001", "000003", "000004", "000005",
    ]  # fmt: skip
    assert damaged(home.models) == ["000002"]
    assert prune(home, RetentionConfig(models=2), NOW) == ["000001", "000003"]
    with pytest.raises(InputError, match="no release there"):
        promote(home, "000002")


def test_nobody_says_which_release_is_published(home):
    (home.models / "current").unlink()
    with pytest.raises(InputError, match="current: is not there, though releases are"):
        roll_back(home)
    promote(home, version_name(5, None))
    assert published(home) == 5


def test_a_candidate_can_be_promoted(home):
    make(home.candidates, 6)
    promote(home, version_name(6, None))
    assert published(home) == 6
    assert names(home.candidates) == []


def test_no_way_back_from_the_first(home):
    promote(home, version_name(1, None))
    with pytest.raises(RefusedError, match="no release before 000001"):
        roll_back(home)


def test_pruning_keeps_the_newest_and_the_published(home):
    promote(home, version_name(2, None))
    assert prune(home, RetentionConfig(models=2), NOW) == ["000001", "000003"]
    assert [r.version for r in releases(home.models)] == ["000002", "000004", "000005"]


def test_pruning_keeps_the_young(home):
    keep = RetentionConfig(models=1, days=7.0)  # since 3 March, 0:00
    assert prune(home, keep, NOW) == ["000001", "000002"]


def test_pruning_with_the_clock_set_back(home):
    keep = RetentionConfig(models=1, days=7.0)
    assert prune(home, keep, datetime(2020, 1, 1, tzinfo=UTC)) == []


def test_pruning_spares_what_is_read(home):
    promote(home, version_name(1, None))
    with reading(home) as release:
        promote(home, version_name(5, None))
        assert "000001" not in prune(home, RetentionConfig(models=1), NOW)
        assert (release.model / "run").read_text() == "1"
    assert prune(home, RetentionConfig(models=1), NOW) == ["000001"]


def test_pruning_spares_what_a_job_is_given(home):
    """By a path or a link into the release; other words of its command line mean nothing."""
    promote(home, version_name(1, None))
    with holding([home.root / "data", "als", "", "x" * 5000, "\0", "s3://bucket/data"]):
        promote(home, version_name(5, None))
        assert "000001" not in prune(home, RetentionConfig(models=1), NOW)
    assert prune(home, RetentionConfig(models=1), NOW) == ["000001"]


def test_candidates_are_pruned_by_their_own_number(home):
    for run in (6, 7, 8):
        make(home.candidates, run)
    assert prune(home, RetentionConfig(models=5, candidates=1), NOW) == ["000006", "000007"]
    assert prune(home, RetentionConfig(models=5, candidates=0), NOW) == ["000008"]


def test_a_removal_that_was_broken_off_is_finished(home):
    (home.models / "000001").rename(home.models / ".000001.gone")
    assert "000001" not in [release.version for release in releases(home.models)]
    prune(home, RetentionConfig())
    assert not (home.models / ".000001.gone").exists()


def test_a_reader_always_finds_a_whole_release(home):
    """Publishing, rolling back and pruning, while somebody reads all the time."""
    seen, faults, over = set(), [], threading.Event()

    def read():
        while not over.is_set():
            try:
                with reading(home) as release:
                    run = int((release.model / "run").read_text())
                    if release.facts["run"] != run:
                        faults.append((release.facts["run"], run))
                    seen.add(run)
            except Exception as error:  # whatever it is, it is a fault
                faults.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for run in range(6, 60):
        make(home.models, run)
        publish(home, version_name(run, None))
        prune(home, RetentionConfig(models=3), NOW)
        roll_back(home)
        promote(home, version_name(run, None))
    over.set()
    for reader in readers:
        reader.join()
    assert not faults
    assert len(seen) > 1
