"""The fit on real clusters: the same bits wherever it runs, and when a worker dies."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from distributed.core import Status

from mfdask.cluster import ClusterConfig, open_cluster
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.models import ALS, kinds, save_model
from mfdask.ratings.formats import open_source
from mfdask.ratings.splits import Split
from mfdask.shards import Dataset

CONFIG = ALS(n_factors=6, n_sweeps=5)
#: Ours; features are given in a file.
KINDS = [n for n, k in kinds().items() if "mfdask." in k.estimator.__module__ and n != "features"]
SPEC = "synthetic:users=300,items=200,ratings=9000"


@pytest.fixture(scope="module", params=[1, 2, 5])
def data(request, client, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "d"
    choices = IngestOptions(Split.parse("random:0.1"), blocks=request.param)
    ingest(open_source(SPEC), folder, client=client, choices=choices)
    return Dataset.open(folder)


def processes_of_group(group):
    """Return the command lines of the live processes of a process group."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.cmdline())
    return found


def assert_same(one, other):
    np.testing.assert_array_equal(one.user_rows, other.user_rows)
    np.testing.assert_array_equal(one.item_rows, other.item_rows)


def test_two_workers_make_the_model_of_one_process(data, client):
    alone, spread = CONFIG.fit(data), CONFIG.fit(data, client=client)
    assert_same(alone, spread)
    for one, other in zip(alone.history, spread.history, strict=True):
        assert (one.objective, one.train_rmse, one.test_rmse) == (
            other.objective, other.train_rmse, other.test_rmse,
        )  # fmt: skip


@pytest.mark.parametrize("data", [2], indirect=True)
@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_nothing(data, threads):
    config = ClusterConfig(threads=threads, dashboard_address="127.0.0.1:0")
    with open_cluster(config) as client:
        assert_same(CONFIG.fit(data), CONFIG.fit(data, client=client))


@pytest.mark.parametrize("data", [2], indirect=True)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_the_same_on_two_workers(data, client, tmp_path, kind):
    if kind == "ncf":
        pytest.importorskip("optax", reason="needs Optax: pip install 'mfdask[neural]'")
    small = {"n_factors": 3, "n_sweeps": 3, "burn_in": 1}
    known = kinds()[kind].open_parameters
    estimator = kinds()[kind].configure({own: n for own, n in small.items() if own in known})
    for name, model in {
        "alone": estimator.fit(data),
        "spread": estimator.fit(data, client=client),
    }.items():
        save_model(model, tmp_path / name)
    timed = {"model.json", "history.parquet"}
    arrays = {path.name for path in (tmp_path / "alone").iterdir()} - timed
    assert {"users.parquet", "items.parquet"} <= arrays
    for own in arrays:
        one, other = ((tmp_path / name / own).read_bytes() for name in ("alone", "spread"))
        assert one == other, own


def test_blocks_agree_to_rounding(client, tmp_path):
    models = []
    for blocks in (1, 2, 5):
        choices = IngestOptions(Split.parse("random:0.1"), blocks=blocks)
        ingest(open_source(SPEC), tmp_path / f"{blocks}", client=client, choices=choices)
        models.append(CONFIG.fit(Dataset.open(tmp_path / f"{blocks}")))
    for model in models[1:]:
        np.testing.assert_allclose(model.user_rows, models[0].user_rows, atol=1e-5)
        np.testing.assert_allclose(model.item_rows, models[0].item_rows, atol=1e-5)


@pytest.mark.parametrize("data", [2], indirect=True)
def test_a_checkpoint_resumes_on_a_cluster(data, client, tmp_path):
    class Killed(Exception):
        pass

    def progress(stage, done, total, note=""):
        if done == 3:
            raise Killed

    with pytest.raises(Killed):
        CONFIG.fit(
            data, client=client, checkpoint=tmp_path / "c", checkpoint_every=2, progress=progress
        )
    resumed = CONFIG.fit(data, client=client, checkpoint=tmp_path / "c", resume=True)
    assert_same(resumed, CONFIG.fit(data))


@pytest.mark.parametrize("data", [2], indirect=True)
def test_workers_killed_again_and_again_cost_time_and_nothing_else(data):
    config = ALS(n_factors=6, n_sweeps=30)
    killed = []

    with open_cluster(ClusterConfig(threads=1, dashboard_address="127.0.0.1:0")) as client:

        def worker():
            client.wait_for_workers(1, timeout=60)
            (nanny,) = client.cluster.workers.values()
            while nanny.status != Status.running:  # it gives up on a worker that dies in its start
                time.sleep(0.01)
            (pid,) = client.run(os.getpid).values()
            return pid

        def progress(stage, done, total, note=""):
            if done in {4, 5, 12, 20}:
                killed.append(worker())
                os.kill(killed[-1], signal.SIGKILL)

        model = config.fit(data, client=client, progress=progress)
        assert len({*killed, worker()}) == 5
    assert_same(model, config.fit(data))


@pytest.mark.parametrize("data", [2], indirect=True)
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_no_process(data, tmp_path, sent):
    command = [
        sys.executable, "-m", "mfdask", "train", str(data.path), "--out", str(tmp_path / "m"),
        "--sweeps", "100000", "--dashboard-address", "127.0.0.1:0",
    ]  # fmt: skip
    job = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert job.stderr is not None
    assert any("dashboard" in line for line in job.stderr)
    job.send_signal(sent)
    said = job.communicate(timeout=30)[1]
    # 143: told by SIGTERM, it was slow to clear up on a busy machine, and ended all the same.
    assert job.returncode == 130 or (job.returncode, sent) == (143, signal.SIGTERM)
    assert "interrupted" in said or job.returncode == 143
    assert "Traceback" not in said
    assert not (tmp_path / "m").exists()
    deadline = time.monotonic() + 10
    while processes_of_group(job.pid):
        assert time.monotonic() < deadline, "processes are left behind"
        time.sleep(0.1)
