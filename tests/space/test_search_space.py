"""A space as a value: its digest, its input, its length and its pickled form."""

from __future__ import annotations

import copy
import pickle

import pytest

from explorer.errors import SpaceError
from explorer.space.choices import Derivation
from explorer.space.search_space import load_space, parse_space
from tests.space.spaces import space


def test_the_digest_of_a_space_depends_on_its_meaning():
    """Blanks, comments, the order of keys and free text do not change a space's digest, and anything else does."""
    one = space({"act": "relu | silu"}, name="one")
    assert one.digest == space({"act": "relu   |  silu   # why"}, name="two").digest
    assert one.digest == space({"act": "relu | silu"}, about="Some words.").digest
    assert one.digest != space({"act": "silu | relu"}).digest
    assert one.digest != one.with_input((3, 8, 8), 10).digest
    assert (
        one.digest
        == one.with_input((3, 16, 16), 10).digest
        == one.with_input((3, 8, 8), 5).with_input((3, 16, 16), 10).digest
    )


def test_another_input_is_checked():
    """with_input keeps the rules and the count, and rejects an input on which a network cannot be built."""
    made = space(stem="conv4x4(8, s=4)")
    assert made.with_input((1, 32, 32), 7).architecture(0).input == (1, 32, 32)
    with pytest.raises(SpaceError, match="does not fit an input of 3x2x2"):
        made.with_input((3, 2, 2), 10)


def test_a_space_is_a_sequence_of_its_derivations():
    """Length, index, negative index, slice and membership equal those of the list of all derivations."""
    made = load_space("he2016_orders.yaml")
    every = list(made)
    assert len(made) == made.count() == len(every)
    assert [made[0], made[-1], made[1:3], made[::-2]] == [every[0], every[-1], every[1:3], every[::-2]]
    assert every[3] in made and Derivation({"order": "nothing"}) not in made and 3 not in made
    for index in (len(every), -len(every) - 1):
        with pytest.raises(IndexError, match="is outside the space: it has 5 derivations"):
            made[index]
    with pytest.raises(TypeError):
        made["order"]
    with pytest.raises(SpaceError, match="at least 0"):
        made.sample(-1)


def test_a_space_can_be_pickled_after_counting():
    """A pickled space has the same derivations, and its counts are computed again after unpickling."""
    made = load_space("preact_variants.yaml")
    bare = len(pickle.dumps(made))
    index = made.count() - 1
    again = pickle.loads(pickle.dumps(made))
    assert len(pickle.dumps(made)) == bare
    assert (again.count(), again.digest, again.unrank(index)) == (made.count(), made.digest, made.unrank(index))
    assert again.architecture(index) == made.architecture(index)


def test_spaces_of_one_text_are_equal():
    """A space equals its pickled and its deep copy and another one read from its file, but no changed one."""
    made = load_space("preact_variants.yaml")
    same = [pickle.loads(pickle.dumps(made)), copy.deepcopy(made), load_space("preact_variants.yaml")]
    assert all(each == made and hash(each) == hash(made) for each in same)
    assert made != parse_space(made.text.replace("silu", "gelu")) and made != made.text


def test_program_is_a_deprecated_name():
    """``space.program`` warns and returns the deriver's expressions."""
    space = load_space("he2016_orders.yaml")
    with pytest.warns(DeprecationWarning, match="now SearchSpace.deriver.program"):
        assert space.program is space.deriver.program


def test_the_block_is_optional_if_each_stage_has_its_own():
    """Without the key ``block`` each stage needs one; the error names the key."""
    head = "input: 3x8x8\nclasses: 4\nstem: conv3x3(8) bn\nhead: gap fc\n"
    rows = "stages:\n  - {blocks: 1, width: 8, block: conv3x3 bn +}\n  - {blocks: 2, width: 8%s}\n"
    with_own = parse_space(head + rows % ", block: conv1x1 bn relu +")
    general = parse_space(head + rows % "" + "block: conv1x1 bn relu +\n")
    assert with_own.architecture(0) == general.architecture(0)
    with pytest.raises(SpaceError, match="the key 'block' is missing"):
        parse_space(head + rows % "")
