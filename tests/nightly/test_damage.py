"""Damaged files of a home: one line says which, and what was taken in is never taken for new."""

import json
import shutil
from pathlib import Path

import pytest

from mfdask.errors import InputError
from mfdask.models import load_model
from mfdask.nightly import journal
from mfdask.nightly.registry import current, damaged, promote, releases
from mfdask.nightly.start import begin, look_ahead
from mfdask.nightly.state import State
from tests.nightly.test_run import FIRST, begun, first_night  # noqa: F401

FILES = [
    "models/*/release.json",
    "models/*/sources.json",
    "models/*/data/manifest.json",
    "models/*/model/model.json",
]
WRONG = ["", "{}", "[]", "null", "3", '"x"', "\x00\x00", "[" * 100_000, '{"run": "one"}']


def damages(text):
    """Return a file's text cut off, of other types, and with values of other types."""
    yield from (text[: len(text) // 2], *WRONG)
    for key, value in json.loads(text).items():
        for other in ("x", 3, [1], {"a": []}, None):
            if type(other) is not type(value):
                yield json.dumps({**json.loads(text), key: other})


def read_all(nights):
    """Read whatever a night, or somebody who looks after them, reads."""
    plan = look_ahead(nights.config())
    assert [file.name for file in plan.known] == ["again.csv"]
    release = current(nights.home)
    load_model(release.model)
    assert release.rmse > 0
    assert isinstance(release.data_day, str)
    begin(nights.config(), nights.home)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file(name, begun):  # noqa: F811
    begun.arrive("again.csv", 0, FIRST)
    read_all(begun)
    file = next(f for f in begun.home.root.glob(name) if f.parts[-2] != "current")
    file = file.parent.resolve() / file.name
    whole = file.read_text()
    file.unlink()  # another home of other tests may have a link to it
    refused = 0
    for text in damages(whole):
        file.write_text(text)
        begun.home.state.unlink(missing_ok=True)
        try:
            read_all(begun)
        except InputError:
            refused += 1
        if name.endswith("release.json"):
            assert len(releases(begun.home.models)) + len(damaged(begun.home.models)) == 1
    assert refused > len(WRONG)
    file.write_text(whole)
    read_all(begun)


def test_a_damaged_journal_or_state(begun):  # noqa: F811
    """What these say can be done without: a night goes on, or begins anew."""
    begun.arrive("again.csv", 0, FIRST)
    begin(begun.config(), begun.home)
    for file in (begun.home.journal, begun.home.state):
        whole = file.read_text()
        for text in damages(whole):
            file.write_text(text)
            read_all(begun)
            journal.read(begun.home.journal)
            State.load(begun.home.state)
        file.write_text(whole)


def test_files_of_an_older_version_have_no_checksum(begun):  # noqa: F811
    begun.arrive("again.csv", 0, FIRST)
    begin(begun.config(), begun.home)
    home, release = begun.home, current(begun.home)
    lines = journal.read(home.journal)
    names = ("release.json", "sources.json")
    for file in (*(release.folder / name for name in names), home.state, home.journal):
        said = json.loads(file.read_text())
        assert said.pop("crc32")
        file.write_text(json.dumps(said) + "\n")
    read_all(begun)
    assert State.load(home.state) is not None
    assert (journal.read(home.journal), len(lines)) == (lines, 1)
    assert current(home) == release


@pytest.mark.parametrize("name", ["model/users.parquet", "data/items.parquet"])
def test_nothing_damaged_is_published_by_hand(name, begun):  # noqa: F811
    release = current(begun.home)
    file = release.folder / name
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match=file.name):
        promote(begun.home, release.version)


def test_a_journal_that_lacks_lines(begun):  # noqa: F811
    """Nights go on without them, and `status` says so."""
    path = begun.home.journal
    journal.check(path, 1)
    with pytest.raises(InputError, match="knows nothing of run 2"):
        journal.check(path, 2)
    path.write_text(path.read_text().replace("published", "Published") * 2)
    with pytest.raises(InputError, match="damaged in line 1, 2"):
        journal.check(path, None)


def test_a_night_of_a_damaged_home(begun):  # noqa: F811
    """It ends with what is wrong, and its file stays where it is."""
    begun.arrive("new.csv", FIRST, 13_000)
    release = current(begun.home)
    (release.folder / "sources.json").write_text("{}")
    with pytest.raises(InputError, match=r"sources.json: damaged \(first.csv is not in it\)"):
        begun.run()
    assert (begun.inbox / "new.csv").exists()
    shutil.rmtree(release.folder)
    with pytest.raises(InputError, match="the published release is gone"):
        begun.run()
    assert Path(begun.inbox / "new.csv").exists()
