"""Tables about users as customers: churn and lifetime value, from what was known at a date."""

from mfdask.downstream.customers.churn import study_churn
from mfdask.downstream.customers.ltv import study_ltv
from mfdask.downstream.customers.origins import LATEST
from mfdask.downstream.customers.refit import AS_OF
from mfdask.downstream.customers.spend import Spend
from mfdask.downstream.customers.study import Study, StudyOptions, check_out, check_study

__all__ = [
    "AS_OF",
    "LATEST",
    "Spend",
    "Study",
    "StudyOptions",
    "check_out",
    "check_study",
    "study_churn",
    "study_ltv",
]
