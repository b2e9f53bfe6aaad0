"""The page's objects, without a server."""

from types import SimpleNamespace

import numpy as np
import pytest
from bokeh.document import Document

from mfdask.watch.page import Page, show_document
from mfdask.watch.watcher import Watcher
from tests.watch.told import WORKERS, forget, solve, tell, told, watched

SCRIPT = "<script>alert(1)</script>"


def prefix(name, **states):
    every = ("processing", "waiting", "queued", "no-worker", "memory", "erred", "released")
    return SimpleNamespace(name=name, states=dict.fromkeys(every, 0) | states)


def page_of(watcher, scheduler):
    return Page(lambda: watcher.newest, scheduler)


@pytest.fixture
def scheduler():
    names = dict(zip(WORKERS, (0, SCRIPT), strict=True))
    return SimpleNamespace(
        workers={address: SimpleNamespace(name=name) for address, name in names.items()},
        task_prefixes={
            "parse": prefix("parse", processing=2, waiting=5, queued=1, memory=3),
            "cut": prefix("cut", released=4),
        },
    )


def part_of(page, name):
    return next(part for part in page.parts if part.name == name)


def test_nothing_has_run(scheduler):
    page = page_of(Watcher(), scheduler)
    (tasks,) = page.parts
    assert "No training has run yet" in page.told.text
    assert tasks.table().to_dict("records") == [
        {"task": "parse", "running": 2, "waiting": 6, "done and held": 3, "failed": 0}
    ]
    assert "parse" in tasks.root.text
    scheduler.task_prefixes.clear()
    page.update()
    assert tasks.root.text == "none"


def test_a_page_is_asked_for_anew_once_there_is_more_to_show(scheduler):
    watcher = Watcher()
    page = page_of(watcher, scheduler)
    page.update()
    assert not page.told.css_classes
    solve(watcher, "aaaa1111", 1)
    page.update()
    assert page.told.css_classes == ["anew"]
    page = page_of(watcher, scheduler)
    assert [part.name for part in page.parts] == ["shards", "tasks"]
    tell(watcher, told(1, moved={}))
    page.update()
    assert page.told.css_classes == ["anew"]
    assert [part.name for part in page_of(watcher, scheduler).parts] == [
        "rmse", "speed", "shards", "tasks",
    ]  # fmt: skip


def test_the_page_follows_a_fit(scheduler):
    watcher = watched(told(1))
    page = page_of(watcher, scheduler)
    for sweep in (1, 2, 3):
        if sweep > 1:
            tell(watcher, told(sweep))
        page.update()
        assert part_of(page, "rmse").source.data["sweep"].tolist() == list(range(1, sweep + 1))
    assert "Sweep 3 of at most 10" in page.told.text
    np.testing.assert_allclose(part_of(page, "rmse").source.data["test_rmse"], [2, 1, 2 / 3])
    np.testing.assert_allclose(part_of(page, "speed").source.data["speed"], 4000)
    traffic = part_of(page, "traffic").source.data
    np.testing.assert_array_equal(traffic["_bottom"], [0, 3000, 0, 6000, 0, 9000])
    np.testing.assert_array_equal(traffic["_top"], [3000, 4000, 6000, 7000, 9000, 10000])
    assert len(set(traffic["_colour"])) == 2
    forget(watcher, "aaaa1111", 1)
    page.update()
    assert "told last: sweep 3" in page.told.text
    solve(watcher, "bbbb2222", 1)
    tell(watcher, told(1, "bbbb2222", data=SCRIPT, test_rmse=None))
    page.update()
    assert part_of(page, "rmse").source.data["sweep"].tolist() == [1]
    assert SCRIPT not in page.told.text
    assert "&lt;script&gt;" in page.told.text


def test_what_has_not_changed_is_not_sent_again(scheduler):
    page = page_of(watched(told(1)), scheduler)
    before = [part.source.data for part in page.parts]
    page.update()
    assert all(part.source.data is data for part, data in zip(page.parts, before, strict=True))


def test_the_test_error_is_named_only_where_there_is_one(scheduler):
    for test_rmse in (0.9, None):
        page = page_of(watched(told(1, test_rmse=test_rmse)), scheduler)
        (legend,) = part_of(page, "rmse").root.legend
        assert [item.visible for item in legend.items] == [test_rmse is not None, True]


def test_a_reader_gets_a_document_of_their_own(scheduler):
    documents = [Document(), Document()]
    for document in documents:
        show_document(lambda: watched(told(1)).newest, scheduler, ["mfdask", "status"], document)
        assert {root.name for root in document.roots} == {
            "told", "rmse", "speed", "traffic", "shards", "tasks"
        }  # fmt: skip
        assert len(document.session_callbacks) == 1
    assert not set(documents[0].roots) & set(documents[1].roots)
