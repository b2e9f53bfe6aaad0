"""The section on a data set: its figures, in order."""

from __future__ import annotations

from typing import Any

from mfdask.figures.figure import Figure, Missing, Section
from mfdask.report.data import concentration, degrees, genres, items, overview, times
from mfdask.report.data.facts import Facts


def data_section(facts: Facts) -> Section:
    """Return all figures of a data set; a `Missing` for each that it has no numbers for."""
    no_genres = no_years = no_test = ""
    if not (facts.items["genres"].str.strip("|") != "").any():
        no_genres = no_years = "The catalogue of this data set has no genres."
    elif not facts.items["year"].notna().any():
        no_years = "The catalogue of this data set has no years of release."
    if not facts.data.n_test:
        no_test = "Nothing is held out in this data set."
    parts: list[Figure | Missing] = [
        overview.Statistics.of(facts),
        overview.RatingHistogram.of(facts),
        degrees.Degrees.of(facts, "users"),
        degrees.Degrees.of(facts, "items"),
        degrees.DegreeFits.of(facts),
        degrees.RankFrequency.of(facts),
        concentration.TailShare.of(facts),
        concentration.Memory.of(facts),
        overview.ActiveUsers.of(facts),
        items.PopularityMean.of(facts),
        items.DensestCorner.of(facts),
        _one(times.RatingsPerMonth, facts, facts.no_times),
        _one(times.MeanPerYear, facts, facts.no_times),
        _one(times.WeekdayHour, facts, facts.no_times),
        _one(genres.GenreFrequencies, facts, no_genres),
        _one(genres.GenreRatings, facts, no_genres),
        _one(genres.GenreCooccurrence, facts, no_genres),
        _one(genres.GenreYears, facts, no_years),
        _one(overview.SplitTable, facts, no_test),
        _one(overview.SplitRatings, facts, no_test),
    ]
    intro = (
        f"{facts.data.n_train + facts.data.n_test:,} ratings of {facts.data.name}, as they were "
        "ingested: who rates, what, when, and how."
    )
    return Section("data", "The data", intro, parts)


def _one(kind: Any, facts: Facts, why_not: str) -> Figure | Missing:
    """Return a figure, or why there is none."""
    return Missing(kind.name, kind.title, why_not) if why_not else kind.of(facts)
