"""The search space as a value: rules, what they draw, and the questions one asks of it."""

from __future__ import annotations

import hashlib
import operator
import random
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from explorer.architecture import Architecture
from explorer.errors import ExplorerError, Problem, SpaceError, did_you_mean
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

    def __hash__(self) -> int:
        return hash(frozenset(self.choices.items()))

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
        """Derivation number ``index``; 0 takes every first alternative. Raises SpaceError outside [0, count), TypeError
        for what is not a whole number."""
        index, total = operator.index(index), self.count()
        if not 0 <= index < total:
            raise self.error(f"index {index} is outside the space: it has {total:,} derivations, 0..{total - 1}")
        return self._decisions.unrank(index)

    def rank(self, which: Derivation | Mapping[str, str] | str | int) -> int:
        """The index of a derivation, or of what ``derivation`` accepts. Raises SpaceError when it is not one of this
        space."""
        return self._decisions.rank(self.derivation(which))

    def derivation(self, which: Derivation | Mapping[str, str] | str | int) -> Derivation:
        """The derivation that ``which`` names: its index, its choices as a mapping or as text ("order=full_preact,
        depth=3", first alternatives elsewhere; or an index in digits), or a Derivation, checked against this space.

        Raises SpaceError when the space has none of that name, and TypeError for any other value.
        """
        if isinstance(which, Derivation):
            return self._replayed(which.choices)
        if isinstance(which, Mapping):
            return self.named(which)
        if isinstance(which, str):
            text = which.strip()
            if text.isascii() and text.isdigit():
                if len(text) > 1_000:
                    raise self.error("an index of more than 1,000 digits")
                return self.unrank(int(text))
            if re.fullmatch(r"[-+]?[0-9._]+(e[0-9]+)?", text):
                raise self.error(f"{text[:40]!r} is not an index; write a whole number in 0..{self.count() - 1}")
            return self.named(named_choices(text))
        if isinstance(which, bool) or not hasattr(which, "__index__"):
            raise TypeError(
                "a network of a space is named by its index, its choices (a mapping, or text as in 'order=full_preact')"
                f" or a Derivation, found {which!r:.80}"
            )
        return self.unrank(which)

    def derive(self, choose: Chooser) -> Derivation:
        """The derivation that ``choose`` answers: it is asked each live choice once, and returns one of its options."""
        return self._decisions.walk(choose)

    def named(self, wanted: Mapping[str, str | int | float]) -> Derivation:
        """The derivation with the ``wanted`` choices, first alternatives elsewhere. A name without a
        scope (``attn``) sets every ``attn@...``. Raises SpaceError for a name or an alternative there is not."""
        wanted = {name: " ".join(str(alternative).split()) for name, alternative in wanted.items()}
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
        """``n`` independent draws, uniform over derivations, with replacement. Raises SpaceError for ``n`` below 0."""
        if operator.index(n) < 0:
            raise self.error(f"a sample has at least 0 networks, found n = {n}")
        draw = random.Random(f"{FORMAT}:{seed}")
        total = self.count()
        return [self._decisions.unrank(draw.randrange(total)) for _ in range(n)]

    def __iter__(self) -> Iterator[Derivation]:
        """All derivations in rank order."""
        for index in range(self.count()):
            yield self._decisions.unrank(index)

    def __len__(self) -> int:
        """``count()``. Raises OverflowError for a count that ``len`` cannot return."""
        if (total := self.count()) > sys.maxsize:
            raise OverflowError(f"{self.name} has more derivations than len() can return; use count()")
        return total

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, index: int | slice) -> Derivation | list[Derivation]:
        """The derivation of this index, from the end where it is negative, or a list of those of a slice. Raises
        IndexError outside the space."""
        if isinstance(index, slice):
            return [self._decisions.unrank(place) for place in range(self.count())[index]]
        place, total = operator.index(index), self.count()
        if not -total <= place < total:
            raise IndexError(f"index {place} is outside the space: it has {total:,} derivations")
        return self._decisions.unrank(place % total)

    def __contains__(self, derivation: object) -> bool:
        """Whether this is a derivation of the space."""
        if not isinstance(derivation, Derivation):
            return False
        try:
            return self._replayed(derivation.choices) == derivation
        except SpaceError:
            return False

    def architecture(self, which: Derivation | Mapping[str, str] | str | int) -> Architecture:
        """The network of a derivation, or of what ``derivation`` accepts. Raises SpaceError, located, when it cannot be
        built, and TypeError for any other value."""
        from explorer.grammar.derive import derive_architecture

        return derive_architecture(self, which if isinstance(which, Derivation) else self.derivation(which))

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


def named_choices(text: str) -> dict[str, str]:
    """``order=full_preact,attn=se(r=4)`` as a mapping; commas inside brackets do not separate. Raises ExplorerError."""
    parts, depth = [""], 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    choices: dict[str, str] = {}
    for part in filter(str.strip, parts):
        name, equals, alternative = (piece.strip() for piece in part.partition("="))
        if not (name and equals and alternative):
            raise ExplorerError(f"{part.strip()[:80]!r} is not a choice; write NAME=ALTERNATIVE, separated by commas")
        if name in choices:
            raise ExplorerError(f"the choice {name!r} is made twice")
        choices[name] = alternative
    return choices
