"""``SearchSpace``: a grammar with its derivations and their networks, and how it is loaded."""

from __future__ import annotations

import hashlib
import math
import operator
import os
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, SupportsIndex

from explorer.errors import Problem, SpaceError, did_you_mean, suggestion
from explorer.networks.architecture import Architecture
from explorer.networks.ops.base import TensorShape
from explorer.space.choices import Choice, Chooser, Derivation, named_choices
from explorer.space.count.constrained import ConstrainedDecisions
from explorer.space.count.decisions import Decisions, Progress
from explorer.space.derivations import FORMAT, Derivations
from explorer.space.derive.architecture import Deriver
from explorer.space.derive.layers import Program
from explorer.space.fixes import with_fixes
from explorer.space.grammar import Reference
from explorer.space.language.foreign.alternatives import meant_alternatives
from explorer.space.language.parse import content, parse_grammar
from explorer.space.language.source_text import with_plain_line_ends
from explorer.space.language.yaml import MAX_BYTES
from explorer.space.lint.lint import Lint, find_lints
from explorer.space.shipped import find_space
from explorer.space.validate import MAX_WORK, validate
from explorer.system.files import read_regular
from explorer.system.plain_text import html_table

MAX_INDEX_DIGITS = 1_000
PICKLED = ("text", "source", "input", "classes", "validated")  # attributes of a space
Which = Derivation | Mapping[str, str] | str | SupportsIndex


def load_space(path: str | os.PathLike[str]) -> SearchSpace:
    """Load a space from a file.

    Args:
        path: A path, or the name of a shipped space: ``preact_variants.yaml`` or ``preact_variants``. A file in the
            working folder comes before a shipped space of the same name.

    Returns:
        The space.

    Raises:
        SpaceError: With all errors found, if the file cannot be read or is not a valid space.
    """
    file = find_space(path)
    try:
        data = read_regular(file, MAX_BYTES)
    except OSError as error:
        raise SpaceError([Problem(str(path), 1, 1, f"cannot be read: {error.strerror or error}")]) from None
    return parse_space(data, str(path))


def parse_space(text: str | bytes, source: str = "<space>") -> SearchSpace:
    """Return the space that the text of a file describes.

    Args:
        text: The text, or its bytes in UTF-8.
        source: The file's name, as errors print it.

    Returns:
        The space.

    Raises:
        SpaceError: With all errors found, if the text is not a valid space.
    """
    try:
        data = text.encode() if isinstance(text, str) else text
    except UnicodeEncodeError as error:
        raise SpaceError([Problem(source, 1, 1, f"not UTF-8: {error.reason}")]) from None
    try:
        return _parsed(data, source)
    except SpaceError as error:
        normal = with_plain_line_ends(data.decode("utf-8-sig", "replace"))
        raise with_fixes(error, normal, lambda fixed: _parsed(fixed.encode(), source)) from None


def _parsed(data: bytes, source: str) -> SearchSpace:
    grammar, problems = parse_grammar(data, source)
    return _set_validated(SearchSpace(**vars(grammar)), problems)


def _set_validated(
    space: SearchSpace,
    problems: Iterable[Problem] = (),
    max_work: float = MAX_WORK,
    progress: Progress = lambda states: None,
) -> SearchSpace:
    """Set ``validated`` of a space. Raises SpaceError with ``problems`` and those found."""
    found = validate(space, space.decisions, space.deriver, problems, max_work, progress)
    object.__setattr__(space, "validated", found)
    return space


@dataclass(frozen=True, eq=False, repr=False)
class SearchSpace(Derivations):
    """A search space, parsed and checked. Made by ``load_space`` or ``parse_space``.

    A space is a sequence of its derivations: ``len``, indices, slices, ``in`` and iteration work, in rank order. If
    counting the derivations would take more than a fixed amount of work, they are not counted: ``size`` is an estimate,
    ``len`` raises TypeError, and some indices belong to no derivation. ``draw``, ``sample`` and ``rank`` work on every
    space.

    Attributes:
        validated: "all" if every combination of block, input shape and choices was built on loading, "sampled" if
            that would take more than about 0.2 s, and some derivations were built.
    """

    validated: str = field(default="", compare=False)

    def __eq__(self, other: object) -> bool:
        """Spaces of the same text, image size and classes are equal, also after pickling or copying."""
        return isinstance(other, SearchSpace) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[Any, ...]:
        return self.text, self.input, self.classes

    def __repr__(self) -> str:
        return f"SearchSpace({self.name!r}: {self.size}, {self.input_text} images, {self.classes} classes)"

    def _repr_html_(self) -> str:
        """Return the choices with their alternatives as a table, for notebooks."""
        return html_table(repr(self), {name: " | ".join(options) for name, options in self.choices()})

    @cached_property
    def decisions(self) -> Decisions:
        """Counts, ranks and walks the derivations."""
        return ConstrainedDecisions(self) if self.where else Decisions(self)

    @cached_property
    def deriver(self) -> Deriver:
        """Derives the networks."""
        return Deriver(self)

    @property
    def program(self) -> Program:
        """The expressions of the space, as earlier versions offered them. Deprecated: use ``deriver.program``."""
        warnings.warn("SearchSpace.program is now SearchSpace.deriver.program", DeprecationWarning, stacklevel=2)
        return self.deriver.program

    def __getstate__(self) -> dict[str, Any]:
        """Return the text and what may differ from it, so that later versions can read a pickled space."""
        return {name: getattr(self, name) for name in PICKLED}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Parse the text again. Earlier versions pickled further attributes, which are not needed."""
        grammar, _ = parse_grammar(state["text"].encode(), state["source"])
        vars(self).update(vars(grammar), **{name: state[name] for name in PICKLED})

    @cached_property
    def warnings(self) -> tuple[Lint, ...]:
        """What is valid but probably not meant, by its place in the file, without what the file allows."""
        return find_lints(self, self.architecture, self.decisions)

    def rank(self, which: Which) -> int:
        """Return the index of a derivation, or of anything that ``derivation`` accepts.

        Raises:
            SpaceError: If the space has no such derivation.
            TypeError: If the value has none of the accepted types.
        """
        return self.decisions.rank(self.derivation(which))

    def derivation(self, which: Which) -> Derivation:
        """Return a derivation of this space.

        Args:
            which: Its index, as a number or in digits; its choices, as a mapping or as text ("order=full_preact,
                depth=3"), with first alternatives elsewhere; or a Derivation.

        Raises:
            SpaceError: If the space has no such derivation.
            TypeError: If the value is of none of these types.
        """
        if isinstance(which, Derivation):
            return self._replayed(which.choices)
        if isinstance(which, Mapping):
            return self.named(which)
        if isinstance(which, str):
            text = which.strip()
            if not text:
                raise self.error("an empty text names no network; write an index, such as 0, or choices")
            if text.isascii() and text.isdigit():
                if len(text) > MAX_INDEX_DIGITS:
                    raise self.error(f"an index of more than {MAX_INDEX_DIGITS:,} digits")
                return self.unrank(int(text))
            if re.fullmatch(r"[-+]?[0-9._]+(e[0-9]+)?", text):
                raise self.error(f"{text[:40]!r} is not an index; write a whole number in 0..{self.indices - 1}")
            return self.named(named_choices(text))
        if isinstance(which, bool) or not hasattr(which, "__index__"):
            raise TypeError(
                "expected an index, choices (a mapping, or text as in 'order=full_preact') or a Derivation,"
                f" found {which!r:.80}"
            )
        return self.unrank(operator.index(which))

    def derive(self, choose: Chooser) -> Derivation:
        """Return the derivation with the options that ``choose`` returns.

        Args:
            choose: Called once for each choice that occurs; returns one of its options.

        Raises:
            ValueError: If ``choose`` returns a text that is not an option.
        """
        return self.decisions.walk(choose)

    def named(self, wanted: Mapping[str, str | int | float]) -> Derivation:
        """Return the derivation with the ``wanted`` choices and first alternatives elsewhere.

        Args:
            wanted: Name -> alternative. A name without a place (``attn``) sets every ``attn@...``.

        Raises:
            SpaceError: If there is no such choice or alternative.
        """
        texts = {str(name): " ".join(str(alternative).split()) for name, alternative in wanted.items()}
        used: set[str] = set()

        def fixed(choice: Choice) -> str | None:
            for name in (choice.name, choice.name.split("@")[0]):
                if name in texts:
                    used.add(name)
                    return self._option(choice, texts[name])
            return None

        derivation = self.decisions.first_with(fixed)
        for name in texts:
            if name in used:
                continue
            if name.split("@")[0] not in {point.name for point in self.points}:
                known = [*derivation.choices, *(point.name for point in self.points)]
                raise self.error(
                    f"no choice {name!r}; the choices here: {', '.join(derivation.choices)}{did_you_mean(name, known)}"
                )
            raise self.error(f"the choice {name!r} does not arise here; the choices that do: {derivation}")
        return derivation

    def __contains__(self, derivation: object) -> bool:
        """Whether this is a derivation of the space."""
        if not isinstance(derivation, Derivation):
            return False
        try:
            return self._replayed(derivation.choices) == derivation
        except SpaceError:
            return False

    def architecture(self, which: Which) -> Architecture:
        """Return the network of a derivation, or of anything that ``derivation`` accepts.

        Raises:
            SpaceError: With its place in the file, if the network cannot be built or there is no such derivation.
            TypeError: If the value has none of the accepted types.
        """
        derivation = which if isinstance(which, Derivation) else self.derivation(which)
        return self.deriver.architecture(derivation.choices)

    def with_input(self, shape: TensorShape | Iterable[int], classes: int) -> SearchSpace:
        """Return the same space for another input and number of classes, checked again.

        Args:
            shape: Channels, height and width. Height and width have no effect if the space has rules for them.
            classes: The number of classes.

        Raises:
            SpaceError: If a derivation cannot be built with them.
        """
        new = TensorShape(*shape)
        if self.sides:
            new = self.input._replace(channels=new.channels)
        return _set_validated(replace(self, input=new, classes=classes, validated=""))

    @property
    def input_parts(self) -> list[int | str]:
        """Channels, height and width of the input; the name of the rule for a side that has one."""
        named = [side.name if isinstance(side, Reference) else "" for side in self.sides] or ["", ""]
        return [self.input.channels, *(name or size for name, size in zip(named, self.input[1:]))]

    @property
    def input_text(self) -> str:
        """The input as a space file spells it: ``3x32x32``, or ``3 x res x res`` with rules for its sides."""
        return " x ".join(map(str, self.input_parts)) if self.sides else str(self.input)

    def check_all_units(self, progress: Progress = lambda states: None) -> None:
        """Build every combination of block, input shape and choices, however many there are.

        ``validated`` is "all" afterwards, unless a number of blocks that is a choice affects shapes by ``n``.

        Args:
            progress: Called often with the number of states so far.

        Raises:
            SpaceError: If one cannot be built.
        """
        if self.validated != "all":
            _set_validated(self, max_work=math.inf, progress=progress)

    @cached_property
    def digest(self) -> str:
        """Digest of the content of the file, without blanks and comments, and of input and classes."""
        text = f"{FORMAT}\n{content(self.text)}\n{self.input_text}\n{self.classes}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def _option(self, choice: Choice, text: str) -> str:
        if text in choice.options:
            return text
        squeezed = {"".join(option.split()): option for option in choice.options}
        if "".join(text.split()) in squeezed:
            return squeezed["".join(text.split())]
        raise self.error(
            f"{choice.name} has no alternative {text[:80]!r}; it has: {' | '.join(choice.options)}"
            + suggestion(meant_alternatives(text, choice.options)[:2])
        )

    def _replayed(self, choices: Mapping[str, str]) -> Derivation:
        def choose(choice: Choice) -> str:
            if choice.name not in choices:
                raise self.error(
                    f"the derivation has no choice {choice.name}; it is one of {' | '.join(choice.options)}"
                )
            return self._option(choice, str(choices[choice.name]))

        derivation = self.derive(choose)
        extra = set(choices) - set(derivation.choices)
        if extra:
            raise self.error(
                f"the derivation has the choice {', '.join(sorted(extra))}, which does not arise with its other choices"
            )
        return derivation
