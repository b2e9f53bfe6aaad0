"""Explanations of lists, whatever the kind of model."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from mfdask.errors import InputError
from mfdask.kernels.types import Float32s, Float64s, Int32s
from mfdask.models import Ability, FactorModel, Model, require_ability
from mfdask.recommendation.candidates import Ranking, known_rows
from mfdask.recommendation.explain import Reasons, explain
from mfdask.recommendation.fold_in import History, ScoresHistory
from mfdask.recommendation.topn import Rows, check_same_data
from mfdask.shards import Dataset

FOLDED = (
    "what each rating adds to the score of a row solved anew from all of them; the trained row "
    "differs from it by the rest"
)
FIRST_ORDER = (
    "what each rating adds to the score of a row learned anew from all of them, to first order; "
    "the rest is what people at large are offered, and what goes beyond it"
)
LEFT_OUT = "what the score would be less without the rating"
NOTHING = "nothing: the user has no training ratings"
ALIKE = "cosine of the factors of the two items; no parts of the score"


@runtime_checkable
class TellsParts(Protocol):
    """A model that scores a history, and says what each of its ratings adds to a score."""

    def parts_of_history(self, items: Int32s, ratings: Float32s, offered: Int32s) -> Float64s:
        """Return what each rating adds to the score of each offer, float64 (offered, ratings).

        Parameters
        ----------
        items, ratings
            As of `ScoresHistory.scores_of_history`.
        offered : int32 (offered,)
            Rows of items.
        """


def explain_user(
    model: Model, user_id: Any, data: Dataset, item_ids: Any, ranking: Ranking | None = None
) -> Reasons:
    """Say which training ratings of a user the scores of some items rest on.

    A model that folds users in takes the score of the user's row apart, solved anew: see `explain`.
    One that scores a history (`ScoresHistory`) says itself what each rating adds (`TellsParts`), or
    is asked for the scores without each rating. One that has factors alone tells how much alike the
    items are.

    Returns
    -------
    Reasons
        `items` has a column `rest` more, so that ``score = mean + user_bias + item + sum of its
        rated parts + rest`` is the score of the list; missing where the parts are none of a score
        (`Reasons.basis` says what they are).

    Raises
    ------
    InputError
        If the user or an item is unknown, the model is of other data, or it is of neither sort.
    """
    ranking = ranking or Ranking()
    check_same_data(model, data)
    (user,) = known_rows(model, "users", [user_id]).tolist()
    items = known_rows(model, "items", item_ids)
    history, scores = History.of_user(data, user), _scores(model, user, items, ranking)
    if not len(history.items):
        return _reasons(model, history, items, scores, np.zeros((len(items), 0)), NOTHING)
    if isinstance(model, FactorModel) and model.can(Ability.NEW_USERS):
        found = explain(model, history, item_ids, ranking)
        rest = scores - found.items["score"]
        return found._replace(items=found.items.assign(score=scores, rest=rest), basis=FOLDED)
    if isinstance(model, ScoresHistory):
        return _reasons(model, history, items, scores, *_parts(model, history, items))
    if isinstance(model, FactorModel) and model.can(Ability.FACTORS):
        likeness = _likeness(model, history, items)
        found = _reasons(model, history, items, scores, likeness, ALIKE)
        return found._replace(items=found.items.assign(rest=np.nan))
    raise InputError(
        f"a model of kind {model.kind} does not tell what a list rests on: it neither takes in "
        "users that it has not seen nor has factors; leave the explanation out"
    )


def explain_new(
    model: Model, history: History, item_ids: Any, ranking: Ranking | None = None
) -> Reasons:
    """Say which ratings of somebody new the scores of some items rest on; see `explain_user`.

    Raises
    ------
    InputError
        If an item is unknown, or the model takes in no users that it has not seen.
    """
    require_ability(model, Ability.NEW_USERS, "an explanation for somebody new")
    if isinstance(model, FactorModel):
        return explain(model, history, item_ids, ranking)
    assert isinstance(model, ScoresHistory)
    items = known_rows(model, "items", item_ids)
    scores = model.scores_of_history(history.items, history.ratings)[items].astype(np.float64)
    return _reasons(model, history, items, scores, *_parts(model, history, items))


def _scores(model: Model, user: int, items: Rows, ranking: Ranking) -> Float64s:
    """Return what a list ranks items by, float64 (items,)."""
    users = np.full(len(items), user, np.int32)
    scores = model.predict_rows(users, items, clip=False).astype(np.float64)
    if isinstance(model, FactorModel):
        scores += (ranking.weight_for(model) - 1) * model.item_bias[items]
    return scores


def _parts(model: ScoresHistory, history: History, items: Rows) -> tuple[Float64s, str]:
    """Return what each rating adds to each score, float64 (items, ratings), and what that is."""
    if isinstance(model, TellsParts):
        return model.parts_of_history(history.items, history.ratings, items), FIRST_ORDER
    return _by_leaving_out(model, history, items), LEFT_OUT


def _by_leaving_out(model: ScoresHistory, history: History, items: Rows) -> Float64s:
    """Return what each score loses without each rating, float64 (items, ratings)."""
    whole = model.scores_of_history(history.items, history.ratings)[items].astype(np.float64)
    parts = np.zeros((len(items), len(history.items)))
    for place in range(len(history.items)):
        others, ratings = np.delete(history.items, place), np.delete(history.ratings, place)
        parts[:, place] = whole - model.scores_of_history(others, ratings)[items]
    return parts


def _likeness(model: FactorModel, history: History, items: Rows) -> Float64s:
    """Return the cosine of the factors of items and of what is rated, 0 where it is less.

    float64 (items, ratings)
    """
    offered, rated = (
        model.item_factors[rows].astype(np.float64) for rows in (items, history.items)
    )
    lengths = np.outer(np.linalg.norm(offered, axis=1), np.linalg.norm(rated, axis=1))
    cosine: Float64s = offered @ rated.T / np.where(lengths > 0, lengths, 1)
    return cosine.clip(min=0)


def _reasons(
    model: Model,
    history: History,
    items: Rows,
    scores: Float64s,
    parts: Float64s,
    basis: str,
) -> Reasons:
    """Return reasons without a mean, biases and genres; the rest is what the parts leave."""
    ids = model.items["item_id"]
    rest = scores - parts.sum(axis=1)
    own = {"item_id": ids.take(items).array, "item": 0.0, "score": scores, "rest": rest}
    rated = {
        "item_id": ids.take(np.repeat(items, len(history.items))).array,
        "rated_id": ids.take(np.tile(history.items, len(items))).array,
        "part": parts.ravel(),
    }
    genres = pd.DataFrame({"item_id": ids.iloc[:0].array, "genre": [], "part": []})
    return Reasons(0.0, 0.0, pd.DataFrame(own), pd.DataFrame(rated), genres, basis)
