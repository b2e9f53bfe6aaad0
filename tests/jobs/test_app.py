"""The job `app`: what it serves, and what it refuses."""

from mfdask.app.server import AppServer
from tests.jobs.helpers import refused


def test_it_serves_until_interrupted(small_data, model_folder, result_of, monkeypatch):
    def interrupted(server):
        server.stop()
        raise KeyboardInterrupt

    monkeypatch.setattr(AppServer, "run", interrupted)
    said = result_of("app", model_folder, "--port", 0)
    assert said["url"].endswith("/for-you")
    assert "for-you" in said["pages"]
    assert said["options"]["port"] == 0


def test_nothing_to_show(mfdask):
    refused(mfdask("app"), "give a MODEL, or --home")
    refused(mfdask("app", "m", "--allow-promote"), "--allow-promote: there is nothing to publish")


def test_a_home_without_a_release(result_of, mfdask, tmp_path, monkeypatch):
    """Its nights may say why there is none."""
    monkeypatch.setattr(AppServer, "run", AppServer.stop)
    said = result_of("app", "--home", tmp_path, "--port", 0)
    assert {"nights", "suspects", "customers"} <= set(said["pages"])
    assert "nothing is published yet" in mfdask("app", "--home", tmp_path, "--port", 0).stderr
    refused(mfdask("app", "--home", tmp_path / "none"), "no such folder")
