"""`nightly.toml`: what may be in it, and what is said of the rest."""

from pathlib import Path

import pytest

import mfdask.nightly
from mfdask.errors import InputError
from mfdask.nightly.config import NightlyConfig

EXAMPLE = Path(mfdask.nightly.__file__).with_name("nightly.toml")


def read(tmp_path, text, *overrides):
    file = tmp_path / "nightly.toml"
    file.write_text(text)
    return NightlyConfig.read(file, overrides)


def test_an_empty_file_is_all_defaults(tmp_path):
    config = read(tmp_path, "")
    assert config == NightlyConfig(tmp_path / "nightly")
    assert config.training.estimator().tolerance > 0


def test_the_example_says_the_defaults(tmp_path):
    example = NightlyConfig.read(EXAMPLE)
    plain = read(tmp_path, "")
    for table in ("inbox", "data", "gate", "retention", "hooks", "cluster"):
        assert getattr(example, table) == getattr(plain, table)
    assert example.training.estimator() == plain.training.estimator()


def test_parameters_go_by_the_names_of_train(tmp_path):
    method = read(
        tmp_path, "[training]\nfactors = 7\nlambda = 0.5\nitem-tau = 2"
    ).training.estimator()
    assert (method.n_factors, method.fidelity, method.item_factor_reg) == (7, 0.5, 2.0)
    bayes = read(tmp_path, "[training]\nmodel = 'bayes'\nburn-in = 3").training.estimator()
    assert (bayes.kind, bayes.burn_in) == ("bayes", 3)


def test_overrides_win(tmp_path):
    config = read(
        tmp_path, "[training]\nfactors = 7",
        "training.factors=9", "home=/elsewhere", "inbox.on_bad_file=stop", "training.warm=false",
    )  # fmt: skip
    assert config.training.estimator().n_factors == 9
    assert config.home == Path("/elsewhere")
    assert read(tmp_path, "", "home=~/nights").home == Path.home() / "nights"
    assert config.inbox.on_bad_file == "stop"
    assert config.training.warm is False


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[trainnig]", "trainnig: no such key; did you mean training?"),
        ("[gate]\ntolerence = 1", "gate.tolerence: no such key; did you mean tolerance?"),
        ("[training]\nfactor = 1", "did you mean factors?"),
        ("[gate]\ntolerance = 'much'", "gate.tolerance = 'much': give a number"),
        ("[training]\nwarm = 1", "give true or false"),
        (
            "[training]\nfactors = 1.5",
            "training.factors must be a whole number from 0 to 256, not 1.5",
        ),
        ("[training]\nfactors = 1000", "0 to 256"),
        ("[training]\nmodel = 'svd'", "no kind of model is called 'svd'"),
        ("[training]\nmodel = 'bias'\nfactors = 3", "training.factors: no such key"),
        ("[training]\nmodel = 'bayes'\ntau = 3", "training.tau: no such key"),
        ("[training]\npreset = 'huge'", "it has small, large"),
        ("[data]\nsplit = 'none'", "data.split"),
        ("[data]\nsplit = 'sequence:0.2'", "by file order cannot grow"),
        ("[data]\nsplit = 'half'", "split half: write random:0.1"),
        ("[gate]\nsurprise = 0.5", "gate.surprise must be a number from 1 up, not 0.5"),
        ("[retention]\nmodels = 0", "retention.models must be a whole number from 1 up"),
        ("[retention]\ndays = nan", "retention.days must be a number from 0 to 36,500"),
        ("[gate]\nmax_rmse = -1", "gate.max_rmse must be a number from 0 up"),
        ("[gate]\nnewest_days = nan", "gate.newest_days must be a number from 0 up"),
        ("[hooks]\ntimeout_seconds = 0", "hooks.timeout_seconds must be a number above 0"),
        ("[cluster]\nworkers = 0", "cluster.workers must be a whole number from 1 up"),
        ("[cluster]\nthreads = -2", "cluster.threads must be a whole number from 1 up"),
        ("[inbox]\nfolder = ''", "inbox.folder: give a folder that holds nothing else"),
        ("[inbox]\nfolder = '..'", "inbox.folder: give a folder that holds nothing else"),
        ("[inbox]\nsettle_seconds = nan", "inbox.settle_seconds must be a number from 0 up"),
        ("at = '25:00'", "HH:MM"),
        ("inbox = 3", "[inbox]"),
        ("[[downstream]]\narguments = []", "names no job"),
        ("[downstream]\njob = 'polarity'", "[[downstream]]"),
        ("[[downstream]]\njob = 'x'\narguments = [1]", "a list of texts"),
        ("[gate", "is no TOML"),
    ],
)
def test_mistakes(text, words, tmp_path):
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert words in str(caught.value)
    assert "nightly.toml" in str(caught.value)


@pytest.mark.parametrize("override", ["factors", "=3", "home.x=3"])
def test_overrides_that_are_none(override, tmp_path):
    with pytest.raises(InputError, match="overrides "):
        read(tmp_path, "home = 'h'", override)


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        NightlyConfig.read(tmp_path / "nightly.toml")
