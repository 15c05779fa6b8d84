"""Foreign numbers: per cent, ranges such as 1..3, powers, products without a sign, and thousands.

Each detector is a function of a ``Scan`` that yields findings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from explorer.errors import Edit
from explorer.space.language.foreign.scan import Finding, Scan
from explorer.space.language.names import VARIABLES

MAX_LISTED = 4  # values of a range that are written out
_NUMBER = r"\d+(?:\.\d+)?"
_RANGE = re.compile(
    rf"(?<![\w.)/])({_NUMBER})\s*(\.\.\.?=?|…|:|~|–|—|\bto\b|\bthrough\b|\bthru\b|\bbis\b)\s*({_NUMBER})"
    rf"(?:\s*(?:\.\.\.?|:|\bstep\b|\bby\b)\s*({_NUMBER}))?(?![\w./])"
)
_BRACKETED = re.compile(rf"[\[(]\s*({_RANGE.pattern})\s*[\])]")
_DASHED = re.compile(r"\s*(\d+)\s*-\s*(\d+)\s*")
_JOINED = re.compile(r"\s*\(?(\d+)((?:\s*-\s*\d+)+|(?:\s*/\s*\d+)+|(?:\s*x\s*\d+)+|(?:\s+\d+)+)\)?\s*")
_FRACTION = r"\d+/\d+"
_SUFFIXES = {"k": 1000, "K": 1000}


def spelled_range(low: str, high: str, step: str | None = None) -> str:
    """Return the values from ``low`` to ``high``, which is included, as an expression."""
    first, last = Fraction(low), Fraction(high)
    whole = first.denominator == last.denominator == 1
    by = Fraction(step) if step else Fraction(1) if whole else (last - first) / 2
    if last < first:
        first, last = last, first
    if by <= 0:
        by = Fraction(1)
    count = int((last - first) / by) + 1
    if count <= MAX_LISTED:
        return " | ".join(_spelled(first + by * k) for k in range(count))
    return f"range({_spelled(first)}, {_spelled(last)}, {_spelled(by)})"


def _spelled(value: Fraction) -> str:
    return str(value) if value.denominator in (1, 2, 3, 4, 8) else f"{float(value):.12g}"


def is_suspicious(text: str, home: str) -> bool:
    """Whether a value that can be read is meant otherwise: 1-3 is below 0, 2-2-2 and 8/16 are lists, 2x1 is a size.

    Args:
        text: The value.
        home: Where it is, see ``Scan``.
    """
    dashed = _DASHED.fullmatch(text)
    if dashed is not None and int(dashed[1]) < int(dashed[2]):
        return True
    listed = _JOINED.fullmatch(text)
    if re.fullmatch(r"\s*[1-9]x[1-9]\s*", text):
        return False
    return listed is not None and (home == "number" or len(re.findall(r"\d+", text)) > 2)


def joined_numbers(scan: Scan) -> Iterator[Finding]:
    """2-2-2, 8/16, 8 16 32 and 2x2x2 as a whole value: a list in a number of a stage, else a choice."""
    found = _JOINED.fullmatch(scan.text)
    if (
        found is None
        or scan.home == "layers"
        or _DASHED.fullmatch(scan.text)
        or not is_suspicious(scan.text, scan.home)
    ):
        return
    numbers = re.findall(r"\d+", scan.text)
    is_list = scan.home == "number"
    new = f"[{', '.join(numbers)}]" if is_list else " | ".join(dict.fromkeys(numbers))
    expected = "a list, one number for each stage, is written" if is_list else "a choice of numbers is written"
    rest = scan.text[found.end(1) :]
    at = found.end(1) + len(rest) - len(rest.lstrip())
    yield Finding(at, f"{scan.text.strip()!r}: {expected} {new}", (Edit(0, len(scan.text), new),))


def ranges(scan: Scan) -> Iterator[Finding]:
    """1..3, 1:3, 1 to 3, 8..64 step 8, [1..3]; as a whole value also 1-3."""
    for match in _BRACKETED.finditer(scan.text):
        numbers = match.group(2, 4, 5)
        if match.start() == 0 or not (scan.text[match.start() - 1].isalnum()):
            whole = match.end() - match.start() == len(scan.text.strip())
            yield _range(match.start(), match.end(), match[0], spelled_range(*numbers), whole)
    for match in re.finditer(
        rf"({_NUMBER})\s*[|,]\s*({_NUMBER})\s*[|,]\s*(?:\.\.\.?|…)\s*[|,]\s*({_NUMBER})", scan.text
    ):
        step = Fraction(match[2]) - Fraction(match[1])
        if step > 0:
            new = spelled_range(match[1], match[3], str(step))
            message = f"{match[0]!r}: a choice of numbers is written {new}"
            yield Finding(match.start(), message, (Edit(match.start(), match.end(), new),))
    if (bound := re.fullmatch(r"\s*(<=|≤|up to|at most|max|maximum)\s*(\d+)\s*", scan.text)) and scan.home != "layers":
        new = spelled_range("1", bound[2])
        message = f"{scan.text.strip()!r}: a choice of numbers is written {new}"
        yield Finding(0, message, (Edit(0, len(scan.text), new),))
    for match in re.finditer(r"(?<!\w)range\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)", scan.text):
        low, end = (match[1], match[2]) if match[2] else ("1", str(int(match[1]) + 1))
        if int(end) > int(low) + 1:
            new = spelled_range(low, str(int(end) - 1))
            message = f"{match[0]!r}: range(lo, hi, step) has three numbers and includes hi, which Python leaves out"
            whole = match[0] == scan.text.strip()
            edit = Edit(match.start(), match.end(), new if whole or "|" not in new else f"({new})")
            yield Finding(match.start(), message, (edit,))
    for match in re.finditer(rf"({_FRACTION})\s*(?:\.\.\.?|–|-|~|to)\s*({_FRACTION})", scan.text):
        new = f"{match[1]} | {match[2]}"
        message = f"{match[0]!r}: a choice of numbers is written {new}"
        yield Finding(match.start(), message, (Edit(match.start(), match.end(), new),))
    for match in re.finditer(r"\b(?:from|between)\s+(\d+)\s+(?:to|and)\s+(\d+)", scan.text):
        new = spelled_range(match[1], match[2])
        message = f"{match[0]!r}: a choice of numbers is written {new}"
        yield Finding(match.start(), message, (Edit(match.start(), match.end(), new),))
    for match in _RANGE.finditer(scan.text):
        if re.search(r"\b(from|between)\s+$", scan.text[: match.start()]):
            continue
        if scan.text[: match.start()].rstrip().endswith("{"):
            continue
        whole = not scan.text[: match.start()].strip() and not scan.text[match.end() :].strip()
        if match[2] == ":" and not whole and not match[4]:
            new = f"{match[1]}/{match[3]}"
            message = f"{match[0]!r}: a ratio is written {new}"
            yield Finding(match.start(), message, (Edit(match.start(), match.end(), new),))
            continue
        yield _range(match.start(), match.end(), match[0], spelled_range(match[1], match[3], match[4]), whole)
    if (dashed := _DASHED.fullmatch(scan.text)) and int(dashed[1]) < int(dashed[2]):
        new = spelled_range(dashed[1], dashed[2])
        at = scan.text.index("-")
        message = f"{scan.text.strip()} is a difference below 0; a range is written {new}"
        yield Finding(at, message, (Edit(0, len(scan.text), new),))


def _range(start: int, end: int, found: str, new: str, is_whole: bool) -> Finding:
    message = f"{found!r}: a choice of numbers is written {new}"
    return Finding(start, message, (Edit(start, end, new if is_whole or "|" not in new else f"({new})"),))


def per_cent(scan: Scan) -> Iterator[Finding]:
    """50%."""
    for match in re.finditer(r"(\d+(?:\.\d+)?)\s*%", scan.text):
        share = Fraction(match[1]) / 100
        new = _spelled(share)
        if share and re.search(r"\b(se|cbam)\([^()]*$", scan.text[: match.start()]):
            new = _spelled(1 / share)
            message = f"{match[0]!r}: r divides the channels, r={new}"
            yield Finding(match.start(), message, (Edit(match.start(), match.end(), new),))
            continue
        if re.search(r"conv\d+x\d+\(\s*(out\s*=\s*)?$", scan.text[: match.start()]):
            new = f"w*{new}".replace("*1/", "/")
        message = f"{match[0]!r}: a share is written {new}"
        yield Finding(match.start(), message, (Edit(match.start(), match.end(), new),))


def products(scan: Scan) -> Iterator[Finding]:
    """2w, w^2, 2x as numbers."""
    for index, lexeme in enumerate(scan.lexemes):
        after = scan.at(index + 1)
        is_value = scan.home == "number" or scan.in_arguments(index) or not scan.is_layer(index - 1)
        if lexeme.kind == "number" and after.kind == "name" and scan.touches(index + 1) and is_value:
            if after.text in VARIABLES or after.text in scan.rules:
                message = f"'{lexeme.text}{after.text}': a product is written {lexeme.text}*{after.text}"
                yield Finding(lexeme.start, message, (Edit(lexeme.end, lexeme.end, "*"),))
            elif after.text in ("x", "X"):
                message = f"'{lexeme.text}{after.text}': a factor is written {lexeme.text}"
                yield Finding(lexeme.start, message, (Edit(after.start, after.end, ""),))
            elif after.text in ("ch", "c", "channels", "filters") and scan.home == "number":
                message = f"'{lexeme.text}{after.text}': a number has no unit, {lexeme.text}"
                yield Finding(lexeme.start, message, (Edit(after.start, after.end, ""),))
            elif after.text in _SUFFIXES:
                new = str(Fraction(lexeme.text) * _SUFFIXES[after.text])
                message = f"'{lexeme.text}{after.text}': a number is written in digits, {new}"
                yield Finding(lexeme.start, message, (Edit(lexeme.start, after.end, new),))
        elif lexeme.text in ("x", "X") and _is_factor(scan, index):
            message = f"{lexeme.text!r} between numbers: a product is written *"
            yield Finding(lexeme.start, message, (Edit(lexeme.start, lexeme.end, "*"),))
        elif lexeme.text == "^" and after.kind in ("number", "name") and is_value and scan.at(index - 1).text != ")":
            message = f"'^': a power is written {scan.at(index - 1).text}**{after.text}"
            yield Finding(lexeme.start, message, (Edit(lexeme.start, lexeme.end, "**"),))
        elif (
            lexeme.text == "." and after.kind == "number" and scan.touches(index + 1) and not _ends_number(scan, index)
        ):
            new = f"0.{after.text}"
            message = f"'.{after.text}': a number begins with a digit, {new}"
            yield Finding(lexeme.start, message, (Edit(lexeme.start, after.end, new),))


def _is_factor(scan: Scan, index: int) -> bool:
    """Whether a name is between two numbers of an argument, as in conv1x1(4 x w)."""
    beside = (scan.at(index - 1), scan.at(index + 1))
    are_numbers = all(each.kind == "number" or each.text in VARIABLES or each.text in scan.rules for each in beside)
    return are_numbers and scan.in_arguments(index)


def _ends_number(scan: Scan, index: int) -> bool:
    """Whether a name or a number ends where a lexeme begins."""
    return scan.touches(index) and scan.at(index - 1).kind in ("name", "number")


def thousands(scan: Scan) -> Iterator[Finding]:
    """1,024 and 1_024 as a whole value, and 0,25."""
    before = r"(?<![\d,.])" if scan.home != "layers" else r"(?:(?<=[a-z]\()|(?<=\dx\d\()|(?<=[*=]))"
    for decimal in re.finditer(before + r"0,(\d+)(?![\d,])", scan.text):
        if re.search(r"\b(by_block|by_stage|max|min|range|round|part)\($", scan.text[: decimal.start()]):
            continue
        new = f"0.{decimal[1]}"
        message = f"{decimal[0]!r}: a number has a decimal point, {new}"
        yield Finding(decimal.start(), message, (Edit(decimal.start(), decimal.end(), new),))
    for grouped in re.finditer(r"(?<=\()\s*(\d{1,3}(?:_\d{3})+)(?=\s*[,)])", scan.text):
        new = grouped[1].replace("_", "")
        message = f"{grouped[1]!r}: a number is written in digits alone, {new}"
        yield Finding(grouped.start(1), message, (Edit(grouped.start(1), grouped.end(1), new),))
    if match := re.fullmatch(r"\s*(\d,\d{3}|\d{1,3}(?:[_']\d{3})+)\s*", scan.text):
        new = re.sub(r"\D", "", match[1])
        yield Finding(0, f"{match[1]!r}: a number is written in digits alone, {new}", (Edit(0, len(scan.text), new),))
