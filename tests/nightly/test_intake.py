"""What a night has taken in: its counts, and the gate's limits on them."""

import pytest

from mfdask.nightly.config import GateConfig
from mfdask.nightly.intake import Intake, judge_intake
from tests.nightly.conftest import names

INTAKE = Intake(
    read=1000,
    rejected={"missing rating": 3, "rating is not finite": 2},
    duplicates=0,
    withdrawn=0,
    values={"1": 0.25, "4": 0.75},
    values_before={"1": 0.5, "5": 0.5},
    new_users=0.4,
    new_items=0.1,
)


def published(read, before="000001"):
    return {"status": "published", "before": before, "intake": {"read": read}}


NIGHTS = [published(9 * 10**6, None), *map(published, (400, 500, 600)), {"status": "failed"}]


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"min_rows": 2.1}, "1,000 rows, and 500 on the last nights"),
        ({"max_rows": 1.9}, "at most 1.9 times these"),
        ({"max_shift": 0.7}, "one rating value differs by 75% from before"),
        ({"max_new_users": 0.3}, "40% of the rows are of new users"),
        ({"max_new_items": 0.05}, "10% of the rows are of new items"),
        ({"max_age_days": 2}, "the newest rating is 3.0 days old"),
    ],
)
def test_limits(rules, reason):
    own = GateConfig(**{"max_shift": 1.0, **rules})
    (said,) = judge_intake(INTAKE, 3 * 86_400, NIGHTS, own)
    assert reason in said
    assert f"gate.{next(iter(rules))}" in said


def test_limits_that_are_kept():
    rules = {"min_rows": 2, "max_rows": 2, "max_shift": 0.75, "max_new_users": 0.4}
    own = GateConfig(**rules, max_new_items=0.1, max_age_days=3)
    assert judge_intake(INTAKE, 3 * 86_400, NIGHTS, own) == []
    assert judge_intake(INTAKE, None, NIGHTS, GateConfig(max_shift=1.0, max_age_days=1)) == []


def test_what_decides_nothing():
    """Too few nights to compare with, too few rows, and a first night."""
    own = GateConfig(min_rows=5, max_shift=0.1)
    first = Intake(1000, {}, 0, 0, {"1": 1.0}, {}, 0.0, 0.0)
    few = Intake(90, {}, 0, 0, {"1": 1.0}, {"2": 1.0}, 1.0, 1.0)
    for intake in (first, few):
        assert judge_intake(intake, None, NIGHTS[:3], own) == []


def spoil(lines, n=15):
    """Leave the first ratings out: bad rows."""
    lines["rating"] = lines["rating"].astype(object)
    lines.iloc[:n, lines.columns.get_loc("rating")] = ""
    return lines


def test_a_night_counts_what_it_takes_in(nights):
    nights.arrive("first.csv", 0, 12_000)
    first = nights.run()
    assert first["intake"]["read"] == 12_000
    assert first["intake"]["values_before"] == {}
    nights.arrive("new.csv", 11_900, 13_900, spoil)
    nights.arrive("half.csv", 13_900, 14_000, lambda lines: spoil(lines, 50))
    nights.arrive("late.csv.partial", 14_000, 14_100)
    line = nights.run()
    assert (line["status"], line["files"]) == ("published", ["new.csv"])
    intake = line["intake"]
    assert (intake["read"], intake["rejected"]) == (2000, {"missing rating": 15})
    assert intake["duplicates"] == 85
    assert sum(intake["values"].values()) == pytest.approx(1, abs=1e-4)
    assert line["new_ratings"] == 2000 - 15 - 85
    assert "50 of its 100 rows are bad, 50 %, and 1 % may be: row 2" in line["bad"]["half.csv"]
    assert names(nights.home.refused / "000002") == ["half.csv", "half.csv.reason"]
    assert list(line["waiting"]) == ["late.csv.partial"]
    metrics = (nights.home.root / "metrics.prom").read_text()
    for text in (
        'files{state="taken"} 1',
        'files{state="set_aside"} 1',
        'files{state="waiting"} 1',
        'rows{what="read"} 2000',
        'rows{what="duplicates"} 85',
        'rejected_rows{reason="missing rating"} 15',
    ):
        assert f"mfdask_nightly_{text}" in metrics
    nights.arrive("half.csv", 13_900, 14_000, lambda lines: spoil(lines, 49))
    assert nights.run(data={"max_rejected": 0.5})["files"] == ["half.csv"]


def test_a_night_of_one_value_is_refused(nights):
    nights.arrive("first.csv", 0, 12_000)
    nights.run()
    nights.arrive("flat.csv", 12_000, 13_000, lambda lines: lines.assign(rating=5.0))
    line = nights.run(gate={"tolerance": 9.0, "surprise": 99.0})
    assert line["status"] == "refused"
    assert "(gate.max_shift)" in line["reason"]
    assert names(nights.home.candidates) == [line["version"]]
