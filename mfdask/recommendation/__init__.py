"""Recommendations: top-N lists, new users, similar items, and explanations."""

from mfdask.recommendation.batch import Written, write_recommendations
from mfdask.recommendation.candidates import Ranking
from mfdask.recommendation.explain import Reasons, explain
from mfdask.recommendation.fold_in import (
    History,
    ScoresHistory,
    fold_in,
    predict_new,
    recommend_new,
)
from mfdask.recommendation.neighbours import polarity, similar
from mfdask.recommendation.reasons import explain_new, explain_user
from mfdask.recommendation.titles import Titles
from mfdask.recommendation.topn import recommend
from mfdask.recommendation.where import item_table, items_where

__all__ = [
    "History",
    "Ranking",
    "Reasons",
    "ScoresHistory",
    "Titles",
    "Written",
    "explain",
    "explain_new",
    "explain_user",
    "fold_in",
    "item_table",
    "items_where",
    "polarity",
    "predict_new",
    "recommend",
    "recommend_new",
    "similar",
    "write_recommendations",
]
