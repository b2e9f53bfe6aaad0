"""`mfdask recommend`, `similar` and `polarity` as a user meets them."""

import re

import numpy as np
import pandas as pd
import pytest

from mfdask.models import ALS, load_model, save_model
from mfdask.recommendation import Ranking, recommend
from mfdask.shards import Dataset
from tests.jobs.helpers import refused
from tests.models.co_ratings import CoRatings

ALL = ("--min-ratings", 0)


def test_lists_for_all(result_of, model_folder, small_data, model, tmp_path):
    said = result_of(
        "recommend", model_folder, "--data", small_data, "--top", 3, *ALL
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
    result_of("recommend", model_folder, *options, *ALL)
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


def test_held_out_ratings_are_left_out_by_every_way(result_of, model_folder, small_data, model):
    data = Dataset.open(small_data)
    held_out = data.shard("users", 0, "test")
    user = int(held_out.rows[0])
    items = set(model.items["item_id"].to_numpy()[held_out.indices[held_out.rows == user]])
    arguments = ("recommend", model_folder, "--data", small_data, "--top", 500, *ALL)
    result_of(*arguments, "--out", "lists")
    lists = pd.read_parquet("lists")
    user_id = model.users["user_id"][user]
    shown = result_of(*arguments, "--user", user_id)["recommendations"]
    for offered in (
        lists["item_id"][lists["user_id"] == user_id],
        [line["item_id"] for line in shown],
    ):
        assert len(offered)
        assert not items & set(offered)


def test_unknown_ids_are_counted(mfdask, result_of, model_folder, model, tmp_path):
    known = [str(own) for own in model.items["item_id"][:20]]
    (tmp_path / "allow").write_text("\n".join([*known, "88888888", "99999999"]))
    (tmp_path / "deny").write_text("\n".join([*known[:15], *map(str, range(10**8, 10**8 + 7))]))
    (tmp_path / "users").write_text(f"{model.users['user_id'][0]}\n99999999\n")
    files = ("--allow", "allow", "--deny", "deny", "--users", "users")
    arguments = ("recommend", model_folder, "--include-rated", *ALL, *files, "--out", "lists")
    said = result_of(*arguments)
    assert said["unknown"] == {"allow": 2, "deny": 7, "users": 1}
    assert said["users"] == 1
    assert said["lines"] == 5
    assert said["short"] == 1
    shown = " ".join(mfdask(*arguments).stdout.split())
    assert "unknown ids in --deny" in shown
    assert "7 (100000000, 100000001, " in shown
    assert "1: 5 items may be offered" in shown


def test_one_unknown_user_among_others(mfdask, model_folder, model):
    user = model.users["user_id"][2]
    done = mfdask(
        "recommend", model_folder, "--include-rated", *ALL, "--user", user, "--user", 99999999
    )
    assert done.exit_code == 0
    assert f"user {user};" in done.stdout
    assert "unknown ids in --user" in done.stdout


def test_an_empty_list_says_why(mfdask, result_of, model_folder, small_data, model, tmp_path):
    shard = Dataset.open(small_data).shard("users", 0)
    rated = model.items["item_id"].to_numpy()[shard.indices[shard.rows == 0]]
    (tmp_path / "allow").write_text("\n".join(map(str, rated)))
    arguments = ("recommend", model_folder, "--data", small_data, "--allow", "allow", *ALL)
    user = model.users["user_id"][0]
    done = mfdask(*arguments, "--user", user)
    assert done.exit_code == 0
    why = f"they have rated all {len(rated)} items that may be offered"
    assert f"user {user}: nothing to offer; {why}" in " ".join(done.stdout.split())
    assert result_of(*arguments, "--user", user)["without"] == [user]
    (tmp_path / "users").write_text(str(user))
    everybody = (*arguments, "--users", "users", "--out", "lists")
    assert result_of(*everybody)["empty"] == 1
    assert why in " ".join(mfdask(*everybody).stdout.split())
    assert not len(pd.read_parquet("lists"))
    new = ("--rated", f"id:{rated[0]}=4", "--allow", "one")
    (tmp_path / "one").write_text(str(rated[0]))
    assert "nothing to offer" in mfdask("recommend", model_folder, *ALL, *new).stdout


def test_conditions(mfdask, result_of, model_folder, model, tmp_path):
    items = model.items
    arguments = ("recommend", model_folder, "--include-rated", "--user", model.users["user_id"][0])
    genre = items["genres"][0].split("|")[0]
    own = ("--where", f"genres has {genre.lower()}", "--where", "year >= 1980", "--top", 500, *ALL)
    found = result_of(*arguments, *own)["recommendations"]
    wanted = items[items["genres"].str.split("|").map(lambda own: genre in own)]
    wanted = wanted[wanted["year"] >= 1980]
    assert {line["item_id"] for line in found} == set(wanted["item_id"])
    assert 0 < len(found) < 200
    table = pd.DataFrame({"item_id": items["item_id"][:9], "price paid": range(9)})
    table.assign(maker=["Ann|Bo", "Cy"] + 7 * [None]).to_csv(tmp_path / "more.csv", index=False)
    own = ("--catalogue", "more.csv", "--where", "price paid < 3", "--where", "maker lacks cy")
    found = result_of(*arguments, *own, *ALL)["recommendations"]
    assert {line["item_id"] for line in found} == set(items["item_id"][[0, 2]])
    refused(mfdask(*arguments, "--where", "colour = red"), '"colour = red"', "genres", "title")
    refused(mfdask(*arguments, "--where", "genres > 3"), "genres is a text")
    refused(mfdask(*arguments, "--where", "year has 1990"), "year is a number")
    refused(mfdask(*arguments, "--where", "year >= old"), "'old' is not")
    refused(mfdask(*arguments, "--where", "year > 3000"), "no item of 200", "--where")
    refused(mfdask(*arguments, "--catalogue", "more.csv"), "--catalogue", "--where")
    table.assign(item_id=-1 - table["item_id"]).to_csv(tmp_path / "more.csv", index=False)
    refused(mfdask(*arguments, *own), "none of its 9 ids")


def test_a_pair_of_models(mfdask, result_of, model_folder, small_data, model, tmp_path):
    data = Dataset.open(small_data)
    save_model(ALS(n_factors=2, n_sweeps=2).fit(data), tmp_path / "other")
    own = ("--data", small_data, "--stars", "other", *ALL)
    result_of("recommend", model_folder, *own, "--out", "lists")
    lists = pd.read_parquet("lists")
    other = load_model(tmp_path / "other")
    alone = recommend(model, model.users["user_id"], data, Ranking(min_ratings=0))
    pd.testing.assert_frame_equal(lists.drop(columns="stars"), alone)
    predicted = other.predict(lists["user_id"], lists["item_id"])
    np.testing.assert_array_equal(lists["stars"], predicted)
    user = ("--user", model.users["user_id"][3])
    shown = result_of("recommend", "--rank-by", model_folder, *own, *user)["recommendations"]
    assert shown == result_of("recommend", model_folder, *own, *user)["recommendations"]
    assert {"score", "stars"} <= set(shown[0])
    assert "stars" in mfdask("recommend", model_folder, *own, *user).stdout
    both = ("recommend", model_folder, "--rank-by", "other", *own)
    refused(mfdask(*both), "MODEL and --rank-by", "--stars")
    refused(mfdask("recommend", *own), "MODEL or with --rank-by")


def adds_up(explained, scores):
    """Assert that the parts of each item add up to its score."""
    for own in explained["items_parts"]:
        parts = [
            part["part"] for part in explained["rated_parts"] if part["item_id"] == own["item_id"]
        ]
        same = explained["mean"] + explained["user_bias"] + own["item"] + own["rest"]
        assert same + sum(parts) == pytest.approx(scores[own["item_id"]], rel=1e-5)


@pytest.mark.parametrize("weight", [0.05, 1])
def test_what_the_list_of_a_known_user_rests_on(
    weight, mfdask, result_of, model_folder, small_data, model
):
    user = model.users["user_id"][5]
    arguments = (
        "recommend", model_folder, "--data", small_data, "--user", user, "--explain",
        "--bias-weight", weight, *ALL,
    )  # fmt: skip
    said = result_of(*arguments)
    (explained,) = said["explanations"]
    adds_up(explained, {line["item_id"]: line["score"] for line in said["recommendations"]})
    assert "solved anew" in explained["basis"]
    assert max(abs(own["rest"]) for own in explained["items_parts"]) < 0.2
    assert len(explained["rated_parts"]) == 10 * model.users["n_train"][5]
    shown = " ".join(mfdask(*arguments).stdout.split())
    assert "because of: what each rating adds to the score of a row solved anew" in shown
    without = ("recommend", model_folder, "--include-rated", "--user", user, "--explain")
    refused(mfdask(*without), "--data", "--explain")


@pytest.mark.usefixtures("item_means_registered")
def test_a_model_that_only_ranks(mfdask, result_of, model_folder, small_data, tmp_path):
    data = Dataset.open(small_data)
    made = CoRatings().fit(data)
    save_model(made, tmp_path / "ranks")
    user = made.users["user_id"][5]
    own = ("--data", small_data, "--stars", model_folder)
    said = result_of("recommend", "ranks", *own, "--user", user, "--explain")
    assert len(said["recommendations"]) == 10  # no item needs 100 ratings
    scores = [line["score"] for line in said["recommendations"]]
    assert scores == sorted(scores, reverse=True)
    assert 0.5 <= min(line["stars"] for line in said["recommendations"]) < 5
    (explained,) = said["explanations"]
    assert "without the rating" in explained["basis"]
    adds_up(explained, {line["item_id"]: line["score"] for line in said["recommendations"]})
    together = pd.DataFrame(explained["rated_parts"])
    items, rated = (made.rows_of("items", together[name]) for name in ("item_id", "rated_id"))
    np.testing.assert_array_equal(together["part"], made.together[rated, items])
    shown = " ".join(mfdask("recommend", "ranks", *own, "--user", user).stdout.split())
    assert "score: preference" in shown
    refused(mfdask("recommend", "ranks", *own, "--bias-weight", "1"), "--bias-weight", "leave it")
    assert "│ score │ preference │" in " ".join(mfdask("recommend", "ranks", *own).stdout.split())
    stars = ("--data", small_data, "--user", user, "--stars", "ranks")
    refused(mfdask("recommend", model_folder, *stars), "needs a model that predicts ratings")
    item = f"id:{made.items['item_id'][4]}=5"
    arguments = ("recommend", "ranks", "--rated", item, "--stars", model_folder, "--explain")
    new = result_of(*arguments)
    first = new["recommendations"][0]
    assert first["score"] == made.together[4].max()
    adds_up(new, {line["item_id"]: line["score"] for line in new["recommendations"]})
    assert new["rated_parts"][0]["part"] == first["score"]
    assert 0.5 <= first["stars"] <= 5
    result_of("train", small_data, "--model", "item-means", "--out", "means")
    refused(mfdask("recommend", "means", *own, "--user", user, "--explain"), "rests on")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), ["--data", "--include-rated"]),
        (("--explain", "--include-rated"), ["--explain", "--user", "--rated"]),
        (("--rated", "x=1", "--include-rated"), ["--rated is of one new person"]),
        (("--rated", "Toy Story"), ["TITLE=STARS"]),
        (("--rated", "=5"), ["TITLE=STARS"]),
        (("--rated", "zzqqxx=5"), ["no such title"]),
        (("--rated", "id:99999999=5"), ["item 99999999", "not among"]),
        (("--include-rated", "--user", "nobody"), ["--user: 'nobody' is no id"]),
        (("--include-rated", "--user", "99999999"), ["--user: none of 1 ids (99999999)"]),
        (("--include-rated", "--user", "1", "--out", "x"), ["--user shows lists"]),
        (("--include-rated", "--users", "none.txt"), ["none.txt: no such file"]),
        (("--include-rated", "--top", "0"), ["--top must be a whole number from 1 up, not 0"]),
        (("--include-rated", "--data", "d", "--min-ratings", "100000"), ["no item to offer"]),
        (("--include-rated", "--allow", "/dev/null"), ["no item to offer: none is allowed"]),
    ],
)
def test_bad_input(options, words, mfdask, model_folder):
    refused(mfdask("recommend", model_folder, *options), *words)


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
    shown = result_of("similar", model_folder, title)
    assert shown["similar"]
    assert all(line["n_train"] >= shown["min_ratings"] for line in shown["similar"])
    refused(mfdask("similar", model_folder, "zzqqxx"), "no such title")
    refused(mfdask("similar", model_folder, title, "--min-ratings", -1), "must be 0 or more")


def test_polarity(mfdask, result_of, model_folder):
    said = result_of("polarity", model_folder, "--top", 2, "--min-ratings", 10)
    values = [line["polarity"] for line in said["most"] + said["least"][::-1]]
    assert values == sorted(values, reverse=True)
    assert len(values) == 4
    assert "tastes differ most" in mfdask("polarity", model_folder, *ALL).stdout
    shown = result_of("polarity", model_folder)
    assert len(shown["most"]) == len(shown["least"]) == 10
    said = mfdask("polarity", model_folder).stdout
    assert f"({shown['min_ratings']} ratings or more)" in said
    for fewest in (10**6, -1):
        done = mfdask("polarity", model_folder, "--min-ratings", fewest)
        refused(done, "--min-ratings must be", f"not {fewest}")


@pytest.mark.movielens
def test_a_sensible_list_for_toy_story(mfdask, result_of, movielens_zip):
    result_of("ingest", movielens_zip, "--out", "d")
    result_of("train", "d", "--out", "m")
    said = result_of("recommend", "m", "--rated", "Toy Story (1995)=5")
    assert said["rated"][0]["item_id"] == 1
    assert len(said["recommendations"]) == 10
    assert 1 not in {line["item_id"] for line in said["recommendations"]}
    near = result_of("similar", "m", "toy story", "--min-ratings", 50)["similar"]
    assert "Toy Story 2 (1999)" in {line["title"] for line in near}


def test_items_without_titles_go_by_their_ids(mfdask, tmp_path):
    rows = [f"u{n % 7},item-{n % 11},{n}" for n in range(40)]
    (tmp_path / "log.csv").write_text("\n".join(["user,item,timestamp", *rows]))
    mfdask("ingest", "log.csv", "--columns", "user=user,item=item", "--out", "log")
    mfdask("train", "log", "--model", "itemknn", "--out", "m")
    shown = mfdask("recommend", "m", "--data", "log", "--user", "u1", "--explain").stdout
    assert "│ 1. item-" in shown
    assert re.search(r"\+0\.\d{4} item-", shown)
    mfdask("train", "log", "--model", "ials", "--factors", 2, "--out", "f")
    for job in (("similar", "f", "item-3"), ("polarity", "f")):
        lines = re.findall("^│ (.*?) *│.*│ (.*?) │$", mfdask(*job).stdout, re.MULTILINE)
        assert len(lines) == 10 + (job[0] == "polarity")
        assert all(name == item_id.strip() for name, item_id in lines)
