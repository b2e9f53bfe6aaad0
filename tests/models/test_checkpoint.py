"""A fit that is broken off goes on as if it had not been."""

import dataclasses
import json

import numpy as np
import pytest

from mfdask.errors import InputError
from mfdask.models import ALS

CONFIG = ALS(n_factors=3, n_sweeps=7, damping=0.8)


class Killed(Exception):
    pass


def killed_at(sweep):
    def progress(stage, done, total, note=""):
        if done == sweep:
            raise Killed

    return progress


def break_off(config, ratings, folder, sweep=5, every=2):
    with pytest.raises(Killed):
        config.fit(ratings, checkpoint=folder, checkpoint_every=every, progress=killed_at(sweep))


def without_times(history):
    return [dataclasses.replace(sweep, seconds=0) for sweep in history]


@pytest.mark.parametrize("update", ["joint", "alternating"])
@pytest.mark.parametrize("sweep", [1, 2, 5, 7])
def test_resumes_bit_for_bit(update, sweep, ratings, tmp_path):
    config = dataclasses.replace(CONFIG, update=update)
    whole = config.fit(ratings)
    break_off(config, ratings, tmp_path / "c", sweep)
    resumed = config.fit(ratings, checkpoint=tmp_path / "c", resume=True)
    np.testing.assert_array_equal(resumed.user_rows, whole.user_rows)
    np.testing.assert_array_equal(resumed.item_rows, whole.item_rows)
    assert without_times(resumed.history) == without_times(whole.history)


def test_more_sweeps_may_be_asked_for(ratings, tmp_path):
    CONFIG.fit(ratings, checkpoint=tmp_path / "c", checkpoint_every=7)
    longer = dataclasses.replace(CONFIG, n_sweeps=9)
    resumed = longer.fit(ratings, checkpoint=tmp_path / "c", resume=True)
    np.testing.assert_array_equal(resumed.user_rows, longer.fit(ratings).user_rows)


def test_without_a_checkpoint_it_starts_afresh(ratings, tmp_path):
    model = CONFIG.fit(ratings, checkpoint=tmp_path / "c", resume=True)
    np.testing.assert_array_equal(model.user_rows, CONFIG.fit(ratings).user_rows)


@pytest.mark.parametrize("change", [{"n_factors": 4}, {"seed": 1}, {"factor_reg": 0.1}])
def test_another_fit_is_refused(change, ratings, tmp_path):
    break_off(CONFIG, ratings, tmp_path / "c")
    other = dataclasses.replace(CONFIG, **change)
    with pytest.raises(InputError, match="other data or parameters"):
        other.fit(ratings, checkpoint=tmp_path / "c", resume=True)


def test_other_data_are_refused(ratings, tmp_path):
    break_off(CONFIG, ratings, tmp_path / "c")
    with pytest.raises(InputError, match="other data or parameters"):
        CONFIG.fit(ratings[:-1], checkpoint=tmp_path / "c", resume=True)


@pytest.mark.parametrize("file", ["state.json", "users.npy", "items.npy"])
def test_a_damaged_checkpoint_is_refused(file, ratings, tmp_path):
    break_off(CONFIG, ratings, tmp_path / "c")
    content = bytearray((tmp_path / "c" / file).read_bytes())
    content[-3] ^= 0x55
    (tmp_path / "c" / file).write_bytes(content)
    with pytest.raises(InputError, match="damaged checkpoint"):
        CONFIG.fit(ratings, checkpoint=tmp_path / "c", resume=True)


def test_a_kill_while_one_is_written_keeps_the_one_before(ratings, tmp_path, monkeypatch):
    break_off(CONFIG, ratings, tmp_path / "c", sweep=3)
    kept = json.loads((tmp_path / "c" / "state.json").read_text())
    monkeypatch.setattr("mfdask.models.checkpoint.np.save", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        CONFIG.fit(ratings, checkpoint=tmp_path / "c", checkpoint_every=2, resume=True)
    assert json.loads((tmp_path / "c" / "state.json").read_text()) == kept


def test_every_must_not_be_negative(ratings, tmp_path):
    with pytest.raises(InputError, match="checkpoint_every must be 0"):
        CONFIG.fit(ratings, checkpoint=tmp_path / "c", checkpoint_every=-1)
    with pytest.raises(InputError, match="need a folder"):
        CONFIG.fit(ratings, checkpoint_every=1)
