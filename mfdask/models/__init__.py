"""Estimators, models, their kinds, and the model directory."""

from mfdask.models.als import ALS
from mfdask.models.base import Ability, Estimator, Model
from mfdask.models.bayes import Bayes
from mfdask.models.factor_model import FactorModel
from mfdask.models.ials import IALS
from mfdask.models.posterior import BayesianModel
from mfdask.models.registry import kind_of, kinds
from mfdask.models.store import check_model_place, load_model, save_model

__all__ = [
    "ALS",
    "IALS",
    "Ability",
    "Bayes",
    "BayesianModel",
    "Estimator",
    "FactorModel",
    "Model",
    "check_model_place",
    "kind_of",
    "kinds",
    "load_model",
    "save_model",
]
