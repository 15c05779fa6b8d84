"""Ambiguous JSON is rejected."""

from __future__ import annotations

import pytest

from explorer.system.strict_json import parse_json

REFUSED = [
    ('{"a": 1, "b": 2, "a": 1}', "the key 'a' occurs twice in one object"),
    ('[{"x": {"\\u0061": 1, "a": 1}}]', "the key 'a' occurs twice in one object"),
    ('{"lr": NaN}', "'lr' must be a finite number, found nan"),
    ('{"x": {"lr": -Infinity}}', "'lr' must be a finite number, found -inf"),
    ('{"lr": 1e999}', "'lr' must be a finite number, found inf"),
    ("[[1, NaN]]", "a number is not finite"),
    ("NaN", "a number is not finite"),
    ("9" * 101, "a number of 101 digits; at most 100 are read"),
    ("-" + "9" * 5_000, "a number of 5,001 digits"),
    ("[" * 101 + "]" * 101, "nested deeper than 100 levels"),
    ('{"a":' * 101 + "1" + "}" * 101, "nested deeper than 100 levels"),
    ("[" * 100_000, "nested deeper than 100 levels"),
    ('["\\ud800"]', "half of a surrogate pair"),
    ('{"\\uDFFF": 1}', "half of a surrogate pair"),
    ("\ud800", "not UTF-8 text"),
    (b"\xff", "not UTF-8 text: invalid start byte at position 0"),
    ("[1]".encode("utf-16"), "not UTF-8 text"),
    ("[1]".encode("utf-16-le"), "line 1 column 2"),
    ("[1]".encode("utf-32"), "not UTF-8 text"),
    ("[1] x", "Extra data: line 1 column 5"),
    ("", "Expecting value"),
    ("[1,]", "Expecting value"),
]


@pytest.mark.parametrize(("data", "message"), REFUSED)
def test_ambiguous_json_is_rejected(data, message):
    """Repeated keys, non-finite or endless numbers, depth, other encodings and invalid text give one line each."""
    with pytest.raises(ValueError, match=message) as caught:
        parse_json(data)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


def test_plain_json_is_read():
    """Plain JSON is read, with or without a byte order mark, and with surrogate pairs."""
    assert parse_json('{"a": [1, -2.5e3, true, null], "b": {"a": "x"}}') == {
        "a": [1, -2.5e3, True, None],
        "b": {"a": "x"},
    }
    assert parse_json(b"\xef\xbb\xbf[1]") == parse_json("\ufeff[1]") == [1]
    assert parse_json('"\\ud83d\\ude00"') == "\U0001f600"
    assert parse_json("[" * 100 + "]" * 100) and parse_json("9" * 100) == 10**100 - 1
