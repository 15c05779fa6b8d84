"""Settings that describe themselves, and functions that accept them."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass, field

import pytest

from explorer.errors import SettingError, StudyError, TrainingError
from explorer.settings.kinds import Flag, Name, Names, Text, Whole
from explorer.settings.settings import Settings, setting, takes_settings


@dataclass(frozen=True, kw_only=True)
class Inner(Settings):
    colour: str = setting("red", "The colour.", Name("colour", ("red", "green")), in_fingerprint=True)


@dataclass(frozen=True, kw_only=True)
class Outer(Settings):
    inner: Inner = field(default_factory=Inner)
    count: int | None = setting(None, "How many.", Whole(min=2, max_typed=10), in_python="A number.", metavar="N")
    shiny: bool = setting(False, "Whether it shines.", Flag(), flag="--gleaming")
    words: tuple[str, ...] = setting((), "Some words.", Names(tuple), flag=None)


@takes_settings(Outer)
def paint(wall: str, settings: Outer, *, coats: int = 1) -> tuple[str, Outer, int]:
    """Paint a wall.

    Args:
        wall: The wall.
        {settings}
        coats: How often.
    """
    return wall, settings, coats


def test_settings_are_described_flat_in_the_order_of_the_fields():
    """Nested settings are listed in place of their field, and an option is named after its field by default."""
    described = Outer.described()
    assert [each.name for each in described] == ["colour", "count", "shiny", "words"]
    assert [each.flag for each in described] == ["--colour", "--count", "--gleaming", None]
    assert [each.default for each in described] == ["red", None, False, ()]
    assert [each.in_fingerprint for each in described] == [True, False, False, False]


def test_values_are_made_and_read_flat():
    """``make`` puts flat values into nested settings or changes a base, and ``values`` returns them flat."""
    made = Outer.make({"colour": "green", "count": 3})
    assert made == Outer(inner=Inner(colour="green"), count=3)
    changed = Outer.make({"shiny": True}, made)
    assert changed.values() == {"colour": "green", "count": 3, "shiny": True, "words": ()}
    assert pickle.loads(pickle.dumps(changed)) == changed
    with pytest.raises(FrozenInstanceError):
        changed.count = 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"count": 1}, "count must be at least 2, found 1"),
        ({"count": "3"}, "count must be a whole number, found '3'"),
        ({"count": True}, "count must be a whole number, found True"),
        ({"colour": "gren"}, "unknown colour 'gren'; known: red, green; did you mean 'green'"),
        ({"colour": None}, "unknown colour None"),
        ({"shiny": "no"}, "shiny must be true or false, found 'no'"),
        ({"words": 5}, "words must be a list of names, found 5"),
    ],
)
def test_an_invalid_value_is_rejected_on_construction(given, message):
    """The message names the setting, and the error belongs to both search and training."""
    with pytest.raises(SettingError, match=message) as caught:
        Outer.make(given)
    assert isinstance(caught.value, StudyError) and isinstance(caught.value, TrainingError)


def test_python_code_may_exceed_the_command_lines_bounds():
    """A bound of the command line prevents typing errors and does not apply to Python."""
    count = next(each for each in Outer.described() if each.name == "count")
    assert Outer(count=11).count == 11 and count.kind.read("count", "10") == 10
    with pytest.raises(SettingError, match="count must be at most 10, found 11"):
        count.kind.read("count", "11")


def test_a_function_takes_each_setting_as_a_keyword():
    """A function accepts keywords, one settings object, or both, beside its own parameters."""
    green = Outer(inner=Inner(colour="green"))
    assert paint("north") == ("north", Outer(), 1)
    assert paint("north", colour="green", coats=2) == ("north", green, 2)
    assert paint("north", green, count=3) == paint(wall="north", settings=green, count=3)
    assert paint("north", green, count=3)[1].values()["colour"] == "green"


def test_a_function_shows_each_setting():
    """The signature and the docstring contain every setting between the function's own parameters."""
    shown = inspect.signature(paint).parameters
    assert list(shown) == ["wall", "settings", "colour", "count", "shiny", "words", "coats"]
    assert shown["colour"].default == "red" and shown["count"].kind is inspect.Parameter.KEYWORD_ONLY
    assert "    wall: The wall.\n    colour: The colour.\n    count: How many. A number.\n" in paint.__doc__
    assert paint.__doc__.endswith("    words: Some words.\n    coats: How often.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"wall": "north", "color": "red"}, r"paint\(\) got an unexpected keyword argument 'color'; did you mean"),
        ({"colour": "red"}, "missing .* argument: 'wall'"),
    ],
)  # fmt: skip
def test_a_function_rejects_other_arguments(arguments, message):
    """An unknown keyword or a missing argument is a TypeError."""
    with pytest.raises(TypeError, match=message):
        paint(**arguments)
    with pytest.raises(SettingError, match=r"settings must be Outer\(...\), found {'colour': 'red'}"):
        paint("north", {"colour": "red"})


def test_an_own_parameter_replaces_a_setting():
    """A function's own parameter with a setting's name is kept, and the setting has its default."""

    @takes_settings(Inner)
    def dye(colour: int, settings: Inner) -> tuple[int, str]:
        return colour, settings.colour

    assert dye(7) == (7, "red") and list(inspect.signature(dye).parameters) == ["colour", "settings"]


def test_paths_are_accepted_as_text():
    """A path object is accepted in place of text."""
    from pathlib import Path

    assert Text().check("folder", Path("a/b")) == "a/b"
    with pytest.raises(SettingError, match="folder must be text, found 5"):
        Text().check("folder", 5)


def test_settings_cannot_be_changed_inside():
    """A mapping in frozen settings cannot be changed, and settings can be hashed, pickled and copied."""
    from explorer.study.settings import SearchSettings

    given = {"objectives": {"accuracy": "max", "macs": "min"}, "recipe": {"lr": 0.1}, "costs": {"size": len}}
    settings = SearchSettings.make(given)
    for mapping in (settings.objectives, settings.costs, settings.training.recipe):
        with pytest.raises(TypeError, match="settings cannot be changed"):
            mapping["macs"] = "max"
        with pytest.raises(TypeError, match="settings cannot be changed"):
            mapping |= {}
    given["objectives"]["macs"] = "max"
    again = SearchSettings.make({**given, "objectives": {"accuracy": "max", "macs": "min"}})
    assert settings == again and hash(settings) == hash(again) and settings.objectives == {**settings.objectives}
    assert pickle.loads(pickle.dumps(settings)) == copy.deepcopy(settings) == settings
