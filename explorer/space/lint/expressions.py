"""Warnings of expressions: what binds otherwise than it looks, and what has no effect where it is.

Each check is a function of a grammar that yields place, message and fix.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fractions import Fraction

from explorer.networks.ops.base import Op
from explorer.networks.ops.pool import AvgPool, BlurPool, MaxPool
from explorer.networks.ops.regularisation import Dropout, DropPath
from explorer.space.constants import constants
from explorer.space.grammar import (
    Alternatives,
    Arithmetic,
    Grammar,
    Group,
    Node,
    Number,
    OpItem,
    Place,
    Reference,
    Repeat,
    Variable,
    point_of,
    reachable,
    walk,
)

Found = Iterator[tuple[Place, str, str]]  # place, message, fix

MAX_SHOWN = 60  # characters of an alternative
IDEMPOTENT = {"norm", "activation"}  # roles of layers that are not written twice in a row
FEWER = 4  # channels of a convolution, in stages of at least so many times as many
MOST_DROPPED = Fraction(1, 2)


def row_alternatives(grammar: Grammar) -> Found:
    """Find ``conv3x3 bn relu | silu``, which may mean conv3x3 bn (relu | silu): '|' separates whole rows."""
    for node in reachable(grammar.rules, grammar.roots):
        if not isinstance(node, Alternatives):
            continue
        long = [number for number, row in enumerate(node.options) if len(_items(row)) > 1]
        if long not in ([0], [len(node.options) - 1]):
            continue  # several rows, or one among layers
        number = min(long[0], len(node.options) - 2)
        left, right = node.options[number : number + 2]
        if _looks_like_one_choice(grammar, left, right):
            texts = [text[:MAX_SHOWN] for text in node.point.options]
            row, singles = (texts[0], texts[1:]) if long == [0] else (texts[-1], texts[:-1])
            layers = re.split(r"\s+(?![^()]*\))", row)
            *others, last = layers if long == [0] else layers[::-1]
            choice = f"({' | '.join([last, *singles] if long == [0] else [*singles, last])})"
            one = " ".join([*others, choice] if long == [0] else [choice, *others[::-1]])
            sure = " | ".join(f"({text})" if text is row else text for text in texts)
            message = f"'|' separates whole rows: '{row}' is one alternative"
            yield _place(node.options[long[0]]), message, f"write '{one}' for a choice of one layer, else '{sure}'"


def _looks_like_one_choice(grammar: Grammar, left: Node, right: Node) -> bool:
    """Whether of two neighbouring alternatives one is a layer that could replace the layer beside it in the other."""
    before, after = _items(left), _items(right)
    if not before or not after or (len(before) == 1) == (len(after) == 1):
        return False
    roles = [_role(grammar, item) for item in (*before, *after)]
    beside = roles[len(before) - 1]
    if not beside or beside != roles[len(before)] or roles.count(beside) > 2 or not set(roles) & IDEMPOTENT - {beside}:
        return False
    one, other = before[-1], after[0]
    return not (isinstance(one, OpItem) and isinstance(other, OpItem) and _spelled(one) == _spelled(other))


def _items(row: Node) -> tuple[Node, ...]:
    return row.items if isinstance(row, Group) else ()


def _spelled(item: OpItem) -> tuple[type[Op], object]:
    return item.op, item.kernel


def _role(grammar: Grammar, node: Node) -> str:
    """Return the role that all layers of an item have; "" if they have several, or if it is no op and no rule."""
    if not isinstance(node, (OpItem, Reference)):
        return ""
    ops = (inner.op for inner in reachable(grammar.rules, [node]) if isinstance(inner, OpItem))
    roles = {op.role for op in ops}
    return roles.pop() if len(roles) == 1 else ""


def _place(row: Node) -> Place:
    """Return the place of the first layer of a row that has one."""
    return next(node.place for node in walk(row) if isinstance(node, (OpItem, Reference)))


def repeated_layers(grammar: Grammar) -> Found:
    """Find ``conv3x3 bn relu{2}``, which repeats the activation alone, and what is repeated 0 times."""
    for node in reachable(grammar.rules, grammar.roots):
        if not isinstance(node, Repeat) or not isinstance(node.item, (Group, OpItem, Reference)):
            continue
        place = next((each.place for each in walk(node.item) if isinstance(each, (OpItem, Reference))), None)
        if place is None:
            continue
        if node.counts == (0,):
            yield place, "a repetition of 0 times: the layers are in no network", "remove them, or write '?' or {0,1}"
        elif max(node.counts) > 1 and (role := _role(grammar, node.item)) in IDEMPOTENT:
            count = f"{{{node.counts[0]},{node.counts[-1]}}}" if len(node.counts) > 1 else f"{{{node.counts[0]}}}"
            message = f"{count} repeats only the {role} before it"
            yield place, message, f"write the layers to repeat in brackets, as in (conv3x3 bn relu){count}"


def pools_without_stride(grammar: Grammar) -> Found:
    """Find a last pool of a stem, a transition, a shortcut or a head that keeps the size of the map."""
    parts = [("stem", grammar.stem), ("transition", grammar.transition), ("head", grammar.head)]
    changed = dict.fromkeys(shortcut.changed for stage in grammar.stages for shortcut in stage.shortcuts.values())
    for part, root in (*parts, *(("shortcut", each) for each in changed)):
        if root is None:
            continue
        pools = [node for node in reachable(grammar.rules, [root]) if _is_pool(node)]
        last = next((node for node in reversed(pools) if isinstance(node, OpItem)), None)
        if last is None or any(argument.field == "stride" for argument, _ in last.arguments):
            continue
        name, fix = last.op.spelling, "'gap' for the average of the whole map, or a stride"
        if last.kernel is None and part in ("stem", "head"):
            message = f"{name} has stride 1 in the {part}, so it is left out"
            yield last.place, message, f"write {fix if part == 'head' else f'{name}3x3(s=2)'}"
        elif last.kernel is not None and _has_default_size(last):
            sized = _sized(last)
            message = f"{sized} has stride 1, the default, so it does not halve the map"
            stride = "s" if part in ("transition", "shortcut") else "2"
            fix = fix if part == "head" else f"{sized}(s={stride})"
            yield last.place, message, f"write {fix}, or {sized}(s=1) to confirm"


def _sized(item: OpItem) -> str:
    """Return the name of an op with its kernel size, as in conv3x3."""
    sides = (item.kernel,) * 2 if isinstance(item.kernel, int) else item.kernel or ()
    return f"{item.op.spelling}{'x'.join(map(str, sides))}"


def _is_pool(node: Node) -> bool:
    return isinstance(node, OpItem) and node.op in (MaxPool, AvgPool, BlurPool)


def _has_default_size(pool: OpItem) -> bool:
    """Whether a pool has no padding of its own: with pad=0 it shrinks the map by its window."""
    return not any(argument.field == "padding" for argument, _ in pool.arguments)


def most_dropped(grammar: Grammar) -> Found:
    """Find probabilities of dropping above 1/2, which may be meant as probabilities of keeping."""
    for node in reachable(grammar.rules, grammar.roots):
        if not isinstance(node, OpItem) or node.op not in (Dropout, DropPath):
            continue
        for _, value in node.arguments:
            large = [number for number in constants(value, grammar.rules) if number > MOST_DROPPED]
            if large:
                name, p = node.op.spelling, float(max(large))
                what = "blocks" if node.op is DropPath else "values"
                message = f"{name}({p:g}) drops {p:.0%} of the {what}: p is the probability of dropping, not of keeping"
                yield node.place, message, f"write {name}({1 - p:g}) if {p:g} is the probability of keeping"


def differences(grammar: Grammar) -> Found:
    """Find ``5-3`` as a whole number, which looks like a range."""
    owners = [(grammar.places[f"grammar.{name}"], tree) for name, tree in grammar.rules.items()]
    owners += [(stage.place, value) for stage in grammar.stages for value in stage.numbers]
    for place, tree in owners:
        if not isinstance(tree, Arithmetic) or tree.operator != "-":
            continue
        numbers = [node.value for node in (tree.left, tree.right) if isinstance(node, Number)]
        if len(numbers) == 2:
            high, low = numbers
            message = f"{high}-{low} is the difference {high - low}, not a range"
            yield place, message, f"write {high - low}, or range({low}, {high}, 1) for a choice"


def unused_dilation(grammar: Grammar) -> Found:
    """Find a dilation of stages that no layer reads: a conv takes it by the variable ``d``."""
    stages = [stage for stage in grammar.stages if constants(stage.dilation, grammar.rules) != {1}]
    for stage in stages:
        nodes = reachable(grammar.rules, [root for root in stage.roots if root is not stage.dilation])
        if not any(isinstance(node, Variable) and node.name == "d" for node in nodes):
            message = "the stage has a dilation, but no layer of its blocks reads it"
            yield stage.place, message, "write d=d in the convolutions that have it, as in conv3x3(d=d)"
            return


def shared_width(grammar: Grammar) -> Found:
    """Find ``width: 16 | 32 | 64`` of three stages: one choice for all stages, which may be meant as a list."""
    widths = {stage.width for stage in grammar.stages}
    width = next(iter(widths))
    if len(widths) == 1 < len(grammar.stages) and isinstance(width, Alternatives):
        options = width.point.options
        if len(options) == len(grammar.stages) > 2:
            message = f"the {len(options)} stages have one width, a choice of as many numbers"
            yield grammar.stages[0].place, message, f"write 'width: [{', '.join(options)}]' for one number a stage"


def few_channels(grammar: Grammar) -> Found:
    """Find convolutions with 2 to 7 channels in wide stages: a kernel size, a stride or a factor may be meant."""
    least = min(min(constants(stage.width, grammar.rules), default=Fraction(0)) for stage in grammar.stages)
    for node in reachable(grammar.rules, grammar.roots):
        if not isinstance(node, OpItem) or node.op.role != "conv":
            continue
        outs = [constants(value, grammar.rules) for argument, value in node.arguments if argument.field == "out"]
        if outs and outs[0] and min(outs[0]) >= 2 and max(outs[0]) * FEWER <= least and max(outs[0]) < 8:
            number = max(outs[0])
            message = f"{_sized(node)} has {number} output channels, its first argument, in stages of at least {least}"
            yield node.place, message, f"write s={number} for a stride, w*{number} or in*{number} for a factor"


def vary_without_choice(grammar: Grammar) -> Found:
    """Find scopes of rules and sections that have no choice of their own."""
    sections: dict[str, list[Node | None]] = {
        "stem": [grammar.stem],
        "head": [grammar.head],
        "transition": [grammar.transition],
    }
    sections["block"] = [stage.block for stage in grammar.stages]
    sections["first"] = [stage.first for stage in grammar.stages]
    for key, place in grammar.places.items():
        kind, _, name = key.partition(".")
        roots = [grammar.rules[name]] if name in grammar.rules else sections.get(name, [])
        trees = [root for root in roots if root is not None]
        if kind != "vary" or not trees or any(point_of(node) for tree in trees for node in walk(tree)):
            continue
        inner = dict.fromkeys(node.name for tree in trees for node in walk(tree) if isinstance(node, Reference))
        owners = [rule for rule in inner if any(point_of(node) for node in walk(grammar.rules[rule]))]
        fix = f"write the scope of {' or '.join(map(repr, owners))}" if owners else "remove it, or write alternatives"
        yield place, f"{name!r} has no choice of its own, so its scope under 'vary' has no effect", fix


def unused_shortcuts(grammar: Grammar) -> Found:
    """Find shortcuts of rules through which no block is derived."""
    used = {name for stage in grammar.stages for name in stage.shortcuts}
    nodes = reachable(grammar.rules, grammar.roots)
    named = {node.name for node in nodes if isinstance(node, Reference)}
    for key, place in grammar.places.items():
        kind, _, name = key.partition(".")
        if kind == "shortcut" and name in grammar.rules and name in named - used:
            message = f"no block is derived through the rule {name!r}, so its shortcut has no effect"
            yield place, message, "remove it, or name a rule that the block uses"


CHECKS: dict[str, Callable[[Grammar], Found]] = {
    "row-alternatives": row_alternatives,
    "repeated-layer": repeated_layers,
    "pool-without-stride": pools_without_stride,
    "mostly-dropped": most_dropped,
    "difference": differences,
    "unused-dilation": unused_dilation,
    "shared-width": shared_width,
    "few-channels": few_channels,
    "vary-without-choice": vary_without_choice,
    "unused-shortcut": unused_shortcuts,
}
