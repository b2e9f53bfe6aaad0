"""What a model is called by, on the command line and in a night's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from mfdask.errors import InputError
from mfdask.models.als import ALS
from mfdask.models.bayes import Bayes
from mfdask.models.presets import PRESETS

#: How each is learned, and the parameters that its name settles.
KINDS: dict[str, tuple[type[ALS] | type[Bayes], dict[str, Any]]] = {
    "als": (ALS, {"item_prior": "zero"}),
    "bias": (ALS, {"item_prior": "zero", "n_factors": 0}),
    "genre": (ALS, {"item_prior": "genre"}),
    "features": (ALS, {"item_prior": "features"}),
    "bayes": (Bayes, {}),
}


def parameters_of(kind: str) -> set[str]:
    """Return the names of the parameters that may be chosen for a kind of model."""
    method, settled = KINDS[kind]
    return {parameter.name for parameter in fields(method)} - set(settled)


def chosen_parameters(
    kind: str, preset: str | None, given: Mapping[str, Any]
) -> tuple[type[ALS] | type[Bayes], dict[str, Any]]:
    """Return how a kind is learned and its parameters: a preset's, over them what is given.

    Raises
    ------
    InputError
        If the kind has no presets.
    """
    method, settled = KINDS[kind]
    if preset and method is not ALS:
        raise InputError(f"--preset {preset}: --model {kind} has nothing to tune; leave it out")
    return method, {**(PRESETS[preset] if preset else {}), **given, **settled}
