"""Conditions of a space file: what they mean, and the errors with their places and suggestions."""

from __future__ import annotations

import pytest

from explorer.errors import SpaceError
from explorer.space.search_space import SearchSpace, parse_space
from tests.space.spaces import text

RULES = {
    "wide": "8 | 16 | 24",
    "twice": "2*wide",
    "depth": "1 | 2 | 3",
    "act": "relu | silu",
    "attn": "none | se(r=4) | se(r=16) | eca",
    "same-act": "act",
    "hid": "in/2 | in",
    "each": "bn | none",
    "deep": "(conv3x3 bn){1,2}",
}
VARY = {"wide": "stage", "depth": "stage", "attn": "block", "each": "use", "act": "stage"}
SECTIONS = {
    "stages": "{blocks: depth, width: wide, stride: [1, 2]}",
    "block": "conv1x1(hid) deep each act conv3x3 bn attn + same-act",
}


def file(*conditions: str) -> str:
    return text(RULES, VARY, **SECTIONS) + "where:\n" + "".join(f"  - {condition}\n" for condition in conditions)


def made(*conditions: str) -> SearchSpace:
    return parse_space(file(*conditions))


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("wide@stage1 <= wide@stage2", "wide@stage2 >= wide@stage1"),
        ("w@stage1 <= w@stage2", "wide@stage2 >= wide@stage1"),
        ("stages.width@stage1 <= width@stage2", "wide@stage2 >= wide@stage1"),
        ("twice@stage1 < 40", "wide@stage1 != 24"),
        ("8 < wide@stage1 <= 16", "wide@stage1 == 16"),
        ("not wide@stage1 != 16", "wide@stage1 == 16"),
        ("(wide@stage1 + wide@stage2) * 2 <= 40", "wide@stage1 + wide@stage2 <= 40/2"),
        ("-wide@stage1 >= -8", "wide@stage1 == 8"),
        ("wide@stage1 - 8 == 0", "wide@stage1 == 8"),
        ("16 divides wide", "wide == 16"),
        ("attn == se", "attn != none and attn != eca"),
        ("attn == se( r=4 )", "attn == se(r=4)"),
        ("not (attn == eca or act == silu)", "attn != eca and act == relu"),
        ("act == silu implies wide >= 16", "act == relu or wide != 8"),
        (
            "act@stage1 == act@stage2",
            "act@stage1 == silu and act@stage2 == silu or act@stage1 == relu and act@stage2 == relu",
        ),
        ("n <= 3", "depth@stage1 + depth@stage2 <= 3"),
        ("n <= 3", "blocks@stage1 + blocks@stage2 <= 3"),
        ("deep == 2", "deep > 1"),
        ("in@stage2.block1 == 16", "w@stage1 == 16"),
        ("i@stage2.block1 == 2", "depth@stage1 == 1"),
        ("j <= 2", "m <= 2"),
    ],
)
def test_spellings_with_one_meaning(written, same):
    """Two spellings of one condition leave the same networks, fewer than without it."""
    left, right = made(written), made(same)
    assert left.count() == right.count() < made("wide > 0").count()
    assert left.sample(20) == right.sample(20)


ERRORS = {
    "dept@stage1 > 1": (5, "unknown name 'dept' in a condition; did you mean 'depth'?"),
    "attn == sq": (13, "attn has no alternative 'sq'; it has: none | se(r=4) | se(r=16) | eca"),
    "attn == see": (13, "attn has no alternative 'see'.*did you mean 'se'"),
    "attn > 3": (10, "attn is a choice of layers; expected == or != and an alternative, found '>'"),
    "wide == attn": (13, "attn is a choice of layers; compare it by == or != with an alternative"),
    "wide = 8": (10, "found '='; write '=='"),
    "wide > 8 && act == relu": (14, "found '&&'; write 'and'"),
    "wide % 8 == 0": (10, "write 'b divides a'"),
    "wide@stage3 > 8": (10, "the space has 2 stages, found 'stage3'"),
    "wide@stag2 > 8": (10, "unknown place 'stag2' of 'wide'"),
    "deep@stage1 == 2": (5, "'deep' is one choice for the network; write 'deep', or 'vary: {deep: stage}'"),
    "deep == 2 => act == relu": (15, "found '=>'; write 'implies'"),
    "deep => 2": (10, "found '=>'; write '>='"),
    "if deep == 2 then act == relu": (5, "'if a then b' is written 'a implies b'"),
    "wide@stage1.block1 == 8": (5, "'wide' has one value for a stage; write 'wide@stage1'"),
    "same-act == relu": (5, "the rule 'same-act' is no choice: it has no alternatives"),
    "c > 8": (5, "'c' differs within a block, which a condition does not know; write tap(a) before the layers"),
    "a.c > 8": (5, "unknown name 'a.c' in a condition"),
    "in@stem > 8": (8, "unknown place 'stem' of 'in'"),
    "each == bn": (5, "'each' varies by use, and a condition cannot name a use"),
    "attn@stage1 == attn@stage2": (5, "blocks of stage1 and of stage2 in one condition"),
    "wide >": (11, "found the end, expected a number or a name"),
    "wide": (9, "found the end, expected one of =="),
    "(wide > 8": (14, "a bracket is not closed"),
    "wide > 8 wide": (14, "found 'wide', expected 'and', 'or', 'implies' or the end"),
    "wide > 100": (5, "no network satisfies the condition 'wide > 100'"),
}


@pytest.mark.parametrize("condition", ERRORS)
def test_errors_have_a_place_and_a_reason(condition):
    """Each invalid condition is one error at the column of the fault, and the same file with a valid one loads."""
    column, message = ERRORS[condition]
    assert made("wide > 8").count() > 0
    with pytest.raises(SpaceError, match=message.replace("(", r"\(").replace(")", r"\)").replace("|", r"\|")) as error:
        made(condition)
    (problem,) = error.value.problems
    line = file(condition).splitlines().index(f"  - {condition}") + 1
    assert (problem.line, problem.column) == (line, column)


def test_suggested_lines_load():
    """A misspelt name, place or sign has a suggested line, which loads."""
    for condition, fixed in {
        "dept@stage1 > 1": "depth@stage1 > 1",
        "wide@stag1 > 8": "wide@stage1 > 8",
        "wide > 8 && act == relu": "wide > 8 and act == relu",
        "wide@stage1 = 8": "wide@stage1 == 8",
        "attn == See(r=4)": "attn == se(r=4)",
    }.items():
        with pytest.raises(SpaceError) as error:
            made(condition)
        assert error.value.problems[0].fixes == (f"  - {fixed}",)
        made(fixed)


def test_conditions_that_contradict_each_other_name_the_first_that_leaves_nothing():
    """The error is at the condition that leaves no network together with those before it."""
    with pytest.raises(SpaceError, match="'wide@stage1 < 16' together with the conditions before it"):
        made("wide@stage1 > 8", "wide@stage1 < 16", "act == relu")


def test_too_many_states_are_one_error():
    """Conditions that tie too many choices together are refused at ``where``."""
    rules = {f"a{k}": "range(1, 200, 1)" for k in range(4)}
    many = text(rules, block="conv3x3(a0) conv3x3(a1) conv3x3(a2) conv3x3(a3) conv3x3 +")
    with pytest.raises(SpaceError, match="tie too many choices together"):
        parse_space(many + "where: [a0*a1 == a2*a3 + 1]\n")
    assert parse_space(many + "where: [a0 <= a1 <= a2 <= a3]\n").count() == 200 * 199 * 201 * 202 * 203 // 24 // 199


def test_a_choice_that_the_network_does_not_have_excludes_nothing():
    """A comparison about an absent choice holds, and so does its opposite."""
    rules, block = {"attn": "none | se(r=q)", "q": "2 | 4"}, "conv3x3 bn attn +"
    for condition, count in {"q == 4": 2, "q != 4": 2, "not (q == 4)": 2, "attn == se and q == 4": 1}.items():
        assert parse_space(text(rules, block=block) + f"where: [{condition}]\n").count() == count


def test_excluded_units_need_not_be_buildable():
    """Networks that cannot be built are no error if the conditions exclude them; without the conditions they are."""
    rules, vary = {"groups": "1 | 3 | 4"}, {"groups": "stage"}
    sections = {"block": "conv3x3(g=groups) bn +", "stages": "{blocks: 2, width: [8, 24]}"}
    with pytest.raises(SpaceError, match="groups do not divide"):
        parse_space(text(rules, vary, **sections))
    space = parse_space(text(rules, vary, **sections) + "where: [groups divides w, groups@stage2 != 3]\n")
    assert space.count() == 2 * 2
    assert space.validated == "all"
    assert all(space.architecture(derivation) for derivation in space)
