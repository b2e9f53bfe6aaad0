"""Reasons of a model that has factors, and takes in nobody new."""

import dataclasses

import numpy as np
import pytest

from mfdask.errors import InputError
from mfdask.models import ALS, Ability
from mfdask.models.base import Score
from mfdask.recommendation import Ranking, explain_user, recommend


class Likes(ALS):
    """Only ranks."""

    score = Score.LOG_ODDS
    abilities = frozenset({Ability.FACTORS})


class Dumb(Likes):
    """Has nothing to tell."""

    abilities = frozenset()


def test_items_that_are_alike(model, data):
    ranks = dataclasses.replace(model, estimator=Likes(n_factors=5))
    user = model.users["user_id"][3]
    table = recommend(ranks, [user], data, Ranking(bias_weight=0.05))
    predicted = ranks.predict(table["user_id"], table["item_id"])
    np.testing.assert_allclose(table["score"], predicted, rtol=1e-5)  # no weight, no fewest ratings
    why = explain_user(ranks, user, data, table["item_id"])
    items, rated = (model.rows_of("items", why.rated[name]) for name in ("item_id", "rated_id"))
    for item, other, part in zip(items, rated, why.rated["part"], strict=True):
        one, two = model.item_factors[[item, other]].astype(float)
        cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
        assert part == pytest.approx(max(cosine, 0), abs=1e-6)
    assert why.items["rest"].isna().all()
    assert "no parts of the score" in why.basis
    dumb = dataclasses.replace(model, estimator=Dumb(n_factors=5))
    with pytest.raises(InputError, match="does not tell what a list rests on"):
        explain_user(dumb, user, data, table["item_id"])
