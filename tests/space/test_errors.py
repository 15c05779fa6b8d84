"""Every error has file, line, column, the text found and a suggested fix; the table is in ``errors.py``."""

from __future__ import annotations

import re

import pytest

from explorer.errors import Problem, SpaceError, did_you_mean
from explorer.space.search_space import load_space, parse_space
from explorer.space.shipped import find_space
from tests.space.errors import ERRORS
from tests.space.spaces import text

EACH = [error for errors in ERRORS.values() for error in errors]


@pytest.mark.parametrize("error", EACH, ids=lambda error: error.says[:60])
def test_each_bad_file_is_rejected_and_its_good_version_loads(error):
    """Each error names file, line, column, the text found and the suggested fix, and the similar good file loads."""
    with pytest.raises(SpaceError) as caught:
        parse_space(text(**error.bad), "bad.yaml")
    assert any(line.startswith(f"bad.yaml:{error.says}") for line in str(caught.value).splitlines())
    assert parse_space(text(**error.good)).count() >= 1


@pytest.mark.parametrize("name", ["3rd", "my act", "act!", "my.act", "a" * 70, "w", "relu"])
def test_a_rule_with_an_invalid_name_is_reported_once(name):
    """An invalid name of a rule is an error where the rule is defined, and not again where it is used."""
    with pytest.raises(SpaceError) as caught:
        parse_space(text({name: "relu | silu"}, block=f"conv3x3 bn {name} conv3x3 bn + {name}"))
    assert [(problem.line, problem.column) for problem in caught.value.problems] == [(8, 3)]


@pytest.mark.parametrize("error", EACH, ids=lambda error: error.says[:60])
def test_positions_are_inside_the_file(error):
    """Line and column of every error are inside the file."""
    bad = text(**error.bad)
    with pytest.raises(SpaceError) as caught:
        parse_space(bad)
    lines = bad.splitlines()
    for problem in caught.value.problems:
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1


def test_all_faults_are_found_in_one_pass():
    """Different faults in different positions are reported together, one line each, in the order of the file."""
    bad = text(
        {"act": "rleu", "wide": "1/3", "mix": "relu | 2", "bn": "in_"},
        {"nothing": "stage", "act": "layer"},
        stem="conv3x3(8) psot",
        block="conv3x3(wid) cnov1x1 +",
        limits="{macs: 5}",
        input="3x32",
        clases="10",
        head="gap fcc",
    )
    with pytest.raises(SpaceError) as caught:
        parse_space(bad, "f.yaml")
    found = [(p.line, re.match(r"[a-z ]*'?[\w]*'?", p.message)[0]) for p in caught.value.problems]
    assert found == [
        (1, "an input is channels x height x width"),
        (3, "unknown name 'psot'"),
        (5, "unknown name 'wid'"),
        (5, "unknown name 'cnov1x1'"),
        (6, "unknown name 'fcc'"),
        (7, "'5'"),
        (8, "unknown key 'clases'"),
        (10, "unknown name 'rleu'"),
        (12, "the number '2'"),
        (13, "'bn'"),
        (15, "unknown rule 'nothing'"),
        (16, "'act'"),
    ]
    assert str(caught.value).splitlines()[1].startswith("f.yaml:3:")


def test_faults_of_names_lists_and_numbers_are_reported_together():
    """Parts that do not depend on a faulty part are checked too: an unknown name, a short list and a fractional width
    are reported together."""
    shipped = find_space("preact_variants").read_text()
    bad = (
        shipped.replace("conv3x3(d=dil) norm attn + act", "conv3x3(d=dill) norm attn + act")
        .replace("stride: [1, 2, 2]", "stride: [1, 2]")
        .replace("ratio: 1/4 | 1/2", "ratio: 1/4 | 1/3")
    )
    with pytest.raises(SpaceError) as caught:
        parse_space(bad, "preact_variants.yaml")
    assert str(caught.value).splitlines() == [
        "preact_variants.yaml:10:54: stage 3 has no stride: 'stride' has 2 entries, 'width' has 3;"
        " write `stages: {blocks: depth, width: [16, 32, 64], stride: [1, 2, 2]}`",
        "preact_variants.yaml:21:49: unknown name 'dill' in conv3x3(d=dill); did you mean 'dil'?"
        " write `  original:          conv3x3 norm act conv3x3(d=dil) norm attn + act`",
        "preact_variants.yaml:26:31: with order=preact_bottleneck, ratio=1/3: out = w*ratio = 16/3 of conv is not a"
        " whole number",
    ]


def test_every_cycle_is_found():
    """Each cycle of rules is reported once, together with the other errors."""
    with pytest.raises(SpaceError) as caught:
        parse_space(text({"a": "b", "b": "c | bn", "c": "a", "x": "y + 1", "y": "x"}, block="conv3x3 relo +"))
    assert [(p.line, p.message.split(";")[0]) for p in caught.value.problems] == [
        (5, "unknown name 'relo'"),
        (8, "the rules form a cycle: a -> b -> c -> a"),
        (11, "the rules form a cycle: x -> y -> x"),
    ]


def test_shape_faults_are_reported_together():
    """Faults that appear only when blocks are combined are reported at every position that has one."""
    with pytest.raises(SpaceError) as caught:
        parse_space(text({"a": "conv3x3(g=3) +", "b": "conv3x3(w/16) conv3x3 +", "c": "conv3x3 +"}, block="a | b | c"))
    assert [(p.line, p.column) for p in caught.value.problems] == [(8, 6), (9, 6)]


def test_errors_can_be_pickled():
    """A SpaceError keeps its errors through pickling, as workers need."""
    import pickle

    error = SpaceError([Problem("a.yaml", 3, 4, "what"), Problem("a.yaml", 1, 1, "first")])
    again = pickle.loads(pickle.dumps(error))
    assert again.problems == error.problems
    assert str(again) == "a.yaml:1:1: first\na.yaml:3:4: what"


def test_missing_files_and_shipped_names():
    """A missing file gives the shipped spaces and the closest name, and a bare name finds a shipped space from any
    folder."""
    assert load_space("preact_variants").name == load_space("preact_variants.yaml").name == "preact_variants"
    with pytest.raises(
        SpaceError, match=r"preact_variant\.yaml:1:1: no such file.*did you mean 'preact_variants.yaml'"
    ):
        load_space("preact_variant.yaml")


def test_a_local_file_comes_before_a_shipped_one(tmp_path, monkeypatch):
    """A file in the working folder is read before a shipped one of the same name, and a folder of that name is
    ignored."""
    (tmp_path / "preact_variants.yaml").write_text(text(name="mine"))
    (tmp_path / "folder.yaml").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_space("preact_variants.yaml").name == "mine"
    with pytest.raises(SpaceError, match=r"folder\.yaml:1:1: cannot be read: it is a folder"):
        load_space("folder.yaml")
    (tmp_path / "he2016_orders").mkdir()
    assert load_space("he2016_orders").name == "he2016_orders"


@pytest.mark.parametrize(
    ("word", "known", "answer"),
    [
        ("cnov3x3", ["conv3x3", "bn"], "; did you mean 'conv3x3'?"),
        ("zzz", ["conv3x3", "bn"], ""),
        ("attm", ["attn", *(f"rule{k}" for k in range(1000))], "; did you mean 'attn'?"),
        ("x" * 10_000, ["x" * 10_000], ""),
    ],
)
def test_suggestions(word, known, answer):
    """At most two closest known names are suggested, quickly even for many names and very long words."""
    assert did_you_mean(word, known) == answer
