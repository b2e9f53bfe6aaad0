"""Offer items: to every user, as a Parquet table, or to one person from what they have rated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pandas as pd
from rich.table import Table

from mfdask.cluster import ClusterConfig
from mfdask.errors import InputError
from mfdask.models import Ability, Model, load_model
from mfdask.models.factor_model import require_factors
from mfdask.recommendation import (
    History,
    Ranking,
    Reasons,
    Titles,
    explain,
    recommend,
    recommend_new,
    write_recommendations,
)
from mfdask.recommendation.candidates import parse_id, read_ids
from mfdask.shards import Dataset

from .common import Outcome, facts_table, job, running, say_if_compiling, table
from .options import DATA, MODEL, OUT_FOLDER, PATH, cluster_options, options_of

#: Reasons shown for each recommendation.
_REASONS = 3


@click.command("recommend", help=__doc__)
@click.argument("model", type=MODEL)
@click.option(
    "--data",
    type=DATA,
    help="The model's data set; what users have rated in it is left out of their lists.",
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
    help="With --rated: show which ratings each recommendation rests on.",
)
@click.option(
    "--out",
    type=OUT_FOLDER,
    help="Folder of Parquet files for the lists.  [default: output/recommendations/MODEL]",
)
@click.option("--allow", type=PATH, help="Offer these items only: a file, one id a line.")
@click.option("--deny", type=PATH, help="Never offer these items: a file, one id a line.")
@job
@options_of(Ranking, "ranking")
@cluster_options
def main(
    model: Path,
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
    cluster: ClusterConfig,
) -> Outcome:
    """See the module."""
    say_if_compiling("topn.top_items")
    learned = load_model(model)
    item_ids = learned.items["item_id"]
    ranking = replace(
        ranking,
        allow=None if allow is None else read_ids(allow, item_ids),
        deny=() if deny is None else read_ids(deny, item_ids),
    )
    if not learned.can(Ability.BIASES):
        ranking = replace(ranking, bias_weight=1.0)  # there is nothing to weigh
    if rated:
        if users or users_file or out or data or include_rated:
            raise InputError("--rated is of one new person: leave out users, --data and --out")
        return _for_new_person(learned, rated, ranking, reasons)
    if reasons:
        raise InputError("--explain needs the ratings that it rests on; give them with --rated")
    history = _rated_data(data, include_rated)
    if users:
        if users_file or out:
            raise InputError("--user shows lists; give a file with --users to write them to --out")
        return _for_users(learned, users, history, ranking)
    known = learned.users["user_id"]
    chosen = None if users_file is None else read_ids(users_file, known)
    out = out or Path("output/recommendations") / model.name
    return _write(model, out, history, ranking, chosen, cluster)


def _rated_data(data: str | None, include_rated: bool) -> Dataset | None:
    if include_rated:
        return None
    if data is None:
        raise InputError(
            "give the model's data set with --data, so that rated items are left out, or "
            "--include-rated to offer them too"
        )
    return Dataset.open(data)


def _write(
    model: Path,
    out: Path,
    data: Dataset | None,
    ranking: Ranking,
    users: tuple[Any, ...] | None,
    cluster: ClusterConfig,
) -> Outcome:
    with running(cluster) as run:
        lines = write_recommendations(
            model, out, data, ranking, user_ids=users, client=run.client, progress=run.progress
        )
    facts = {"lines": f"{lines:,}", "score": _unit(ranking), **run.last_rows("table", out)}
    values = {"out": str(out), "lines": lines, **run.cost}
    return Outcome(values, [facts_table("recommendations", facts)])


def _for_users(
    model: Model, users: tuple[str, ...], data: Dataset | None, ranking: Ranking
) -> Outcome:
    ids = [parse_id(user, model.users["user_id"], "--user") for user in users]
    found = recommend(model, ids, data, ranking)
    described = found.merge(model.items, on="item_id", how="left")
    lists = described.groupby("user_id", sort=False)
    return Outcome(
        {"recommendations": found.to_dict("records")},
        [_list(f"user {user}", lines, ranking) for user, lines in lists],
    )


def _for_new_person(
    model: Model, rated: tuple[str, ...], ranking: Ranking, reasons: bool
) -> Outcome:
    model = require_factors(model, "a list for somebody new", Ability.NEW_USERS)
    history = History.of(model, _ratings(model, rated))
    found = recommend_new(model, history, ranking)
    titles = model.items.set_index("item_id")["title"]
    values: dict[str, Any] = {
        "rated": [
            {"item_id": item, "title": title, "rating": rating}
            for (item, title), rating in zip(
                titles.iloc[history.items].items(), history.ratings.tolist(), strict=True
            )
        ],
        "recommendations": found[["rank", "item_id", "title", "score"]].to_dict("records"),
    }
    if not reasons:
        return Outcome(values, [_list(_names(values["rated"]), found, ranking)])
    why = explain(model, history, found["item_id"], ranking)
    values["mean"], values["user_bias"] = why.mean, why.user_bias
    for name in ("items", "rated", "genres"):
        values[f"{name}_parts"] = getattr(why, name).to_dict("records")
    found["why"] = [_because(why, item, titles) for item in found["item_id"]]
    return Outcome(values, [_list(_names(values["rated"]), found, ranking)])


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


def _because(why: Reasons, item: Any, titles: pd.Series) -> str:
    """Name the parts that say most of the taste for an item, the largest first."""
    rated = why.rated[why.rated["item_id"] == item]
    genres = why.genres[why.genres["item_id"] == item]
    parts = pd.concat([rated["part"], genres["part"]]).tolist()
    names = [*titles[rated["rated_id"]], *genres["genre"]]
    most = sorted(zip(parts, names, strict=True), key=lambda part: -abs(part[0]))[:_REASONS]
    return "\n".join(f"{part:+.4f} {name}" for part, name in most)


def _names(rated: list[dict[str, Any]]) -> str:
    return ", ".join(f"{line['title'] or line['item_id']} = {line['rating']:g}" for line in rated)


def _list(title: str, lines: pd.DataFrame, ranking: Ranking) -> Table:
    """Build a readable list of items."""
    columns = ["score", "ratings", "id", *(["because of"] if "why" in lines else [])]
    view = table(f"{title}; {_unit(ranking)}", "item", *columns)
    for line in lines.to_dict("records"):
        cells = [f"{line['score']:.4f}", f"{line['n_train']:,}", str(line["item_id"])]
        why = [line["why"]] if "why" in lines else []
        view.add_row(f"{line['rank']}. {line['title']}", *cells, *why)
    if "why" in lines:
        view.columns[-1].justify = "left"
    return view


def _unit(ranking: Ranking) -> str:
    """Say what a score is."""
    if ranking.bias_weight == 1:
        return "score in predicted stars"
    return f"score ranks by taste (item bias times {ranking.bias_weight:g})"
