"""Translation of an expression from what users of other tools write to the space language."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from typing import NamedTuple

from explorer.space.language.foreign import calls, kernels, numbers, residual, signs
from explorer.space.language.foreign.scan import Finding, Scan
from explorer.space.language.source_text import applied

MAX_ROUNDS = 12
MAX_CHARACTERS = 2_000
Detector = Callable[[Scan], Iterator[Finding]]

# In each round the first of these that finds something is applied. Those before others make a text that they can read.
DETECTORS: tuple[Detector, ...] = (
    signs.plain_signs,
    signs.foreign_letters,
    signs.comments,
    signs.resolvers,
    signs.references,
    residual.inputs,
    residual.functions,
    residual.idle_blocks,
    residual.zero_ops,
    numbers.thousands,
    kernels.split_sizes,
    kernels.kernel_choices,
    calls.calls,
    calls.arguments,
    numbers.joined_numbers,
    numbers.ranges,
    signs.quotes,
    signs.lists,
    signs.repetitions,
    residual.strides_beside,
    residual.numbers_beside,
    numbers.per_cent,
    numbers.products,
    signs.separators,
    signs.empty_alternatives,
    signs.brackets,
)


class Translation(NamedTuple):
    """What is foreign in an expression.

    Attributes:
        findings: The findings in the original text, by offset.
        text: The expression in the language, as far as it can be translated.
    """

    findings: tuple[Finding, ...]
    text: str


def translate(text: str, home: str, rules: Container[str]) -> Translation:
    """Return what is foreign in an expression, and the expression in the language.

    A valid expression has no findings.

    Args:
        text: The expression.
        home: Where it is: ``layers`` (a section of layers), ``number`` (a number of a stage) or ``rule``.
        rules: The names of the file's rules.
    """
    found: list[Finding] = []
    if len(text) > MAX_CHARACTERS:
        return Translation((), text)
    for number in range(MAX_ROUNDS):
        scan = Scan(text, home, rules)
        now = next((findings for detect in DETECTORS if (findings := list(detect(scan)))), [])
        if not number:
            # What is reported has offsets in the original text; one finding for each kind and place.
            every = [finding for detect in DETECTORS for finding in detect(scan)]
            found = _without_overlaps(every)
        new = applied(text, [edit for finding in now for edit in finding.edits])
        if new == text:
            break
        text = new
    return Translation(tuple(found), " ".join(text.split()))


def _without_overlaps(findings: list[Finding]) -> list[Finding]:
    """Return findings in the order of the text. Of those that edit the same part, the first is kept."""
    kept: list[Finding] = []
    for finding in findings:
        if not any(_overlap(finding, other) for other in kept):
            kept.append(finding)
    return sorted(kept, key=lambda finding: finding.offset)


def _overlap(one: Finding, other: Finding) -> bool:
    if one.offset == other.offset:
        return True
    spans = [(min(e.start for e in f.edits), max(e.end for e in f.edits)) for f in (one, other) if f.edits]
    if len(spans) < 2:
        return False
    (a, b), (c, d) = spans
    return a < d and c < b
