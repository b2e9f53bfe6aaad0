"""The public face: every name of it is there, documented, and the same to type checkers."""

from __future__ import annotations

import ast
import doctest
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import mfdask

ROOT = Path(__file__).parents[1]
NAMES = [name for name in mfdask.__all__ if name != "__version__"]


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name(name):
    value = getattr(mfdask, name)
    assert value.__name__ == name
    assert inspect.getdoc(value)
    assert f"`{name}`" in (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


CLASSES = [name for name in NAMES if inspect.isclass(getattr(mfdask, name))]


@pytest.mark.parametrize("name", CLASSES)
def test_a_public_class_is_documented_to_the_last_member_and_its_example_runs(name):
    kind = getattr(mfdask, name)
    for member, value in inspect.getmembers(kind):
        ours = isinstance(value, property) or (
            callable(value) and (getattr(value, "__module__", None) or "").startswith("mfdask")
        )
        assert member.startswith("_") or not ours or inspect.getdoc(value), member
    example = doctest.DocTestParser().get_doctest(inspect.getdoc(kind), {}, name, None, None)
    assert example.examples
    assert not doctest.DocTestRunner().run(example).failed


def test_type_checkers_see_the_same():
    stub = ast.parse((ROOT / "mfdask" / "__init__.pyi").read_text(encoding="utf-8"))
    found = {
        alias.name: node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert found == mfdask._PUBLIC


def test_no_other_name():
    with pytest.raises(AttributeError, match="no attribute 'fold_in'"):
        mfdask.fold_in  # noqa: B018
    assert set(NAMES) < set(dir(mfdask))


def test_a_name_is_loaded_when_it_is_used():
    loads = "print('numba' in sys.modules)"
    code = f"import sys, mfdask; {loads}; mfdask.ALS; {loads}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_from_files_to_lists(tmp_path):
    """What the page of the public face shows, from end to end."""
    from mfdask import (
        ALS,
        Dataset,
        evaluate,
        ingest,
        load_model,
        open_source,
        recommend,
        save_model,
    )

    ingest(open_source("synthetic:users=60,items=40,ratings=900"), tmp_path / "d")
    data = Dataset.open(tmp_path / "d")
    save_model(ALS(n_factors=3, n_sweeps=3).fit(data), tmp_path / "m")
    model = load_model(tmp_path / "m")
    assert 0 < evaluate(model, data).clipped.rmse()[0] < 3
    from mfdask import Ranking

    lists = recommend(model, model.users["user_id"][:2], data, Ranking(min_ratings=1))
    assert len(lists) == 20
