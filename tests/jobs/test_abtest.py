"""The job `abtest`."""

from tests.jobs.helpers import refused


def test_it_prints_what_it_measures(mfdask, result_of, small_data, model_folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # a path is as long as the machine makes it
    result_of("train", small_data, "--model", "popularity", "--out", "p")
    said = result_of("abtest", model_folder, "p", small_data, "--threshold", 3, "--at", 5)
    assert [line["estimator"] for line in said["estimates"]] == [
        "replay", "inverse propensity", "self-normalised",
    ]  # fmt: skip
    assert len(said["daily"]) == said["options"]["days"] == 28
    assert said["options"]["at"] == 5
    assert 0 < said["click_rates"][0] < 1
    done = mfdask("abtest", model_folder, "p", small_data, "--threshold", 3, "--days", 7)
    assert done.exit_code == 0
    for words in ("always-valid interval", "users to find a lift of 5.0%", "B less A"):
        assert words in done.stdout


def test_bad_options(mfdask, small_data, model_folder):
    done = mfdask("abtest", model_folder, model_folder, small_data, "--lift", 0)
    refused(done, "--lift must be a number above 0")
    done = mfdask("abtest", model_folder, model_folder, small_data, "--at", 100_000)
    refused(done, "or less, the items")
