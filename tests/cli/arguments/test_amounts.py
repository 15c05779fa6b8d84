"""Numbers, durations and amounts of memory in the forms that users write."""

import click
import pytest

from explorer.cli.amounts import Whole
from explorer.settings.amounts import parse_bytes, parse_seconds, parse_whole


@pytest.mark.parametrize(
    ("parse", "texts", "meant"),
    [
        (parse_whole, ["1000", "1e3", "1E+3", "1,000", "1_000", "1 000", "1'000", "1k", " 1000 ", "1000.0"], 1_000),
        (parse_whole, ["1500000", "1.5M", "1,500,000"], 1_500_000),
        (parse_seconds, ["7200", "7200s", "120m", "120 min", "2h", "2 hours", "1h60m", "1h 60min", "2:00:00"], 7_200),
        (parse_seconds, ["1.5d", "1 day 12 hours", "36h"], 129_600),
        (parse_bytes, ["8G", "8GB", "8GiB", "8gb", "8 GB", "8192M", "8589934592"], 8 << 30),
    ],
)  # fmt: skip
def test_unambiguous_amounts_are_accepted(parse, texts, meant):
    """Each unambiguous form of an amount is accepted with its value."""
    assert {text: parse(text) for text in texts} == dict.fromkeys(texts, meant)


@pytest.mark.parametrize(
    ("parse", "texts", "right"),
    [
        (parse_whole, ["", "many", "1.5", "1,00", "1.000.000", "1e99999", "9" * 5_000, "auto", "0x10"], "as in 1000"),
        (parse_seconds, ["", "soon", "0", "0h", "-5m", "30m1h", "1h1h", "1:30", "2 weeks", "h", "1h30"], "write 90s"),
        (parse_bytes, ["", "0", "8X", "half", "50%", "-1G", "nan"], "write 512M or 8G"),
    ],
)  # fmt: skip
def test_ambiguous_amounts_are_rejected_with_the_right_form(parse, texts, right):
    """Any other form gives an error that shows the form to write."""
    for text in texts:
        with pytest.raises(ValueError, match=right):
            parse(text)


def test_a_number_on_the_command_line_keeps_its_range():
    """The option's type accepts the same forms, checks its range, and accepts ``auto`` for the default."""
    assert Whole(1).convert("1k", None, None) == 1_000 and Whole(1, auto=True).convert("AUTO", None, None) is None
    for text, right in (("0", "not in the range"), ("-1e3", "not in the range"), ("auto", "as in 1000")):
        with pytest.raises(click.BadParameter) as caught:
            Whole(1).convert(text, None, None)
        assert right in caught.value.format_message()
