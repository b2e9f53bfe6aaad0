"""Recommendations: top-N lists, new users, similar items, and explanations."""

from mfdask.recommend.batch import write_recommendations
from mfdask.recommend.candidates import Ranking
from mfdask.recommend.explain import Reasons, explain
from mfdask.recommend.fold_in import History, fold_in, recommend_new
from mfdask.recommend.neighbours import polarity, similar
from mfdask.recommend.titles import Titles
from mfdask.recommend.topn import recommend

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
