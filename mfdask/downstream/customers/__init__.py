"""Churn and customer lifetime value of users, from what was known at a date."""

from mfdask.downstream.customers.churn import study_churn
from mfdask.downstream.customers.ltv import study_ltv
from mfdask.downstream.customers.spend import Spend
from mfdask.downstream.customers.study import Study, StudyOptions, check_out, check_study
from mfdask.downstream.customers.suggestions import with_suggestions

__all__ = [
    "Spend",
    "Study",
    "StudyOptions",
    "check_out",
    "check_study",
    "study_churn",
    "study_ltv",
    "with_suggestions",
]
