"""What a model is ranked beside, and what ranks for users that it does not know: popularity."""

from __future__ import annotations

from mfdask.evaluation.ranking import Scorer
from mfdask.evaluation.ranking_plan import RankingPlan
from mfdask.kernels.types import Float32s, Int64s
from mfdask.models.base import Aligned, Model, Score
from mfdask.models.popularity import Popularity
from mfdask.shards import Dataset

#: What the baseline of all time is called beside models.
NAME = "popularity"
#: Half-life in days of what ranks for users that a model does not know, where there are timestamps.
HALF_LIFE = 730.0
#: Scores that are of a user alone: without training ratings there is nothing to them.
_PERSONAL = (Score.PREFERENCE, Score.LOG_ODDS)


def baselines_of(data: Dataset, plan: RankingPlan) -> dict[str, Model]:
    """Return popularity by name: of all time, and where there are timestamps of the last days."""
    found: dict[str, Model] = {NAME: Popularity().fit(data)}
    if data.manifest.has_timestamps:
        found[f"{NAME}, {plan.days:g} days"] = Popularity(days=plan.days).fit(data)
    return found


def scorer_of(aligned: Aligned, data: Dataset) -> Scorer:
    """Return what ranks for the users of a data set.

    Users without training ratings are ranked by popularity where a score is a personal one: by
    that of late, where there are timestamps.
    """
    unseen = aligned.n_train("users") == 0
    if aligned.model.score not in _PERSONAL or not unseen.any():
        return aligned.scores
    half_life = HALF_LIFE if data.manifest.has_timestamps else None
    popularity = Popularity(half_life=half_life).fit(data).counts

    def scores(rows: Int64s) -> Float32s:
        found = aligned.scores(rows)
        found[unseen[rows]] = popularity
        return found

    return scores
