"""Foreign residual blocks: ``x + f``, ``relu(bn(conv3x3(x)) + x)``, and the width or the stride beside a conv.

Each detector is a function of a ``Scan`` that yields findings.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from itertools import pairwise

from explorer.errors import Edit
from explorer.space.language.foreign import words
from explorer.space.language.foreign.scan import Finding, Scan, base_layer, role
from explorer.space.language.source_text import applied


def inputs(scan: Scan) -> Iterator[Finding]:
    """The block's input beside '+': ``x + f``, ``f + x``, ``out = f + x``."""
    text = scan.text
    if scan.home == "number":
        return
    if assigned := re.match(r"\s*(?:return\s+|(?:out|y|x|h|output|f\(x\)|F\(x\)|H\(x\))\s*(?:\+=|:?=)\s*)", text):
        joint = " +" if "+=" in assigned[0] else ""
        edits = (Edit(0, assigned.end(), ""), *([Edit(len(text), len(text), joint)] if joint else []))
        yield Finding(0, f"{assigned[0].strip()!r}: a block is an expression without a name", edits)
        return
    if _is_input(scan, 0) and scan.at(1).text in ("->", "=>", "→", ">>", ">", ","):
        edit = Edit(0, scan.at(1).end, "")
        yield Finding(0, f"{scan.at(0).text!r}: an expression begins with its first layer", (edit,))
        return
    for index, lexeme in enumerate(scan.lexemes):
        if lexeme.text not in ("+", "+=") or scan.in_arguments(index) or scan.outer[index] >= 0:
            continue
        before, after = scan.at(index - 1), scan.at(index + 1)
        if _is_input(scan, index - 1) and scan.at(index - 2).kind == "end" and after.kind != "end":
            rest = text[after.start :].rstrip()
            message = f"{before.text!r} before '+': the branch is written before '+', the shortcut is not written"
            yield Finding(before.start, message, (Edit(before.start, len(text), f"{rest} +"),))
            return
        if _is_input(scan, index + 1) and not (after.text == "identity" and scan.at(index + 2).kind == "end"):
            message = f"{after.text!r} after '+': '+' adds the shortcut, which is not written"
            yield Finding(after.start, message, (Edit(lexeme.start, after.end, "+"),))
            return


def _is_input(scan: Scan, index: int) -> bool:
    lexeme = scan.at(index)
    return lexeme.kind == "name" and lexeme.text.lower() in words.INPUTS and lexeme.text not in scan.rules


def functions(scan: Scan) -> Iterator[Finding]:
    """Calls inside each other, as in relu(bn(conv3x3(x))): the layers in the order of computation."""
    if scan.home == "number":
        return
    for index, lexeme in enumerate(scan.lexemes):
        if lexeme.kind != "name" or not _is_function(scan, index) or scan.in_arguments(index):
            continue
        unwound = _unwound(scan, index)
        if unwound is None:
            continue
        layers, end = unwound
        new = " ".join(layers)
        message = "a function of layers; the language writes layers in the order of computation"
        yield Finding(lexeme.start, message, (Edit(lexeme.start, end, new),))
        return


def _is_function(scan: Scan, index: int) -> bool:
    return scan.is_layer(index) or scan.at(index).text in scan.rules


def _unwound(scan: Scan, index: int) -> tuple[list[str], int] | None:
    """Return the layers of a nested call in the order of computation, and its end; None if it is not one."""
    name, bracket = scan.at(index), index + 1
    last = scan.partner.get(bracket)
    if last is None or scan.at(bracket).text != "(" or not scan.touches(bracket):
        return None
    inner = bracket + 1
    is_sum = _is_input(scan, inner) and scan.at(inner + 1).text == "+"
    if is_sum:
        inner += 2
    if scan.at(inner).kind == "name" and _is_function(scan, inner):
        if scan.at(inner + 1).text == "(" and scan.touches(inner + 1):
            found = _unwound(scan, inner)
            if found is None:
                return None
            layers, _ = found
            after = scan.partner[inner + 1] + 1
        else:
            return None
    elif scan.at(inner).text.lower() in ("x", "out", "y", "h", "inputs", "input") and scan.at(inner + 1).text in (
        ")",
        ",",
        "+",
    ):
        layers, after = [], inner + 1
    else:
        return None
    if scan.at(after).text == "+" and (after + 2 == last and _is_input(scan, after + 1)):
        return [*layers, "+", name.text], scan.at(last).end
    if scan.at(after).text == ",":
        arguments = scan.text[scan.at(after).end : scan.at(last).start].strip()
        return [*layers, f"{name.text}({arguments})"], scan.at(last).end
    if after != last:
        return None
    return [*layers, *(["+"] if is_sum else []), name.text], scan.at(last).end


def numbers_beside(scan: Scan) -> Iterator[Finding]:
    """conv3x3 16, conv3x3 (16), conv3x3:16, conv3x3@16, conv3x3-16, conv3x3/2 and conv3x3 s2."""
    if scan.home == "number":
        return
    for index, lexeme in enumerate(scan.lexemes):
        if lexeme.kind != "name" or not scan.is_layer(index) or scan.in_arguments(index):
            continue
        sign, number = scan.at(index + 1), scan.at(index + 2)
        has_bracket = sign.text == "(" and not scan.touches(index + 1)
        if not _is_conv(scan, index) and not (has_bracket and number.kind == "number"):
            continue
        if sign.text == "(" and not scan.touches(index + 1) and index + 1 in scan.partner:
            inside = scan.text[sign.end : scan.at(scan.partner[index + 1]).start]
            if re.fullmatch(r"\s*(\d+(\.\d+)?|w|in|[\d*/w\s]+|\w+\s*=.*)\s*", inside):
                message = "a blank before the arguments; they follow the name directly"
                yield Finding(sign.start, message, (Edit(lexeme.end, sign.start, ""),))
        elif sign.text in (":", "@", "-", "x", "_", ",", "#", "=") and number.kind == "number":
            yield _width(lexeme.text, sign.start, number.text, lexeme.end, number.end)
        elif sign.kind == "number" and number.text != "*":
            yield _width(lexeme.text, sign.start, sign.text, lexeme.end, sign.end)
        elif (
            sign.kind == "name"
            and (found := re.fullmatch(r"(s|k|d|g)(\d+)", sign.text))
            and sign.text not in scan.rules
        ):
            message = f"{sign.text!r} after a conv; arguments are written in brackets"
            new = f"({found[1]}={found[2]})"
            yield Finding(sign.start, message, (Edit(lexeme.end, sign.end, new),))


def strides_beside(scan: Scan) -> Iterator[Finding]:
    """conv7x7(64), /2 as tables of papers have it."""
    pattern = r"\b((?:dw)?conv\d+x\d+)(?:\(([^()]*)\))?\s*,?\s*(/|stride|stride=|s)\s*([24])(?![\w.])"
    for match in re.finditer(pattern, scan.text) if scan.home != "number" else ():
        new = f"{match[1]}({', '.join(filter(None, (match[2], f's={match[4]}')))})"
        message = f"{match[0]!r}: a stride is an argument, s={match[4]}"
        yield Finding(match.start(3), message, (Edit(match.start(), match.end(), new),))


def _width(name: str, offset: int, number: str, start: int, end: int) -> Finding:
    message = f"the number {number!r} is among layers; the width of a conv is its argument, {name}({number})"
    return Finding(offset, message, (Edit(start, end, f"({number})"),))


def _is_conv(scan: Scan, index: int) -> bool:
    return scan.is_layer(index) and re.search(r"conv|^\d+x\d+$", scan.at(index).text, re.IGNORECASE) is not None


def is_idle(text: str, rules: Container[str]) -> bool:
    """Whether an expression is one word for no layer, in the language or elsewhere: ``none``, ``skip_connect``."""
    word = text.strip()
    return word not in rules and re.fullmatch(r"[\w.]+", word) is not None and base_layer(word) == "none"


def idle_blocks(scan: Scan) -> Iterator[Finding]:
    """``skip_connect`` among whole blocks, as in conv3x3 bn + | skip_connect: the shortcut alone."""
    signs = [k for k, outer in enumerate(scan.outer) if outer < 0 and scan.at(k).text == "|"]
    ends = [-1, *signs, len(scan.lexemes)]
    runs = [range(first + 1, last) for first, last in pairwise(ends)]
    if scan.home == "number" or not any(scan.at(k).text == "+" for run in runs for k in run):
        return
    for run in runs:
        word, last = scan.at(run.start), scan.at(run.stop - 1)
        is_alone = [scan.at(k).text for k in run[1:]] in ([], ["(", ")"])
        if is_alone and is_idle(word.text, scan.rules):
            message = f"{word.text!r} as a whole block; a block that is its shortcut alone is written zero +"
            yield Finding(word.start, message, (Edit(word.start, last.end, "zero +"),))


def zero_ops(scan: Scan) -> Iterator[Finding]:
    """``none`` beside ``skip_connect`` among alternatives, as in DARTS and NAS-Bench-201: the zero op and no layer."""
    if scan.home == "number":
        return
    signs = [k for k, lexeme in enumerate(scan.lexemes) if lexeme.text == "|"]
    alone = [k for k in {*(k - 1 for k in signs), *(k + 1 for k in signs)} if scan.at(k).kind == "name"]
    idle = [k for k in sorted(alone) if is_idle(scan.at(k).text, scan.rules)]
    zeros = [k for k in idle if scan.at(k).text in ("none", "None")]
    skips = [k for k in idle if words.plain(scan.at(k).text) in words.SKIPS]
    for k in zeros if skips else ():
        message = f"'none' beside {scan.at(skips[0]).text!r}: the op that puts out zeros is written zero"
        yield Finding(scan.at(k).start, message, (Edit(scan.at(k).start, scan.at(k).end, "zero"),))
    for k in skips if zeros else ():
        message = f"unknown name {scan.at(k).text!r}; did you mean 'identity'?"
        if scan.at(k).text != "identity":
            yield Finding(scan.at(k).start, message, (Edit(scan.at(k).start, scan.at(k).end, "identity"),))


def separates_layers(text: str, rules: Container[str]) -> bool:
    """Whether ``;`` is between layers in the way of other tools, not between units: a unit has a merge, or a rule that
    may have one, and does not begin with a merge."""
    merges = ("+", "cat", "gate")
    units = [re.findall(r"cat\(|[A-Za-z][\w-]*|\+", unit) for unit in text.split(";")] if ";" in text else []
    return any(
        found and (found[0] in merges or not any(word in merges or word in rules for word in found)) for found in units
    )


def one_merge(text: str, rules: Container[str]) -> str:
    """Return the alternatives of a block with one merge each: the last of several, or a new one at the end.

    The new one is before a final activation. An alternative that is a rule alone, or has a merge in brackets, stays.
    One of several that is no layer, such as ``identity``, is the shortcut alone.
    """
    scan = Scan(text, "layers", rules)
    parts, start = [], 0
    top = [k for k, outer in enumerate(scan.outer) if outer < 0]
    for k in [*(k for k in top if scan.at(k).text == "|"), len(scan.lexemes)]:
        parts.append(text[start : scan.at(k).start].strip())
        start = scan.at(k).end
    is_choice = len(parts) > 1
    blocks = ("zero +" if is_choice and is_idle(part, rules) else _with_one_merge(part, rules) for part in parts)
    return " | ".join(blocks)


def one_choice(text: str, rules: Container[str]) -> str:
    """Return ``conv3x3 bn (relu | silu) +`` for ``conv3x3 bn relu | silu +``; "" for any other text.

    The layers beside '|' have one role; only the first and the last alternative may have several layers.
    """
    scan = Scan(text, "layers", rules)
    parts = scan.parts(0, len(scan.lexemes) - 1, ("|",)) if scan.lexemes else []
    rows = [re.split(r"\s+(?![^()]*\))", part) for part in parts]
    if len(rows) < 2 or any(len(row) > 1 for row in rows[1:-1]):
        return ""
    before, *others = rows
    roles = {role(before[-1], rules), *(role(row[0], rules) for row in others)}
    if len(roles) > 1 or roles & {"", "number", "rule", "none"} or (roles == {"conv"} and len(before) > 1):
        return ""
    layers = [before[-1], *(row[0] for row in others)]
    if len(set(layers)) < len(layers):
        return ""
    choice = f"({' | '.join(layers)})"
    return " ".join([*before[:-1], choice, *others[-1][1:]])


def one_end(text: str, rules: Container[str]) -> str:
    """Return ``(conv3x3 bn | conv5x5 bn) +`` for ``conv3x3 bn | conv5x5 bn +``; "" for any other text.

    Only the last alternative has a merge, and each has a convolution.
    """
    scan = Scan(text, "layers", rules)
    merges = [k for k, lexeme in enumerate(scan.lexemes) if lexeme.text in ("+", "cat", "gate", "sum")]
    bars = [k for k, lexeme in enumerate(scan.lexemes) if lexeme.text == "|"]
    at_top = all(scan.outer[k] < 0 for k in (*merges, *bars))
    if len(merges) != 1 or not bars or not at_top or scan.at(merges[0]).text != "+" or merges[0] < bars[-1]:
        return ""
    merge = scan.at(merges[0])
    row = text[: merge.start].strip()
    parts = scan.parts(0, merges[0] - 1, ("|",))
    if not all(any(role(word, rules) == "conv" for word in part.split()) for part in parts):
        return ""
    return f"({row}) {text[merge.start :].strip()}"


def _one_of_two(scan: Scan, first: int, second: int, rules: Container[str]) -> Edit:
    """Return the edit that ends a unit after a merge and its activations, or leaves the merge out.

    A unit ends there if a convolution is between the two merges, unless a rule, perhaps an activation, is first.
    """
    roles = [role(scan.at(k).text, rules) for k in range(first + 1, second)]
    activations = next((k for k, each in enumerate(roles) if each != "activation"), len(roles))
    if {"conv", "linear"} & set(roles[activations:]) and roles[activations] != "rule":
        end = scan.at(first + activations).end
        return Edit(end, end, " ;")
    return Edit(scan.at(first).start, scan.at(first).end, "")


def _as_sum(scan: Scan, merges: list[int], rules: Container[str]) -> str:
    """Return ``a + b + identity`` as a sum of parallel paths with the shortcut; "" if the text ends otherwise."""
    ends = [-1, *merges, len(scan.lexemes)]
    rows = [
        scan.text[scan.at(first).end * (first >= 0) : scan.at(last).start].strip() for first, last in pairwise(ends)
    ]
    is_path = [bool(row) and (is_idle(row, rules) or role(row.split()[0], rules) == "conv") for row in rows]
    if not all(is_path) or {scan.at(k).text for k in merges} != {"+"}:
        return ""
    paths = [row for row in rows if not is_idle(row, rules)]
    return f"sum({', '.join(paths)}) +" if len(paths) > 1 else f"{paths[0]} +" if paths else ""


def _with_one_merge(text: str, rules: Container[str]) -> str:
    scan = Scan(text, "layers", rules)
    merges = [
        k
        for k, lexeme in enumerate(scan.lexemes)
        if lexeme.text in ("+", "gate") or (lexeme.text == "cat" and scan.at(k + 1).text != "(")
    ]
    top = [k for k in merges if scan.outer[k] < 0]
    if len(top) > 1 and (summed := _as_sum(scan, top, rules)):
        return summed
    if len(top) > 1:
        return " ".join(
            applied(text, [_one_of_two(scan, first, second, rules) for first, second in pairwise(top)]).split()
        )
    alone = len(scan.lexemes) == 1 and scan.at(0).text in rules
    if merges or alone or not scan.lexemes:
        return text
    words_of = text.split()
    at = len(words_of) - (len(words_of) > 1 and role(words_of[-1], rules) == "activation")
    return " ".join([*words_of[:at], "+", *words_of[at:]])
