"""The whole work with other libraries: `python -m mfdask.bench.script FILE OUT FACTORS SWEEPS`.

It is what one would write by hand for the same readers. pandas reads the CSV, cmfrec predicts
stars, implicit makes the lists, and tables come from what pandas, scikit-learn and lifetimes offer.
Nothing is checked, held out, put aside, or begun again after a failure.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mfdask.memory import PeakMemory

#: Days ahead that churn and value are about, and days between two bursts that may be told apart.
_AHEAD, _BURST = 90, 7
_DAY = 86_400
#: Users that lists are made for at a time, and length of a list.
_USERS, _TOP = 10_000, 10
#: Customers that the purchase model is fitted to: more do not change its four parameters.
_FITTED = 20_000


@dataclass
class Script:
    """What the steps of the script hand on to those after them.

    Attributes
    ----------
    file, out : Path
    n_factors, sweeps : int
    held : dict
        By name: the table of ratings, its matrix, models, tables.
    """

    file: Path
    out: Path
    n_factors: int
    sweeps: int
    held: dict[str, Any] = field(default_factory=dict)

    def ingest(self) -> None:
        """Read the CSV, number users and items, and make the matrix."""
        import scipy.sparse

        ratings = pd.read_csv(self.file, engine="pyarrow")
        ratings["user"], users = pd.factorize(ratings["user_id"])
        ratings["item"], items = pd.factorize(ratings["item_id"])
        stars, places = ratings["rating"].to_numpy(np.float32), ratings[["user", "item"]].to_numpy()
        shape = len(users), len(items)
        matrix = scipy.sparse.coo_matrix((stars, (places[:, 0], places[:, 1])), shape).tocsr()
        self.held |= {"ratings": ratings, "matrix": matrix, "users": users, "items": items}

    def train(self) -> None:
        """Learn to predict stars."""
        from cmfrec import CMF

        size = {"k": self.n_factors, "niter": self.sweeps, "use_float": True}
        how = {"use_cg": False, "verbose": False, "precompute_for_predictions": False}
        self.held["stars"] = CMF(**size, **how).fit(self.held["matrix"].tocoo())

    def rank(self) -> None:
        """Learn preferences."""
        from implicit.cpu.als import AlternatingLeastSquares

        model = AlternatingLeastSquares(factors=self.n_factors, iterations=self.sweeps)
        model.fit(self.held["matrix"], show_progress=False)
        self.held["preferences"] = model

    def lists(self) -> None:
        """Write ten items for each user, of those not rated."""
        model, matrix = self.held["preferences"], self.held["matrix"]
        for start in range(0, matrix.shape[0], _USERS):
            rows = np.arange(start, min(start + _USERS, matrix.shape[0]))
            items, scores = model.recommend(rows, matrix[rows], N=_TOP)
            table = {
                "user_id": np.repeat(self.held["users"][rows], _TOP),
                "item_id": self.held["items"][items.ravel()],
                "score": scores.ravel(),
            }
            pd.DataFrame(table).to_parquet(self.out / f"lists-{start}.parquet")

    def anomalies(self) -> None:
        """Write weeks of items whose mean moved by far, and how far accounts are from the means."""
        ratings = self.held["ratings"]
        week = ratings["timestamp"] // (_BURST * _DAY)
        weeks = ratings.groupby(["item", week])["rating"].agg(["mean", "count"])
        mean, spread = weeks["mean"].groupby("item").mean(), ratings["rating"].std()
        moved = weeks["mean"] - mean.reindex(weeks.index.get_level_values("item")).to_numpy()
        weeks["z"] = moved * np.sqrt(weeks["count"]) / spread
        weeks.reset_index().to_parquet(self.out / "weeks.parquet")
        away = (ratings["rating"] - ratings.groupby("item")["rating"].transform("mean")).abs()
        users = away.groupby(ratings["user"]).agg(["mean", "count"])
        users.to_parquet(self.out / "accounts.parquet")
        self.held["weeks"] = weeks

    def churn(self) -> None:
        """Write who will rate nothing for 90 days: a logistic regression of an earlier date."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        end = int(self.held["ratings"]["timestamp"].max()) + 1
        before, now = self._habits(end - _AHEAD * _DAY), self._habits(end)
        left = ~before.index.isin(self._active_from(end - _AHEAD * _DAY))
        model = make_pipeline(StandardScaler(), LogisticRegression())
        if 0 < left.sum() < len(left):
            now["p_churn"] = model.fit(before, left).predict_proba(now)[:, 1]
        now.to_parquet(self.out / "churn.parquet")
        self.held["habits"] = now

    def ltv(self) -> None:
        """Write the active days to come, by the BG/NBD model."""
        from lifetimes import BetaGeoFitter

        habits = self.held["habits"]
        frequency = habits["days"] - 1
        recency, age = habits["age"] - habits["since"], habits["age"]
        part = np.random.default_rng(0).permutation(len(habits))[:_FITTED]
        model = BetaGeoFitter(penalizer_coef=0.01)
        model.fit(frequency.iloc[part], recency.iloc[part], age.iloc[part])
        expected = model.conditional_expected_number_of_purchases_up_to_time(
            _AHEAD, frequency, recency, age
        )
        pd.DataFrame({"expected": expected}).to_parquet(self.out / "ltv.parquet")

    def report(self) -> None:
        """Write a page: three histograms and the weeks that moved most."""
        from bokeh.embed import file_html
        from bokeh.layouts import column
        from bokeh.models.widgets import Div
        from bokeh.plotting import figure
        from bokeh.resources import INLINE

        ratings, drawn = self.held["ratings"], []
        for name, numbers in (
            ("ratings", ratings["rating"]),
            ("ratings of a user (log10)", np.log10(ratings.groupby("user").size())),
            ("ratings of an item (log10)", np.log10(ratings.groupby("item").size())),
        ):
            counts, edges = np.histogram(numbers, bins=30)
            plot = figure(title=name, height=250)
            plot.quad(top=counts, bottom=0, left=edges[:-1], right=edges[1:])
            drawn.append(plot)
        top = self.held["weeks"].nlargest(20, "z").reset_index()
        page = file_html(column(*drawn, Div(text=top.to_html())), INLINE, "report")
        (self.out / "report.html").write_text(page, encoding="utf-8")

    def _habits(self, at: int) -> pd.DataFrame:
        """Return for each user known before a time: active days, age, days since, mean rating."""
        ratings = self.held["ratings"]
        known = ratings[ratings["timestamp"] < at]
        days = (known["timestamp"] // _DAY).groupby(known["user"]).agg(["nunique", "min", "max"])
        return pd.DataFrame(
            {
                "days": days["nunique"],
                "age": at // _DAY - days["min"],
                "since": at // _DAY - days["max"],
                "mean": known.groupby("user")["rating"].mean(),
            }
        )

    def _active_from(self, at: int) -> Any:
        ratings = self.held["ratings"]
        return ratings.loc[ratings["timestamp"] >= at, "user"].unique()


def run_script(file: Path, out: Path, n_factors: int, sweeps: int) -> dict[str, dict[str, float]]:
    """Take all steps one after the other, and return ``seconds`` and ``peak_bytes`` of each."""
    script = Script(file, out, n_factors, sweeps)
    steps: list[Callable[[], None]] = [
        script.ingest,
        script.train,
        script.rank,
        script.lists,
        script.anomalies,
        script.churn,
        script.ltv,
        script.report,
    ]
    taken = {}
    for step in steps:
        began = time.perf_counter()
        with PeakMemory() as peak:
            step()
        taken[step.__name__] = {
            "seconds": time.perf_counter() - began,
            "peak_bytes": peak.bytes,
        }
    return taken


if __name__ == "__main__":
    file, out, factors, sweeps = sys.argv[1:]
    print(json.dumps(run_script(Path(file), Path(out), int(factors), int(sweeps))))
