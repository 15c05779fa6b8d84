"""Warnings of a space: what is valid, but probably not what its author means.

A warning states where it is, what the text means, and how to write what is probably meant. The key ``allow`` of the
file silences it by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, partial
from typing import NamedTuple

from explorer.networks.architecture import Architecture
from explorer.networks.ops.base import Op
from explorer.networks.ops.conv import Conv, DepthwiseConv
from explorer.networks.ops.merge import Concatenate, Gate
from explorer.networks.ops.squeeze_excitation import SqueezeExcitation
from explorer.networks.ops.zero import Zero
from explorer.space.choices import Derivation
from explorer.space.condition import names_in
from explorer.space.constants import constants
from explorer.space.count.constrained import ConstrainedDecisions
from explorer.space.count.decisions import Decisions
from explorer.space.grammar import (
    DEFAULT_STRIDE,
    IDENTITY,
    WHOLE,
    Copied,
    Grammar,
    MergeItem,
    Node,
    OpItem,
    Place,
    Reference,
    StageRule,
    reachable,
    walk,
)
from explorer.space.lint.blocks import CHECKS as BLOCK_CHECKS
from explorer.space.lint.conditions import MAX_SHOWN, place_of, unused_alternatives, without_effect
from explorer.space.lint.expressions import CHECKS as EXPRESSION_CHECKS
from explorer.space.lint.expressions import Found
from explorer.space.lint.names import LINTS
from explorer.space.lint.paths import Path, PathReader
from explorer.space.lint.sample import NetworkSample, groups_of
from explorer.space.lint.structure import (
    dilates_beyond_map,
    exceeds_map,
    first_layer,
    flattens_map,
    has_layers_after_classifier,
    has_linear_stem,
    has_no_final_norm,
    keeps_map,
    squeezes_to_one,
    where_found,
)


class Lint(NamedTuple):
    """A warning.

    Attributes:
        name: Its name, one of ``LINTS``, by which ``allow`` silences it.
        source: The file's name.
        line: Line, from 1.
        column: Column, from 1.
        message: What the text means.
        fix: How to write what is probably meant.
    """

    name: str
    source: str
    line: int
    column: int
    message: str
    fix: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}: {self.message}; {self.fix} [{self.name}]"

    def to_dict(self) -> dict[str, str | int]:
        """Return the fields by name, with ``file`` for ``source``."""
        return {"file" if key == "source" else key: value for key, value in self._asdict().items()}


def find_lints(
    grammar: Grammar, architecture: Callable[[Derivation | int], Architecture], decisions: Decisions
) -> tuple[Lint, ...]:
    """Return the warnings of a space by their place, without those that the file allows.

    Args:
        grammar: The space.
        architecture: Returns the network of a derivation or an index.
        decisions: Its derivations.
    """
    finder = _Finder(grammar, architecture, decisions)
    assert finder.checks.keys() == LINTS.keys()
    found = [
        Lint(name, grammar.source, *place, message, fix)
        for name, check in finder.checks.items()
        if name not in grammar.allowed
        for place, message, fix in check()
    ]
    return tuple(sorted(dict.fromkeys(found), key=lambda lint: (lint.line, lint.column)))


class _Finder:
    """The checks of one space."""

    def __init__(
        self, grammar: Grammar, architecture: Callable[[Derivation | int], Architecture], decisions: Decisions
    ):
        self.grammar, self.architecture, self.decisions = grammar, architecture, decisions
        self.checks: dict[str, Callable[[], Found]] = {
            "input-order": self.input_order,
            "unused-rule": self.unused_rules,
            "nothing-before-merge": self.nothing_before_merge,
            "default-identity": self.default_identity,
            "layers-after-merge": self.layers_after_merge,
            **{name: partial(check, grammar) for name, check in EXPRESSION_CHECKS.items()},
            **{name: partial(check, grammar, lambda: self.sample.examples) for name, check in BLOCK_CHECKS.items()},
            "default-stride": self.default_stride,
            "share-ratio": self.share_ratios,
            "condition-without-effect": lambda: self.of_conditions(without_effect),
            "unused-alternative": lambda: self.of_conditions(unused_alternatives),
            "copied-from-zero": self.copied_from_zero,
            "no-final-norm": self.no_final_norm,
            "linear-stem": self.linear_stem,
            "squeeze-to-one": self.squeeze_to_one,
            "dilation-beyond-map": self.dilation_beyond_map,
            "kernel-beyond-map": self.kernel_beyond_map,
            "flattened-map": self.flattened_map,
            "after-classifier": self.after_classifier,
            "equal-alternatives": self.equal_alternatives,
            "one-network": self.one_network,
        }

    @cached_property
    def sample(self) -> NetworkSample:
        """Some networks of the space."""
        return NetworkSample(self.grammar, self.decisions, self.architecture)

    def input_order(self) -> Found:
        """Find an input that has its channels last, as images have in files."""
        form = self.grammar.input
        channels, height, width = form
        if width in (1, 3, 4) and channels >= 8 and height >= 8 and (channels == height or width > 1):
            yield (
                self.grammar.places["input"],
                f"the input {form} is {channels} channels of {height}x{width} pixels",
                f"write {width}x{channels}x{height} if the last number of {form} is that of the channels",
            )

    def unused_rules(self) -> Found:
        """Find rules that no network uses."""
        nodes = reachable(self.grammar.rules, self.grammar.roots)
        used = {node.name for node in nodes if isinstance(node, Reference)}
        used.update(named.name for condition in self.grammar.where for named in names_in(condition.truth))
        for name in self.grammar.rules:
            if name not in used:
                message = f"no stem, stage, shortcut, transition or head uses the rule {name!r}, so it has no effect"
                yield self.grammar.places[f"grammar.{name}"], message, "remove it, or name it where it belongs"

    def of_conditions(self, check: Callable[[ConstrainedDecisions], Found]) -> Found:
        """Find what a check of the conditions finds, if there are any."""
        decisions = self.decisions
        if isinstance(decisions, ConstrainedDecisions) and decisions.is_counted:
            return check(decisions)
        return iter(())

    def nothing_before_merge(self) -> Found:
        """Find residual blocks without a layer before the merge."""
        for _, stage, path in self._paths():
            shortcut = stage.shortcuts[path.named].same
            if path.last or path.merge is None or shortcut is None:
                continue
            merge = path.merge.merge
            what = "x + x, twice its input" if _is_empty(shortcut) else "the sum of its input and its shortcut"
            if merge is Concatenate:
                what = "its input concatenated with itself"
            elif merge is Gate:
                what = "its input, whatever the gate is"
            where = self._rule_of(path.merge)
            fix = f"write 'zero {merge.spelling}' for a block that is its shortcut alone"
            if path.has_conv_after:
                fix = f"write the layers before {merge.spelling!r} if they are the residual branch, else {fix[6:]}"
            message = f"no layer stands before {merge.spelling!r}{where}: there the block computes {what}"
            yield path.merge.place, message, fix

    def default_identity(self) -> Found:
        """Find blocks that look plain, and have the identity as their shortcut only because it is the default."""
        fix = "write same: none under 'shortcut' if the block is plain, or same: identity if it is residual"
        opening: set[int] = set()
        for number, stage, path in self._paths():
            shortcut = stage.shortcuts[path.named]
            if shortcut.same is not IDENTITY or path.merge is None:
                continue
            if path.convs <= 1 and path.last == "activation" and not path.after and path.merge.merge.spelling == "+":
                what = f"a plain row of layers ends at '+'{self._rule_of(path.merge)}"
                yield path.merge.place, f"{what}: blocks that keep their shape add the identity, the default", fix
            elif shortcut.changed is None:
                opening.add(number)
        if opening:
            for number, (rule, made) in enumerate(zip(self.grammar.stages, self.architecture(0).stages), 1):
                if number in opening and made.blocks[0].shortcut == ():
                    what = f"stage {number} opens with a block that keeps its shape: it adds the identity, the default"
                    yield rule.place, f"{what}, although 'changed' is none", fix

    def layers_after_merge(self) -> Found:
        """Find convolutions directly after the merge: they are applied to the sum, not added to it."""
        for _, _, path in self._paths():
            if path.last and path.merge is not None and path.after == "conv" and path.merge.merge.spelling == "+":
                message = f"a convolution follows '+'{self._rule_of(path.merge)}: it is applied to the sum"
                fix = "write 'sum(conv3x3 bn, conv1x1 bn) +' for parallel branches that are added"
                yield path.merge.place, message, fix

    def default_stride(self) -> Found:
        """Find several stages that keep the size of the map because none has a stride."""
        stages = self.grammar.stages
        if len(stages) < 2 or any(stage.stride is not DEFAULT_STRIDE for stage in stages):
            return
        if found := where_found(self.sample.examples, keeps_map):
            strides = ", ".join(["1"] + ["2"] * (len(stages) - 1))
            message = f"the {len(stages)} stages have no stride, so the map keeps its size{found[1]}"
            fix = f"write 'stride: [{strides}]' if each halves it, or 'stride: 1'"
            yield self.grammar.places["stages"], message, fix

    def share_ratios(self) -> Found:
        """Find reduction ratios below 1."""
        for node in self._nodes():
            if not isinstance(node, OpItem):
                continue
            for argument, value in node.arguments:
                low = [number for number in constants(value, self.grammar.rules) if number < 1]
                if argument.kind == "ratio" and low:
                    name, share = node.op.spelling, max(low)
                    message = f"the ratio {share} of {name} is below 1, so it is the share: {share}*C channels"
                    yield node.place, message, f"write {name}({1 / share}) for the ratio that papers state"

    def copied_from_zero(self) -> Found:
        """Find ``post`` and ``pre`` that copy from a block that may be zero."""
        stages = self.grammar.stages
        for part, roots in (("stem", [stages[0].first]), ("head", [stages[-1].block, stages[-1].first])):
            nodes = reachable(self.grammar.rules, [getattr(self.grammar, part)])
            copied = next((node for node in nodes if isinstance(node, Copied)), None)
            from_zero = any(
                isinstance(node, OpItem) and node.op is Zero for node in reachable(self.grammar.rules, roots)
            )
            if copied is not None and from_zero:
                of = "first" if part == "stem" else "last"
                message = f"{copied.which!r} copies norms and activations of the {of} block, which may be zero"
                yield copied.place, f"{message} and have none", f"write the layers out in the {part}"

    def no_final_norm(self) -> Found:
        """Find pre-activation blocks whose sum reaches the classifier without a norm."""
        if found := where_found(self.sample.examples, has_no_final_norm):
            message = f"the blocks{found[1]} normalise their input, but no norm follows the last block"
            reason = (
                "the sum of all blocks reaches the classifier as it is (He et al. 2016 end with norm and activation)"
            )
            yield self.grammar.places["head"], f"{message}: {reason}", "write 'pre' or 'bn relu' first in the head"

    def linear_stem(self) -> Found:
        """Find a stem without norm and activation before blocks that start with a convolution."""
        if found := where_found(self.sample.examples, has_linear_stem):
            message = f"the stem ends with a convolution, and the first block{found[1]} starts with one"
            reason = "without norm and activation between them, both are one linear map"
            fix = "write 'post' or 'bn relu' last in the stem, or start the block with norm and activation"
            yield self.grammar.places["stem"], f"{message}: {reason}", fix

    def squeeze_to_one(self) -> Found:
        """Find squeeze-and-excitation with one channel in its squeeze."""
        found = where_found(self.sample.examples, lambda network: first_layer(network, squeezes_to_one) is not None)
        if found and (layer := first_layer(found[0].network, squeezes_to_one)):
            channels = layer.x.channels
            place = self._place_of((SqueezeExcitation,), "ratio", channels // 2 + 1)
            message = f"se squeezes {channels} channels to one{found[1]}: one number decides about all of them"
            yield place, message, f"write a smaller ratio, for instance se({max(2, channels // 4)})"

    def dilation_beyond_map(self) -> Found:
        """Find dilated convolutions whose outer weights read only padding."""
        found = where_found(self.sample.examples, lambda network: first_layer(network, dilates_beyond_map) is not None)
        if found and (layer := first_layer(found[0].network, dilates_beyond_map)):
            _, height, width = layer.x
            dilation = getattr(layer.op, "dilation", 1)
            place = self._place_of((Conv, DepthwiseConv), "dilation", dilation)
            message = f"the dilation {dilation} of {layer.op.spelling} on a map of {height}x{width} pixels{found[1]}"
            fix = f"write a dilation below {max(height, width)}, or give the network a larger input or smaller strides"
            yield place, f"{message}: all weights but the central ones read only padding", fix

    def kernel_beyond_map(self) -> Found:
        """Find convolutions that are larger than a map of one pixel in height or width."""
        if any(self.input_order()):
            return
        found = where_found(self.sample.examples, lambda network: first_layer(network, exceeds_map) is not None)
        if found and (layer := first_layer(found[0].network, exceeds_map)):
            _, height, width = layer.x
            message = f"{layer.op} on a map of {height}x{width} pixels{found[1]}: most of its weights read only padding"
            fix = "give the network a larger input or smaller strides, or write conv1x1"
            if max(height, width) > 1:
                fix = f"write {'conv1x3' if height == 1 else 'conv3x1'} for a signal"
            convs = (node for node in self._nodes() if isinstance(node, OpItem) and node.op is type(layer.op))
            kernel = getattr(layer.op, "kernel", None)
            yield next((node.place for node in convs if node.kernel == kernel), WHOLE), message, fix

    def flattened_map(self) -> Found:
        """Find a linear layer that reads all positions of a large map, in a head without a pool."""
        nodes = reachable(self.grammar.rules, [self.grammar.head])
        if any(isinstance(node, OpItem) and node.op.role == "pool" for node in nodes):
            return
        if found := where_found(self.sample.examples, lambda network: first_layer(network, flattens_map) is not None):
            layer = first_layer(found[0].network, flattens_map)
            assert layer is not None
            channels, height, width = layer.x
            message = f"fc reads all {height}x{width} positions of {channels} channels{found[1]}"
            yield self.grammar.places["head"], message, "write 'gap fc' for the average of the map"

    def after_classifier(self) -> Found:
        """Find layers after the classifier."""
        if found := where_found(self.sample.examples, has_layers_after_classifier):
            message = f"layers follow the classifier{found[1]}: fc without a width has one output for each class"
            fix = "write fc last, and hidden layers with their width before it, as in 'gap fc(128) relu fc'"
            yield self.grammar.places["head"], message, fix

    def equal_alternatives(self) -> Found:
        """Find alternatives that give the same networks."""
        for point, pairs in self.sample.alike.items():
            for group in groups_of(point.options, pairs):
                message = f"the alternatives {' | '.join(group[:MAX_SHOWN])} of {point.name!r} give the same networks"
                if len(group) == len(point.options):
                    message = f"the choice {point.name!r} ({' | '.join(group[:MAX_SHOWN])}) changes no network"
                yield place_of(self.grammar, point), message, f"keep {group[0]} only, or correct the others"

    def one_network(self) -> Found:
        """Find a space of one network."""
        if self.decisions.is_counted and self.decisions.indices == 1:
            fix = "write alternatives with '|', or 'allow: one-network' if it describes one network"
            yield WHOLE, "the space has one network, so a search has nothing to choose", fix

    def _place_of(self, ops: tuple[type[Op], ...], field: str, least: int) -> Place:
        """Return the place of an op with an argument that may be this large, else of any such op."""
        items = [node for node in self._nodes() if isinstance(node, OpItem) and node.op in ops]

        def may_be_large(item: OpItem) -> bool:
            values = [value for arg, value in item.arguments if arg.field == field]
            return any(max(constants(value, self.grammar.rules), default=least) >= least for value in values)

        return next((item.place for item in [*filter(may_be_large, items), *items]), WHOLE)

    def _paths(self) -> Iterator[tuple[int, StageRule, Path]]:
        """Yield the paths of the blocks that can keep their shape, with the number of the stage."""
        for number, stage in enumerate(self.grammar.stages, 1):
            reader = PathReader(self.grammar.rules, stage.shortcuts)
            for block in self._shape_keeping(number, stage):
                for path in reader.paths(block):
                    yield number, stage, path

    def _shape_keeping(self, number: int, stage: StageRule) -> Iterable[Node]:
        """Return the blocks of a stage that can keep their shape: not those that always have a stride."""
        strides, counts = (constants(value, self.grammar.rules) for value in (stage.stride, stage.blocks))
        has_stride = min(strides, default=0) > 1 and (number == 1 or self.grammar.transition is None)
        has_others = max(counts, default=2) > 1
        return dict.fromkeys([stage.first] * (not has_stride) + [stage.block] * has_others)

    def _nodes(self) -> Iterator[Node]:
        return reachable(self.grammar.rules, self.grammar.roots)

    def _rule_of(self, merge: MergeItem) -> str:
        """Return ``in the rule 'skip'`` for a merge in a rule, with a blank before."""
        rules = self.grammar.rules.items()
        return next((f" in the rule {name!r}" for name, tree in rules if any(n is merge for n in walk(tree))), "")


def _is_empty(node: Node) -> bool:
    return not node.children
