"""Lists of more variety, of the genres of a user's history, and with more of the long tail."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from mfdask.errors import InputError
from mfdask.evaluation.list_metrics import tail_of
from mfdask.features.encoder import FeatureEncoder
from mfdask.kernels.rerank import Criteria, choose_lists
from mfdask.kernels.topn import Rated
from mfdask.kernels.types import Float32s, Int32s
from mfdask.models import Ability, FactorModel, Model
from mfdask.recommendation.candidates import Ranking


class Reranker(NamedTuple):
    """Chooses lists from longer ones.

    Attributes
    ----------
    ranking : Ranking
    criteria : Criteria
        All but how many items of the long tail are owed.
    candidates : int32 (n,)
        Rows of the items of the long tail that may be offered.
    """

    ranking: Ranking
    criteria: Criteria
    candidates: Int32s

    @classmethod
    def of(cls, model: Model, ranking: Ranking) -> Reranker | None:
        """Return what a ranking asks for, None if its lists are those of the scores.

        Raises
        ------
        InputError
            If variety is asked for and the items have neither genres nor factors, or calibration is
            and they have no genres, or the long tail is and none of it may be offered.
        """
        if not (ranking.variety or ranking.calibration or ranking.tail):
            return None
        n_train = model.items["n_train"].to_numpy(np.int64)
        nothing = np.zeros((len(n_train), 0), np.float32)
        vectors = _vectors(model) if ranking.variety else nothing
        shares = genre_shares(model) if ranking.calibration else nothing
        tail, candidates = tail_of(n_train), ranking.candidates(model)
        criteria = Criteria(
            float(ranking.variety), vectors, float(ranking.calibration), shares, tail, owed=0
        )
        found = cls(ranking, criteria, candidates[tail[candidates]])
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
        places = self.ranking.places
        return places * top, places * self._owed(top)

    def _owed(self, top: int) -> int:
        return math.ceil(self.ranking.tail * top)

    def choose(
        self, lists: Iterable[tuple[Float32s, Int32s]], rated: Rated, top: int
    ) -> tuple[Float32s, Int32s]:
        """Return scores and rows of the items chosen, float32 and int32 (users, at most `top`).

        `lists` are longer ones of all items and of the long tail, see `topn.Search`.
        """
        scores, items = (np.concatenate(own, axis=1) for own in zip(*lists, strict=True))
        shape = len(items), min(top, items.shape[1])
        best, best_items = np.empty(shape, np.float32), np.empty(shape, np.int32)
        criteria = self.criteria._replace(owed=self._owed(shape[1]))
        choose_lists(scores, items, rated, criteria, best, best_items)
        return best, best_items


def genre_shares(model: Model) -> Float32s:
    """Return the shares of the genres in each item, float32 (items, genres).

    Raises
    ------
    InputError
        If no item has a genre.
    """
    if not _have_genres(model.items):
        raise InputError(
            "`calibration`: the items have no genres to hold a list against; leave it out, or "
            "ingest ratings with a catalogue of genres"
        )
    return np.ascontiguousarray(FeatureEncoder.genres_of(model.items).encode(model.items))


def _have_genres(items: pd.DataFrame) -> bool:
    return "genres" in items and bool(items["genres"].str.len().any())


def _vectors(model: Model) -> Float32s:
    """Return a vector of length 1 for each item: of its genres, or else its factors."""
    if _have_genres(model.items):
        vectors = genre_shares(model)
    elif isinstance(model, FactorModel) and model.can(Ability.FACTORS):
        vectors = model.item_factors
    else:
        raise InputError(
            "`variety`: the items have neither genres nor factors to tell them apart by; leave it "
            "out, or ingest ratings with a catalogue of genres"
        )
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled = np.divide(vectors, np.where(length > 0, length, 1), dtype=np.float32)
    return np.ascontiguousarray(scaled)
