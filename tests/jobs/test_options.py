"""Options from files and from dataclasses, MODEL and DATA, and the names that errors have."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click
import pytest
from click.testing import CliRunner

from mfdask.errors import InputError, RefusedError
from mfdask.jobs.cli import main
from mfdask.jobs.common import Outcome, job
from mfdask.jobs.options import options_of, options_of_kinds
from mfdask.jobs.terminal import facts_table
from mfdask.models import load_model
from mfdask.parameters import check_parameters, parameter, parameters_of
from tests.jobs.helpers import refused


@dataclass(frozen=True)
class Plan:
    n_factors: int = parameter(20, "Length.", option="factors", at_least=0, at_most=256)
    tau: float = parameter(0.5, "Strength.")
    update: Literal["joint", "alternating"] = parameter("joint", "How.")
    centre: bool = parameter(True, "Centred.")
    threads: int | None = parameter(None, "Threads.", metavar="N")

    def __post_init__(self):
        check_parameters(self)


@dataclass(frozen=True)
class Draws:
    n_factors: int = parameter(30, "Length.", option="factors")
    burn_in: int = parameter(5, "Sweeps.")


@click.command()
@click.option("--name", multiple=True)
@click.option("--range", "ends", nargs=2, type=int, default=(1, 2))
@click.option("--only", is_flag=True)
@click.option("--out", type=click.Path(path_type=Path))
@job
@options_of(Plan, "plan")
def planned(plan, **others):
    return Outcome({"plan": vars(plan), **{k: str(v) for k, v in others.items()}})


@click.command()
@options_of_kinds(
    {"als": parameters_of(Plan), "genre": parameters_of(Plan), "draws": parameters_of(Draws)}
)
def of_kinds(**given):
    print(given)


def run(command, *arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def printed(command, *arguments):
    done = run(command, *arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def toml(options):
    """Return options as a file: TOML writes these values as JSON does."""
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in options.items())


def test_options_of_a_dataclass():
    assert printed(planned)["plan"] == vars(Plan())
    said = printed(planned, "--factors", 3, "--no-centre", "--update", "alternating")
    assert said["plan"] == vars(Plan(3, 0.5, "alternating", False))
    words = run(planned, "--help").stdout
    for part in ("--factors INTEGER", "[default: 20]", "--centre / --no-centre", "--threads N"):
        assert part in words
    assert words.index("--factors") < words.index("--tau") < words.index("--threads")
    refused(run(planned, "--factors", 300), "--factors must be a whole number from 0 to 256")


def test_options_of_kinds():
    words = " ".join(run(of_kinds, "--help").stdout.split())
    assert "Length. [default: 20; for draws 30]" in words
    assert "[all but draws] Strength. [default: 0.5]" in words
    assert "[draws] Sweeps. [default: 5]" in words
    said = run(of_kinds, "--tau", 2).stdout
    assert "'tau': 2.0" in said
    assert "'n_factors': None" in said


def test_a_file_of_options(tmp_path):
    file = tmp_path / "o.toml"
    file.write_text(
        'factors = 4\ntau = 1\ncentre = false\nname = ["a", "b"]\nrange = [3, 4]\nonly = true\n'
        'out = "there"\n'
    )
    said = printed(planned, "--config", file, "--factors", 5)
    assert said["plan"] == vars(Plan(5, 1.0, centre=False))
    assert (said["name"], said["ends"], said["only"]) == ("('a', 'b')", "(3, 4)", "True")
    assert said["options"] == {
        "name": ["a", "b"],
        "range": [3, 4],
        "only": True,
        "out": "there",
        "factors": 5,
        "tau": 1.0,
        "update": "joint",
        "centre": False,
    }
    file.write_text(toml(said["options"]))
    assert printed(planned, "--config", file) == said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("factrs = 3", "o.toml: factrs: no such key; did you mean factors?"),
        ("n_factors = 3", "did you mean factors?"),
        ("json = true", "json: no such key"),
        ("factors = 3.5", "o.toml: factors = 3.5: give a whole number"),
        ("factors = true", "give a whole number"),
        ('factors = "3"', "give a whole number"),
        ("factors = 300", "--factors must be a whole number from 0 to 256, not 300"),
        ('tau = "x"', "give a number"),
        ('centre = "yes"', "give true or false"),
        ('update = "both"', "give joint or alternating"),
        ('name = "a"', "give a list of texts"),
        ("range = [1, 2.5]", "give a list of whole numbers"),
        ("[factors]\nx = 1", "give a whole number"),
        ("factors = ", "is no TOML"),
    ],
)
def test_what_a_file_may_not_say(text, words, tmp_path):
    (tmp_path / "o.toml").write_text(text)
    refused(run(planned, "--config", tmp_path / "o.toml"), words)


def test_no_file_of_options(tmp_path):
    refused(run(planned, "--config", tmp_path / "none.toml"), "none.toml: no such file")


def every_command(command=main, names=()):
    with click.Context(command) as ctx:
        if not isinstance(command, click.Group):
            yield names, command
            return
        for name in command.list_commands(ctx):
            yield from every_command(command.get_command(ctx, name), (*names, name))


@pytest.mark.parametrize("names", [names for names, _ in every_command()], ids=" ".join)
def test_every_job_takes_a_file(names, tmp_path):
    (tmp_path / "o.toml").write_text("no-such-option = 1\n")
    arguments = [] if names[0] == "nightly" else ["--help"]
    assert "--config" in run(main, *names, *arguments, "--help").stdout
    if names[0] not in ("nightly", "models", "status", "schedule"):
        done = run(main, *names, "--config", tmp_path / "o.toml")
        refused(done, "o.toml: no-such-option: no such key")


@pytest.mark.parametrize(
    ("kind", "given", "default"),
    [
        ("als", {"factors": 3, "tau": 0.1}, {"lambda": 0.002}),
        ("bias", {"gamma": 0.1}, {"lambda": 0.002}),
        ("bayes", {"factors": 3, "burn-in": 1}, {"item-prior": "zero"}),
    ],
)
def test_training_from_what_training_printed(kind, given, default, result_of, small_data, tmp_path):
    words = [word for name, value in given.items() for word in (f"--{name}", value)]
    trained = result_of("train", small_data, "--model", kind, "--out", "a", "--sweeps", 3, *words)
    options = trained["options"]
    assert options.items() >= {**given, **default, "patience": 300.0, "model": kind}.items()
    (tmp_path / "o.toml").write_text(toml(options))
    assert tomllib.loads((tmp_path / "o.toml").read_text()) == options
    again = result_of("train", small_data, "--config", "o.toml", "--out", "b")
    assert again["options"] == {**options, "out": "b"}
    one, other = load_model(tmp_path / "a"), load_model(tmp_path / "b")
    assert (one.user_rows == other.user_rows).all()


def jobs_of_both():
    """Name the commands that take models and data sets, with their arguments in that order."""
    for names, command in every_command():
        words = [own.name for own in command.params if isinstance(own, click.Argument)]
        if any(word.startswith("model") for word in words) and "data" in words:
            yield names, words


@pytest.mark.parametrize(("names", "words"), list(jobs_of_both()), ids=str)
def test_the_model_comes_first(names, words, mfdask, model_folder, small_data):
    assert words[0].startswith("model")
    done = mfdask(*names, small_data, model_folder)
    refused(done, f"{small_data}: is a data set; give the model first, then the data set: `mfdask")
    refused(done, " ".join(names))


def test_one_taken_for_the_other(mfdask, model_folder, small_data):
    done = mfdask("similar", small_data, "x")
    refused(done, f"{small_data}: is a data set; a model is wanted here")
    for arguments in (("train",), ("recommend", model_folder, "--data"), ("bench", "sweep")):
        done = mfdask(*arguments, model_folder)
        refused(done, f"{model_folder}: is a model; a data set is wanted here")


@pytest.mark.parametrize("kind", [InputError, RefusedError])
def test_parameters_are_called_by_their_options(kind):
    @click.command()
    @click.option("--min-ratings", type=int)
    @click.option("-n", "--at", "k", type=int)
    @job
    def failing(**options):
        raise kind("`min_ratings` and `k` beat `other_one`; see `mfdask x`, --min-ratings")

    done = run(failing)
    line = "mfdask: --min-ratings and --at beat other_one; see `mfdask x`, --min-ratings\n"
    assert done.stderr == line
    assert done.exit_code == kind.exit_code


def test_facts_are_shown_as_they_are():
    view = facts_table("[b]title", {"[i]name": "\udce9[/]value"})
    (names, values) = view.columns
    assert list(names.cells) == ["[i]name"]
    assert list(values.cells) == [r"\udce9[/]value"]
