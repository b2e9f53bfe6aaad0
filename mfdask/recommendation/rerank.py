"""Lists of more variety, and with more of the long tail."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mfdask.errors import InputError
from mfdask.evaluation.list_metrics import tail_of
from mfdask.features.encoder import FeatureEncoder
from mfdask.kernels.rerank import choose_lists
from mfdask.kernels.types import Float32s, Int32s
from mfdask.models import Ability, FactorModel, Model
from mfdask.recommendation.candidates import OFFERED, Ranking


class Reranker(NamedTuple):
    """Chooses lists from longer ones.

    Attributes
    ----------
    ranking : Ranking
    vectors : float32 (items, d)
        Of length 1, or 0; the product of two is how much alike they are.
    tail : bool (items,)
        Which items are of the long tail.
    candidates : int32 (n,)
        Rows of those that may be offered.
    """

    ranking: Ranking
    vectors: Float32s
    tail: npt.NDArray[np.bool_]
    candidates: Int32s

    @classmethod
    def of(cls, model: Model, ranking: Ranking) -> Reranker | None:
        """Return what a ranking asks for, None if its lists are those of the scores.

        Raises
        ------
        InputError
            If variety is asked for and the items have neither genres nor factors, or the long tail
            is and none of it may be offered.
        """
        if not (ranking.variety or ranking.tail):
            return None
        n_train = model.items["n_train"].to_numpy(np.int64)
        vectors = _vectors(model) if ranking.variety else np.zeros((len(n_train), 0), np.float32)
        tail, candidates = tail_of(n_train), ranking.candidates(model)
        found = cls(ranking, np.ascontiguousarray(vectors), tail, candidates[tail[candidates]])
        if ranking.tail and not len(found.candidates):
            most = n_train[tail].max(initial=0)
            raise InputError(
                f"`tail`: none of the {tail.sum():,} items of the long tail may be offered: they "
                f"have up to {most:,} training ratings here, and {ranking.least_for(model):,} are "
                "wanted; lower `min_ratings`, or allow more items"
            )
        return found

    def lengths(self, top: int) -> tuple[int, int]:
        """Return how many items a list of `top` is chosen from: of all, and of the long tail."""
        places = OFFERED if self.ranking.variety else 1
        return places * top, places * self._owed(top)

    def _owed(self, top: int) -> int:
        return math.ceil(self.ranking.tail * top)

    def choose(self, lists: Iterable[tuple[Float32s, Int32s]], top: int) -> tuple[Float32s, Int32s]:
        """Return scores and rows of the items chosen, float32 and int32 (users, at most `top`).

        `lists` are longer ones of all items and of the long tail, see `topn.Search`.
        """
        scores, items = (np.concatenate(own, axis=1) for own in zip(*lists, strict=True))
        shape = len(items), min(top, items.shape[1])
        best, best_items = np.empty(shape, np.float32), np.empty(shape, np.int32)
        choose_lists(
            scores,
            items,
            self.vectors,
            float(self.ranking.variety),
            self.tail,
            self._owed(shape[1]),
            best,
            best_items,
        )
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
