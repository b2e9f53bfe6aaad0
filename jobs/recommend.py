"""Offer items: to every user, as a Parquet table, or to one person from what they have rated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pandas as pd

from mfdask.cluster import ClusterConfig
from mfdask.errors import InputError
from mfdask.models import Ability, Model, load_model, require_ability
from mfdask.recommendation import (
    History,
    Ranking,
    Titles,
    Written,
    explain_new,
    explain_user,
    item_table,
    items_where,
    predict_new,
    recommend,
    recommend_new,
    write_recommendations,
)
from mfdask.recommendation.candidates import sort_ids
from mfdask.results import records
from mfdask.shards import Dataset

from .common import Outcome, job, running, worth_starting
from .ids import GivenIds, Ids
from .lists import because, list_table, reason_values
from .options import DATA, MODEL, OUT_FOLDER, PATH, cluster_options, options_of
from .terminal import facts_table


@click.command("recommend", help=__doc__)
@click.argument("model", type=MODEL, required=False)
@click.option("--rank-by", type=MODEL, help="The model that ranks; MODEL by another name.")
@click.option(
    "--stars",
    type=MODEL,
    help="Show the stars that this model predicts beside the scores that MODEL ranks by.",
)
@click.option(
    "--data",
    type=DATA,
    help="The model's data set; what users are known to have rated is left out of their lists.",
)
@click.option("--include-rated", is_flag=True, help="Offer rated items too; needs no --data.")
@click.option(
    "--user", "users", multiple=True, metavar="ID", help="Show this user's list; may be repeated."
)
@click.option("--users", "users_file", type=PATH, help="Only these users: a file, one id a line.")
@click.option(
    "--rated",
    multiple=True,
    metavar='"TITLE=STARS"',
    help='What a new person has rated, such as "Toy Story (1995)=5", or by its id 1=5; may be '
    "repeated. A title that could be an id is title:1917=5.",
)
@click.option(
    "--explain",
    "reasons",
    is_flag=True,
    help="With --user or --rated: show which ratings each recommendation rests on.",
)
@click.option(
    "--out",
    type=OUT_FOLDER,
    help="Folder of Parquet files for the lists.  [default: output/recommendations/MODEL]",
)
@click.option("--allow", type=PATH, help="Offer these items only: a file, one id a line.")
@click.option("--deny", type=PATH, help="Never offer these items: a file, one id a line.")
@click.option(
    "--where",
    multiple=True,
    metavar='"COLUMN OPERATOR VALUE"',
    help='Offer only items such as "genres has Comedy" or "year >= 1990"; may be repeated, then '
    "all must hold. The operators are has, lacks, =, !=, <, <=, >, >=.",
)
@click.option(
    "--catalogue",
    type=PATH,
    help="For --where: a CSV or Parquet file of item ids and more columns.",
)
@job
@options_of(Ranking, "ranking")
@cluster_options
def main(
    model: Path | None,
    rank_by: Path | None,
    stars: Path | None,
    data: str | None,
    include_rated: bool,
    users: tuple[str, ...],
    users_file: Path | None,
    rated: tuple[str, ...],
    reasons: bool,
    out: Path | None,
    ranking: Ranking,
    allow: Path | None,
    deny: Path | None,
    where: tuple[str, ...],
    catalogue: Path | None,
    cluster: ClusterConfig,
) -> Outcome:
    """See the module."""
    place = _the_model(model, rank_by)
    learned = load_model(place)
    shown = None if stars is None else load_model(stars)
    ranking.check_weight(learned)
    given = GivenIds(learned)
    allowed = given.in_file("items", allow, "--allow")
    ranking = replace(
        ranking,
        allow=_in_both(allowed, _matching(learned, where, catalogue)),
        deny=given.in_file("items", deny, "--deny") or (),
    )
    if rated:
        if users or users_file or out or data or include_rated:
            raise InputError("--rated is of one new person: leave out users, --data and --out")
        return _for_new_person(learned, rated, ranking, shown, reasons)
    history = _rated_data(data, include_rated)
    if reasons and not users:
        raise InputError("--explain shows what a list rests on; ask for one by --user or --rated")
    if users:
        if users_file or out:
            raise InputError("--user shows lists; give a file with --users to write them to --out")
        known = given.one_by_one("users", users, "--user")
        why = _rated_data(data, False) if reasons else None
        return _for_users(learned, known, history, ranking, shown, why, given)
    chosen = given.in_file("users", users_file, "--users")
    with running(worth_starting(cluster, learned.data.n_train)) as run:
        written = write_recommendations(
            place,
            out := out or Path("output/recommendations") / place.name,
            history,
            ranking,
            stars=stars,
            user_ids=chosen,
            client=run.client,
            progress=run.progress,
        )
    facts = _facts(written, ranking.top) | given.facts()
    facts["score"] = ranking.unit(learned).removeprefix("score").lstrip(": ")
    values = {"out": str(out), **written._asdict(), "unknown": given.values(), **run.cost}
    return Outcome(values, [facts_table("recommendations", facts | run.last_rows("table", out))])


def _the_model(model: Path | None, rank_by: Path | None) -> Path:
    """Return the model that ranks, by whichever name it was given."""
    if (given := model or rank_by) is None:
        raise InputError("give the model that ranks, as MODEL or with --rank-by")
    if model and rank_by:
        raise InputError(
            "MODEL and --rank-by are both the model that ranks; give one of them, and the model "
            "that predicts stars with --stars"
        )
    return given


def _matching(model: Model, where: tuple[str, ...], catalogue: Path | None) -> Ids | None:
    """Return the ids of the items that meet the conditions, None without any."""
    if where:
        return items_where(item_table(model, catalogue), where)
    if catalogue is not None:
        raise InputError("--catalogue has columns for --where; give a condition, too")
    return None


def _in_both(one: Ids | None, other: Ids | None) -> Ids | None:
    """Return the ids that are in both lists, of which None holds all."""
    if one is None or other is None:
        return other if one is None else one
    among = set(other)
    return tuple(item for item in one if item in among)


def _rated_data(data: str | None, include_rated: bool) -> Dataset | None:
    if include_rated:
        return None
    if data is None:
        raise InputError(
            "give the model's data set with --data, so that rated items are left out, or "
            "--include-rated to offer them too (--explain needs it in any case)"
        )
    return Dataset.open(data)


def _facts(written: Written, top: int) -> dict[str, str]:
    """Return what the closing table says of the lists."""
    facts = {"users": f"{written.users:,}", "lines": f"{written.lines:,}"}
    if written.empty:
        facts["without a list"] = f"{written.empty:,}: {_rated_all(written.candidates)}"
    if written.short:
        offered = f"{written.candidates:,} items may be offered"
        facts[f"fewer than {top} items"] = f"{written.short:,}: {offered}"
    return facts


def _rated_all(n_candidates: int) -> str:
    """Say why a list is empty."""
    return f"they have rated all {n_candidates:,} items that may be offered"


def _for_users(
    model: Model,
    users: Ids,
    data: Dataset | None,
    ranking: Ranking,
    stars: Model | None,
    why: Dataset | None,
    given: GivenIds,
) -> Outcome:
    """Show lists, and what they rest on if `why` has the ratings for that."""
    found = recommend(model, users, data, ranking, stars)
    lines = found.merge(model.items[["item_id", "n_train"]], on="item_id", how="left")
    lists = dict(list(lines.groupby("user_id", sort=False)))
    view: list[Any] = []
    explained = []
    for user in (user for user in users if user in lists):
        own, title = lists[user], f"user {user}; {ranking.unit(model)}"
        if why is not None:
            reasons = explain_user(model, user, why, own["item_id"], ranking)
            explained.append({"user_id": user, **reason_values(reasons)})
            title += f"; because of: {reasons.basis}"
            own = own.assign(why=because(reasons, own["item_id"], model.items))
        view.append(list_table(title, own))
    without = [user for user in users if user not in lists]
    rated_all = _rated_all(len(ranking.candidates(model)))
    view += [f"user {user}: nothing to offer; {rated_all}" for user in without]
    view += [facts_table("left out", given.facts())] if given.unknown else []
    values = {"recommendations": records(found), "without": without, "unknown": given.values()}
    return Outcome(values | ({} if why is None else {"explanations": explained}), view)


def _for_new_person(
    model: Model, rated: tuple[str, ...], ranking: Ranking, stars: Model | None, reasons: bool
) -> Outcome:
    require_ability(model, Ability.NEW_USERS, "a list for somebody new")
    history = History.of(model, _ratings(model, rated))
    found = recommend_new(model, history, ranking)
    names = _rated_lines(history, model.items)
    shown = ["rank", "item_id", "title", "score"]
    if stars is not None:
        found["stars"] = _stars_of_new(stars, names, found["item_id"])
        shown.append("stars")
    values: dict[str, Any] = {"rated": names, "recommendations": records(found[shown])}
    if reasons:
        why = explain_new(model, history, found["item_id"], ranking)
        values |= reason_values(why)
        found["why"] = because(why, found["item_id"], model.items)
    said = ", ".join(f"{line['title'] or line['item_id']} = {line['rating']:g}" for line in names)
    if not len(found):
        n = len(ranking.candidates(model))
        return Outcome(values, [f"{said}: nothing to offer; {_rated_all(n)}"])
    return Outcome(values, [list_table(f"{said}; {ranking.unit(model)}", found)])


def _stars_of_new(stars: Model, rated: list[dict[str, Any]], items: pd.Series) -> Any:
    """Return what another model predicts of items, from those rated that it knows."""
    require_ability(stars, Ability.RATINGS, "a column of predicted stars")
    known = sort_ids(stars, "items", [line["item_id"] for line in rated], "--rated").known
    ratings = {line["item_id"]: line["rating"] for line in rated if line["item_id"] in known}
    return predict_new(stars, History.of(stars, ratings), items)


def _rated_lines(history: History, items: pd.DataFrame) -> list[dict[str, Any]]:
    lines = items[["item_id", "title"]].take(history.items).assign(rating=history.ratings)
    return records(lines)


def _ratings(model: Model, rated: tuple[str, ...]) -> dict[Any, float]:
    """Read ``TITLE=STARS`` arguments."""
    titles = Titles(model.items)
    ratings: dict[Any, float] = {}
    for text in rated:
        title, _, stars = text.rpartition("=")
        try:
            rating = float(stars)
        except ValueError:
            title = ""
        if not title:
            raise InputError(f'--rated "{text}": write it as "TITLE=STARS", "Toy Story (1995)=5"')
        item = titles.find(title)
        if item in ratings:
            raise InputError(f'--rated "{text}": that item is rated already; give it once')
        ratings[item] = rating
    return ratings
