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
    assert config.training.method().tolerance > 0


def test_the_example_says_the_defaults(tmp_path):
    example = NightlyConfig.read(EXAMPLE)
    plain = read(tmp_path, "")
    for table in ("inbox", "data", "gate", "retention", "hooks", "cluster"):
        assert getattr(example, table) == getattr(plain, table)
    assert example.training.method() == plain.training.method()


def test_parameters_go_by_the_names_of_train(tmp_path):
    method = read(tmp_path, "[training]\nfactors = 7\nlambda = 0.5\nitem-tau = 2").training.method()
    assert (method.n_factors, method.fidelity, method.item_factor_reg) == (7, 0.5, 2.0)
    bayes = read(tmp_path, "[training]\nmodel = 'bayes'\nburn-in = 3").training.method()
    assert (bayes.kind, bayes.burn_in) == ("bayes", 3)


def test_overrides_win(tmp_path):
    config = read(
        tmp_path, "[training]\nfactors = 7",
        "training.factors=9", "home=/elsewhere", "inbox.on_bad_file=stop", "training.warm=false",
    )  # fmt: skip
    assert config.training.method().n_factors == 9
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
        ("[training]\nfactors = 1.5", "n_factors = 1.5: give a whole number"),
        ("[training]\nfactors = 1000", "0 to 256"),
        ("[training]\nmodel = 'svd'", "als or bias or genre or bayes"),
        ("[training]\nmodel = 'bias'\nfactors = 3", "says nothing to model = 'bias'"),
        ("[training]\nmodel = 'bayes'\ntau = 3", "says nothing to model = 'bayes'"),
        ("[training]\npreset = 'huge'", "small or large"),
        ("[data]\nsplit = 'none'", "data.split"),
        ("[data]\nsplit = 'sequence:0.2'", "by file order cannot grow"),
        ("[data]\nsplit = 'half'", "split half"),
        ("[gate]\nsurprise = 0.5", "gate.surprise: give 1 or more"),
        ("[retention]\nmodels = 0", "retention.models: give 1 or more"),
        ("[retention]\ndays = nan", "retention.days: give 0 to 36,500"),
        ("[gate]\nmax_rmse = -1", "gate.max_rmse: give 0 or more"),
        ("[gate]\nnewest_days = nan", "gate.newest_days: give 0 or more"),
        ("[hooks]\ntimeout_seconds = 0", "hooks.timeout_seconds: give more than 0"),
        ("[cluster]\nworkers = 0", "cluster.workers must be a whole number from 1 up"),
        ("[cluster]\nthreads = -2", "cluster.threads must be a whole number from 1 up"),
        ("[inbox]\nfolder = ''", "inbox.folder: give a folder that holds nothing else"),
        ("[inbox]\nfolder = '..'", "inbox.folder: give a folder that holds nothing else"),
        ("[inbox]\nsettle_seconds = nan", "inbox.settle_seconds: give 0 or more"),
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
    with pytest.raises(InputError, match="overrides"):
        read(tmp_path, "home = 'h'", override)


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        NightlyConfig.read(tmp_path / "nightly.toml")
