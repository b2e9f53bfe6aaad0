"""The page on real dashboards, as a reader sees it in a headless Chromium."""

import logging
import threading
import time
import urllib.request
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from distributed import Client, LocalCluster

from mfdask.cluster import SOLVER, ClusterConfig, open_cluster
from mfdask.errors import InputError
from mfdask.figures import theme
from mfdask.models import ALS
from mfdask.report.browser import find_browser
from mfdask.shards import Dataset
from mfdask.watch import PATH, ProgressPublisher, events, show_page
from mfdask.watch.serving import add_page
from tests.by_hand import scheduler_address, started
from tests.report.chromium import Chromium
from tests.watch.told import told

PRELOAD = "--preload", "mfdask.watch"
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def browser():
    try:
        find_browser()
    except InputError as error:
        pytest.skip(str(error))
    with Chromium(width=1200, height=1600) as browser:
        yield browser


def model(name):
    """Return a script for a model of the page; nothing while the page is being loaded anew."""
    return f"globalThis.Bokeh?.documents[0]?.get_model_by_name('{name}')"


def text(browser, name):
    return browser.run(f"{model(name)}?.text") or ""


def until(true, seconds=30):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not so after {seconds} seconds"
        time.sleep(0.1)


@contextmanager
def fit_held(client, folder, *, sweeps=6, held=4):
    """Run a fit in a thread, and hold it behind one of its sweeps while the block runs."""
    reached, free, made = threading.Event(), threading.Event(), []

    def hold(sweep):
        if sweep.sweep == held:
            reached.set()
            assert free.wait(60)

    def run():
        config = ALS(n_factors=3, n_sweeps=sweeps)
        made.append(config.fit(Dataset.open(folder), client=client, each_sweep=hold))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert reached.wait(60)
        yield
    finally:
        free.set()
        thread.join()
    assert len(made[0].history) == sweeps


def hosts(browser):
    return {url.split("/")[2] for url in browser.requests if not url.startswith("data:")}


def test_a_training_is_watched(client, small_data, browser):
    name = Dataset.open(small_data).name
    assert client.dashboard_link.endswith(PATH)
    browser.open(client.dashboard_link)
    assert "Tasks" in browser.run("document.querySelector('#tasks h3').textContent")
    with fit_held(client, small_data):
        until(lambda: "Sweep 4 of at most 6" in text(browser, "told"))
        assert f"als on {name}" in text(browser, "told")
        assert "half_step-users" in text(browser, "tasks")
        solved = browser.run(f"Array.from({model('shards')}.renderers[0].data_source.data.users)")
        assert sum(solved) == 2
        time.sleep(1)
        ink = browser.ink()
    assert set(ink) == {"rmse", "speed", "traffic", "shards", "tasks"}
    assert min(ink.values()) > 50, ink
    until(lambda: "Ended; told last: sweep 6 of at most 6" in text(browser, "told"))
    assert browser.errors == []
    assert hosts(browser) == {client.dashboard_link.split("/")[2]}


def test_the_page_of_task_groups_is_drawn_during_a_fit(client, small_data):
    groups = client.dashboard_link.replace(PATH, "/groups")
    with fit_held(client, small_data):
        page = urllib.request.urlopen(groups)  # an error of the server is raised
        assert page.status == 200
        assert b"bokeh" in page.read()


def test_bytes_are_stacked_and_texts_are_texts(client, browser):
    one, two = client.scheduler_info(n_workers=-1)["workers"]
    teller = ProgressPublisher(client)
    for sweep in (1, 2, 3):
        moved = {one: 40_000 * sweep, two: 9_000}
        teller.tell(told(sweep, "feed1234", data=SCRIPT, moved=moved))
    browser.open(client.dashboard_link)
    until(lambda: "3 of at most 10" in text(browser, "told"))
    assert "&lt;script&gt;" in text(browser, "told")
    bars = f"{model('traffic')}?.renderers[0].data_source.data._top.length"
    until(lambda: browser.run(bars) == 6)
    ink = browser.ink()
    assert min(ink[name] for name in ("rmse", "speed", "traffic")) > 50, ink
    assert browser.errors == []


def test_light_dark_and_narrow(client, browser):
    ProgressPublisher(client).tell(told(1, "feed5678", test_rmse=None))
    browser.open(client.dashboard_link)
    colour = f"{model('rmse')}.below[0].axis_label_text_color"
    for ground, colours in (("light", theme.LIGHT), ("dark", theme.DARK)):
        browser.prefer(ground)
        assert browser.run(colour) == colours["soft"]
    for width in (420, 800, 1400):
        browser.resize(width, 1000)
        time.sleep(0.3)
        assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.errors == []


def test_an_old_page_says_so(browser):
    config = ClusterConfig(threads=1, dashboard_address="127.0.0.1:0")
    with open_cluster(config) as own:
        browser.open(own.dashboard_link)
        assert "No training has run yet" in text(browser, "told")
        assert set(browser.ink()) == {"tasks"}
        silent = "document.querySelector('.page').classList.contains('silent')"
        assert browser.run(silent) is False
    browser.run("{ const now = Date.now; Date.now = () => now() + 60_000; }")
    until(lambda: browser.run(silent))
    assert "Nothing heard since" in browser.run("document.querySelector('.silence').textContent")


def test_a_scheduler_started_by_hand_shows_it_too(small_data, tmp_path, browser):
    alone = "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"
    own = "--resources", f"{SOLVER}=1", "--nthreads", 1, "--no-dashboard"
    with started(tmp_path / "s", "scheduler", *alone, "--port", 0, *PRELOAD) as scheduler:
        address = scheduler_address(scheduler)
        with (
            started(tmp_path / "w", "worker", address, *own),
            Client(address) as other,
        ):
            other.wait_for_workers(1, timeout=60)
            with open_cluster(ClusterConfig(scheduler=address)) as client:
                browser.open(client.dashboard_link)
                with fit_held(client, small_data, sweeps=3, held=2):
                    until(lambda: "Sweep 2 of at most 3" in text(browser, "told"))
                status = client.dashboard_link.replace(PATH, "/status")
            with urllib.request.urlopen(status) as answer:
                tabs = answer.read().decode()
    assert 'href="mfdask"' in tabs
    assert browser.errors == []


def test_a_scheduler_without_a_dashboard():
    scheduler = SimpleNamespace(http_application=SimpleNamespace(applications=[]))
    with pytest.raises(LookupError, match="no dashboard"):
        add_page(scheduler, lambda: None)


def test_a_scheduler_without_mfdask(tmp_path, caplog):
    (tmp_path / "lacks.py").write_text("import sys\nsys.modules['mfdask'] = None\n")
    alone = "--host", "127.0.0.1", "--port", 0, "--dashboard-address", "127.0.0.1:0"
    with (
        started(tmp_path / "s", "scheduler", *alone, "--preload", "../lacks.py") as scheduler,
        Client(scheduler_address(scheduler)) as client,
    ):
        with caplog.at_level(logging.WARNING, "mfdask"):
            assert show_page(client) is False
        (line,) = [record.getMessage() for record in caplog.records if "mfdask" in record.name]
        assert "does without the page /mfdask: " in line
        assert "\n" not in line
        ProgressPublisher(client).tell(told(1))
        until(lambda: client.get_events("mfdask"))


def test_sweeps_are_told_in_order_and_few_at_a_time(client):
    teller, before = ProgressPublisher(client), len(client.get_events("mfdask"))
    for sweep in range(1, 501):
        teller.tell(told(sweep, "beef1234"))

    def heard():
        return [said for _, message in client.get_events("mfdask")[before:] for said in message]

    until(lambda: len(heard()) == 500)
    assert [said["sweep"] for said in heard()] == list(range(1, 501))
    assert len(client.get_events("mfdask")) - before < 20


def test_a_client_that_closes_meanwhile_is_no_error(caplog):
    with LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0") as cluster:
        client = Client(cluster)
        teller = ProgressPublisher(client)
        teller.tell(told(1))
        until(lambda: client.get_events("mfdask"))
        teller.tell(told(2))  # waits for its turn
        client.close()
        time.sleep(2 * events._PAUSE)
    assert [record.getMessage() for record in caplog.records] == []
