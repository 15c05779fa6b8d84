"""Recipes: their schedules step by step, and invalid values."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from explorer.errors import TrainingError
from explorer.training.recipe import RECIPES, SCHEDULES, Recipe, default_training, recipe


def test_he2016_is_the_paper():
    """Over 64,000 steps the rate is 0.01 for 400 steps, then 0.1, 0.01 from 32,000 and 0.001 from 48,000."""
    he = recipe("he2016")
    steps = {0: 0.01, 399: 0.01, 400: 0.1, 31_999: 0.1, 32_000: 0.01, 47_999: 0.01, 48_000: 0.001, 63_999: 0.001}
    assert {step: he.lr_at(step, 64_000) for step in steps} == pytest.approx(steps)
    assert (he.momentum, he.nesterov, he.batch_size, he.weight_decay, he.decay_vectors) == (0.9, False, 128, 1e-4, True)


def test_he2016_warm_up_lasts_at_most_a_tenth():
    """A training of 1,000 steps warms up for 100 of them."""
    he = recipe("he2016")
    assert he.lr_at(99, 1_000) == pytest.approx(0.01)
    assert he.lr_at(100, 1_000) == pytest.approx(0.1)


def test_cosine():
    """The rate rises linearly over a twentieth of the steps, then falls by half a cosine to almost 0."""
    cosine = recipe("cosine")
    assert cosine.lr_at(0, 1_000) == pytest.approx(cosine.lr / 50)
    assert cosine.lr_at(49, 1_000) == pytest.approx(cosine.lr)
    assert cosine.lr_at(525, 1_000) == pytest.approx(cosine.lr / 2)
    assert 0 < cosine.lr_at(999, 1_000) < 1e-4 * cosine.lr


def test_one_cycle():
    """The rate rises linearly to its peak at a quarter of the steps, then falls linearly to almost 0."""
    quick = recipe("quick")
    rates = [quick.lr_at(step, 100) / quick.lr for step in range(100)]
    assert rates[24] == pytest.approx(1)
    assert rates[:25] == sorted(rates[:25])
    assert rates[25:] == sorted(rates[25:], reverse=True)
    assert rates[-1] == pytest.approx(1 / 75)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("total", [1, 2, 3, 7, 40, 1_000])
def test_schedules_stay_within_the_peak(schedule, total):
    """For any length of training, every step's rate is above 0 and at most the peak."""
    rates = [SCHEDULES[schedule](step, total) for step in range(total)]
    assert min(rates) > 0
    assert max(rates) <= 1


@pytest.mark.parametrize("name", RECIPES)
def test_json_round_trip(name):
    """A recipe is equal after conversion to JSON and back."""
    assert Recipe.from_json(RECIPES[name].to_json()) == RECIPES[name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": -0.1}, "lr must be a number in 0..1000, found -0.1"),
        ({"lr": float("nan")}, "'lr' must be a finite number, found nan"),
        ({"lr": True}, "lr must be a number in 0..1000, found True"),
        ({"batch_size": 0}, "batch_size must be a whole number in 1..1.04858e+06, found 0"),
        ({"batch_size": 12.5}, "batch_size must be a whole number"),
        ({"momentum": 1.5}, "momentum must be a number in 0..1, found 1.5"),
        ({"schedule": "cosin"}, "known: one_cycle, he2016, wrn2016, cosine; did you mean 'cosine'?"),
        ({"schedule": ["cosine"]}, "unknown schedule"),
        ({"nesterov": "no"}, "nesterov must be true or false, found 'no'"),
        ({"nesterov": True, "momentum": 0}, "nesterov needs a momentum above 0"),
        ({"ema": 1.0}, "ema must be a number in 0..0.999999, found 1.0"),
        ({"cutout": 2.5}, "cutout must be a whole number in 0..4096, found 2.5"),
        ({"mixup": -1}, "mixup must be a number in 0..100, found -1"),
        ({"zero_init_last_norm": 1}, "zero_init_last_norm must be true or false, found 1"),
        ({"muon": "yes"}, "muon must be true or false, found 'yes'"),
        ({"crop_shift": 2}, "crop_shift must be a number in 0..1, found 2"),
        ({"smaller_images": -0.5}, "smaller_images must be a number in 0..1, found -0.5"),
        ({"learning_rate": 1}, "a recipe has no 'learning_rate'"),
    ],
)
def test_bad_values_are_rejected(change, message):
    """Each invalid value is rejected by name, and the recipe without it is valid."""
    good = json.loads(recipe("quick").to_json())
    Recipe.from_json(json.dumps(good))
    with pytest.raises(TrainingError) as caught:
        Recipe.from_json(json.dumps(good | change))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"), [("{", "a recipe is JSON"), ("[]", "a mapping of name"), ("{}", "needs name, schedule")]
)
def test_bad_json_is_rejected(text, message):
    """JSON that is not a recipe is rejected with a description of a recipe."""
    with pytest.raises(TrainingError, match=message):
        Recipe.from_json(text)


def test_an_unknown_name_gives_a_suggestion():
    """A misspelled recipe name gives the closest name."""
    with pytest.raises(TrainingError, match=r"unknown recipe 'he2015'; known: .*; did you mean 'he2016'"):
        recipe("he2015")


def test_a_recipe_may_be_a_file(tmp_path):
    """A path to a JSON file of recipe fields works like a name, and missing fields have their defaults."""
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"name": "mine", "schedule": "cosine", "lr": 0.1, "batch_size": 64, "cutout": 8}))
    assert recipe(str(path)) == Recipe("mine", "cosine", lr=0.1, batch_size=64, cutout=8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "mine.json: the recipe cannot be read: No such file or directory"),
        (b"\xff\xfe\x00", "mine.json: the recipe cannot be read: it is not text"),
        (b'{"lr": "fast"}', "mine.json: recipe 'mine': lr must be a number in 0..1000, found 'fast'"),
        (b'{"lr": 0.1, "lr": 0.2}', "the key 'lr' occurs twice in one object"),
        (b'{"base": "he2015"}', "mine.json: unknown base 'he2015'"),
        (b'{"base": ["quick"]}', "mine.json: unknown base"),
        (b'{"learning_rate": 0.1}', "did you mean 'lr'?"),
        (b'{"epochs": 3}', "mine.json: a recipe has no 'epochs': epochs are a separate option (--epochs)"),
        (b'{"optimizer": "adam"}', "every recipe trains by SGD with momentum"),
        (b'{"name": "m", "schedule": "cosine", "lr": 0.1, "batch_size": 64, "mixupp": 1}', "did you mean 'mixup'?"),
        (b"[" * 100_000, "mine.json: a recipe is JSON"),
    ],
)
def test_an_invalid_file_is_named(tmp_path, content, message):
    """An invalid file gives one line with its name and the fault."""
    path = tmp_path / "mine.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TrainingError) as caught:
        recipe(str(path))
    assert message in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"lr": 0.05}, replace(RECIPES["quick_small"], name="mine", lr=0.05)),
        ({}, replace(RECIPES["quick_small"], name="mine")),
        ({"base": "he2016", "cutout": 8}, replace(RECIPES["he2016"], name="mine", cutout=8)),
        ({"name": "own", "mixup": 0.2}, replace(RECIPES["quick_small"], name="own", mixup=0.2)),
        (
            {"base": "cosine", "name": "a", "schedule": "he2016", "lr": 1, "batch_size": 8},
            replace(RECIPES["cosine"], name="a", schedule="he2016", lr=1, batch_size=8),
        ),
    ],
)
def test_a_file_of_some_fields_extends_a_base(tmp_path, fields, expected):
    """Missing fields come from the data set's recipe or from the named base; a mapping works like a file."""
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(fields))
    base = default_training("digits")[0]
    assert recipe(str(path), base) == recipe(path, base) == expected
    assert replace(recipe(fields, base), name=expected.name) == expected
    assert recipe(expected, base) is expected


def test_an_optimiser_is_not_a_recipe():
    """A recipe named Adam is rejected with the available optimiser."""
    with pytest.raises(TrainingError, match=r"unknown recipe 'Adam'.*every recipe trains by SGD with momentum"):
        recipe("Adam")
    with pytest.raises(TrainingError, match="a recipe is a name, a JSON file or a mapping of fields, found 5"):
        recipe(5)


def test_every_data_set_has_a_default():
    """Known and unknown data sets have a default recipe and number of epochs."""
    for name in ("digits", "cluttered-digits", "cifar10", "a folder"):
        default, epochs = default_training(name)
        assert RECIPES[default.name] == default
        assert epochs >= 1


def test_free_of_torch():
    """Recipes and descriptions of data sets import neither torch, scikit-learn nor pandas."""
    code = (
        "import sys; from explorer.data.catalogue import describe_data; from explorer.training.recipe import recipe; "
        "describe_data('cifar10'); recipe('quick'); "
        "print({'torch', 'sklearn', 'pandas', 'pyarrow', 'PIL'} & set(sys.modules))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "set()"
    )


def test_recipes_compare_by_value():
    """Recipes with equal settings are equal, and one different setting makes them unequal."""
    assert replace(recipe("quick")) == recipe("quick")
    assert replace(recipe("quick"), lr=0.3) != recipe("quick")
