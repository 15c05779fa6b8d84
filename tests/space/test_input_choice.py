"""The sides of the input as numeric rules: a choice of the network, made before those of the stem."""

from __future__ import annotations

import itertools
import json
import pickle
import re

import numpy as np
import pytest

from explorer.costs.analytic import count_cost
from explorer.costs.whole_space.choices import ChoiceColumns
from explorer.costs.whole_space.costs import NetworkCosts
from explorer.costs.whole_space.identities import count_distinct
from explorer.errors import SpaceError
from explorer.space.json_schema import schema
from explorer.space.search_space import SearchSpace, parse_space

TEXT = """\
input: 3 x res x res
classes: 10
stem: conv3x3(s=st) bn relu
stages: {blocks: [1, 1 | 2], width: [8, 8 | 16], stride: [1, 2]}
block: 'opt conv3x3 bn relu conv3x3 bn +'
shortcut: {changed: conv1x1 bn | avgpool2x2(s=s) conv1x1 bn}
head: avgpool fc
grammar:
  res: 8 | 12 | 16
  st: 1 | 2
  opt: none | conv1x1 bn relu
vary: {opt: stage}
"""
TWO = TEXT.replace("res x res", "h x w2").replace("  res: 8 | 12 | 16\n", "  h: 2 * k\n  k: 4 | 6\n  w2: 8 | k\n")


def fixed(size: str) -> SearchSpace:
    """Return the space of ``TEXT`` with a fixed input."""
    return parse_space(TEXT.replace("3 x res x res", size).replace("  res: 8 | 12 | 16\n", ""))


def test_a_space_is_the_union_of_those_of_its_resolutions() -> None:
    space = parse_space(TEXT)
    parts = [fixed(f"3x{size}x{size}") for size in (8, 12, 16)]
    expected = [part.architecture(d).digest for part in parts for d in part]
    assert space.count() == sum(part.count() for part in parts) == len(expected)
    assert [space.architecture(d).digest for d in space] == expected
    assert space.validated == "all"


@pytest.mark.parametrize("text", [TEXT, TWO, TEXT + "where: res >= 12 or st == 1\n"])
def test_ranks_and_whole_space_costs_are_those_of_the_networks(text: str) -> None:
    space = parse_space(text)
    derivations = list(space)
    assert [space.rank(derivation) for derivation in derivations] == list(range(space.count()))
    networks = [space.architecture(derivation) for derivation in derivations]
    indices, columns = np.arange(space.count()), ChoiceColumns(space)
    codes = columns.codes(indices)
    for name, values in NetworkCosts(space, columns)(indices, codes).items():
        assert values.tolist() == [getattr(count_cost(network), name) for network in networks], name
    hashes = NetworkCosts(space, columns, with_hashes=True).hashes(indices, codes)
    assert count_distinct(hashes) == len({network.digest for network in networks})


def test_two_rules_give_every_pair_of_sides() -> None:
    space = parse_space(TWO)
    sizes = {tuple(space.architecture(derivation).input) for derivation in space}
    pairs = itertools.product((4, 6), (8, None))
    assert sizes == {(3, 2 * k, k if width is None else width) for k, width in pairs}


def test_a_condition_on_the_resolution_excludes_networks() -> None:
    space = parse_space(TEXT + "where: res >= 12 or st == 1\n")
    assert space.count() == parse_space(TEXT).count() * 5 // 6
    assert {d.choices["st"] for d in space if d.choices["res"] == "8"} == {"1"}


def test_another_input_keeps_the_choice() -> None:
    space = parse_space(TEXT)
    gray = space.with_input((1, 28, 28), 7)
    assert gray.count() == space.count()
    assert gray.digest != space.digest
    assert str(gray.architecture("res=12").input) == "1x12x12"
    assert gray.input_text == "1 x res x res"
    again = pickle.loads(pickle.dumps(gray))
    assert (again.digest, again.architecture(-1 % again.count())) == (gray.digest, gray.architecture(gray.count() - 1))


def test_the_digest_depends_on_the_sides() -> None:
    texts = [TEXT, TEXT.replace("res x res", "res x 8"), TEXT.replace("3 x res x res", "3x8x8")]
    assert len({parse_space(text).digest for text in texts}) == 3


def test_each_resolution_is_checked_on_loading() -> None:
    with pytest.raises(SpaceError, match="does not fit an input of 3x2x2"):
        parse_space(TEXT.replace("8 | 12 | 16", "8 | 2").replace("conv3x3(s=st)", "conv5x5(s=st, pad=0)"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("3 x res", "3 x resol", r"1:12: unknown rule 'resol' in input"),
        ("res x res", "size x 8", "1:12: unknown rule 'size' in input; write a numeric rule for it in grammar"),
        ("res x res", "opt x res", "1:12: the rule 'opt' has layers, but a side of the input is a number"),
        ("{opt: stage}", "{res: stage}", "1:12: a network has one input, but 'res' varies by stage"),
        ("8 | 12 | 16", "8 | 4097", r"1:12: with res=4097: the height 4097 of the input is .*4096"),
        ("8 | 12 | 16", "8 | 0", "1:12: with res=0: the height 0 of the input is"),
        ("8 | 12 | 16", "8 | w", "the variable 'w' is not defined here"),
        ("3 x res", "c x res", "1:8: the channels of an input are a whole number from 1 to 65,536, found 'c'"),
        ("3 x res x res", "3xresxres", "1:8: an input is channels x height x width.*`input: 3 x res x res`"),
        ("res x res", "res x 4097", "1:18: an input has sides of 1 to 4,096; found 4097"),
    ],
)
def test_an_impossible_side_is_an_error_at_its_place(old: str, new: str, message: str) -> None:
    with pytest.raises(SpaceError) as error:
        parse_space(TEXT.replace(old, new, 1))
    assert re.search(message, str(error.value).split("\n")[0]), str(error.value)


def test_the_schema_takes_rules_and_fixed_sizes() -> None:
    pattern = re.compile(json.loads(json.dumps(schema()))["properties"]["input"]["pattern"])
    assert pattern.match("3x32x32") and pattern.match("3 x res x res") and pattern.match("3 x h x 32")
    assert not pattern.match("3xresxres") and not pattern.match("res x res")
