"""Damaged files of data sets, models and homes: a sample of the trials that `damage` makes."""

from tests.trials.damage import many


def test_readers_refuse_or_give_the_same(client, tmp_path):
    ends, faults = many(tmp_path, client, n=40, seed=7)
    assert faults == []
    assert ends["refused"] > 5
    assert ends["same"] > 5
