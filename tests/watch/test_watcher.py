"""What is remembered of fits, and how it is put in words."""

import pytest

from mfdask.watch.groups import layout
from mfdask.watch.tables import shards_table, sweeps_table, traffic_table
from mfdask.watch.watcher import Watcher
from mfdask.watch.words import words_of
from tests.watch.told import WORKERS, forget, solve, tell, told, watched


def test_the_newest_fit_is_the_one_that_began_last():
    watcher = watched(told(1, "aaaa1111"), told(1, "bbbb2222"), told(2, "aaaa1111"))
    assert watcher.newest is watcher.fits["bbbb2222"]
    assert [each.sweep for each in watcher.fits["aaaa1111"].sweeps] == [1, 2]
    solve(watcher, "cccc3333", 1)
    assert watcher.newest is watcher.fits["bbbb2222"], "there is nothing to show of the third"
    tell(watcher, told(1, "cccc3333"))
    assert watcher.newest is watcher.fits["cccc3333"]


def test_sweeps_may_come_together():
    watcher = watched(told(1))
    tell(watcher, told(2), told(3), told(4))
    assert [each.sweep for each in watcher.newest.sweeps] == [1, 2, 3, 4]


def test_memory_is_bounded():
    watcher = Watcher()
    for sweep in range(1, 3000):
        tell(watcher, told(sweep))
    assert [each.sweep for each in watcher.newest.sweeps] == list(range(2000, 3000))
    for fit in range(50):
        tell(watcher, told(1, f"{fit:08x}"))
    assert list(watcher.fits) == [f"{fit:08x}" for fit in range(42, 50)]


def test_groups_in_a_circle_have_places():
    waits = {"start": set(), "users": {"start", "items"}, "items": {"users"}, "test": {"items"}}
    places = layout(waits | {"alone": set()})
    assert places == {
        "start": (0, 0),
        "users": (1, 0),
        "items": (2, 0),
        "test": (3, 0),
        "alone": (0, 1),
    }


def test_other_tasks_and_topics_are_nobodys_fit():
    watcher = Watcher()
    for key in ("parse-0-aaaa1111", ("half_step-x", 3), 7, "half_step-", "half_step-rows-1-2-a"):
        watcher.transition(key, "processing", "memory", worker=WORKERS[0])
    watcher.transition("half_step-users-1-0-aaaa1111", "released", "forgotten")
    watcher.log_event("all", {"action": "add-worker"})
    assert watcher.newest is None


def test_a_fit_is_over_once_its_tasks_are_forgotten():
    watcher = watched(told(1), told(2))
    for sweep in (1, 2):
        assert watcher.newest.alive
        forget(watcher, "aaaa1111", sweep)
    assert not watcher.newest.alive
    assert len(watcher.newest.solvers) == 4


def test_a_block_counts_where_it_was_solved_last():
    watcher = watched(told(1))
    solve(watcher, "aaaa1111", 2, workers=(WORKERS[1], WORKERS[1]))
    table = shards_table(watcher.newest, {WORKERS[0]: "one", WORKERS[1]: "two"})
    assert table.to_dict("list") == {"worker": ["one", "two"], "users": [0, 2], "items": [0, 2]}
    assert shards_table(watched(told(1)).newest, {}).shape == (2, 3)
    gone = shards_table(watcher.newest, {"tcp://new": "three"})
    assert gone["worker"].tolist() == ["three", WORKERS[1]]


def test_speed_counts_each_rating_twice():
    table = sweeps_table(watched(told(1, ratings=1000, seconds=0.5)).newest)
    assert table["speed"].tolist() == [4000.0]


def test_nothing_held_out_and_nothing_counted():
    fit = watched(told(1, test_rmse=None, moved={})).newest
    assert sweeps_table(fit)["test_rmse"].isna().all()
    assert traffic_table(fit, {}).empty
    assert " test" not in words_of(fit, fit.heard).line


def test_traffic_has_a_line_for_each_sweep_and_worker():
    table = traffic_table(watched(told(1), told(2)).newest, {WORKERS[0]: "one"})
    assert table.to_dict("list") == {
        "sweep": [1, 1, 2, 2],
        "worker": ["one", WORKERS[1]] * 2,
        "bytes": [3000, 1000, 6000, 1000],
    }


@pytest.mark.parametrize("table", [sweeps_table, traffic_table, shards_table])
def test_no_fit_is_an_empty_table(table):
    names = () if table is sweeps_table else ({"tcp://1": "one"},)
    assert table(None, *names).empty


def test_words_before_a_fit_and_before_its_first_sweep():
    words = words_of(None, 1_800_000_000)
    assert words.title == "No training has run yet"
    assert words.as_of == "As of 2027-01-15 08:00:00 UTC."
    watcher = Watcher()
    solve(watcher, "aaaa1111", 1)
    fit = watcher.newest
    words = words_of(fit, fit.began + 100)
    assert "running for 2 min" in words.line
    forget(watcher, "aaaa1111", 1)
    assert words_of(fit, fit.began + 100).line == "It ended before its first sweep did."


def test_words_of_a_running_fit():
    fit = watched(*(told(sweep, seconds=4) for sweep in (1, 2, 3))).newest
    fit.heard = 1_800_000_000
    words = words_of(fit, fit.heard + 2)
    assert words == (
        "als on small",
        "Sweep 3 of at most 10: RMSE train 0.3333, test 0.6667; 500 ratings a second; "
        "at most 28 s left.",
        "As of 2027-01-15 08:00:02 UTC; the last sweep was told 2 s ago. "
        "The data set is of 2026-03-01 10:20 UTC.",
    )
    late = words_of(fit, fit.heard + 3600 * 5)
    assert "nothing was told for 5.0 h, though a sweep took 4 s" in late.line
    assert "left" not in late.line


def test_words_of_a_fit_that_has_ended():
    watcher = watched(told(3))
    forget(watcher, "aaaa1111", 3)
    words = words_of(watcher.newest, watcher.newest.heard + 1)
    assert words.line == "Ended; told last: sweep 3 of at most 10, RMSE train 0.3333, test 0.6667."
