"""Settings of a search: which may differ between runs of a study, and the errors for invalid ones."""

from __future__ import annotations

import inspect

import pytest

import explorer
from explorer.analysis.limits import parse_limit
from explorer.errors import StoreError, StudyError
from explorer.space.search_space import parse_space
from explorer.store.studies import open_study
from explorer.study.search import run_search
from tests.study.evaluations import SPACE_TEXT
from tests.study.search.in_memory import search, tried


@pytest.mark.parametrize(
    "change, difference",
    [
        ({"objectives": {"accuracy": "max"}}, 'objectives.macs: "min", now none'),
        ({"objectives": {"accuracy": "max", "macs": "max"}}, 'objectives.macs: "min", now "max"'),
        ({"epochs": 3}, "epochs: none, now 3"),
        ({"costs": {"joules": lambda architecture, choices: 1.0}}, "costs: "),
        (
            {"space": parse_space(SPACE_TEXT.replace("ratio: 2 | 4", "ratio: 2 | 8"), "tiny.yaml")},
            'space.grammar.ratio: "2 | 4", now "2 | 8")',
        ),
        (
            {"space": parse_space(SPACE_TEXT.replace("1x8x8", "3x8x8"), "tiny.yaml")},
            "(space: another input or number of classes)",
        ),
        (
            {"evaluate": None, "data": "digits"},
            """(data: "", now "digits"; epochs: none, now 15; evaluate: "the caller's", now "training")""",
        ),
    ],
    ids=["an objective less", "a direction", "epochs", "a cost", "an alternative", "the input", "the evaluation"],
)
def test_a_study_created_with_other_settings_is_refused(space, url, change, difference):
    """A run with other settings that affect comparability is refused with the difference and changes nothing."""
    before = tried(search(space, storage=url, trials=2).study)
    settings = {"space": space, "storage": url, "trials": 4, **change}
    with pytest.raises(StoreError, match="--study NAME") as caught:
        search(settings.pop("space"), **settings)
    assert difference in str(caught.value) and "study 'one'" in str(caught.value)
    assert tried(open_study(url, "one")) == before


def test_settings_that_may_differ_between_runs(space, url):
    """Trials, time, sampler, limits and workers may change between runs; without a seed the study's seed is used."""
    search(space, storage=url, trials=2, seed=5)
    limits = [parse_limit("macs<=1G")]
    study = search(space, storage=url, trials=4, seconds=60, sampler="random", workers=1, limits=limits).study
    assert study.counts()["complete"] == 4 and study.seed == 5


def test_a_comment_in_the_space_makes_no_difference(space, url):
    """A space in which only comments and white space changed is the same space."""
    search(space, storage=url, trials=2)
    study = search(parse_space("# a comment\n" + SPACE_TEXT, "tiny.yaml"), storage=url, trials=3).study
    assert study.counts()["complete"] == 3


def test_a_new_study_leaves_the_old_one_unchanged(space, url):
    """``new_study`` creates a study with the next free name and leaves the first one unchanged."""
    first = search(space, storage=url, trials=2).study
    second = search(space, storage=url, trials=2, epochs=3, new_study=True).study
    third = search(space, storage=url, trials=2, new_study=True).study
    assert (first.name, second.name, third.name) == ("one", "one-2", "one-3")
    assert open_study(url, "one").counts()["complete"] == 2


def test_a_study_is_named_after_its_space(space):
    """Without a name the study is named after the space and the evaluation function, if there is one."""
    assert search(space, study=None, trials=1).study.name == "tiny-good"
    named = search(space, study=None, trials=1, evaluate=lambda architecture, **settings: {"accuracy": 0.5}).study
    assert named.name == "tiny-evaluate"


def test_a_study_goes_on_with_its_own_training(space, url, caplog):
    """A call that names neither recipe nor epochs takes those of the study; others that it names are refused."""
    few = {"data": "digits", "subset": 60, "storage": url, "workers": 1}
    explorer.search(space, trials=1, recipe="quick", epochs=1, **few)
    with pytest.raises(StoreError, match=r"created with other settings \(epochs: 1, now 2\)"):
        explorer.search(space, trials=2, epochs=2, **few)
    study = explorer.search(space, trials=2, **few)
    assert study.counts()["complete"] == 2
    assert "goes on with its recipe 'quick' and its 1 epoch, since no other is named" in caplog.text
    caplog.clear()
    with pytest.raises(StoreError, match=r'recipe.name: "quick", now "he2016"'):
        explorer.search(space, trials=3, recipe="he2016", **few)
    assert not caplog.text  # nothing goes on
    explorer.search(space, trials=2, recipe="quick", **few)
    assert "goes on with its 1 epoch, since" in caplog.text


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"objectives": {}}, "at least one objective"),
        (
            {"objectives": 3},
            "objectives must be names, as in accuracy,macs, or {'accuracy': 'max', 'macs': 'min'}; found 3",
        ),
        (
            {"objectives": "max accuracy, min macs"},
            "objectives must be names between commas, as in accuracy,macs, found",
        ),
        ({"objectives": "accuracy,macs,accuracy"}, "objectives 'accuracy,macs,accuracy' names one twice"),
        ({"evaluate": {"accuracy": 0.5}}, "evaluate must be a function, found {'accuracy': 0.5}"),
        ({"costs": {"joules": 3.0}}, "the cost joules must be a function, found 3.0"),
        ({"objectives": {"accuracy": "up"}}, "a direction is 'max' or 'min', found 'up'"),
        ({"objectives": {"macs": "min", "params": "min"}}, "known without training"),
        (
            {"objectives": {"acuracy": "max"}, "evaluate": None},
            "unknown objective 'acuracy'; known: accuracy, .* did you mean 'accuracy'",
        ),
        (
            {"limits": [parse_limit("mac<=5")]},
            "limit mac <= 5: 'mac' is not known before training; .*did you mean 'macs'",
        ),
        (
            {"sampler": "tpee"},
            "unknown sampler 'tpee'; known: frontier, evolution, random, tpe, nsga2, gp; did you mean 'tpe'",
        ),
        ({"trials": 0}, "trials must be at least 1, found 0"),
        ({"until_stable": 0}, "until_stable must be at least 1, found 0"),
        ({"stopping": "rung"}, "known: auto, none, rungs, curves, freeze_thaw; did you mean 'rungs'"),
        ({"trials": "5"}, "trials must be a whole number, found '5'"),
        ({"trials": 2.5}, "trials must be a whole number, found 2.5"),
        ({"epochs": "3"}, "epochs must be a whole number, found '3'"),
        ({"workers": 2.0}, "workers must be a whole number, found 2.0"),
        ({"trial_memory": -5}, "trial_memory must be at least 1, found -5"),
        ({"trial_seconds": -1}, "trial_seconds must be a positive number of seconds, found -1"),
        ({"seconds": "2h"}, "seconds must be a positive number of seconds, found '2h'"),
        ({"seed": 2**70}, f"seed must be a whole number from -9223372036854775808 to .*, found {2**70}"),
        ({"seed": "1"}, "seed must be a whole number from .*, found '1'"),
        ({"changed_code": "keep"}, "unknown changed_code 'keep'; known: refuse, continue"),
        ({"seed": 1.5}, "seed must be a whole number from .*, found 1.5"),
        ({"limits": "mac<=1k"}, "limit mac <= 1k: 'mac' is not known before training"),
        ({"seconds": 0}, "positive number of seconds, found 0"),
        ({"seconds": float("nan")}, "positive number of seconds, found nan"),
        ({"workers": 0}, "workers must be at least 1, found 0"),
        ({"epochs": 0}, "epochs must be at least 1, found 0"),
        ({"data": "digits"}, "'evaluate' replaces training"),
        ({"evaluate": lambda architecture, **settings: {}, "workers": 2}, "must be picklable"),
    ],
)
def test_wrong_settings_are_rejected_before_anything_is_written(space, url, tmp_path, settings, message):
    """Invalid settings give a one-line error and create no database."""
    with pytest.raises(StudyError, match=message) as caught:
        search(space, **{"trials": 1, "storage": url, **settings})
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


def test_limits_that_cannot_be_enforced_are_reported(space, caplog):
    """In the current process a trial's time and memory cannot be limited, and the search warns about such limits."""
    assert search(space, trials=1, trial_seconds=5, workers=1).study.counts()["complete"] == 1
    assert "a trial's time and memory are not limited" in caplog.text


def test_the_signature_of_search_names_its_settings():
    """``help(explorer.search)`` shows and explains every setting of a search."""
    shown, settings = inspect.signature(explorer.search), inspect.signature(run_search)
    assert list(shown.parameters.values()) == list(settings.parameters.values()) and shown.return_annotation == "Study"
    assert [name for name in shown.parameters if name not in explorer.search.__doc__] == []
