"""Foreign signs: separators of layers, signs of a choice, brackets, repetitions, references and quotes.

Each detector is a function of a ``Scan`` that yields findings.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from explorer.errors import Edit
from explorer.space.language.foreign.scan import Finding, Lexeme, Scan, are_alternatives, is_layer_name, joined
from explorer.space.language.names import VARIABLES, is_known

_ARROWS = ("->", "=>", ">>", "|>", "→", "⇒", ">", "&", "&&", "–", "—", "·", "•", "⟶", "…")
_THEN = ("then", "and", "before", "andthen", "either", "followed", "by")
_OR = ("or", "||", "xor", "OR", "Or", "vs", "∨", "¦", "│")
_QUOTES = "'\"`“”„‘’‚«»"
_PLAIN_SIGNS = {"⊕": "+", "＋": "+", "×": "*", "✕": "*", "⋅": "*", "∗": "*", "÷": "/", "−": "-", "½": "1/2", "¼": "1/4"}
_PLAIN_SIGNS |= {
    "∣": "|",
    "¾": "3/4",
    "⅛": "1/8",
    "⅓": "1/3",
    "⅔": "2/3",
    "\u00a0": " ",
    "，": ",",
    "（": "(",
    "）": ")",
    "｜": "|",
}


def plain_signs(scan: Scan) -> Iterator[Finding]:
    """Signs outside of ASCII that have an equal in it."""
    for lexeme in scan.lexemes:
        if new := _PLAIN_SIGNS.get(lexeme.text):
            edit = Edit(lexeme.start, lexeme.end, new)
            size = re.compile(r"\w*\d+$").search(scan.text[: lexeme.start])
            if size and (after := re.match(r"\d+", scan.text[lexeme.end :])):
                new = "x"  # a kernel size; the edit is that of the whole word
                word = f"{size[0]}x{after[0]}"
                edit = Edit(lexeme.start - len(size[0]), lexeme.end + after.end(), word)
            yield Finding(lexeme.start, f"the sign {lexeme.text!r}; the language writes {new!r}", (edit,))


_SUPERSCRIPTS = {"²": "**2", "³": "**3"}
# Letters of other alphabets that look like those of ASCII.
_LOOK_ALIKE = str.maketrans("авсеікмнорѕтухАВСЕІКМНОРЅТУХαικνορυχ", "abceikmhopstyxABCEIKMHOPSTYXaiknopux")


def foreign_letters(scan: Scan) -> Iterator[Finding]:
    """Letters and digits outside of ASCII that look like those of ASCII, signs of their width, and invisible ones."""
    edits = []
    for at, sign in enumerate(scan.text):
        if sign.isascii() or sign.isspace() or sign in _PLAIN_SIGNS or sign in _QUOTES:
            continue
        if sign == "·" and scan.text[at - 1 : at].isalnum() and scan.text[at + 1 : at + 2].isalnum():
            new = "*"
        elif unicodedata.category(sign) == "Cf":
            new = ""
        else:
            new = _SUPERSCRIPTS.get(sign) or unicodedata.normalize("NFKC", sign).translate(_LOOK_ALIKE)
        if new.isascii() and not (new == "..." and scan.text.strip() != sign):
            edits.append(Edit(at, at + 1, new))
    if edits:
        first = edits[0]
        sign = scan.text[first.start]
        written = repr(first.text) if first.text else "nothing"
        name = repr(sign) if first.text else "an invisible sign"
        message = f"{name} (U+{ord(sign):04X}); the language writes {written}"
        yield Finding(first.start, message, tuple(edits))


def comments(scan: Scan) -> Iterator[Finding]:
    """``fc# text`` and ``fc // text``."""
    for index, lexeme in enumerate(scan.lexemes):
        if lexeme.text in ("#", "//") and index and not scan.in_arguments(index) and scan.home != "number":
            after = scan.at(index + 1)
            if lexeme.text == "#" or (after.kind == "name" and not scan.knows(after.text)):
                start = scan.at(index - 1).end
                message = f"{lexeme.text!r} in an expression; a comment begins with a blank and #"
                end = scan.text.find("\n", lexeme.start)
                yield Finding(lexeme.start, message, (Edit(start, len(scan.text) if end < 0 else end, ""),))
                return


def quotes(scan: Scan) -> Iterator[Finding]:
    """Quotes around words."""
    found = [lexeme for lexeme in scan.lexemes if lexeme.text in _QUOTES]
    if found:
        message = f"the quote {found[0].text} inside an expression; words are written without quotes"
        yield Finding(found[0].start, message, tuple(Edit(lexeme.start, lexeme.end, "") for lexeme in found))


def references(scan: Scan) -> Iterator[Finding]:
    """Signs of variables, as in $act, ${act}, @act, <act>, {act} and %act."""
    for match in re.finditer(
        r"\$\{([\w.-]+)\}|\{\{?\s*([A-Za-z][\w-]*)\s*\}\}?|<([A-Za-z][\w-]*)>|[$@%&]([A-Za-z]\w*)", scan.text
    ):
        name = next(filter(None, match.groups()))
        if match[0][0] == "{" and scan.text[match.start() - 1 : match.start()].strip(" |("):
            continue  # a count of repetitions
        short = name.rsplit(".", 1)[-1]
        if short in scan.rules or short in VARIABLES or is_layer_name(short, scan.rules):
            message = f"{match[0]!r}: a rule or a variable is written by its name alone"
            yield Finding(match.start(), message, (Edit(match.start(), match.end(), short),))


def resolvers(scan: Scan) -> Iterator[Finding]:
    """Resolvers of OmegaConf, as in ${choice:1,2,3}."""
    for match in re.finditer(r"\$\{(\w+):([^{}]*)\}", scan.text):
        new = f"{match[1]}({match[2]})"
        yield Finding(
            match.start(), f"{match[0]!r}: the language has no resolvers", (Edit(match.start(), match.end(), new),)
        )


def lists(scan: Scan) -> Iterator[Finding]:
    """[a, b] and {a, b} as alternatives or as a group, and name[16] or name<16> as arguments."""
    for index, lexeme in enumerate(scan.lexemes):
        last = scan.partner.get(index, -1)
        if lexeme.text not in ("[", "{") or last < index:
            continue
        inside = scan.text[lexeme.end : scan.at(last).start]
        is_number = re.fullmatch(r"[\s\d.,:~|-]*|\d+ to \d+", inside) is not None
        is_count = is_number or (scan.touches(index) and inside.strip() in scan.rules)
        if lexeme.text == "{" and is_count and scan.at(index - 1).text not in ("", "|", "("):
            continue
        edits = (Edit(lexeme.start, lexeme.end, "("), Edit(scan.at(last).start, scan.at(last).end, ")"))
        if scan.caller(index) is not None and lexeme.text == "[":
            name = scan.at(index - 1).text
            yield Finding(lexeme.start, f"'[' after {name!r}; arguments are written in round brackets", edits)
            continue
        parts = scan.parts(index + 1, last - 1, (",", ";", "|")) if last > index + 1 else []
        if (caller := scan.caller(scan.outer[index])) is not None and not is_known(caller.text):
            continue  # an argument of a foreign call, which reads it itself
        new = joined(parts, scan.home, scan.rules)
        whole = index == 0 and last == len(scan.lexemes) - 1
        if whole and scan.home == "number":
            continue  # a list of YAML, one number for each stage
        as_choice = " | " in new
        message = (
            f"a list in {lexeme.text}...{scan.at(last).text}; alternatives are separated by '|'"
            if as_choice
            else f"{lexeme.text!r} among layers; a group is written (...), layers are separated by blanks"
        )
        edit = Edit(lexeme.start, scan.at(last).end, new if whole else f"({new})")
        yield Finding(lexeme.start, message, (edit,))


def separators(scan: Scan) -> Iterator[Finding]:
    """Commas, arrows, dashes and words between layers, and signs of a choice other than '|'."""
    for bracket in sorted(set(scan.outer)):
        if bracket >= 0 and (scan.caller(bracket) is not None or scan.at(bracket).text != "("):
            continue
        here = [k for k, outer in enumerate(scan.outer) if outer == bracket and k not in scan.partner]
        here = [k for k in here if not scan.in_arguments(k)]
        yield from _alternatives(scan, [k for k in here if _is_or(scan, k)], "an alternative is separated by '|'")
        commas = [k for k in here if scan.at(k).text == "," or _is_full_stop(scan, k)]
        slashes = [k for k in here if scan.at(k).text in ("/", "\\") and (scan.is_layer(k - 1) or scan.is_layer(k + 1))]
        semicolons = [k for k in here if scan.at(k).text == ";"]
        if all(_ends_unit(scan, here, k) for k in semicolons):
            semicolons = []
        for found, sign in ((commas, ","), (semicolons, ";"), (slashes, "/")):
            if not found:
                continue
            inside = [k for k, outer in enumerate(scan.outer) if outer == bracket]
            first = bracket + 1
            last = (scan.partner[bracket] if bracket in scan.partner else len(scan.lexemes)) - 1
            parts = scan.parts(first, last, (sign, "\\") if sign == "/" else (sign,)) if inside else []
            parts = [part for part in parts if part]
            if sign != "/" and scan.home == "number":
                edit = Edit(0, len(scan.text), f"[{', '.join(parts)}]")
                yield Finding(scan.at(found[0]).start, f"{sign!r} between numbers; a list is written [a, b]", (edit,))
            elif len(parts) > 1 and are_alternatives(parts, scan.home, scan.rules):
                yield from _alternatives(scan, found, "alternatives are separated by '|'")
            else:
                yield from _sequence(scan, found)
        yield from _sequence(scan, [k for k in here if _is_arrow(scan, k)])


def _ends_unit(scan: Scan, here: list[int], index: int) -> bool:
    """Whether a merge is before a semicolon, or, in a row without one, a rule that may have one: it ends a unit."""
    merges = {"+", "cat", "gate"}
    known = merges if any(scan.at(k).text in merges for k in here) else scan.rules
    return any(scan.at(k).text in known for k in here if k < index)


def _is_full_stop(scan: Scan, index: int) -> bool:
    return scan.at(index).text == "." and scan.at(index + 1).kind == "end" and _ends_layer(scan, index - 1)


def _is_or(scan: Scan, index: int) -> bool:
    return scan.at(index).text in _OR and scan.at(index).text not in scan.rules


def _is_arrow(scan: Scan, index: int) -> bool:
    text = scan.at(index).text
    if text in _ARROWS or (text in _THEN and text not in scan.rules):
        return True
    if text == "-" or text == ":":
        return _ends_layer(scan, index - 1) and (_is_part(scan, index + 1) or scan.at(index + 1).text in ("+", ""))
    return False


def _ends_layer(scan: Scan, index: int) -> bool:
    """Whether a layer ends at a lexeme: its name, its arguments or a group."""
    opening = scan.partner.get(index, index)
    return _is_part(scan, index) or (scan.caller(opening) is not None and _is_part(scan, opening - 1))


def _is_part(scan: Scan, index: int) -> bool:
    """Whether a lexeme is a layer, or a rule among layers."""
    has_layers = scan.home == "layers" or any(scan.is_layer(k) for k in range(len(scan.lexemes)))
    return scan.is_layer(index) or (has_layers and scan.at(index).text in scan.rules)


def _alternatives(scan: Scan, found: list[int], expected: str) -> Iterator[Finding]:
    if found:
        edits = tuple(_between(scan, k, " | ") for k in found)
        yield Finding(scan.at(found[0]).start, f"{scan.at(found[0]).text!r} between alternatives; {expected}", edits)


def _sequence(scan: Scan, found: list[int]) -> Iterator[Finding]:
    if found:
        edits = tuple(_between(scan, k, " ") for k in found)
        message = f"{scan.at(found[0]).text!r} between layers; layers are separated by blanks"
        yield Finding(scan.at(found[0]).start, message, edits)


def _between(scan: Scan, index: int, new: str) -> Edit:
    """Return the edit that writes ``new`` for a separator and the blanks around it; nothing at an end."""
    before, after = scan.at(index - 1), scan.at(index + 1)
    start = before.end if index else 0
    at_end = index == 0 or after.kind == "end" or after.text in ")]|" or before.text in "([|"
    return Edit(start, after.start, "" if at_end and after.kind == "end" else " " if at_end else new)


def empty_alternatives(scan: Scan) -> Iterator[Finding]:
    """A '|' without a number before or after it."""
    if scan.home != "layers" and re.fullmatch(r"[\d\s|./]+", scan.text):
        for match in re.finditer(r"^\s*\|\s*|\s*\|\s*(?=\||$)", scan.text):
            at = scan.text.index("|", match.start())
            yield Finding(at, "'|' without an alternative beside it", (Edit(match.start(), match.end(), ""),))


def brackets(scan: Scan) -> Iterator[Finding]:
    """A bracket without a partner."""
    for index, lexeme in enumerate(scan.lexemes):
        count = re.match(r"\{\s*\d+(\s*,\s*\d+)?", scan.text[lexeme.start :])
        if count and index not in scan.partner:
            end = lexeme.start + count.end()
            yield Finding(lexeme.start, "'{' is not closed", (Edit(end, end, "}"),))
            return
        if lexeme.text in "()" and index not in scan.partner:
            if lexeme.text == "(":
                merge = next((k for k in range(index, len(scan.lexemes)) if scan.at(k).text == "+"), len(scan.lexemes))
                end = scan.at(merge - 1).end
                if scan.caller(index) is not None:
                    end = _end_of_arguments(scan, index)
                yield Finding(lexeme.start, "'(' is not closed", (Edit(end, end, ")"),))
            else:
                yield Finding(lexeme.start, "')' closes nothing", (Edit(lexeme.start, lexeme.end, ""),))
            return


def _end_of_arguments(scan: Scan, bracket: int) -> int:
    """Return where the arguments after an open bracket end: at the first blank that no operator or comma precedes."""
    for index in range(bracket + 1, len(scan.lexemes)):
        before = scan.at(index - 1)
        if (
            index > bracket + 1
            and not scan.touches(index)
            and before.text not in "+-*/,=|("
            and scan.at(index).text not in "*/-,=|)"
        ):
            return before.end
    return len(scan.text.rstrip())


def repetitions(scan: Scan) -> Iterator[Finding]:
    """(...)*2, conv3x3 x2, 2*(...), (...)^2 and (...){1..3}."""
    for index, lexeme in enumerate(scan.lexemes):
        if scan.in_arguments(index):
            continue
        if lexeme.text in ("*", "**", "^", "x", "X", "times"):
            yield from _repeated(scan, index, scan.at(index + 1), scan.at(index - 1))
        elif re.fullmatch(r"[xX]\d+", lexeme.text) and scan.is_layer(index - 1):
            start = scan.at(index - 1).end
            yield _repetition(scan, index - 1, lexeme.text[1:], Edit(start, lexeme.end, ""), lexeme)
        elif lexeme.text == "{" and index in scan.partner:
            inside = scan.text[lexeme.end : scan.at(scan.partner[index]).start]
            if found := re.fullmatch(r"\s*(\d*)\s*(\.\.+|-|:|~|,|\||to)\s*(\d*)\s*", inside):
                low, sign, high = found.groups()
                if sign == "," and low and high:
                    continue
                new = f"{low or 0},{high or max(int(low or 0), 1) + 2}"
                message = f"{{{inside}}}: repetitions from n to m are written {{n,m}}"
                yield Finding(lexeme.start, message, (Edit(lexeme.end, scan.at(scan.partner[index]).start, new),))


def _repeated(scan: Scan, index: int, after: Lexeme, before: Lexeme) -> Iterator[Finding]:
    sign = scan.at(index)
    if scan.at(index - 1).text == ")" and scan.touches(index) and not scan.touches(index + 1) and sign.text == "*":
        message = "'*' for a repetition; it is written {n,m} with constants, as in (...){0,2}"
        yield Finding(sign.start, message)
    elif scan.is_layer(index - 1) and after.kind in ("number", "name") and not scan.is_layer(index + 1):
        yield _repetition(scan, index - 1, after.text, Edit(before.end, after.end, ""), sign)
    elif scan.is_layer(index + 1) and before.kind == "number":
        last = scan.partner.get(index + 1, index + 1)
        if scan.caller(last + 1) is None and scan.at(last + 1).text == "(" and scan.touches(last + 1):
            last = scan.partner.get(last + 1, last + 1)
        end = scan.at(last).end
        edits = (Edit(before.start, after.start, ""), Edit(end, end, f"{{{before.text}}}"))
        message = f"{sign.text!r} for a repetition; it is written (...){{{before.text}}}"
        yield Finding(sign.start, message, edits)


def _repetition(scan: Scan, index: int, count: str, removed: Edit, sign: Lexeme) -> Finding:
    """Return the finding of a count after the lexeme ``index``; it repeats a group, else the row before it."""
    message = f"{sign.text!r} for a repetition; it is written (...){{{count}}}"
    if not count.isdigit():
        return Finding(sign.start, f"{sign.text!r} for a repetition; it is written with a constant, as in (...){{2}}")
    first = _start_of_item(scan, index)
    is_group = scan.at(first).text in ("(", "[", "{")
    while not is_group and first and scan.outer[first - 1] == scan.outer[index] and _is_beside(scan, first - 1):
        first = _start_of_item(scan, first - 1)
    if is_group or first == _start_of_item(scan, index):
        return Finding(sign.start, message, (removed._replace(text=f"{{{int(count)}}}"),))
    start = scan.at(first).start
    return Finding(sign.start, message, (Edit(start, start, "("), removed._replace(text=f"){{{int(count)}}}")))


def _start_of_item(scan: Scan, index: int) -> int:
    """Return the first lexeme of the layer or the group that ends at a lexeme."""
    opening = scan.partner.get(index, index)
    return opening - 1 if opening < index and scan.caller(opening) is not None else opening


def _is_beside(scan: Scan, index: int) -> bool:
    """Whether a layer, a rule or a group ends at a lexeme."""
    return _is_part(scan, index) or scan.at(index).text == ")"
