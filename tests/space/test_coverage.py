"""The check on loading builds every distinct unit of a space, and no others."""

from __future__ import annotations

import pytest

from explorer.errors import SpaceError
from explorer.space.count.automaton import Automaton
from explorer.space.count.coverage import Coverage
from explorer.space.language.parse import parse_grammar
from explorer.space.search_space import SearchSpace
from tests.space.spaces import RandomSpaces, space, text


def unchecked(file: str) -> SearchSpace:
    """Return a space without the check on loading."""
    grammar, problems = parse_grammar(file.encode(), "<space>")
    assert not problems
    return SearchSpace(**vars(grammar))


def units_fail(made: SearchSpace) -> bool:
    return any(error is not None for error in Coverage(Automaton(made, carries_shapes=True)).walk())


def networks_fail(made: SearchSpace) -> bool:
    """Whether a derivation cannot be built, found by building them all."""
    for derivation in made:
        try:
            made.architecture(derivation)
        except SpaceError:
            return True
    return False


WIDTHS = {"w1": "4 | 8", "w2": "4 | 8 | 12", "depth": "1 | 2 | 3", "g": "1 | 2 | 3"}


@pytest.mark.parametrize(
    ("sections", "fails"),
    [
        ({"block": "conv3x3 bn relu conv3x3 bn + relu"}, False),
        ({"block": "conv3x3(g=g) bn +"}, True),  # reads its input channels
        ({"block": "conv1x1(6*w) conv3x3(6*w, g=g) conv1x1 +"}, False),
        ({"block": "conv1x1 conv3x3(g=g) +"}, True),
        ({"block": "conv3x3 +", "shortcut": "{same: conv1x1(g=3), changed: conv1x1}"}, True),  # if widths are equal
        ({"block": "conv3x3 +", "shortcut": "{same: none, changed: conv1x1(6)}"}, True),  # if they are not
        ({"block": "conv3x3 +", "shortcut": "{same: identity, changed: conv3x3 bn}"}, False),
        ({"block": "bn relu conv1x1(w*in/4) conv3x3 +"}, False),
        ({"block": "conv1x1(w*in/32) conv3x3 +"}, True),
        ({"block": "bn conv1x1(4) cat", "shortcut": "{changed: conv1x1}", "head": "gn(4) gap fc"}, False),
        ({"block": "bn conv1x1(5) cat", "shortcut": "{changed: conv1x1}", "head": "gn(4) gap fc"}, True),
        ({"block": "conv3x3 +", "transition": "conv1x1(in*3/4)"}, False),
        ({"block": "conv3x3 +", "transition": "conv1x1(in*3/8)"}, True),
        ({"block": "conv3x3(in + i) +", "shortcut": "{changed: conv1x1(in + i)}", "head": "gn(2) gap fc"}, True),
    ],
)  # fmt: skip
def test_units_fail_exactly_if_a_network_fails(sections, fails):
    """Errors are found if and only if a derivation fails, also where only one number of channels or blocks fails."""
    made = unchecked(text(WIDTHS, {"depth": "stage", "g": "stage"}, stages="{blocks: depth, width: [w1, w2]}",
                          stem="conv3x3(4)", **sections))  # fmt: skip
    assert networks_fail(made) == units_fail(made) == fails


@pytest.mark.parametrize("seed", range(0, 120, 3))
def test_random_spaces_are_checked_completely(seed):
    """In random spaces, an error is found if and only if a derivation fails."""
    try:
        made = unchecked(RandomSpaces(seed).text())
        if made.count() > 300:
            return
        automaton = Automaton(made, carries_shapes=True)
    except (SpaceError, AssertionError):
        return
    if not automaton.depends_on_open_total:
        assert networks_fail(made) == units_fail(made)


def test_blocks_that_repeat_are_followed_once():
    """The number of blocks and the width before a stage do not multiply the work of the check."""

    def work(widths: str, depths: str) -> int:
        made = unchecked(
            text(
                {"width": widths, "depth": depths},
                {"width": "stage", "depth": "stage"},
                stages="{blocks: depth, width: [width, width, width]}",
            )
        )
        coverage = Coverage(Automaton(made, carries_shapes=True))
        assert not any(coverage.walk())
        return coverage.work

    small = work("8 | 16", "1 | 2 | 3")
    assert work("8 | 16", "1 | 2 | 3 | 40") < 1.5 * small
    assert work(" | ".join(str(8 * k) for k in range(1, 21)), "1 | 2 | 3") < 12 * small  # ten times as many widths


def test_widths_add_no_states_to_counting():
    """Running sums of ranges are counted with as many states as there are choices, not combinations."""
    made = space(
        {"a": '"range(8, 160, 8)"', "b": '"range(8, 160, 8)"', "c": '"range(8, 160, 8)"'},
        stages="{blocks: 1, width: [a, a+b, a+b+c]}",
    )
    assert made.count() == 20**3
    assert len(made.decisions._counts) < 10
    assert made.rank(made.unrank(4_321)) == 4_321


def test_all_units_of_a_sampled_space_can_be_checked():
    """A space that is too large for the check on loading is checked completely on demand."""
    large = '"range(8, 800, 8)"'
    made = space({"a": large, "b": large, "c": "1 | 2 | 4"}, stages="{blocks: 1, width: [a, b]}",
                 block="conv3x3 bn conv3x3(g=c) +", vary={"c": "stage"}, head="bn gn(8) gap fc")  # fmt: skip
    assert made.validated in ("all", "sampled")
    made.check_all_units()
    assert made.validated == "all"


def test_projections_of_any_channels_are_checked_together():
    """A block whose shortcut has a choice is derived for two numbers of input channels, not for each of 64."""
    made = space(
        {"width": "range(8, 512, 8)", "proj": "conv1x1 bn | avgpool conv1x1 bn"},
        {"width": "stage", "proj": "stage"},
        stages="{blocks: 2, width: [width, width, width], stride: [1, 2, 1]}",
        shortcut="{changed: proj}",
    )
    assert made.validated == "all"
    assert made.decisions.coverage.work < 90_000


def test_an_error_of_a_projection_is_found_for_the_channels_that_have_it():
    """A shortcut that fits some numbers of input channels only is checked with each of them."""
    with pytest.raises(SpaceError, match="groups do not divide"):
        space(
            {"width": "range(8, 512, 8)", "proj": "conv1x1 bn | conv1x1(g=16) bn"},
            {"width": "stage", "proj": "stage"},
            stages="{blocks: 1, width: [width, width], stride: [1, 1]}",
            shortcut="{changed: proj}",
        )
