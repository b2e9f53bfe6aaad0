"""The section on a data set: its figures, in order."""

from __future__ import annotations

from typing import Any

from mfdask.figures.figure import Figure, Missing, Section
from mfdask.report.data import degrees, genres, items, overview, times
from mfdask.report.data.facts import Facts

_NO_GENRES = "The catalogue of this data set has no genres."
_NO_YEARS = "The catalogue of this data set has no years of release."
_NO_TEST = "Nothing is held out in this data set."


def data_section(facts: Facts) -> Section:
    """Return all figures of a data set; a `Missing` for each that it has no numbers for."""
    parts: list[Figure | Missing] = [
        overview.Statistics.of(facts),
        overview.RatingHistogram.of(facts),
        degrees.Degrees.of(facts, "users"),
        degrees.Degrees.of(facts, "items"),
        degrees.DegreeFits.of(facts),
        degrees.RankFrequency.of(facts),
        overview.ActiveUsers.of(facts),
        items.PopularityMean.of(facts),
        items.DensestCorner.of(facts),
        *_times(facts),
        *_genres(facts),
        *_split(facts),
    ]
    intro = (
        f"{facts.data.n_train + facts.data.n_test:,} ratings of {facts.data.name}, as they were "
        "ingested: who rates, what, when, and how."
    )
    return Section("data", "The data", intro, parts)


def _times(facts: Facts) -> list[Figure | Missing]:
    kinds = (times.RatingsPerMonth, times.MeanPerYear, times.WeekdayHour)
    return [_one(kind, facts, facts.no_times) for kind in kinds]


def _genres(facts: Facts) -> list[Figure | Missing]:
    why = "" if genres.has_genres(facts) else _NO_GENRES
    kinds = (genres.GenreFrequencies, genres.GenreRatings, genres.GenreCooccurrence)
    without_years = why or ("" if genres.has_years(facts) else _NO_YEARS)
    return [
        *(_one(kind, facts, why) for kind in kinds),
        _one(genres.GenreYears, facts, without_years),
    ]


def _split(facts: Facts) -> list[Figure | Missing]:
    why = "" if facts.data.n_test else _NO_TEST
    return [_one(kind, facts, why) for kind in (overview.SplitTable, overview.SplitRatings)]


def _one(kind: Any, facts: Facts, why_not: str) -> Figure | Missing:
    """Return a figure, or why there is none."""
    return Missing(kind.name, kind.title, why_not) if why_not else kind.of(facts)
