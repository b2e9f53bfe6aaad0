"""Recommendations: top-N lists, new users, similar items, and explanations."""

from mfdask.recommendation.batch import write_recommendations
from mfdask.recommendation.candidates import Ranking
from mfdask.recommendation.explain import Reasons, explain
from mfdask.recommendation.fold_in import History, fold_in, recommend_new
from mfdask.recommendation.neighbours import polarity, similar
from mfdask.recommendation.titles import Titles
from mfdask.recommendation.topn import recommend

__all__ = [
    "History",
    "Ranking",
    "Reasons",
    "Titles",
    "explain",
    "fold_in",
    "polarity",
    "recommend",
    "recommend_new",
    "similar",
    "write_recommendations",
]
