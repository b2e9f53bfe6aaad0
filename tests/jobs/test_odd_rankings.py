"""Odd and bad input of models that rank, as a user meets it: of every such kind."""

import sys
from pathlib import Path

import pytest

from mfdask.models import kinds
from tests.jobs.helpers import refused

KINDS = [
    name
    for name, kind in kinds().items()
    if "mfdask." in kind.estimator.__module__ and not kind.learns_from_ratings
]
#: They learn from pairs of what is liked and what is not rated.
PAIRWISE = ("bpr", "ncf")
FULL = [(user, item, 1 + user * item % 5) for user in range(1, 9) for item in range(1, 7)]
SOME = [(user, item, stars) for user, item, stars in FULL if (7 * user + 3 * item) % 4]


@pytest.fixture
def ingested(result_of):
    """Return a function that writes ratings, and ingests them into the folder ``d``."""

    def ingest(ratings, *options):
        lines = "".join(f"{user},{item},{stars}\n" for user, item, stars in ratings)
        Path("l.csv").write_text(f"user,item,rating\n{lines}")
        options = options or ("--split", "none")
        return result_of("ingest", "l.csv", "--out", "d", *options)

    return ingest


@pytest.fixture
def train(mfdask):
    """Return a function that trains a small model on ``d``."""

    def run(kind, *options):
        if kind == "ncf":
            pytest.importorskip("optax", reason="needs Optax: pip install 'mfdask[neural]'")
        size = {"n_factors": ("--factors", 2), "n_sweeps": ("--sweeps", 2)}
        known = kinds()[kind].open_parameters
        small = [word for name, words in size.items() if name in known for word in words]
        return mfdask("train", "d", "--model", kind, *small, *options, "--out", "m")

    return run


def listed(result_of, *words):
    """Return the items of the list of one person, of any length."""
    found = result_of("recommend", "m", "--top", 50, "--min-ratings", 0, *words)
    return [line["item_id"] for line in found["recommendations"]]


def test_kinds_are_found():
    assert {"ials", "bpr", "ncf", "popularity", "itemknn", "ease"} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_catalogue_smaller_than_the_list(kind, ingested, train, result_of):
    ingested(SOME)
    assert train(kind).exit_code == 0
    rated = {item for user, item, _ in SOME if user == 1}
    assert sorted(listed(result_of, "--data", "d", "--user", 1)) == sorted({*range(1, 7)} - rated)
    assert sorted(listed(result_of, "--rated", "id:1=5")) == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("kind", KINDS)
def test_users_who_have_rated_everything(kind, ingested, train, mfdask, result_of):
    ingested([*FULL, (9, 1, 5)])  # all but the last of nine users
    assert train(kind).exit_code == 0
    found = mfdask("recommend", "m", "--data", "d", "--user", 1, "--min-ratings", 0)
    assert found.exit_code == 0
    assert "nothing to offer; they have rated all 6 items" in found.stdout
    assert len(listed(result_of, "--data", "d", "--user", 9)) == 5
    everything = [word for item in range(1, 7) for word in ("--rated", f"id:{item}=5")]
    assert listed(result_of, *everything) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ratings", [FULL, FULL[:6], FULL[::6]], ids=["all", "user", "item"])
def test_nothing_is_unrated(kind, ratings, ingested, train, mfdask):
    """All is rated by all; by the one user that there is; or there is one item."""
    ingested(ratings)
    items, done = {item for _, item, _ in ratings}, train(kind)
    if kind in PAIRWISE:
        refused(done, "l: ", "one item alone" if (kind, len(items)) == ("bpr", 1) else "not rated")
        return
    assert done.exit_code == 0, done.output
    done = mfdask("recommend", "m", "--data", "d", "--user", 1, "--min-ratings", 0)
    assert "nothing to offer" in done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_liked_above_every_rating(kind, ingested, train):
    ingested(SOME)
    if "liked" in kinds()[kind].open_parameters:
        refused(train(kind, "--liked", 9), "--liked", "9", "5")


@pytest.mark.parametrize("kind", KINDS)
def test_ratings_below_zero(kind, ingested, train):
    ingested([(user, item, stars - 3) for user, item, stars in SOME])
    done = train(kind)
    if kind == "ials":  # for which they are weights, or would be
        refused(done, "ratings are -2 to 2", "--liked 0 or more")
    else:
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize("kind", KINDS)
def test_counts_are_taken_and_negative_ones_are_not(kind, ingested, train, mfdask):
    assert ingested([*SOME, *SOME], "--repeats", "count", "--split", "none")["feedback"] == "counts"
    assert train(kind).exit_code == 0
    Path("l.csv").write_text("user,item,rating\n1,1,2\n1,1,-1\n2,1,3\n")
    refused(mfdask("ingest", "l.csv", "--repeats", "sum", "--out", "n"), "row 3: count is negative")


@pytest.mark.parametrize("kind", ["als", "ease"])
def test_an_auc_without_negatives(kind, ingested, mfdask):
    """Where all that is not trained on is relevant, there is nothing to be ranked below it."""
    ingested(FULL)
    search = {"als": ("factors=0", "sweeps=1"), "ease": ("ridge=1",)}[kind]
    options = [word for one in search for word in ("--search", one)]
    options += ["--model", kind, "--sampler", "grid", "--objective", "auc", "--threshold", 0.5]
    refused(mfdask("tune", "d", *options), "objective auc", "nothing to rank below")


def test_lists_are_measured_on_any_scale(ingested, train, mfdask, result_of):
    """Where nobody gives 4, the largest are relevant, and the table says which."""
    ingested([(user, item, stars / 2) for user, item, stars in SOME], "--split", "sequence:0.4")
    assert train("popularity").exit_code == 0
    shown = mfdask("evaluate", "m", "d", "--at", 3)
    assert shown.exit_code == 0, shown.output
    words = " ".join(shown.stdout.split())
    assert "held out: sequence:0.4; candidates: the whole catalogue; 2 or more is relevant" in words
    found = result_of("evaluate", "m", "d", "--at", 3, "--threshold", 0.5)["ranking"]
    assert (found["threshold"], found["users_without_relevant"]) == (0.5, 0)
    shown = mfdask("compare", "m", "d", "--at", 3, "--threshold", 0)
    assert "every held-out item is relevant" in shown.stdout


def test_published_tables_of_sampled_items_count_whatever_was_held_out(
    ingested, train, mfdask, result_of
):
    timed = [(user, item, f"{stars},{100 * user + item}") for user, item, stars in SOME]
    Path("l.csv").write_text(
        "user,item,rating,timestamp\n" + "".join(f"{u},{i},{rest}\n" for u, i, rest in timed)
    )
    result_of("ingest", "l.csv", "--out", "d", "--split", "leave-one-out")
    assert train("ials").exit_code == 0
    among = ("--negatives", 1, "--at", 1)
    found = result_of("evaluate", "m", "d", *among)["ranking"]
    assert (found["users"], found["users_without_relevant"]) == (8, 0)
    words = " ".join(mfdask("evaluate", "m", "d", *among).stdout.split())
    assert "each held-out item and 1 sampled ones; every held-out item is relevant" in words


@pytest.mark.parametrize("kind", KINDS)
def test_an_extra_that_is_missing(kind, ingested, train, monkeypatch):
    ingested(SOME)
    monkeypatch.setitem(sys.modules, "jax", None)
    done = train(kind)
    if kind == "ncf":
        refused(done, "jax is not installed", "pip install 'mfdask[neural]'")
    else:
        assert done.exit_code == 0, done.output
