"""Whole nights, good and bad ones, and nights that are broken off."""

import errno
import json
import logging
import shutil
import struct
import zipfile
from unittest.mock import Mock

import numpy as np
import pytest
from distributed import KilledWorker

from mfdask.errors import ClusterError, InputError, MfdaskError, NoSpaceError, RefusedError
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.models import load_model
from mfdask.nightly import journal, steps, update
from mfdask.nightly.config import RetentionConfig
from mfdask.nightly.downstream import tables_of
from mfdask.nightly.registry import current, promote, releases, roll_back
from mfdask.nightly.retention import prune
from mfdask.nightly.start import look_ahead
from mfdask.nightly.state import State
from mfdask.ratings.formats import open_source
from mfdask.ratings.splits import Split
from mfdask.shards import Dataset
from tests.nightly.conftest import names

FIRST = 12_000


def flipped(lines, share=0.3):
    """Turn a share of the ratings upside down."""
    turned = np.random.default_rng(5).random(len(lines)) < share
    lines.loc[turned, "rating"] = 5.5 - lines.loc[turned, "rating"]
    return lines


@pytest.fixture
def begun(nights, first_night):
    """Return a home behind its first night."""
    shutil.copytree(first_night, nights.home.root, symlinks=True, dirs_exist_ok=True)
    return nights


@pytest.fixture(scope="session")
def first_night(tmp_path_factory, ratings, client):
    """Return a home to copy: the first night, run once for all tests."""
    from tests.nightly.conftest import Nights

    made = Nights(tmp_path_factory.mktemp("nights"), ratings, client)
    made.arrive("first.csv", 0, FIRST)
    line = made.run()
    assert (line["status"], line["before"], line["warm"]) == ("published", None, False)
    return made.home.root


def all_ratings(path):
    """Return (user, item) -> (rating, held out) of a data set."""
    data = Dataset.open(path)
    users, items = data.users()["user_id"].to_numpy(), data.items()["item_id"].to_numpy()
    found = {}
    for part in ("train", "test"):
        for block in range(data.n_blocks("users")):
            shard = data.shard("users", block, part)
            rows = np.repeat(np.arange(shard.start, shard.stop), np.diff(shard.indptr))
            pairs = zip(users[rows], items[shard.indices], strict=True)
            values = ((float(r), part) for r in shard.ratings)
            found |= dict(zip(pairs, values, strict=True))
    return found


def test_nights_equal_an_ingest_of_everything(begun, client, tmp_path):
    """Each night: the same ratings as from scratch, and fewer sweeps to as good a model."""
    for night, end in enumerate((13_000, 14_000, 15_000)):
        begun.arrive("new.csv", end - 1000, end)
        line = begun.run()
        assert (line["status"], line["warm"], line["files"]) == ("published", True, ["new.csv"])
        assert names(begun.inbox) == []
        assert names(begun.home.taken)[-1] == f"{night + 2:06d}"
    begun.ratings.to_csv(tmp_path / "all.csv", index=False)
    choices = IngestOptions(Split.parse("random:0.1"), blocks=2)
    ingest(open_source(str(tmp_path / "all.csv")), tmp_path / "all", client=client, choices=choices)
    assert all_ratings(begun.home.root / "data") == all_ratings(tmp_path / "all")
    cold = begun.config().training.estimator().fit(Dataset.open(tmp_path / "all"))
    assert line["sweeps"] < cold.history[-1].sweep
    warm = load_model((begun.home.root / "model").resolve())
    assert warm.history[-1].test_rmse == pytest.approx(cold.history[-1].test_rmse, abs=0.01)
    assert [line["status"] for line in journal.read(begun.home.journal)] == ["published"] * 4
    assert "mfdask_nightly_rmse" in (begun.home.root / "metrics.prom").read_text()
    assert not begun.home.state.exists()
    assert not begun.home.work.exists()


def test_nothing_new(begun):
    assert begun.run()["status"] == "nothing"
    assert current(begun.home).version == releases(begun.home.models)[0].version


def test_contents_are_taken_in_once(begun):
    begun.arrive("the-same-by-another-name.csv", 0, FIRST)
    begun.arrive("twice.csv", FIRST, 13_000)
    shutil.copy(begun.inbox / "twice.csv", begun.inbox / "twice-again.csv")
    line = begun.run()
    assert (line["status"], line["new_ratings"]) == ("published", 1000)
    assert names(begun.inbox) == []
    assert len(names(begun.home.taken / "000002")) == 3


def test_a_poisoned_file_is_refused(begun):
    before = current(begun.home).version
    begun.arrive("poison.csv", FIRST, 14_000, flipped)
    shutil.copy(begun.inbox / "poison.csv", begun.inbox / "same.csv")
    line = begun.run()
    assert line["status"] == "refused"
    assert "new files are of another nature" in line["reason"]
    assert current(begun.home).version == before
    assert names(begun.home.candidates) == [line["version"]]
    assert names(begun.inbox) == []
    assert names(begun.home.taken) == ["000001"]
    assert names(begun.home.refused / "000002") == [
        "poison.csv", "poison.csv.reason", "same.csv", "same.csv.reason",
    ]  # fmt: skip
    # The ratings did not come in either, and the next night goes on from before them.
    begun.arrive("good.csv", FIRST, 13_000)
    line = begun.run()
    assert (line["status"], line["ratings"]) == ("published", 13_000)
    assert line["before"] == before


def test_what_no_surprise_finds_the_ratings_from_before_do(begun):
    begun.arrive("poison.csv", FIRST, 15_000, lambda lines: flipped(lines, 0.6))
    line = begun.run(gate={"surprise": 99.0})
    assert line["status"] == "refused"
    assert "on the ratings held out before" in line["reason"]


def test_the_floors(begun):
    begun.arrive("new.csv", FIRST, 13_000)
    line = begun.run(gate={"max_rmse": 0.01})
    assert line["status"] == "refused"
    assert "at most 0.01 is allowed" in line["reason"]


def test_a_bad_file_is_set_aside(begun):
    (begun.inbox / "bad.csv").write_text("what,is,this\n1,2\n")
    begun.arrive("new.csv", FIRST, 13_000)
    line = begun.run()
    assert (line["status"], line["files"]) == ("published", ["new.csv"])
    assert names(begun.home.refused / "000002") == ["bad.csv", "bad.csv.reason"]
    (begun.inbox / "bad.csv").write_text("what,is,this\n1,2\n")
    line = begun.run()
    assert (line["status"], line["version"]) == ("refused", None)
    assert line["reason"].startswith("no file could be taken in; bad.csv: ")
    assert names(begun.home.candidates) == []


def test_a_bad_file_can_end_the_night(begun):
    (begun.inbox / "bad.csv").write_text("what,is,this\n1,2\n")
    with pytest.raises(InputError, match=r"bad\.csv"):
        begun.run(inbox={"on_bad_file": "stop"})
    assert names(begun.inbox) == ["bad.csv"]
    assert journal.read(begun.home.journal)[-1]["status"] == "failed"
    (begun.inbox / "bad.csv").unlink()
    assert begun.run(inbox={"on_bad_file": "stop"})["status"] == "nothing"


def test_ratings_can_be_withdrawn_and_corrected(begun):
    gone, mended = begun.ratings.iloc[:300], begun.ratings.iloc[300:310].copy()
    gone[["user_id", "item_id"]].to_csv(begun.inbox / "gone.withdrawn.csv", index=False)
    mended["rating"], mended["timestamp"] = 0.5, mended["timestamp"] + 10**8
    mended.to_csv(begun.inbox / "mended.csv", index=False)
    line = begun.run()
    assert (line["status"], line["new_ratings"]) == ("published", -300)
    held = all_ratings(begun.home.root / "data")
    assert not held.keys() & set(zip(gone["user_id"], gone["item_id"], strict=True))
    assert {held[p][0] for p in zip(mended["user_id"], mended["item_id"], strict=True)} == {0.5}


def test_a_file_that_was_taken_in_can_be_withdrawn_as_it_is(begun):
    """The same bytes by another name are something else: they take the ratings back."""
    begun.arrive("new.csv", FIRST, 12_400)
    assert begun.run()["new_ratings"] == 400
    shutil.copy(begun.home.taken / "000002" / "new.csv", begun.inbox / "new.withdrawn.csv")
    assert [file.name for file in look_ahead(begun.config()).files] == ["new.withdrawn.csv"]
    line = begun.run()
    assert (line["status"], line["new_ratings"]) == ("published", -400)
    shutil.copy(begun.home.taken / "000003" / "new.withdrawn.csv", begun.inbox)
    assert begun.run()["status"] == "nothing"


def test_withdrawals_come_last_beside_a_bad_file_too(begun):
    """What is withdrawn in the night in which it came stays out, in whatever order files lie."""
    begun.arrive("b.csv", FIRST, 13_000)
    gone = begun.ratings.iloc[FIRST : FIRST + 100]
    gone[["user_id", "item_id"]].to_csv(begun.inbox / "a.withdrawn.csv", index=False)
    begun.arrive("c.csv", 13_000, 13_100, lambda lines: lines.assign(user_id="somebody"))
    line = begun.run()
    assert (line["new_ratings"], list(line["bad"])) == (900, ["c.csv"])


def test_times_in_several_units_are_set_aside(begun):
    def mixed(lines):
        units = np.where(np.arange(len(lines)) % 2, 1, 1000)
        return lines.assign(timestamp=lines["timestamp"] * units)

    begun.arrive("ms.csv", FIRST, 13_000, mixed)
    line = begun.run()
    assert line["status"] == "refused"
    assert "in several units" in line["bad"]["ms.csv"]


def test_a_name_that_is_no_text(begun):
    (begun.inbox / "caf\udce9.csv").write_text("what,is,this\n1,2\n")
    assert begun.run()["status"] == "refused"
    assert names(begun.inbox) == []
    assert rb"caf\xe9.csv" in (begun.home.refused / "000002" / "caf\udce9.csv.reason").read_bytes()


def test_many_more_ratings_than_the_last_run_had(begun):
    """Most of the memory of a small run is that of the processes, and does not grow."""
    begun.arrive("new.csv", 0, 15_000)
    journal.append(begun.home.journal, {
        **journal.read(begun.home.journal)[-1], "ratings": 15, "memory_bytes": {"train": 2**30},
    })  # fmt: skip
    plan = look_ahead(begun.config())
    assert 2**30 < plan.memory_bytes < 2**30 + 2**20 * 10


@pytest.mark.parametrize("metrics", [".", "inbox/new\0.csv"])
def test_metrics_that_cannot_be_written_are_told(metrics, begun, tmp_path, caplog):
    """The night has ended all the same: its hook is called, and the next one takes in new files."""
    begun.arrive("new.csv", FIRST, 13_000)
    hook = f"touch {tmp_path}/hooked"
    with caplog.at_level(logging.ERROR):  # which the open cluster of the tests silences
        assert begun.run(metrics=metrics, hooks={"success": hook})["status"] == "published"
    assert "metrics: " in caplog.text
    assert (tmp_path / "hooked").exists()
    assert not begun.home.state.exists()


@pytest.mark.parametrize("step", ["train", "publish"])
def test_a_work_folder_that_was_cleared(step, begun, monkeypatch):
    def broken(night):
        raise KeyboardInterrupt

    begun.arrive("new.csv", FIRST, 13_000)
    with monkeypatch.context() as patch:
        patch.setitem(steps.STEPS, step, broken)
        with pytest.raises(KeyboardInterrupt):
            begun.run()
    shutil.rmtree(begun.home.work)
    line = begun.run()
    assert (line["run"], line["status"], line["new_ratings"]) == (2, "published", 1000)


def test_a_night_that_cannot_begin_is_told_as_well(begun, tmp_path):
    begun.arrive("new.csv", FIRST, 13_000)
    shutil.rmtree(current(begun.home).folder)
    with pytest.raises(InputError, match="published release is gone"):
        begun.run(hooks={"failure": f"touch {tmp_path}/hooked"})
    line = journal.read(begun.home.journal)[-1]
    assert (line["run"], line["status"]) == (2, "failed")
    assert "published release is gone" in line["reason"]
    assert (tmp_path / "hooked").exists()


def test_releases_of_which_none_is_published(begun):
    """Such as out of a backup without links: not a first night with the new file alone."""
    begun.arrive("new.csv", FIRST, 13_000)
    version = current(begun.home).version
    (begun.home.models / "current").unlink()
    for night in (begun.run, lambda: look_ahead(begun.config())):
        with pytest.raises(InputError, match=r"current is gone.*promote"):
            night()
    promote(begun.home, version)
    assert begun.run()["new_ratings"] == 1000


@pytest.mark.parametrize(
    ("step", "behind"),
    [*((step, True) for step in steps.STEPS), ("train", False), ("publish", False)],
)
def test_a_night_broken_off_at_any_step(step, behind, begun, second_night, monkeypatch):
    """Whatever was done goes on to the same release, and no file is lost or taken twice."""
    whole = steps.STEPS[step]

    def broken(night):
        if behind:
            whole(night)
        raise KeyboardInterrupt

    begun.arrive("new.csv", FIRST, 13_000)
    with monkeypatch.context() as patch:
        patch.setitem(steps.STEPS, step, broken)
        with pytest.raises(KeyboardInterrupt):
            begun.run()
    assert current(begun.home) is not None
    line = begun.run()
    assert (line["run"], line["status"]) == (2, "published")
    assert_same_release(begun.home.root / "model", second_night / "model")
    assert names(begun.home.taken / "000002") == ["new.csv"]
    assert names(begun.inbox) == []
    assert [line["status"] for line in journal.read(begun.home.journal)] == [
        "published", "interrupted", "published",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "lost", ["run.json", "work/data/manifest.json", "work/model/users.parquet"]
)
def test_a_damaged_unfinished_run_is_begun_anew(lost, begun, second_night, monkeypatch):
    """Under its number: what a power cut may have torn is told, and never published."""

    def broken(night):
        raise KeyboardInterrupt

    begun.arrive("new.csv", FIRST, 13_000)
    with monkeypatch.context() as patch:
        patch.setitem(steps.STEPS, "gate", broken)
        with pytest.raises(KeyboardInterrupt):
            begun.run()
    (begun.home.root / lost).write_text("{")
    if lost == "run.json":
        with pytest.raises(InputError, match=r"run\.json: damaged or gone, and a run is unfinish"):
            State.check(begun.home.state, begun.home.work)
    line = begun.run()
    assert (line["run"], line["status"]) == (2, "published")
    assert_same_release(begun.home.root / "model", second_night / "model")
    State.check(begun.home.state, begun.home.work)


@pytest.mark.parametrize("step", ["publish", "put away", "downstream", "tidy"])
@pytest.mark.parametrize("by_hand", [True, False])
def test_a_night_needs_nothing_that_a_tidy_up_removes(step, by_hand, begun, monkeypatch):
    """Killed once the release is published, with the one that it began at pruned since."""
    whole = steps.STEPS[step]

    def broken(night):
        whole(night)
        raise KeyboardInterrupt

    begun.arrive("new.csv", FIRST, 13_000)
    one = {"retention": {"models": 1}}
    with monkeypatch.context() as patch:
        patch.setitem(steps.STEPS, step, broken)
        with pytest.raises(KeyboardInterrupt):
            begun.run(**one)
    if by_hand:
        prune(begun.home, RetentionConfig(models=1))
    line = begun.run(**one)
    assert (line["run"], line["status"], line["files"]) == (2, "published", ["new.csv"])
    assert [release.version for release in releases(begun.home.models)] == [line["version"]]
    assert begun.run(**one)["status"] == "nothing"


def test_pruning_keeps_what_an_unfinished_run_begins_at(begun, monkeypatch):
    """Also where another release was published meanwhile, and its own is settled."""
    begun.arrive("new.csv", FIRST, 13_000)
    begun.run()
    begun.arrive("newer.csv", 13_000, 14_000)
    with monkeypatch.context() as patch:
        patch.setitem(steps.STEPS, "publish", lambda night: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            begun.run()
    began_at = current(begun.home).version
    roll_back(begun.home)
    assert prune(begun.home, RetentionConfig(models=1)) == []
    line = begun.run()
    assert (line["status"], line["before"]) == ("published", began_at)


def test_a_base_that_somebody_has_removed(begun, monkeypatch):
    """The run begins anew, at what is published now."""
    begun.arrive("new.csv", FIRST, 13_000)
    begun.run()
    begun.arrive("newer.csv", 13_000, 14_000)
    with monkeypatch.context() as patch:
        patch.setitem(steps.STEPS, "publish", lambda night: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            begun.run()
    began_at = current(begun.home)
    roll_back(begun.home)
    shutil.rmtree(began_at.folder)
    line = begun.run()
    assert (line["status"], line["ratings"]) == ("published", FIRST + 1000)


def test_a_candidate_that_was_promoted_before_its_run_went_on(begun, monkeypatch):
    whole = steps.STEPS["publish"]

    def broken(night):
        whole(night)
        raise KeyboardInterrupt

    begun.arrive("new.csv", FIRST, 13_000)
    strict = {"gate": {"max_rmse": 0.01}}
    with monkeypatch.context() as patch:
        patch.setitem(steps.STEPS, "publish", broken)
        with pytest.raises(KeyboardInterrupt):
            begun.run(**strict)
    promote(begun.home, names(begun.home.candidates)[0])
    assert begun.run(**strict)["status"] == "refused"
    assert begun.run(**strict)["status"] == "nothing"


@pytest.fixture(scope="session")
def second_night(first_night, tmp_path_factory, ratings, client):
    """Return the home of a second night that nothing has disturbed."""
    from tests.nightly.conftest import Nights

    made = Nights(tmp_path_factory.mktemp("nights"), ratings, client)
    shutil.copytree(first_night, made.home.root, symlinks=True, dirs_exist_ok=True)
    made.arrive("new.csv", FIRST, 13_000)
    assert made.run()["status"] == "published"
    return made.home.root


def assert_same_release(one, other):
    one, other = load_model(one.resolve()), load_model(other.resolve())
    assert one.data == other.data
    np.testing.assert_array_equal(one.user_rows, other.user_rows)
    np.testing.assert_array_equal(one.item_rows, other.item_rows)


def test_a_run_is_begun_anew_where_it_would_end_elsewhere(begun, monkeypatch):
    def broken(night):
        raise OSError(errno.ENOSPC, "no space left", str(night.home.work))

    begun.arrive("new.csv", FIRST, 13_000)
    with monkeypatch.context() as patch:
        patch.setitem(steps.STEPS, "gate", broken)
        with pytest.raises(NoSpaceError, match="no space"):
            begun.run()
    assert State.load(begun.home.state).done == ["check", "grow", "train"]
    line = begun.run(training={"factors": 3})
    assert (line["run"], line["status"], line["warm"]) == (2, "published", False)
    assert load_model(current(begun.home).model).n_factors == 3


def test_too_small_a_disk(begun, monkeypatch):
    begun.arrive("new.csv", FIRST, 13_000)
    monkeypatch.setattr("mfdask.nightly.plan.free_bytes", lambda path: 1000)
    with pytest.raises(RefusedError, match="MiB of disk"):
        begun.run()
    assert names(begun.inbox) == ["new.csv"]
    line = journal.read(begun.home.journal)[-1]
    assert (line["status"], line["reason"].split(":")[0]) == ("failed", "RefusedError")
    monkeypatch.undo()
    begun.arrive("late.csv", 13_000, 14_000)  # comes in with the other one
    line = begun.run()
    assert (line["run"], line["status"], line["new_ratings"]) == (2, "published", 2000)


def test_too_little_memory(begun, monkeypatch):
    begun.arrive("new.csv", FIRST, 13_000)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("M", (), {"available": 10**6}))
    with pytest.raises(RefusedError, match="MiB of memory"):
        begun.run()


def test_a_plan_changes_nothing(begun):
    begun.arrive("new.csv", FIRST, 13_000)
    begun.arrive("old.csv", 0, FIRST)
    plan = look_ahead(begun.config())
    assert [file.name for file in plan.files] == ["new.csv"]
    assert [file.name for file in plan.known] == ["old.csv"]
    assert plan.ratings == pytest.approx(13_000, rel=0.05)
    assert plan.source == "as run 1"
    assert set(plan.seconds) == set(steps.STEPS)
    assert names(begun.inbox) == ["new.csv", "old.csv"]
    assert not begun.home.state.exists()


def test_downstream_jobs_get_their_places(begun):
    begun.arrive("new.csv", FIRST, 13_000)
    jobs = [
        {"job": "polarity", "arguments": ["{tables}/{version}"]},
        {"job": "polarity", "arguments": ["{model}", "--min-ratings", "1"]},
    ]
    line = begun.run(downstream=jobs)
    assert line["status"] == "published"
    (failed,) = line["failed_jobs"]
    assert failed.startswith(
        f"polarity: exit code 2, mfdask: {begun.home.tables}/{line['version']}"
    )


def test_tables_follow_what_is_published(begun):
    """The job's folder is there or not: so it can be made to fail, and seen to run."""
    page = begun.home.tables / "page.html"
    jobs = [{"job": "report", "arguments": ["--data", "{data}", "--out", str(page)]}]
    page.mkdir(parents=True)
    begun.arrive("new.csv", FIRST, 13_000)
    assert begun.run(downstream=jobs)["failed_jobs"] != []
    line = begun.run(downstream=jobs)  # brings nothing new, and fails again
    assert (line["status"], len(line["failed_jobs"])) == ("nothing", 1)
    page.rmdir()
    (begun.home.tables / "of-a-job-that-was.csv").touch()
    assert begun.run(downstream=jobs)["failed_jobs"] == []
    assert tables_of(begun.home).left == ["of-a-job-that-was.csv"]
    before = page.read_text()
    page.unlink()
    begun.run(downstream=jobs)
    assert not page.exists()  # it was made, and nobody makes it twice
    roll_back(begun.home)
    begun.run(downstream=jobs)
    assert page.read_text() != before


def test_a_release_says_what_it_is(begun):
    begun.arrive("new.csv", FIRST, 13_000)
    line = begun.run()
    facts = current(begun.home).facts
    assert facts["run"] == 2
    assert facts["before"] == line["before"]
    assert facts["files"] == ["new.csv"]
    taken = json.loads((current(begun.home).folder / "sources.json").read_text())
    del taken["crc32"]
    assert sorted(taken.values()) == ["first.csv", "new.csv"]
    slices = [score["slice"] for score in facts["scores"]]
    assert slices == ["held out", "newest", "new tonight", "held out before"]


def test_training_without_anything_new(begun):
    line = begun.run(training={"always": True})
    assert (line["status"], line["new_ratings"]) == ("published", 0)


@pytest.mark.parametrize("split", ["none", "sequence:0.2"])
def test_data_sets_that_no_night_can_begin_with(split, nights, tmp_path):
    source = open_source("synthetic:users=50,items=40,ratings=400")
    ingest(source, tmp_path / "data", choices=IngestOptions(Split.parse(split)))
    nights.arrive("new.csv", 0, 500)
    with pytest.raises(InputError, match=f"/data: with its split, {split}.*ingest it again"):
        nights.run(data={"start": str(tmp_path / "data")})
    assert names(nights.inbox) == ["new.csv"]


def test_nights_can_begin_with_a_data_set(nights, small_data):
    line = nights.run(data={"start": str(small_data)}, gate={"min_ratings": 10**9})
    assert line["status"] == "published"
    assert line["ratings"] == Dataset.open(small_data).manifest.counts.kept


@pytest.mark.parametrize("training", [{}, {"always": True}])
def test_a_damaged_release_is_not_published_again(training, begun):
    """Its files are linked or merged into the next one: no night begins with a wrong one."""
    if not training:
        begun.arrive("new.csv", FIRST, 13_000)
    file = current(begun.home).data / "train" / "items-0001" / "ratings.npy"
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.unlink()  # another release of other tests may have a link to it
    file.write_bytes(damaged)
    waiting = names(begun.inbox)
    with pytest.raises(InputError, match=r"items-0001/ratings.npy: the file does not match"):
        begun.run(training=training)
    assert names(begun.inbox) == waiting
    assert len(releases(begun.home.models)) == 1


def a_zip_that_claims_to_be_huge(place):
    """Write a zip file whose table of contents says 160 GB."""
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ratings.csv", "user_id,item_id,rating\n1,2,3\n")
    packed = bytearray(place.read_bytes())
    at = packed.rindex(b"PK\x01\x02")
    head = struct.pack("<II", 0xFFFFFFFF, 0xFFFFFFFF)
    extra = struct.pack("<HHQQ", 1, 16, 160 * 10**9, 10**4)
    size = len(b"ratings.csv")
    fresh = bytes(packed[at : at + 20]) + head[4:] + head[4:] + packed[at + 28 : at + 30]
    fresh += struct.pack("<H", len(extra)) + packed[at + 32 : at + 46 + size] + extra
    end = packed[packed.rindex(b"PK\x05\x06") :]
    end[12:16] = struct.pack("<I", len(fresh))
    place.write_bytes(bytes(packed[:at]) + fresh + bytes(end))


def test_a_file_that_asks_for_more_disk_than_there_is(begun):
    a_zip_that_claims_to_be_huge(begun.inbox / "bomb.zip")
    begun.arrive("new.csv", FIRST, 13_000)
    line = begun.run()
    assert (line["status"], line["files"]) == ("published", ["new.csv"])
    assert "160.00 GB unpacked" in line["bad"]["bomb.zip"]


@pytest.mark.parametrize(
    "error", [OSError(22, "Invalid argument"), RuntimeError("of a library"), KeyError("x")]
)
def test_whatever_one_file_raises(error, begun, monkeypatch):
    """When it is opened, or as soon as it is taken in."""
    opened, extended = update.open_source, update.extend

    def opens(place, **options):
        if place.endswith("opens.csv"):
            raise error
        return opened(place, **options)

    def extends(target, sources, **options):
        if any("extends" in source.name for source in sources):
            raise error
        return extended(target, sources, **options)

    monkeypatch.setattr(update, "open_source", opens)
    monkeypatch.setattr(update, "extend", extends)
    for name, begin in (("opens.csv", 12_000), ("extends.csv", 12_100), ("good.csv", 12_200)):
        begun.arrive(name, begin, begin + 100)
    line = begun.run()
    assert (line["status"], line["files"]) == ("published", ["good.csv"])
    assert sorted(line["bad"]) == ["extends.csv", "opens.csv"]
    assert all(type(error).__name__ in reason for reason in line["bad"].values())


@pytest.mark.parametrize("deadly", [["big.csv"], ["big.csv", "good.csv"]])
def test_workers_that_die_of_a_file(deadly, begun, monkeypatch):
    """It is set aside if they die of it alone; that they die of every file is no file's fault."""
    extended = update.extend

    def extends(target, sources, **options):
        if any(f"{source.name}.csv" in deadly for source in sources):
            raise RefusedError("workers died") from KilledWorker("task", None, 3)
        return extended(target, sources, **options)

    for name, begin in (("big.csv", FIRST), ("good.csv", 12_100)):
        begun.arrive(name, begin, begin + 100)
    with monkeypatch.context() as patch:
        patch.setattr(update, "extend", extends)
        patch.setattr(update, "are_few", lambda sources: False)
        if len(deadly) == 2:
            with pytest.raises(RefusedError, match="workers died"):
                begun.run()
            assert names(begun.inbox) == ["big.csv", "good.csv"]
            return
        line = begun.run()
    assert (line["files"], line["bad"]) == (["good.csv"], {"big.csv": "workers died"})


def test_a_full_disk_is_no_files_fault(begun, monkeypatch):
    begun.arrive("new.csv", FIRST, 13_000)

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device", str(begun.home.work))

    for name in ("open_source", "extend"):
        with monkeypatch.context() as patch:
            patch.setattr(update, name, full)
            with pytest.raises(NoSpaceError, match="no space"):
                begun.run()
    assert names(begun.inbox) == ["new.csv"]
    assert begun.run()["new_ratings"] == 1000


def test_a_cluster_that_is_gone_is_no_files_fault(begun, monkeypatch):
    begun.arrive("new.csv", FIRST, 13_000)
    with monkeypatch.context() as patch:
        patch.setattr(update, "extend", Mock(side_effect=ClusterError("the scheduler is gone")))
        with pytest.raises(ClusterError, match="is gone"):
            begun.run()
    assert names(begun.inbox) == ["new.csv"]
    assert begun.run()["new_ratings"] == 1000


def test_models_that_are_not_mounted(begun):
    """Nobody begins with the new file alone where something has been published before."""
    begun.arrive("new.csv", FIRST, 13_000)
    begun.home.models.rename(begun.home.root / "elsewhere")
    for night in (begun.run, lambda: look_ahead(begun.config())):
        with pytest.raises(InputError, match=r"run 1 has published 000001.*not mounted"):
            night()
    shutil.rmtree(begun.home.models)
    (begun.home.root / "elsewhere").rename(begun.home.models)
    assert begun.run()["new_ratings"] == 1000


@pytest.mark.parametrize("step", ["train", "put away"])
def test_a_disk_that_fills_up(step, begun, monkeypatch):
    """The line names a place; and behind publishing it says that the release is live."""

    def full(night):
        raise OSError(errno.ENOSPC, "No space left on device")

    begun.arrive("new.csv", FIRST, 13_000)
    with monkeypatch.context() as patch:
        patch.setitem(steps.STEPS, step, full)
        with pytest.raises(MfdaskError, match=f"{begun.home.root}: no space left") as told:
            begun.run()
    assert (told.value.exit_code, "is published, but" in str(told.value)) == (
        (3, False) if step == "train" else (1, True)
    )
    assert begun.run()["status"] == "published"


def test_a_split_that_comes_too_late_is_told(begun, caplog):
    begun.arrive("new.csv", FIRST, 13_000)
    with caplog.at_level(logging.WARNING):  # which the open cluster of the tests silences
        begun.run(data={"split": "time:0.2"})
    assert "data.split: time:0.2 is left aside, the data set is cut by random:0.1" in caplog.text
