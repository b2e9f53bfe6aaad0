"""Nights killed with SIGKILL: a few here, as many as one likes by `kills`."""

from tests.nightly.kills import many_runs


def test_killed_nights_come_out_the_same(tmp_path):
    trial = many_runs(tmp_path, runs=3, seed=11)
    assert (len(trial.lines), trial.faults) == (3, [])
