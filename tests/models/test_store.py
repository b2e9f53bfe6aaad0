"""The model directory: what goes in comes out, and nothing broken is taken for a model."""

import errno
import json
from contextlib import suppress
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest

from mfdask.errors import InputError
from mfdask.models import ALS, Bayes, load_model, save_model
from mfdask.models.store import ModelRef, count_factors, load_side
from mfdask.shards import Dataset
from mfdask.shards.store import FileFacts


@pytest.fixture(params=[ALS(n_factors=3, n_sweeps=2), ALS(n_factors=0, n_sweeps=2)])
def model(request, ratings):
    return request.param.fit(ratings)


def test_round_trip(model, tmp_path):
    save_model(model, tmp_path / "m")
    again = load_model(tmp_path / "m")
    np.testing.assert_array_equal(again.user_rows, model.user_rows)
    np.testing.assert_array_equal(again.item_rows, model.item_rows)
    pd.testing.assert_frame_equal(again.users, model.users)
    pd.testing.assert_frame_equal(again.items, model.items)
    for name in ("kind", "parameters", "mean", "data", "history"):
        assert getattr(again, name) == getattr(model, name)
    pairs = ([0, 1, 999], [3, 999, 2])
    np.testing.assert_array_equal(again.predict(*pairs), model.predict(*pairs))


@pytest.mark.parametrize(
    "method", [ALS(n_factors=3, n_sweeps=1), Bayes(n_factors=2, n_sweeps=5, burn_in=1, n_samples=4)]
)
def test_a_part_of_a_model_is_as_in_the_whole(method, ratings, tmp_path):
    save_model(method.fit(ratings), tmp_path / "m")
    whole = load_model(tmp_path / "m")
    assert count_factors(tmp_path / "m") == whole.n_factors
    for side, table, rows in (
        ("users", whole.users, whole.user_rows),
        ("items", whole.items, whole.item_rows),
    ):
        ids, found = load_side(tmp_path / "m", side)
        assert ids.tolist() == table.iloc[:, 0].tolist()
        np.testing.assert_array_equal(found, rows)
    (tmp_path / "m" / "users.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(InputError, match="8 bytes in place of"):
        load_side(tmp_path / "m", "users")


def test_is_readable_without_mfdask(model, tmp_path):
    save_model(model, tmp_path / "m")
    assert sorted(file.name for file in (tmp_path / "m").iterdir()) == [
        "history.parquet", "items.parquet", "model.json", "users.parquet",
    ]  # fmt: skip
    users = pd.read_parquet(tmp_path / "m" / "users.parquet")
    factors = [f"f{k:02d}" for k in range(model.n_factors)]
    assert list(users) == ["user_id", "bias", *factors, "n_train"]
    np.testing.assert_array_equal(users[factors], model.user_factors)
    said = json.loads((tmp_path / "m" / "model.json").read_text())
    assert said["data"]["fingerprint"] == model.data.fingerprint
    assert said["metrics"]["sweeps"] == 2
    assert len(pd.read_parquet(tmp_path / "m" / "history.parquet")) == 2


def test_replaces_a_model_but_nothing_else(model, tmp_path):
    save_model(model, tmp_path / "m")
    save_model(model, tmp_path / "m")
    assert [f.name for f in tmp_path.iterdir()] == ["m"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="is not a model"):
        save_model(model, tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_a_failed_write_leaves_the_old_model(model, tmp_path, monkeypatch):
    save_model(model, tmp_path / "m")
    before = (tmp_path / "m" / "model.json").read_text()

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mfdask.models.store.pq.write_table", full)
    with pytest.raises(OSError, match="No space"):
        save_model(model, tmp_path / "m")
    assert (tmp_path / "m" / "model.json").read_text() == before
    assert [f.name for f in tmp_path.iterdir()] == ["m"]


def _set(path, **changes):
    said = json.loads(path.read_text())
    del said["crc32"]
    path.write_text(json.dumps({**said, **changes}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda m: (m / "model.json").unlink(), "no model there"),
        (lambda m: (m / "model.json").write_text("{"), "damaged"),
        (lambda m: _set(m / "model.json", schema_version=99), "newer mfdask.*upgrade"),
        (lambda m: (m / "users.parquet").unlink(), "the file is missing; train it again"),
        (lambda m: (m / "items.parquet").write_bytes(b"PAR1 cut"), "8 bytes in place of"),
        (lambda m: _set(m / "model.json", parameters={"n_factors": 50}), "damaged model"),
    ],
)
def test_what_is_no_model_is_refused(spoil, message, model, tmp_path):
    save_model(model, tmp_path / "m")
    spoil(tmp_path / "m")
    with pytest.raises(InputError, match=message):
        load_model(tmp_path / "m")


def test_what_may_not_be_read_is_not_called_damaged(model, tmp_path, monkeypatch):
    save_model(model, tmp_path / "m")
    denied = PermissionError(errno.EACCES, "Permission denied")
    monkeypatch.setattr(Path, "read_text", Mock(side_effect=denied))
    with pytest.raises(PermissionError):
        load_model(tmp_path / "m")
    monkeypatch.undo()
    monkeypatch.setattr(FileFacts, "check", Mock(side_effect=denied))
    with pytest.raises(PermissionError):
        load_model(tmp_path / "m")


def test_the_mend_of_a_damaged_model_is_told_once(model, tmp_path):
    save_model(model, tmp_path / "m")
    (tmp_path / "m/users.parquet").unlink()
    with pytest.raises(InputError) as told:
        load_model(tmp_path / "m")
    assert str(told.value).count("train it again") == 1


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="no model there"):
        load_model(tmp_path / "nothing")


def test_a_model_by_its_address(model, ratings, tmp_path):
    save_model(model, tmp_path / "m")
    ref = ModelRef.of(tmp_path / "m")
    opened = ref.open()
    np.testing.assert_array_equal(opened.user_rows, model.user_rows)
    assert ref.open() is opened  # read once
    save_model(ALS(n_factors=1, n_sweeps=1).fit(ratings), tmp_path / "m")
    with pytest.raises(InputError, match="was replaced while it was being read; start again"):
        ref.open()
    assert ModelRef.of(tmp_path / "m").open().n_factors == 1
    with pytest.raises(InputError, match="no model there"):
        ModelRef.of(tmp_path / "none")


@pytest.mark.parametrize("kind", ["genre", "bayes"])
def test_no_flipped_bit_changes_a_model(kind, small_data, tmp_path):
    method = (
        Bayes(n_factors=2, n_sweeps=5, burn_in=1) if kind == "bayes" else ALS(item_prior="genre")
    )
    model, folder = method.fit(Dataset.open(small_data)), tmp_path / "m"
    save_model(model, folder)
    random = np.random.default_rng(1)
    for file in sorted(folder.iterdir()):
        sound = file.read_bytes()
        for place in random.integers(8 * len(sound), size=20).tolist():
            spoilt = bytearray(sound)
            spoilt[place // 8] ^= 1 << place % 8
            file.write_bytes(spoilt)
            with suppress(InputError):  # 1E-05 is the number that 1e-05 is
                assert load_model(folder).parameters == model.parameters
                assert file.name == "model.json"
        for rest in (b"", sound[: len(sound) // 2]):
            file.write_bytes(rest)
            with pytest.raises(InputError):
                load_model(folder)
        file.unlink()
        with pytest.raises(InputError):
            load_model(folder)
        file.write_bytes(sound)
    load_model(folder)
