"""Windows, what is expected of them, and what a count in one is worth."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mfdask.downstream.anomalies import bursts as module
from mfdask.downstream.anomalies.bursts import (
    LEAST,
    WINDOWS,
    Chosen,
    Timeline,
    count_tested,
    find_bursts,
    given_least,
    learn_dispersion,
    score_of,
)
from mfdask.downstream.anomalies.calendar import AGE_EDGES, HALF_DAY, Interest, half_days
from mfdask.downstream.anomalies.calibration import false_discovery
from mfdask.downstream.events import Events

N_ITEMS = 12


class Line(NamedTuple):
    """One rating of `make_events`."""

    user: int
    item: int
    rating: float
    half: int


def make_events(lines, n_users):
    """Make events of `Line`s."""
    lines = sorted(lines, key=lambda line: (line.user, line.half, line.item))
    counts = np.bincount([line.user for line in lines], minlength=n_users)
    return Events(
        0,
        np.append(0, np.cumsum(counts)),
        np.array([line.item for line in lines], np.int32),
        np.array([line.rating for line in lines], np.float32),
        np.array([line.half for line in lines], np.int64) * HALF_DAY,
        np.zeros(len(lines), bool),
    )


def some_lines(seed, n=4000, n_users=80, span=200):
    """Draw ratings that are thicker in some times and on some items than on others."""
    random = np.random.default_rng(seed)
    halves = (span * random.beta(1.5, 1.0, n)).astype(int)
    items = (N_ITEMS * random.random(n) ** 2).astype(int)
    stars = random.choice([1.0, 3.0, 5.0], n, p=[0.2, 0.5, 0.3])
    users = random.integers(n_users, size=n)
    return [Line(*line) for line in zip(users.tolist(), items.tolist(), stars, halves.tolist())]  # noqa: B905


def learned_line(events, n_items=N_ITEMS):
    """Return the line, of which ratings of 3 are plain, and the ratings in its order."""
    line = Timeline.of(events, n_items)
    ratings = events.ratings[line.order]
    return line.learned(ratings == 3)[0], ratings


def items_of(line):
    """Return the item row of each rating of the line."""
    return np.repeat(np.arange(line.n_items), np.diff(line.starts))


@pytest.fixture(scope="module")
def line():
    events = make_events(some_lines(1), 80)
    return learned_line(events)[0]


def at_age(interest, item, half):
    """Return the interest in an item at a half-day, naively."""
    age = half - interest.first[item]
    return 0.0 if age < 0 else interest.curve[np.flatnonzero(age >= AGE_EDGES)[-1]]


def naive_share(interest, item, start, stop):
    rate = np.diff(interest.before)
    due = [rate[half] * at_age(interest, item, half) for half in range(interest.span)]
    return sum(due[max(start, 0) : max(stop, 0)]) / sum(due)


@pytest.fixture(scope="module")
def interest(line):
    return Interest.learn(line.starts, line.halves)


def test_a_line_is_in_the_order_of_item_and_time(line):
    events = make_events(some_lines(1), 80)
    assert (np.diff(events.items[line.order]) >= 0).all()
    assert np.array_equal(items_of(line), events.items[line.order])
    places = np.array([7, 0, 7], np.int32)
    assert np.array_equal(line.users(places), events.users[line.order[places]])
    assert np.array_equal(line.halves, half_days(events.timestamps)[line.order])
    assert (np.diff(items_of(line) * 10_000 + line.halves) >= 0).all()


def test_the_curve_of_age_is_learned():
    """Items whose interest falls to a fifth after 30 days, on a platform that grows."""
    random = np.random.default_rng(2)
    span, n_items = 1000, 400
    rate = np.linspace(1.0, 3.0, span)
    items, halves = [], []
    for item in range(n_items):
        first = random.integers(0, span - 200)
        age = np.arange(span - first)
        mean = 0.05 * rate[first:] * np.where(age < 60, 5.0, 1.0)
        found = np.append(first, np.repeat(first + age, random.poisson(mean)))
        halves.append(found)
        items.append(np.full(len(found), item))
    items, halves = (np.concatenate(each).astype(np.int32) for each in (items, halves))
    order = np.lexsort((halves, items))
    starts = np.append(0, np.cumsum(np.bincount(items))).astype(np.int32)
    interest = Interest.learn(starts, halves[order])
    assert 4 < interest.curve[1:3].mean() / interest.curve[3:5].mean() < 8
    # At the maximum of the likelihood each age gets as many ratings as it has.
    shares = interest.exposure(np.arange(n_items), span) * interest.curve
    expected = (np.bincount(items) - 1) @ (shares / shares.sum(axis=1, keepdims=True))
    ages = np.searchsorted(AGE_EDGES, halves - interest.first[items], side="right") - 1
    seen = np.bincount(ages, minlength=len(AGE_EDGES)) - np.eye(len(AGE_EDGES))[0] * n_items
    assert expected == pytest.approx(seen, abs=3, rel=0.01)


def test_half_days_begin_with_the_first_rating():
    times = np.array([10**9, 10**9 + HALF_DAY - 1, 10**9 + HALF_DAY])
    assert half_days(times).tolist() == [0, 0, 1]


@pytest.mark.parametrize("days", WINDOWS)
def test_windows_are_those_of_a_slow_count(line, interest, days):
    which, plain = np.arange(len(items_of(line))) % 3 == 0, np.arange(len(items_of(line))) % 3 == 1
    found = module.tested_windows(Chosen.of(line, which, plain), line, days, LEAST)
    wanted = {}
    total, others = Counter(items_of(line)[which]), Counter(items_of(line)[plain])
    for shift in (0, days):
        start = (line.halves + shift) // (2 * days) * (2 * days) - shift
        n = Counter(zip(items_of(line)[which], start[which], strict=True))
        p = Counter(zip(items_of(line)[plain], start[plain], strict=True))
        for (item, begin), count in n.items():
            if count < LEAST:
                continue
            share = naive_share(interest, item, begin, begin + 2 * days)
            seen = p[item, begin]
            due = share / max(1 - share, 1e-9)  # a window may hold all of an item's life
            rest, outside = others[item] - seen, total[item] - count + 0.5
            vague = 1 / outside
            if seen / (rest + 0.5) > due:
                due = seen / (rest + 0.5)
                vague += 1 / (seen + 0.5) + 1 / (rest + 0.5)
            wanted[shift, int(item), int(begin)] = (count, total[item], outside * due, vague)
    assert len(found.n) == len(wanted) > 5
    shifts = np.where(np.arange(len(found.n)) < len([k for k in wanted if k[0] == 0]), 0, days)
    for k, shift in enumerate(shifts.tolist()):
        count, ever, expected, vague = wanted[shift, int(found.item[k]), int(found.start[k])]
        assert (found.n[k], found.total[k]) == (count, ever)
        assert found.expected[k] == pytest.approx(expected)
        assert found.dispersion[k] == pytest.approx(vague)
        assert found.stop[k] - found.start[k] == 2 * days


def test_what_is_chosen_is_in_the_order_of_item_and_time(line):
    which = np.random.default_rng(7).random(len(items_of(line))) < 0.4
    chosen = Chosen.of(line, which, ~which)
    assert chosen.places.tolist() == np.flatnonzero(which).tolist()
    assert np.diff(chosen.starts).tolist() == np.bincount(items_of(line)[which]).tolist()
    assert np.diff(chosen.other_starts).tolist() == np.bincount(items_of(line)[~which]).tolist()
    assert chosen.halves.tolist() == line.halves[which].tolist()
    assert chosen.other_halves.tolist() == line.halves[~which].tolist()


def test_what_is_left_out_of_a_line_is_as_what_is_not_chosen(line):
    random = np.random.default_rng(8)
    calm, drawn = random.random((2, len(items_of(line)))) < [[0.7], [0.5]]
    fewer = line.only(calm)
    assert len(fewer.order) == calm.sum()
    whole, part = Chosen.of(line, calm & drawn, calm & ~drawn), Chosen.of(fewer, drawn[calm])
    assert np.array_equal(line.order[whole.places], fewer.order[part.places])
    wanted, found = find_bursts(whole, line), find_bursts(part, fewer)
    assert len(wanted.n) > 20
    for name, one, other in zip(wanted._fields, wanted, found, strict=True):
        assert np.array_equal(one, other), name
    large = find_bursts(part, fewer, LEAST + 2)
    assert np.array_equal(large.score, found.score[found.n >= LEAST + 2])
    assert (found.score[found.n == LEAST] == 0).all()
    assert count_tested(part, fewer) == len(found.n)


def test_all_ratings_are_chosen(line):
    whole = Chosen.of(line, np.ones(len(line.order), bool))
    assert all(map(np.array_equal, Chosen.all_of(line), whole))


def test_members_are_the_ratings_in_the_window(line):
    chosen = Chosen.of(
        line, np.arange(len(items_of(line))) % 3 == 0, np.zeros(len(items_of(line)), bool)
    )
    bursts = find_bursts(chosen, line)
    burst, member = bursts.members()
    assert np.array_equal(np.bincount(burst), bursts.n)
    places = chosen.places[member]
    assert np.array_equal(items_of(line)[places], bursts.item[burst])
    half = line.halves[places]
    assert ((half >= bursts.start[burst]) & (half < bursts.stop[burst])).all()


def test_a_burst_across_the_border_of_a_window_is_found_whole(line):
    events = make_events(
        [*some_lines(3), *(Line(80 + k, 2, 5.0, 63 + k % 14) for k in range(30))], 110
    )
    line, ratings = learned_line(events)
    pushed = Chosen.of(line, line.users(np.arange(len(ratings))) >= 80, ratings == 3)
    bursts = find_bursts(pushed, line)
    week = bursts.take(bursts.stop - bursts.start == 14)
    assert week.n.max() == 30


@given(st.integers(LEAST, 60), st.floats(1e-6, 50), st.sampled_from([0.01, 0.4, 2.0]))
def test_chances_are_those_of_the_distribution(n, expected, dispersion):
    r = 1 / dispersion
    law = stats.nbinom(r, r / (r + expected))
    found = given_least(np.array([n]), np.array([expected]), np.array([dispersion]))
    assert found[0] == pytest.approx(law.sf(n - 1) / law.sf(LEAST - 1), rel=1e-6)


def test_chances_of_many_terms_go_on_where_those_of_few_end(monkeypatch):
    random = np.random.default_rng(3)
    n, expected = random.integers(LEAST, 90, 500), random.gamma(1.0, 8.0, 500)
    given = n, expected, random.gamma(1.0, 0.3, 500) + 1e-3
    found = given_least(*given)
    monkeypatch.setattr(module, "_FEW", 0)
    assert given_least(*given) == pytest.approx(found, rel=1e-10)
    monkeypatch.setattr(module, "_FEW", 1e4)
    assert given_least(*given) == pytest.approx(found, rel=1e-10)


def test_scores():
    three = score_of(np.array([3, 3]), np.array([0.001, 4.0]), np.array([0.01, 1.0]))
    assert three == pytest.approx([0, 0])
    n, expected = np.array([4, 9, 3000]), np.full(3, 0.1)
    tight, wide = (score_of(n, expected, np.full(3, d)) for d in (0.01, 0.5))
    assert (np.diff(tight) > 0).all()
    assert (wide < tight)[:2].all()
    assert tight[2] == 300


@pytest.mark.parametrize("truth", [0.0, 0.3])
def test_over_dispersion_is_learned_and_attacks_hardly_matter(truth):
    random = np.random.default_rng(4)
    mean = random.gamma(2.0, 2.0, 60_000)
    n = random.poisson(mean * (random.gamma(1 / truth, truth, len(mean)) if truth else 1.0))
    tested = n >= LEAST
    n, mean = n[tested], mean[tested]
    known = np.full(len(n), 0.02)
    clean = learn_dispersion(n, mean, known) + 0.02
    assert clean == pytest.approx(truth, abs=0.05)
    n[:100] += 1000
    assert learn_dispersion(n, mean, known) == pytest.approx(clean - 0.02, abs=0.02)
    assert learn_dispersion(n[:0], mean[:0], known[:0]) == 0.0


def test_with_the_dispersion_chances_are_one_half_in_the_mean():
    random = np.random.default_rng(6)
    mean = random.gamma(2.0, 2.0, 4000)
    n = random.negative_binomial(2.0, 2.0 / (2.0 + mean))
    mean, n = mean[n >= LEAST], n[n >= LEAST]
    known = np.full(len(n), 0.02)

    def middle(more):
        above, reached = (given_least(k, mean, known + more) for k in (n + 1, n))
        return (above + reached).mean() / 2

    found = learn_dispersion(n, mean, known)
    assert 0.01 < found < 3.9
    assert middle(found - 1e-5) < 0.5 < middle(found + 1e-5)
    assert learn_dispersion(1000 * n, mean, known) == 4.0  # and no more than that


def test_q_values_are_those_of_benjamini_and_hochberg():
    p = np.random.default_rng(5).random(200) ** 3
    wanted = stats.false_discovery_control(p)
    assert false_discovery(p, len(p)) == pytest.approx(wanted)
    small = p < 0.1  # the others count, though they are not given
    found = false_discovery(p[small], len(p))
    assert found[wanted[small] < 0.1] == pytest.approx(wanted[small & (wanted < 0.1)])
