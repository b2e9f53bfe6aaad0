"""What is learned: parameters, the fit loop, the model directory."""

from mfdask.models.als import ALS
from mfdask.models.bayes import Bayes
from mfdask.models.design import training_bytes
from mfdask.models.model import FactorModel
from mfdask.models.presets import PRESETS
from mfdask.models.store import check_model_place, load_model, model_bytes, save_model

__all__ = [
    "ALS",
    "PRESETS",
    "Bayes",
    "FactorModel",
    "check_model_place",
    "load_model",
    "model_bytes",
    "save_model",
    "training_bytes",
]
