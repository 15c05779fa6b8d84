"""YAML with positions: what is read, its position, and which parts of YAML are rejected."""

from __future__ import annotations

import pytest

from explorer.errors import SpaceError
from explorer.space.language.yaml import Mapping, Problems, Scalar, Sequence, read_yaml


def read(text: str) -> Mapping:
    problems = Problems("file.yaml")
    found = read_yaml(text.encode(), problems)
    problems.check()
    return found


def refused(data: str | bytes) -> str:
    with pytest.raises(SpaceError) as caught:
        problems = Problems("file.yaml")
        read_yaml(data.encode() if isinstance(data, str) else data, problems)
        problems.check()
    return str(caught.value)


def test_mappings_sequences_and_scalars_have_positions():
    """Each key and value has its line and column, counted from 1."""
    root = read("a: one\nb:\n  c: [two, three]\n")
    (a, one), (b, inner) = root.items
    assert (a.text, a.line, a.column, one.text, one.line, one.column) == ("a", 1, 1, "one", 1, 4)
    assert isinstance(inner, Mapping) and (b.line, inner.line, inner.column) == (2, 3, 3)
    listed = inner.get("c")
    assert isinstance(listed, Sequence)
    assert [(item.text, item.line, item.column) for item in listed.items] == [("two", 3, 7), ("three", 3, 12)]
    assert root.get("nothing") is None


@pytest.mark.parametrize(
    ("text", "value", "places"),
    [
        ("k: conv bn", "conv bn", {0: (1, 4), 5: (1, 9)}),
        ("k: 'conv bn'", "conv bn", {0: (1, 5), 5: (1, 10)}),
        ('k: "conv bn"', "conv bn", {0: (1, 5), 5: (1, 10)}),
        ("k: |\n  conv\n  bn\n", "conv\nbn\n", {0: (2, 3), 5: (3, 3)}),
        ("k: >\n  conv\n  bn\n", "conv bn\n", {0: (2, 3), 5: (3, 3)}),
        ("k: conv\n   bn\n", "conv bn", {0: (1, 4), 5: (2, 4)}),
        ("k: 'conv\n\n    bn'\n", "conv\nbn", {0: (1, 5), 5: (3, 5)}),
        ("k: conv   bn", "conv   bn", {7: (1, 11)}),
        ("\ufeffk: conv bn", "conv bn", {5: (1, 9)}),
        ("k: conv\r\nl: bn", "conv", {0: (1, 4)}),
        ("# one\rk: conv\rl: bn\r", "conv", {0: (2, 4)}),
    ],
)
def test_each_character_of_a_value_has_its_position(text, value, places):
    """A position inside a value is that of the character in the file, also in quoted, folded and multi-line values."""
    scalar = read(text).get("k")
    assert isinstance(scalar, Scalar) and scalar.text == value
    assert {offset: scalar.place(offset) for offset in places} == places


def test_repeated_keys_are_all_reported():
    """All repeated keys are reported at once, each with both lines."""
    assert refused("a: x\nb: y\na: z\nb: v\n") == (
        "file.yaml:3:1: the key 'a' occurs twice, first in line 1\n"
        "file.yaml:4:1: the key 'b' occurs twice, first in line 2"
    )
    assert len(read("a: x\nb: y\n").items) == 2


@pytest.mark.parametrize(
    ("bad", "good", "message"),
    [
        ("a: &x b\nc: *x", "a: b\nc: b", "1:4: anchor '&x'; write the text out"),
        ("a: *x", "a: x", "1:4: alias '*x'"),
        ("a: {<<: {b: c}}", "a: {b: c}", "1:5: merge key '<<'"),
        ("a: !!str b", "a: b", "1:4: tag '!!str'"),
        ("a: !x b", "a: b", "1:4: tag '!x'"),
        ("a: !!python/object/apply:os.getcwd []", "a: []", "1:4: tag '!!python"),
        ("a: b\n---\nc: d", "---\na: b", "2:1: a second YAML document"),
        ("a: yes", "a: 'yes'", "1:4: 'yes' means different things to different YAML readers"),
        ("a: No", "a: 'No'", "1:4: 'No' means different things"),
        ("a: 010", "a: 10", "1:4: '010' means different things"),
        ("a: 0x10", "a: 16", "1:4: '0x10' means different things"),
        ("a: 12:30", "a: '12:30'", "1:4: '12:30' means different things"),
        ("a: 1e3", "a: 1000", "1:4: '1e3' means different things"),
        ("a: ~", "a: none", "1:4: '~' means different things"),
        ("a: null", "a: none", "1:4: 'null' means different things"),
        (
            "a: {b: conv(16, s=2)}",
            "a: {b: 'conv(16, s=2)'}",
            "1:8: 'conv(16' ends at a comma: YAML splits at commas in {...} and [...]",
        ),
        ("a: [conv(16, s=2)]", "a: ['conv(16, s=2)']", "1:5: 'conv(16' ends at a comma"),
        (
            "a: {b: x{1,2}}",
            "a: {b: 'x{1,2}'}",
            "YAML splits at commas and colons in {...}; quote an expression that has one",
        ),
        ("a: [b", "a: [b]", "not YAML"),
        ("- a\n- b", "a: b", "1:1: a space file is a mapping"),
        ("", "a: b", "1:1: the file is empty"),
        ("# nothing\n", "a: b", "the file is empty"),
        ("? [a]\n: b", "a: b", "a key must be a plain word"),
        ("a: 'b\x07'", "a: 'b'", "1:6: control character U+0007"),
        ("a: 'b\x85'", "a: 'b'", "1:6: control character U+0085"),
        (r'a: "b\e[31m"', 'a: "b"', "1:4: control character U+001B"),
        (r'a: "b\ud800"', 'a: "b"', "1:4: control character U+D800"),
        ("a: b\u2028", "a: b", "1:5: control character U+2028"),
        ("a:\n\tb: c", "a:\n  b: c", "2:1: not YAML"),
        ("a: b: c", "a: 'b: c'", "1:5: not YAML"),
    ],
)
def test_unsupported_yaml_is_rejected(bad, good, message):
    """Anchors, tags, merge keys, second documents, ambiguous scalars, splitting commas and control characters are
    rejected with position and fix."""
    assert read(good)
    assert message in refused(bad)


def test_text_that_is_not_utf8():
    """Bytes that are not UTF-8 are rejected with their line."""
    assert refused(b"a: b\nc: \xff\n").startswith("file.yaml:2:1: not UTF-8")


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ("a: " + "b" * 4096, "a: " + "b" * 4097, "1:4: a text of 4,097 characters; at most 4,096"),
        ("a: " + "[" * 31 + "]" * 31, "a: " + "[" * 32 + "]" * 32, "nested deeper than 32"),
        ("a: [" + "b," * 9_000 + "]", "a: [" + "b," * 20_000 + "]", "more than 20,000 YAML events"),
        (
            "#" * ((1 << 20) - 5) + "\na: b",
            "#" * ((1 << 20) - 4) + "\na: b",
            "1:1: the file has 1,048,577 bytes; at most 1,048,576",
        ),
    ],
)
def test_limits(good, bad, message):
    """Scalars of 4,096 characters, nesting of 32, 20,000 events and 1 MiB are read, and more is rejected."""
    assert read(good)
    assert message in refused(bad)


def test_at_most_a_hundred_errors_are_listed():
    """At most a hundred errors of a file are listed."""
    lines = refused("a: b\n" + "a: b\n" * 5_000).splitlines()
    assert len(lines) == 101
    assert lines[-1].endswith("more than 100 errors; the rest of the file is not read")
