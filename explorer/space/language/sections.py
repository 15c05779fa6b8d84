"""Reading the entries of a space file as expressions, and the state of reading one file."""

from __future__ import annotations

import re
from collections.abc import Mapping as Table
from dataclasses import replace

from explorer.errors import Edit
from explorer.space.grammar import SCOPES, Broken, Node, Place
from explorer.space.language.expression import Parser
from explorer.space.language.foreign.entries import as_expression
from explorer.space.language.foreign.numbers import is_suspicious
from explorer.space.language.foreign.residual import separates_layers
from explorer.space.language.foreign.translate import translate
from explorer.space.language.known_keys import read_keys
from explorer.space.language.names import Names
from explorer.space.language.source_text import applied
from explorer.space.language.tokens import ExpressionError, TooManyTokens
from explorer.space.language.yaml import Entry, Mapping, Problems, Scalar, Sequence, edit_of, kind_of

_POOL = re.compile(r"\bavgpool(\d)x\1\(s=\1\)")  # in place of the block's stride
_UNKNOWN_NUMBER = re.compile(r"unknown name '([A-Za-z][\w-]*)'(?: in [^;]*)?")  # without a similar name
_FOR_EMPTY = {"head": "gap fc", "block": "conv3x3 bn relu conv3x3 bn + relu"}  # sections that need layers


class Sections:
    """The state of reading one file.

    Attributes:
        problems: The errors so far.
        names: The names of this file.
        rules: Rule name -> its tree.
        scopes: Owner of choice points -> their scope.
        trees: Every expression with its text, in reading order.
        has_gaps: Whether an error, such as a misspelt key, makes the content incomplete; then shapes are not checked.
    """

    def __init__(self, problems: Problems):
        self.problems = problems
        self.names = Names()
        self.rules: dict[str, Node] = {}
        self.scopes: dict[str, str] = {}
        self.trees: list[tuple[Node, Scalar]] = []
        self.has_gaps = False
        self._trial_names = Names()  # counts the tokens of texts that are read to find out whether they can be

    def mapping(
        self, node: Entry, what: str, known: tuple[str, ...], meanings: Table[str, str] | None = None
    ) -> dict[str, Entry]:
        """Return the entries of a mapping with the keys ``known``. Other keys are errors, see ``read_keys``."""
        found = read_keys(node, self.problems, what, known, meanings)
        self.has_gaps |= not found.is_complete
        return found.entries

    def gap(self, place: Place | Entry, message: str, *edits: Edit) -> None:
        """Add an error that makes the content incomplete, with edits of the file that may fix it."""
        self.problems.add(place, message, *edits)
        self.has_gaps = True

    def text(self, node: Entry, what: str, home: str) -> Scalar | Broken:
        """Return an entry that must be a text; report any other.

        Args:
            node: The entry. A list or a mapping is reported and translated to an expression.
            what: What the entry is, for messages.
            home: Where it is: ``layers`` (a section of layers), ``number`` (a number of a stage) or ``rule``.
        """
        if not isinstance(node, Scalar):
            return self._from_entry(node, what, home)
        if not node.text.strip():
            new = _FOR_EMPTY.get(what, "none")
            message = f"{what} is empty; write {new!r}{' for no layer at all' if new == 'none' else ''}"
            self.problems.add(node, message, *([] if home == "number" else [edit_of(self.problems.text, node, new)]))
            return Broken((node.line, node.column), message)
        return node

    def in_language(self, node: Scalar, owner: str, home: str) -> Scalar:
        """Return a text in the language; report what is foreign in it, and translate it.

        Args:
            node: The text.
            owner: The section or the rule.
            home: Where it is, as in ``text``.
        """
        if node.is_translated or self.can_be_read(node, owner, home):
            return node
        findings, text = translate(node.text, home, self.names.rules)
        if not findings:
            return node
        if owner.split(".")[0] in ("shortcut", "transition"):
            text = _POOL.sub("avgpool", text)
        edit = edit_of(self.problems.text, node, text)
        for finding in findings:
            self.problems.add(node.place(finding.offset), finding.message, *([edit] if finding.edits else []))
        return replace(node, text=text, places=(node.place(findings[0].offset),), is_translated=True)

    def _from_entry(self, node: Mapping | Sequence, what: str, home: str) -> Scalar | Broken:
        """Report a list or a mapping in place of an expression, and return the expression that it stands for."""
        message = f"{what} must be one expression"
        expression = as_expression(node, home, self.names.rules)
        if expression is None:
            self.problems.add(node, message)
            return Broken((node.line, node.column), message)
        text = " ; ".join(translate(unit, home, self.names.rules).text for unit in expression.split(" ; "))
        expected = "layers are separated by blanks"
        if ";" in text:
            expected = "the units of a block are separated by ';'"
        elif "|" in text or text.startswith("range("):
            expected = "alternatives are separated by '|'" if "|" in text else f"a range is written {text}"
        edit = edit_of(self.problems.text, node, text)
        self.problems.add(node, f"{message}, found {kind_of(node)}; {expected}", edit)
        return Scalar(text, node.line, node.column, places=((node.line, node.column),), is_translated=True)

    def can_be_read(self, node: Scalar, owner: str, home: str) -> bool:
        """Whether a text can be read, and is not a number that is meant otherwise.

        Args:
            node: The text.
            owner: The section or the rule.
            home: Where it is, as in ``text``.
        """
        if (home != "layers" and is_suspicious(node.text, home)) or separates_layers(node.text, self.names.rules):
            return False
        kinds = {"number": ("number",), "layers": ("layers",), "rule": ("number", "layers")}[home]
        copied = {"stem": "post", "head": "pre"}.get(owner, "") if home == "layers" else ""
        self._trial_names.rules = self.names.rules
        return any(_can_be_read(node.text, self._trial_names, kind, copied) for kind in kinds)

    def expression(
        self, node: Entry, owner: str, *, numeric: bool = False, copied: str = "", least: str = "network"
    ) -> Node:
        """Return the tree of an entry, with ``Broken`` in place of parts with an error.

        Args:
            node: The entry.
            owner: The name of its choice points.
            numeric: Whether the entry is a value.
            copied: The keyword, ``post`` or ``pre``, that is allowed here; empty for neither.
            least: The largest scope of the choices.

        Raises:
            SpaceError: If the file's expressions are too long in total.
        """
        home = "number" if numeric else "layers"
        scalar = self.text(node, owner, home)
        if isinstance(scalar, Broken):
            return scalar
        return self.tree(self.in_language(scalar, owner, home), owner, numeric=numeric, copied=copied, least=least)

    def tree(
        self, scalar: Scalar, owner: str, *, numeric: bool = False, copied: str = "", least: str = "network"
    ) -> Node:
        """Return the tree of a text, see ``expression``."""
        scope = max(self.scopes.get(owner, "network"), least, key=SCOPES.index)
        faults: list[Broken] = []
        tree: Node
        try:
            parser = Parser(scalar.text, self.names, owner, scope, scalar.place, faults, copied)
            tree = parser.value_rule() if numeric else parser.structure_rule()
        except ExpressionError as error:
            tree = broken = Broken(scalar.place(error.offset), str(error), error.edits)
            faults.append(broken)
            if isinstance(error, TooManyTokens):
                self.problems.add(broken.place, broken.message)
                self.problems.check()
        if not scalar.is_translated:
            edits = [edit for fault in faults for edit in fault.edits]
            whole = edit_of(self.problems.text, scalar, applied(scalar.text, edits)) if edits else None
            for fault in faults:
                message = fault.message
                if (unknown := _UNKNOWN_NUMBER.fullmatch(message)) and unknown[1] not in self.names.rules:
                    message += f"; write a rule of numbers for it in the grammar, as in '{unknown[1]}: 1 | 2'"
                self.problems.add(fault.place, message, *([whole] if whole and fault.edits else []))
        self.trees.append((tree, scalar))
        return tree


def _can_be_read(text: str, names: Names, kind: str, copied: str) -> bool:
    faults: list[Broken] = []
    try:
        parser = Parser(text, names, "", "network", faults=faults, copied=copied)
        _ = parser.value_rule() if kind == "number" else parser.structure_rule()
    except TooManyTokens:
        return True  # the file is refused where it is read
    except ExpressionError:
        return False
    return not faults
