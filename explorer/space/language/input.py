"""The key ``input`` of a space file: ``3x32x32``, or ``3 x res x res`` with numeric rules for height and width."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

from explorer.errors import ExplorerError, did_you_mean, similar_names
from explorer.networks.architecture import MAX_SIDE
from explorer.networks.ops.base import MAX_CHANNELS, TensorShape
from explorer.space.derive.layers import Program, Resolver
from explorer.space.grammar import Broken, Fault, Node, Number, Place, Reference, point_of, reachable, walk
from explorer.space.language.foreign import sections as foreign_sections
from explorer.space.language.sections import Sections
from explorer.space.language.yaml import Entry, Scalar, edit_of, kind_of

DEFAULT = TensorShape(3, 32, 32)
RULES = "write a numeric rule for it in grammar, as in 'res: 24 | 32'"


class Input(NamedTuple):
    """The input of a space.

    Attributes:
        shape: The shape of one image; of a side with a rule, the size in ``DEFAULT``.
        sides: Height and width if one of them has a rule, else empty.
    """

    shape: TensorShape
    sides: tuple[Node, ...] = ()


def read_input(sections: Sections, node: Entry | None) -> Input:
    """Return the input that a file describes, and report what is wrong with it.

    Args:
        sections: The file as read so far, with its rules.
        node: The entry; None for the default.
    """
    if node is None:
        return Input(DEFAULT)
    words = list(re.finditer(r"\S+", node.text)) if isinstance(node, Scalar) else []
    if len(words) == 5 and words[1][0] == words[3][0] == "x" and not all(_is_whole(word[0]) for word in words[::2]):
        assert isinstance(node, Scalar)
        return _with_rules(sections, node, words[::2])
    try:
        return Input(parse_shape(node.text if isinstance(node, Scalar) else ""))
    except ExplorerError as error:
        message = str(error) if isinstance(node, Scalar) else str(error).replace("''", kind_of(node))
        text = _spaced(sections, node) or foreign_sections.input_shape(node)
        sections.gap(node, message, *([edit_of(sections.problems.text, node, text)] if text else []))
    return Input(DEFAULT)


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _spaced(sections: Sections, node: Entry) -> str:
    """Return ``3 x res x res`` for ``3xresxres``, if ``res`` is a rule; else ""."""
    parts = node.text.split("x") if isinstance(node, Scalar) else []
    parts = [part.strip() for part in parts]
    names = [part for part in parts[1:] if not _is_whole(part)]
    is_known = len(parts) == 3 and _is_whole(parts[0]) and names and all(name in sections.names.rules for name in names)
    return " x ".join(parts) if is_known else ""


def _with_rules(sections: Sections, node: Scalar, words: list[re.Match[str]]) -> Input:
    """Return an input that names rules; ``words``: channels, height, width."""
    channels = words[0][0]
    if not (_is_whole(channels) and len(channels) < 6 and 1 <= int(channels) <= MAX_CHANNELS):
        sections.gap(node, f"the channels of an input are a whole number from 1 to 65,536, found {channels[:40]!r}")
        return Input(DEFAULT)
    sides: list[Node] = []
    for match in words[1:]:
        word, place = match[0], node.place(match.start())
        if _is_whole(word) and len(word) < 6 and 1 <= int(word) <= MAX_SIDE:
            sides.append(Number(Fraction(word)))
        elif message := _fault(sections, word):
            near = similar_names(word, [name for name, is_numeric in sections.names.rules.items() if is_numeric])[:1]
            text = " ".join(near[0] if each == word else each for each in node.text.split()) if near else ""
            sections.gap(place, message, *([edit_of(sections.problems.text, node, text)] if text else []))
            return Input(DEFAULT)
        else:
            sides.append(Reference(word, place))
    return Input(DEFAULT._replace(channels=int(channels)), tuple(sides))


def _fault(sections: Sections, name: str) -> str:
    """Return why a name cannot be a side of the input; "" if it can."""
    rules = sections.names.rules
    if _is_whole(name):
        return f"an input has sides of 1 to {MAX_SIDE:,}; found {name[:40]}"
    if name not in rules:
        near = did_you_mean(name, rules)
        return f"unknown rule {name[:64]!r} in input{near or f'; {RULES}'}"
    if isinstance(sections.rules[name], Broken):
        return ""
    if not rules[name]:
        return f"the rule {name!r} has layers, but a side of the input is a number; {RULES}"
    references = [node.name for node in walk(sections.rules[name]) if isinstance(node, Reference)]
    for each in dict.fromkeys([name, *references]):
        scope = sections.scopes.get(each, "network")
        has_choices = any(point_of(node) is not None for node in walk(sections.rules[each]))
        if scope != "network" and has_choices:
            return f"a network has one input, but {each!r} varies by {scope}; remove {each!r} from vary"
    return ""


def first_shape(found: Input, sections: Sections, node: Entry | None) -> TensorShape:
    """Return the shape of an image with the first option of each choice, and report an impossible one.

    Args:
        found: The input.
        sections: The file with all its rules, which must not be nested too deep.
        node: The entry of the input.
    """
    broken = any(isinstance(each, Broken) for each in reachable(sections.rules, found.sides))
    if node is None or not found.sides or broken:
        return found.shape
    place: Place = (node.line, node.column)
    resolver = Resolver(Program(sections.rules), lambda point: 0, {})
    try:
        height, width = (
            resolver.whole(side, name, "of the input", 1, MAX_SIDE, place)
            for side, name in zip(found.sides, ("height", "width"))
        )
    except Fault as fault:
        sections.gap(fault.place, str(fault))
        return found.shape
    return TensorShape(found.shape.channels, height, width)


def parse_shape(text: str) -> TensorShape:
    """Parse ``3x32x32`` as channels, height and width.

    Raises:
        ExplorerError: If the text has another form, or a size is out of range.
    """
    parts = text.strip().split("x")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
        raise ExplorerError(f"an input is channels x height x width, as in 3x32x32; found {text[:40]!r}")
    shape = TensorShape(*map(int, parts))
    if not (1 <= shape.channels <= 65_536 and all(1 <= side <= 4_096 for side in shape[1:])):
        raise ExplorerError(f"an input has 1 to 65,536 channels and sides of 1 to 4,096; found {text[:40]!r}")
    return shape
