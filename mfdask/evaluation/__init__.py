"""Evaluation of models on held-out ratings."""

from mfdask.evaluation.accuracy import Accuracy, ErrorSums, bin_labels, evaluate
from mfdask.evaluation.baselines import baselines_of, scorer_of
from mfdask.evaluation.calibration import INTERVALS, measure_calibration
from mfdask.evaluation.compare import compare, measure_model
from mfdask.evaluation.leaks import check_leaks, count_leaks
from mfdask.evaluation.ranking import RankingResult, measure_ranking
from mfdask.evaluation.ranking_plan import RankingPlan

__all__ = [
    "INTERVALS",
    "Accuracy",
    "ErrorSums",
    "RankingPlan",
    "RankingResult",
    "baselines_of",
    "bin_labels",
    "check_leaks",
    "compare",
    "count_leaks",
    "evaluate",
    "measure_calibration",
    "measure_model",
    "measure_ranking",
    "scorer_of",
]
