"""`mfdask recommend`, `similar` and `polarity` as a user meets them."""

import pandas as pd
import pytest

from mfdask.recommendation import Ranking, recommend
from mfdask.shards import Dataset
from tests.jobs.helpers import QUIET, refused

ALL = ("--min-ratings", 0)


def test_lists_for_all(result_of, model_folder, small_data, model, tmp_path):
    said = result_of(
        "recommend", model_folder, "--data", small_data, "--top", 3, *ALL, *QUIET
    )  # fmt: skip
    assert said["out"] == "output/recommendations/m"
    written = pd.read_parquet(tmp_path / said["out"])
    data = Dataset.open(small_data)
    wanted = recommend(model, model.users["user_id"], data, Ranking(top=3, min_ratings=0))
    pd.testing.assert_frame_equal(written, wanted)
    assert said["lines"] == len(wanted)


def test_lists_for_some(result_of, model_folder, model, tmp_path):
    users, deny = model.users["user_id"][4:7], model.items["item_id"][:150]
    (tmp_path / "users").write_text("\n".join(map(str, users)) + "\n\n")
    (tmp_path / "deny").write_text("\n".join(map(str, deny)))
    options = ("--include-rated", "--users", "users", "--deny", "deny", "--out", "lists")
    result_of("recommend", model_folder, *options, *ALL, *QUIET)
    written = pd.read_parquet(tmp_path / "lists")
    assert written["user_id"].unique().tolist() == users.tolist()
    assert len(written) == 30
    assert not set(written["item_id"]) & set(deny)


def test_a_list_is_shown(mfdask, result_of, model_folder, small_data, model):
    user = model.users["user_id"][8]
    arguments = ("recommend", model_folder, "--data", small_data, "--user", user, *ALL)
    lines = result_of(*arguments)["recommendations"]
    assert [line["rank"] for line in lines] == list(range(1, 11))
    shown = mfdask(*arguments)
    assert shown.exit_code == 0
    assert f"user {user}; score ranks by taste" in " ".join(shown.stdout.split())


def test_a_new_person(mfdask, result_of, model_folder, model):
    title, item = model.items["title"][3], int(model.items["item_id"][5])
    arguments = (
        "recommend", model_folder, "--rated", f"{title.lower()}=5", "--rated", f"id:{item}=1.5",
        "--explain", "--top", 4, *ALL,
    )  # fmt: skip
    said = result_of(*arguments)
    assert [line["rating"] for line in said["rated"]] == [5, 1.5]
    assert said["rated"][0]["title"] == title
    for line, own in zip(said["recommendations"], said["items_parts"], strict=True):
        parts = [part["part"] for part in said["rated_parts"] if part["item_id"] == line["item_id"]]
        total = said["mean"] + said["user_bias"] + own["item"] + sum(parts)
        assert total == pytest.approx(line["score"], rel=1e-4)
    shown = mfdask(*arguments)
    assert "because of" in shown.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), ["--data", "--include-rated"]),
        (("--explain", "--include-rated"), ["--explain", "--rated"]),
        (("--rated", "x=1", "--include-rated"), ["--rated is of one new person"]),
        (("--rated", "Toy Story"), ["TITLE=STARS"]),
        (("--rated", "=5"), ["TITLE=STARS"]),
        (("--rated", "zzqqxx=5"), ["no such title"]),
        (("--rated", "id:99999999=5"), ["item 99999999", "not among"]),
        (("--include-rated", "--user", "nobody"), ["--user: 'nobody' is no id"]),
        (("--include-rated", "--user", "99999999"), ["user 99999999"]),
        (("--include-rated", "--user", "1", "--out", "x"), ["--user shows lists"]),
        (("--include-rated", "--users", "none.txt"), ["none.txt: no such file"]),
        (("--include-rated", "--top", "0"), ["--top must be a whole number from 1 up, not 0"]),
        (("--include-rated", "--data", "d", "--min-ratings", "100000"), ["no item to offer"]),
    ],
)
def test_bad_input(options, words, mfdask, model_folder):
    refused(mfdask("recommend", model_folder, *options, *QUIET), *words)


def test_off_the_scale_and_twice(mfdask, model_folder, model):
    item = model.items["item_id"][0]
    refused(mfdask("recommend", model_folder, "--rated", f"id:{item}=7"), "ratings here go from")
    twice = ("--rated", f"id:{item}=3", "--rated", f"id:{item}=4")
    refused(mfdask("recommend", model_folder, *twice), "rated already")


def test_a_file_with_a_bad_line(mfdask, model_folder, tmp_path):
    (tmp_path / "allow").write_text("1\n\ntwo\n")
    arguments = ("recommend", model_folder, "--include-rated", "--allow", "allow")
    refused(mfdask(*arguments), "allow, line 3", "'two'")


def test_similar(mfdask, result_of, model_folder, model):
    title = model.items["title"][0]
    said = result_of("similar", model_folder, title, "--top", 5, *ALL)
    assert said["item_id"] == model.items["item_id"][0]
    cosines = [line["cosine"] for line in said["similar"]]
    assert len(cosines) == 5
    assert cosines == sorted(cosines, reverse=True)
    assert "cosine" in mfdask("similar", model_folder, title, *ALL).stdout
    refused(mfdask("similar", model_folder, "zzqqxx"), "no such title")


def test_polarity(mfdask, result_of, model_folder):
    said = result_of("polarity", model_folder, "--top", 2, "--min-ratings", 10)
    values = [line["polarity"] for line in said["most"] + said["least"][::-1]]
    assert values == sorted(values, reverse=True)
    assert len(values) == 4
    assert "tastes differ most" in mfdask("polarity", model_folder, *ALL).stdout
    refused(mfdask("polarity", model_folder), "--min-ratings must be")


@pytest.mark.movielens
def test_a_sensible_list_for_toy_story(mfdask, result_of, movielens_zip):
    result_of("ingest", movielens_zip, "--out", "d", *QUIET)
    result_of("train", "d", "--out", "m", *QUIET)
    said = result_of("recommend", "m", "--rated", "Toy Story (1995)=5")
    assert said["rated"][0]["item_id"] == 1
    assert len(said["recommendations"]) == 10
    assert 1 not in {line["item_id"] for line in said["recommendations"]}
    near = result_of("similar", "m", "toy story", "--min-ratings", 50)["similar"]
    assert "Toy Story 2 (1999)" in {line["title"] for line in near}
