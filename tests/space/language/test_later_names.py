"""Names that the language has had since a later version: files may have rules of these names."""

from __future__ import annotations

import pytest

from explorer.errors import SpaceError
from explorer.networks.ops import registry
from explorer.space.language.names import BY_PLACE, FORKS, FUNCTIONS, KEYWORDS, RESERVED, TAPS, VARIABLES
from tests.space.spaces import first, line, space

WORDS = sorted({*registry.by_spelling, *KEYWORDS, *VARIABLES, *FORKS, *TAPS, *BY_PLACE, *FUNCTIONS})
LATER = [*(word for word in WORDS if word not in RESERVED), "sk3x3", "wsconv3x3"]
ONE = {"stages": "{blocks: 1, width: 8}"}


@pytest.mark.parametrize("name", LATER)
def test_a_rule_comes_before_a_later_name(name):
    """A rule of layers or of numbers is used in place of the op, the variable or the function of its name."""
    made = space({name: "silu | relu"}, block=f"conv3x3 {name} conv3x3 +", **ONE)
    assert [line(first(made.architecture(index))).split()[1] for index in range(made.count())] == ["silu", "relu"]
    made = space({name: "16 | 4"}, block=f'"conv3x3({name}) conv3x3(g={name}/4) +"', **ONE)
    assert made.count() == 2
    assert line(first(made.architecture(0))).startswith("conv3x3(out=16)")


def test_before_a_bracket_a_later_name_is_of_the_language():
    """A rule takes no arguments, so a file can have a rule and use the op, the fork or the function of its name."""
    rules = {"gc": "bn", "max": "4", "sum": "relu", "by_block": "2"}
    block = '"conv3x3(max(max, 8)) gc sum sum(gc(r=by_block), by_block(identity)) conv3x3 +"'
    made = space(rules, block=block, **ONE).architecture(0)
    assert line(first(made)).startswith("conv3x3(out=8) bn relu sum(gc(width=4), identity)")


@pytest.mark.parametrize("name", sorted(RESERVED | {"conv3x3", "relu3x3"}))
def test_names_of_the_first_version_are_not_names_of_rules(name):
    """A rule cannot have a name that was never free."""
    with pytest.raises(SpaceError, match=r"it is a variable|the language uses it already"):
        space({name: "relu"})


def test_reserved_names_are_of_the_language():
    """Each reserved name is an op, a keyword or a variable."""
    assert set(WORDS) >= RESERVED
