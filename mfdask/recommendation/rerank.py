"""Lists of more variety, and with more of the long tail."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mfdask.errors import InputError
from mfdask.features.encoder import FeatureEncoder
from mfdask.kernels.rerank import choose_lists
from mfdask.kernels.types import Float32s, Int32s
from mfdask.models import Ability, FactorModel, Model
from mfdask.recommendation.candidates import Ranking


class Reranker(NamedTuple):
    """Chooses lists from longer ones.

    Attributes
    ----------
    vectors : float32 (items, d)
        Of length 1, or 0; the product of two is how much alike they are.
    popularity : float32 (items,)
        From 0 for an item that nobody has rated to 1 for the one that most have.
    variety, tail : float
        See `Ranking`.
    """

    vectors: Float32s
    popularity: Float32s
    variety: float
    tail: float

    @classmethod
    def of(cls, model: Model, ranking: Ranking) -> Reranker | None:
        """Return what a ranking asks for, None if its lists are those of the scores.

        Raises
        ------
        InputError
            If variety is asked for, and the items have neither genres nor factors.
        """
        if not (ranking.variety or ranking.tail):
            return None
        vectors = _vectors(model) if ranking.variety else np.zeros((len(model.items), 0))
        n_train = np.log1p(model.items["n_train"].to_numpy(np.float64))
        popularity = n_train / max(n_train.max(initial=0.0), 1.0)
        return cls(
            np.ascontiguousarray(vectors, np.float32),
            popularity.astype(np.float32),
            ranking.variety,
            ranking.tail,
        )

    def choose(self, scores: Float32s, items: Int32s, top: int) -> tuple[Float32s, Int32s]:
        """Return scores and rows of the items chosen, float32 and int32 (users, at most `top`).

        `scores` and `items` are those of the longer lists, see `topn.Search`.
        """
        shape = len(items), min(top, items.shape[1])
        best, best_items = np.empty(shape, np.float32), np.empty(shape, np.int32)
        choose_lists(scores, items, *self, best, best_items)
        return best, best_items


def _vectors(model: Model) -> Float32s:
    """Return a vector of length 1 for each item: of its genres, or else its factors."""
    if "genres" in model.items and model.items["genres"].str.len().any():
        vectors = FeatureEncoder.genres_of(model.items).encode(model.items)
    elif isinstance(model, FactorModel) and model.can(Ability.FACTORS):
        vectors = model.item_factors
    else:
        raise InputError(
            "`variety`: the items have neither genres nor factors to tell them apart by; leave it "
            "out, or ingest ratings with a catalogue of genres"
        )
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, np.where(length > 0, length, 1), dtype=np.float32)
