"""Estimators, models, their kinds, and the model directory."""

from mfdask.models.als import ALS
from mfdask.models.base import Ability, Estimator, Model
from mfdask.models.bayes import Bayes
from mfdask.models.bpr import BPR, BPRModel
from mfdask.models.factor_model import FactorModel
from mfdask.models.ials import IALS
from mfdask.models.ncf import NCF, NCFModel
from mfdask.models.posterior import BayesianModel
from mfdask.models.registry import check_data, kind_of, kinds, require_ability
from mfdask.models.store import check_model_place, load_model, save_model

__all__ = [
    "ALS",
    "BPR",
    "IALS",
    "NCF",
    "Ability",
    "BPRModel",
    "Bayes",
    "BayesianModel",
    "Estimator",
    "FactorModel",
    "Model",
    "NCFModel",
    "check_data",
    "check_model_place",
    "kind_of",
    "kinds",
    "load_model",
    "require_ability",
    "save_model",
]
