"""What is learned: parameters, the fit loop, the model directory."""

from mfdask.models.als import ALS
from mfdask.models.model import FactorModel
from mfdask.models.store import load_model, save_model

__all__ = ["ALS", "FactorModel", "load_model", "save_model"]
