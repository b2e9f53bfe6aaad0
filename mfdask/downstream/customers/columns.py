"""What each column of the tables of churn and lifetime value is, for people and for files."""

from __future__ import annotations

import re

COLUMNS = {
    "user_id": "raw id",
    "event_timestamp": "the cut-off; nothing in the scores and features is later",
    "created_timestamp": "time of the last event in the data set, not of the clock",
    "p_churn": "probability of no activity in the horizon",
    "p_churn_low": "lower end of a 90 % interval, by what is not known of the user's rate",
    "p_churn_high": "upper end of it",
    "risk": "high: p_churn of 2/3 or more; medium: of 1/3 or more; low: less",
    "expected_value": "active days, or amount, to come in the horizon",
    "expected_value_low": "lower end: 5 % of such users have less",
    "expected_value_high": "upper end: 5 % of such users have more",
    "discounted_value": "expected_value, discounted by the rate a year",
    "segment": "by expected_value: high, the top tenth; middle, the next four; low, the rest",
    "basis": "features: a model learned from earlier cut-offs; rhythm: BG/NBD or MBG/NBD, for who "
    "has too little history; none: no purchase so far",
    "reason": "what adds most to the score, against the median of the cohort",
    "suggested_1": "item id: what the suggesting model ranks first",
    "suggested_2": "item id: the next",
    "suggested_titles": "their titles",
    "p_alive": "probability that the user has not left for good",
    "expected_days": "active days, or days with a purchase, to come, by BG/NBD or MBG/NBD",
    "expected_days_low": "lower end: 5 % of such users have fewer",
    "expected_days_high": "upper end: 5 % of such users have more",
    "mean_spend": "amount of a day with a purchase, drawn towards that of all (Gamma-Gamma)",
    "recency_days": "days since the last event",
    "active_days": "UTC days with an event",
    "tenure_days": "days since the first event",
    "ratings_30d": "events in the 30 days before the cut-off",
    "ratings_90d": "events in the 90 days before the cut-off",
    "ratings_180d": "events in the 180 days before the cut-off",
    "ratings": "events in all",
    "gap_ratio": "recency over the mean time between active days: 1 on time, 5 long overdue",
    "spend": "amount before the cut-off",
    "spend_180d": "amount in the 180 days before the cut-off",
    "drift": "change of taste, last 180 days against before; above twice the factors: a change",
    "popular_item_affinity": "mean predicted stars for the 200 most-rated items",
    "popular_item_affinity_change": "change of it over 90 days",
    "user_bias": "stars above what others give",
    "log_neighbour_distance": "distance to the 20th nearest user: high is an unusual taste",
    "scored_by": "model and features that made the score",
    "model_version": "version of the factors",
    "label": "what happened in the horizon; missing while it is not over",
}
_FACTOR = re.compile(r"p\d+")


def description(column: str) -> str:
    """Return what a column is, in a few words; nothing for one that is not known."""
    if _FACTOR.fullmatch(column):
        return "a factor of the user's taste"
    return COLUMNS.get(column, "")
