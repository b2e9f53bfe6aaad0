"""Several injections together, and the files that `mfdask ingest` reads."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mfdask.downstream.events import all_events
from mfdask.downstream.inject import (
    AttackPlan,
    DriftPlan,
    InjectionPlan,
    MixPlan,
    SharingPlan,
    inject,
    write_injected,
)
from mfdask.downstream.inject.write import new_ids
from mfdask.errors import InputError
from mfdask.ingestion.build import ingest
from mfdask.ratings.formats import open_source
from mfdask.shards import Dataset
from tests.downstream.tables import N_ITEMS, table_of


@pytest.fixture(scope="module")
def events(small_data):
    return all_events(Dataset.open(small_data))


ALL = InjectionPlan(SharingPlan(5), MixPlan(5), DriftPlan(5), AttackPlan("average", n_targets=2))


def test_no_item_for_two_things(events):
    for seed in range(5):
        truth = inject(events, N_ITEMS, ALL, seed).truth
        items = pd.concat([table["item"] for table in truth.values() if "item" in table])
        assert len(items) == 12
        assert items.is_unique


def test_nothing_to_inject(events):
    with pytest.raises(InputError, match="nothing to inject"):
        inject(events, N_ITEMS, InjectionPlan(), 1)
    with pytest.raises(InputError, match="seed must be 0 or more, not -1"):
        inject(events, N_ITEMS, ALL, -1)


def test_what_is_written_ingests(client, small_data, events, tmp_path):
    data = Dataset.open(small_data)
    made = inject(events, data.n_items, ALL, seed=9)
    out = tmp_path / "injected"
    truth = write_injected(data, made, ALL, 9, out)
    manifest = ingest(open_source(str(out)), tmp_path / "d", client=client)
    assert manifest.counts.kept == manifest.counts.read == len(made.ratings)
    again = Dataset.open(tmp_path / "d")
    attackers = truth["attack_users"]["user_id"]
    old, new = (set(side.users()["user_id"]) for side in (data, again))
    assert new - old == set(attackers)
    assert old - new == set(truth["shared_accounts"]["partner_id"])
    assert set(truth["attack_users"]["template_id"]) <= old
    _same_ratings(data, made, attackers, again)
    described = (side.items().set_index("item_id").sort_index() for side in (data, again))
    one, other = (table[["title", "year", "genres"]] for table in described)
    pd.testing.assert_frame_equal(one, other)
    for name, table in truth.items():
        on_disk = pd.read_parquet(out / "truth" / f"{name}.parquet")
        pd.testing.assert_frame_equal(on_disk, table, check_dtype=False)
        rows = made.truth[name]
        for column in {"item", "user", "partner"} & set(rows):
            side = "items" if column == "item" else "users"
            found = again.rows_of(side, table[f"{column}_id"])
            assert ((found >= 0) == (column != "partner")).all()


def _same_ratings(data, made, attackers, again):
    """Assert that a data set holds just the ratings that were made."""
    users = np.append(data.users()["user_id"], attackers)
    items = data.items()["item_id"].to_numpy()
    read = all_events(again)
    columns = (
        (users[made.users], items[made.items], made.ratings, made.timestamps),
        (
            again.users()["user_id"].to_numpy()[read.users],
            again.items()["item_id"].to_numpy()[read.items],
            read.ratings,
            read.timestamps,
        ),
    )
    one, other = (set(zip(*(c.tolist() for c in table), strict=True)) for table in columns)
    assert one == other


def test_string_ids_stay(client, events, tmp_path):
    table = table_of(events)[:4000]
    table["users"] = [f'u "{user}", 0' for user in table["users"]]
    table["items"] = [f"{item:05d}" for item in table["items"]]
    table.drop(columns="held_out").to_csv(tmp_path / "r.csv", index=False)
    columns = dict(zip(("user", "item", "rating", "timestamp"), table, strict=False))
    ingest(open_source(str(tmp_path / "r.csv"), columns=columns), tmp_path / "d", client=client)
    data = Dataset.open(tmp_path / "d")
    plan = InjectionPlan(attack=AttackPlan("copy", target_ratings=(1, 50)))
    made = inject(all_events(data), data.n_items, plan, 3)
    truth = write_injected(data, made, plan, 3, tmp_path / "out")
    assert not (tmp_path / "out" / "movies.csv").exists()
    ingest(open_source(str(tmp_path / "out")), tmp_path / "again", client=client)
    again = Dataset.open(tmp_path / "again")
    _same_ratings(data, made, truth["attack_users"]["user_id"], again)


def test_ids_of_made_up_users():
    assert new_ids(pd.Series([3, 9, 4]), 2).tolist() == [10, 11]
    names = new_ids(pd.Series(["a", "attacker-1"], dtype="str"), 2)
    assert names.tolist() == ["attacker-x1", "attacker-x2"]
    assert new_ids(pd.Series([1]), 0).tolist() == []
    with pytest.raises(InputError, match="leaves no larger ids"):
        new_ids(pd.Series([2**63 - 1]), 1)


def test_other_folders_are_left_alone(small_data, events, tmp_path):
    (tmp_path / "thesis").mkdir()
    data, plan = Dataset.open(small_data), InjectionPlan(attack=AttackPlan())
    made = inject(events, data.n_items, plan, 1)
    with pytest.raises(InputError, match="holds no injected ratings"):
        write_injected(data, made, plan, 1, tmp_path / "thesis")
    out = tmp_path / "injected"
    write_injected(data, made, plan, 1, out)
    first = (out / "ratings.csv").read_bytes()
    write_injected(data, made, plan, 1, out)  # again, in its place
    assert (out / "ratings.csv").read_bytes() == first
