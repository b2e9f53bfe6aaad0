"""All kinds of anomalies of a data set, written as a folder of tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from distributed import Client

from mfdask.downstream.anomalies import cleaning
from mfdask.downstream.anomalies.attacks import (
    AttackLimits,
    Attacks,
    BurstEvidence,
    burst_evidence,
    suspected_attacks,
)
from mfdask.downstream.anomalies.drift import drifting_items
from mfdask.downstream.anomalies.groups import groups_of
from mfdask.downstream.anomalies.residuals import residuals_to_come
from mfdask.downstream.anomalies.sessions import choice_vectors
from mfdask.downstream.anomalies.sharing import residual_support, suspected_sharing
from mfdask.downstream.anomalies.tables import attack_scores, attack_table, group_table
from mfdask.downstream.events import Events, all_events, require_timestamps
from mfdask.errors import InputError, require
from mfdask.files import atomic_directory, check_place, file_lock
from mfdask.kernels.types import Float64s, Int32s
from mfdask.models import Ability, Model, require_ability
from mfdask.parameters import Parametrised, parameter
from mfdask.progress import Progress, silent
from mfdask.recommendation.topn import check_same_data
from mfdask.shards import Dataset

#: The table of each part, in the order in which they are made.
TABLES = {"attacks": "suspected_attacks", "sharing": "suspected_sharing", "drift": "drifting_items"}
PARTS = tuple(TABLES)
#: Tells a folder of anomalies from others.
MARK = "summary.json"
_JOB = "mfdask anomalies"


@dataclass(frozen=True)
class Options(Parametrised):
    """Options of `write_anomalies`."""

    parts: tuple[str, ...] = PARTS  # what to look for
    folds: int = parameter(
        5, "Parts of the ratings; each is judged by a model learned from the others.", at_least=2
    )
    every: bool = parameter(
        False,
        "Also write the scores of all items and accounts, suspected of an attack or not.",
        "all",
    )
    clean: Literal["accounts", "targets"] = parameter(
        "accounts",
        "What cleaning leaves out of the suspects' ratings: all, or those of suspected items.",
    )
    rule: AttackLimits = field(default_factory=AttackLimits)  # when an attack is suspected
    clean_out: Path | None = None  # folder for the ratings without suspected attackers

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        good = bool(self.parts) and set(self.parts) <= set(PARTS)
        require(good, "parts", ",".join(self.parts), f"some of {','.join(PARTS)}")
        if self.clean_out is not None and "attacks" not in self.parts:
            raise InputError("`clean_out` leaves suspected attackers out: add attacks to `parts`")
        super().__post_init__()


def write_anomalies(
    model: Model,
    data: Dataset,
    out: Path,
    options: Options | None = None,
    *,
    client: Client | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write a Parquet table of each kind of anomaly, and a summary.

    ``suspected_attacks.parquet`` (see `attack_table`), ``attack_groups.parquet`` (`groups_of`), if
    asked for ``item_scores.parquet`` and ``account_scores.parquet``,
    ``suspected_sharing.parquet`` (the flagged lines of `suspected_sharing`),
    ``drifting_items.parquet`` (those of `drifting_items`), all with
    raw ids, and ``summary.json``. The folder appears when it is whole; one that is there already
    is replaced.

    Parameters
    ----------
    model : Model
        Learned from `data`.
    data : Dataset
        Without timestamps only attacks are looked for.
    out : Path
    options : Options, optional
    client : distributed.Client, optional
        Where models are learned; without one, in this process.
    progress : Progress, optional

    Returns
    -------
    dict
        What ``summary.json`` holds.

    Raises
    ------
    InputError
        If the options make no sense or need timestamps that are not there, the model is of other
        data, or `out` or the folder of cleaned ratings holds something else.
    RefusedError
        If the disk is too small, or another process is writing there.
    """
    options = options or Options()
    data.require_ratings("anomalies")
    parts = _possible(data, options.parts)
    require_ability(model, Ability.RATINGS, "a search for anomalies")
    check_same_data(model, data)
    check_anomalies_place(out)
    if options.clean_out is not None:
        check_place(options.clean_out, cleaning.MARK, "cleaned ratings", "clean_out")
    found: dict[str, Any] = {}
    with file_lock(out, "writing"), atomic_directory(out) as fresh:
        for part, tables, facts in _parts(
            model, data, replace(options, parts=parts), client, progress
        ):
            for name, table in tables.items():
                table.to_parquet(fresh / f"{name}.parquet", index=False)
            found[part] = facts
            progress("anomalies", len(found), len(parts), part)
        summary = {
            "job": _JOB,
            "data": data.name,
            "fingerprint": data.fingerprint,
            "model": model.kind,
            "ratings": data.n_train + data.n_test,
            "users": data.n_users,
            "items": data.n_items,
            "folds": options.folds,
            "not_looked_for": [part for part in options.parts if part not in parts],
            **found,
        }
        (fresh / MARK).write_text(json.dumps(summary, indent=1) + "\n")
    return summary


def _possible(data: Dataset, parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return what can be looked for: attacks alone where there are no times."""
    if data.manifest.has_timestamps:
        return parts
    if "attacks" not in parts:
        require_timestamps(data, "anomalies")
    return ("attacks",)


def _parts(
    model: Model, data: Dataset, options: Options, client: Client | None, progress: Progress
) -> Iterator[tuple[str, dict[str, pd.DataFrame], dict[str, Any]]]:
    """Yield each part's name, tables and summary; what one part alone needs is gone by the next."""
    events, attacked = all_events(data), pd.Series(dtype="int64")
    vectors = None if options.parts == ("drift",) else choice_vectors(events, data.n_items)
    attacks = "attacks" in options.parts
    bursts = burst_evidence(events, data.n_items, options.rule) if attacks else None
    with ExitStack() as meanwhile:  # a cluster learns; beside the search for bursts memory is short
        if options.parts != ("attacks",):
            refits = residuals_to_come(model, data, options.folds, client, progress)
            found = meanwhile.enter_context(refits)
        if bursts:
            attacked, tables, said = _attacks(model, data, events, vectors, bursts, options, client)
            yield "attacks", tables, said
            del bursts
        if options.parts == ("attacks",):
            return
        if "sharing" in options.parts:
            shared = suspected_sharing(events, data.n_items, flagged_alone=True, vectors=vectors)
        residuals = found(events)
    if "sharing" in options.parts:
        shared["residual_support"] = residual_support(residuals, data.n_users)[shared["user"]]
        yield "sharing", *_flagged(shared, "user", data.users()[["user_id"]], "sharing")
    del events
    if "drift" in options.parts:
        judged = drifting_items(residuals, data.n_items)
        judged["flagged"] &= ~judged["item"].isin(attacked)  # these are listed already
        yield "drift", *_flagged(judged, "item", data.items()[["item_id", "title"]], "drift")


def check_anomalies_place(out: Path) -> None:
    """Refuse a place that holds anything but anomalies.

    Raises
    ------
    InputError
    """
    if not out.exists():
        return
    try:
        ours = json.loads((out / MARK).read_text())["job"] == _JOB
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise InputError(f"{out}: is there already and holds no anomalies; give another `out`")


def _attacks(
    model: Model,
    data: Dataset,
    events: Events,
    vectors: Float64s | None,
    bursts: BurstEvidence,
    options: Options,
    client: Client | None,
) -> tuple[pd.Series, dict[str, pd.DataFrame], dict[str, Any]]:
    """Look for attacks, and for what goes away without the attackers; items come first."""
    found = suspected_attacks(events, data.n_items, options.rule, vectors, bursts)
    suspects = np.unique(found.users["user"].to_numpy(np.int32))
    items = np.unique(found.items["item"].to_numpy(np.int32))
    groups = groups_of(events, suspects, data.n_items)
    dishonest = {way: cleaning.dishonest(events, suspects, items, way) for way in cleaning.WAYS}
    said: dict[str, Any] = {
        "items": len(items),
        "items_per_1000": 1000 * len(items) / max(data.n_items, 1),
        "users": len(suspects),
        "users_per_1000": 1000 * len(suspects) / data.n_users,
        "groups": int(groups["group"].nunique()),
        **{f"ratings_of_{way}": int(which.sum()) for way, which in dishonest.items()},
        **asdict(options.rule),
    }
    predictions = _predictions(model, data, found, suspects, client)
    if len(predictions):
        moved = predictions["prediction_cleaned"] - predictions["prediction"]
        said["mean_prediction_change"] = float(moved.abs().mean())
    if options.clean_out is not None:
        said["cleaned"] = str(options.clean_out)
        said["ratings_left_out"] = cleaning.write_cleaned(
            data, events, dishonest[options.clean], options.clean_out
        )
    tables = {TABLES["attacks"]: attack_table(found, predictions, data)}
    tables["attack_groups"] = group_table(groups, data)
    if options.every:
        tables |= attack_scores(found.suspicion, data)
    return found.items["item"], tables, said


def _predictions(
    model: Model, data: Dataset, found: Attacks, suspects: Int32s, client: Client | None
) -> pd.DataFrame:
    """Return what suspected items are predicted with and without the suspects, if there are any."""
    items = np.unique(found.items["item"].to_numpy(np.int32))
    if not len(items) or not len(suspects) or len(suspects) == data.n_users:
        return pd.DataFrame({"item": items[:0], "prediction": 0.0, "prediction_cleaned": 0.0})
    return cleaning.predictions_without(model, data, suspects, items, client)


def _flagged(
    judged: pd.DataFrame, row: str, ids: pd.DataFrame, part: str
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Return the flagged lines, with raw ids in the place of rows, and how many they are."""
    flagged = judged[judged["flagged"]]
    named = ids.iloc[flagged[row]].reset_index(drop=True)
    facts = {
        f"{row}s": len(flagged),
        f"{row}s_judged": len(judged),
        f"{row}s_per_1000": 1000 * len(flagged) / max(len(judged), 1),
    }
    table = named.join(flagged.drop(columns=[row, "flagged"]).reset_index(drop=True))
    return {TABLES[part]: table}, facts
