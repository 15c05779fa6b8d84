"""The search space as a value: rules, what they draw, and the questions one asks of it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from explorer.architecture import Architecture
from explorer.errors import Problem, SpaceError, did_you_mean
from explorer.grammar.resolve import Program
from explorer.grammar.tree import Item, Point, Value
from explorer.limits import Limit
from explorer.ops.base import TensorShape

FORMAT = 1


class Choice(NamedTuple):
    """A choice point in its place: ``attn@stage2`` and the alternatives' texts, as the file spells them."""

    name: str
    options: tuple[str, ...]


Chooser = Callable[[Choice], str]


@dataclass(frozen=True, slots=True)
class ShortcutRule:
    """The shortcut of a block that keeps its shape (``same``) or does not (``changed``); None for
    no shortcut. ``source``: input, or preact (after the branch's initial norms and activations)."""

    same: Item | None
    changed: Item | None
    source: str


@dataclass(frozen=True, slots=True)
class StageRule:
    """What a stage draws. ``first`` opens the stage. ``shortcuts``: rule name -> the shortcut of
    blocks derived through that rule, the general one under the empty name."""

    blocks: Value
    width: Value
    stride: Value
    dilation: Value
    block: Item
    first: Item
    shortcuts: Mapping[str, ShortcutRule]
    place: tuple[int, int]


@dataclass(frozen=True)
class Derivation:
    """All choices of one network: choice point -> the chosen alternative's text, in the order asked."""

    choices: Mapping[str, str]

    def __str__(self) -> str:
        return ", ".join(f"{name}={text}" for name, text in self.choices.items())


@dataclass(frozen=True, eq=False)
class SearchSpace:
    """A search space, parsed and checked. Made by ``load_space`` or ``parse_space``.

    ``text`` is the file it came from, ``source`` the file's name as errors print it.
    """

    name: str
    about: str
    text: str
    source: str
    input: TensorShape
    classes: int
    stem: Item
    transition: Item | None
    head: Item
    stages: tuple[StageRule, ...]
    rules: Mapping[str, Item | Value]
    points: tuple[Point, ...]
    limits: tuple[Limit, ...]
    validated: str = field(default="", compare=False)

    # These are pure functions of the space, and are made once, when first asked for.

    @cached_property
    def program(self) -> Program:
        """The rules laid out for reading, the use of those noted that have a shortcut of their own."""
        return Program(self.rules, (name for stage in self.stages for name in stage.shortcuts))

    @cached_property
    def _decisions(self):
        from explorer.grammar.decisions import Decisions

        return Decisions(self)

    def count(self) -> int:
        """The number of derivations, exactly, dead choices not counted."""
        return self._decisions.count()

    def unrank(self, index: int) -> Derivation:
        """Derivation number ``index``; 0 takes every first alternative. Raises SpaceError outside [0, count)."""
        total = self.count()
        if not 0 <= index < total:
            raise self.error(f"index {index} is outside the space: it has {total:,} derivations, 0..{total - 1}")
        return self._decisions.unrank(index)

    def rank(self, derivation: Derivation) -> int:
        """The index of a derivation. Raises SpaceError when it is not one of this space."""
        return self._decisions.rank(self._replayed(derivation.choices))

    def derive(self, choose: Chooser) -> Derivation:
        """The derivation that ``choose`` answers: it is asked each live choice once, and returns one of its options."""
        return self._decisions.walk(choose)

    def named(self, wanted: Mapping[str, str]) -> Derivation:
        """The derivation with the ``wanted`` choices, first alternatives elsewhere. A name without a
        scope (``attn``) sets every ``attn@...``. Raises SpaceError for a name or an alternative there is not."""
        wanted = {name: " ".join(text.split()) for name, text in wanted.items()}
        used: set[str] = set()

        def choose(choice: Choice) -> str:
            for name in (choice.name, choice.name.split("@")[0]):
                if name in wanted:
                    used.add(name)
                    return self._option(choice, wanted[name])
            return choice.options[0]

        derivation = self.derive(choose)
        for name in wanted:
            if name not in used and name.split("@")[0] not in {point.name for point in self.points}:
                known = [*derivation.choices, *(point.name for point in self.points)]
                raise self.error(
                    f"no choice {name!r}; the choices here: {', '.join(derivation.choices)}{did_you_mean(name, known)}"
                )
            if name not in used:
                raise self.error(f"the choice {name!r} does not arise here; the choices that do: {derivation}")
        return derivation

    def sample(self, n: int, seed: int = 0) -> list[Derivation]:
        """``n`` independent draws, uniform over derivations, with replacement."""
        draw = random.Random(f"{FORMAT}:{seed}")
        total = self.count()
        return [self._decisions.unrank(draw.randrange(total)) for _ in range(n)]

    def __iter__(self) -> Iterator[Derivation]:
        """All derivations in rank order."""
        for index in range(self.count()):
            yield self._decisions.unrank(index)

    def architecture(self, which: int | Derivation) -> Architecture:
        """The network of a derivation or of an index. Raises SpaceError, located, when it cannot be built."""
        from explorer.grammar.derive import derive_architecture

        derivation = self.unrank(which) if isinstance(which, int) else which
        return derive_architecture(self, derivation)

    def with_input(self, shape: TensorShape | Iterable[int], classes: int) -> SearchSpace:
        """The same space on another input shape and number of classes, checked anew."""
        from explorer.grammar.validate import validated

        return validated(replace(self, input=TensorShape(*shape), classes=classes, validated=""))

    @cached_property
    def digest(self) -> str:
        """The identity of the file's content: what is read, not blanks and comments, with input and classes."""
        from explorer.grammar.parse import content

        text = f"{FORMAT}\n{content(self.text)}\n{self.input}\n{self.classes}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def error(self, message: str, place: tuple[int, int] = (1, 1)) -> SpaceError:
        return SpaceError([Problem(self.source, *place, message)])

    def _option(self, choice: Choice, text: str) -> str:
        if text in choice.options:
            return text
        squeezed = {"".join(option.split()): option for option in choice.options}
        if "".join(text.split()) in squeezed:
            return squeezed["".join(text.split())]
        raise self.error(
            f"{choice.name} has no alternative {text[:80]!r}; it has: {' | '.join(choice.options)}"
            + did_you_mean(text, choice.options)
        )

    def _replayed(self, choices: Mapping[str, str]) -> Derivation:
        def choose(choice: Choice) -> str:
            if choice.name not in choices:
                raise self.error(
                    f"the derivation does not say {choice.name}; it is one of {' | '.join(choice.options)}"
                )
            return self._option(choice, choices[choice.name])

        derivation = self.derive(choose)
        extra = set(choices) - set(derivation.choices)
        if extra:
            raise self.error(
                f"the derivation says {', '.join(sorted(extra))}, which does not arise with its other choices"
            )
        return derivation
