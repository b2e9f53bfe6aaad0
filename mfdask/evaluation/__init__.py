"""Evaluation of models on held-out ratings."""

from mfdask.evaluation.accuracy import Accuracy, ErrorSums, bin_labels, evaluate
from mfdask.evaluation.calibration import INTERVALS, measure_calibration
from mfdask.evaluation.compare import compare, measure_model, measure_popularity
from mfdask.evaluation.leaks import check_leaks, count_leaks
from mfdask.evaluation.popularity import popularity_scorer
from mfdask.evaluation.ranking import RankingPlan, RankingResult, measure_ranking

__all__ = [
    "INTERVALS",
    "Accuracy",
    "ErrorSums",
    "RankingPlan",
    "RankingResult",
    "bin_labels",
    "check_leaks",
    "compare",
    "count_leaks",
    "evaluate",
    "measure_calibration",
    "measure_model",
    "measure_popularity",
    "measure_ranking",
    "popularity_scorer",
]
