"""The plan of a ranking: lengths, candidates, what is relevant, and whom it is for."""

from __future__ import annotations

from dataclasses import dataclass

from mfdask.errors import require
from mfdask.evaluation.list_metrics import OF_LISTS, OF_RANKS
from mfdask.parameters import Parametrised, parameter
from mfdask.shards import Dataset


@dataclass(frozen=True)
class RankingPlan(Parametrised):
    """Options of `measure_ranking`.

    Examples
    --------
    >>> from mfdask import RankingPlan
    >>> RankingPlan(k=(5, 10), negatives=99).candidates
    'each held-out item and 99 sampled ones'
    """

    k: tuple[int, ...] = parameter(
        (10,), "Lengths of the ranked lists; the first is the main one.", "at", at_least=1,
        metavar="K,…",
    )  # fmt: skip
    threshold: float | None = parameter(
        None,
        "An item rated this high in the test part is relevant.  [default: four fifths of the "
        "largest rating, which is 4 of 5; every held-out item with `negatives`, or where there are "
        "no ratings]",
    )
    n_users: int | None = parameter(
        None, "Rank for a random sample of this many users.  [default: all]", "users", at_least=1
    )
    seed: int = parameter(42, "Seed of all that is drawn at random.", at_least=0)
    negatives: int | None = parameter(
        None,
        "Rank each held-out item among so many that its user has not rated (99: He et al. 2017), "
        "not in the whole catalogue: optimistic.  [default: the whole catalogue]",
        at_least=1,
    )
    days: float = parameter(
        365.0, "Recent popularity counts the ratings of so many last days.", above=0
    )

    def __post_init__(self) -> None:
        """Take a single length, too; refuse what cannot be meant."""
        if isinstance(self.k, int):
            object.__setattr__(self, "k", (self.k,))
        super().__post_init__()

    def threshold_on(self, data: Dataset) -> float:
        """Return from which value on a test item is relevant.

        By default any count or event is, and whatever was held out is where it is ranked among
        sampled items, as in published tables; of ratings those from four fifths of the
        largest up: 4 of 5 stars, 8 of 10.
        """
        if self.threshold is not None:
            return self.threshold
        if data.feedback != "ratings" or self.negatives is not None:
            return data.rating_min
        return data.rating_max - abs(data.rating_max) / 5

    def relevant_on(self, data: Dataset) -> str:
        """Say which test items are relevant."""
        threshold = self.threshold_on(data)
        if threshold <= data.rating_min:
            return "every held-out item is relevant"
        return f"{threshold:g} or more is relevant"

    def check(self, data: Dataset) -> None:
        """Refuse what cannot be measured on `data`.

        Raises
        ------
        InputError
        """
        longest, n_items = max(self.k), data.n_items
        if self.negatives is not None:
            most = f"less than the {n_items:,} items of {data.name}"
            require(self.negatives < n_items, "negatives", self.negatives, most)
            n_items = self.negatives + 1
            require(longest <= n_items, "k", longest, f"{n_items:,} or less, with the `negatives`")
        most = f"{n_items:,} or less, the items of {data.name}"
        require(longest <= n_items, "k", longest, most)
        highest = f"{data.rating_max:g} or less, the largest rating of {data.name}"
        threshold = self.threshold_on(data)
        require(threshold <= data.rating_max, "threshold", threshold, highest)

    @property
    def columns(self) -> list[tuple[str, int | None]]:
        """The metrics of single users and their lengths, as `RankingResult.values` has them."""
        of_lists = OF_LISTS if self.negatives is None else ()
        found: list[tuple[str, int | None]] = [
            (metric, k) for names in (OF_RANKS, of_lists) for k in self.k for metric in names
        ]
        return [*found, ("auc", None)]

    @property
    def candidates(self) -> str:
        """What a list is chosen from, in words."""
        if self.negatives is None:
            return "the whole catalogue"
        return f"each held-out item and {self.negatives:,} sampled ones"
