"""Foreign names and calls, such as ``nn.Conv2d(16, 32, 3)``, ``ReLU`` and ``choice([relu, silu])``.

Each detector is a function of a ``Scan`` that yields findings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from explorer.errors import Edit
from explorer.extensions.lookup import own_hint
from explorer.networks.ops import registry
from explorer.space.language.foreign import words
from explorer.space.language.foreign.layers import (
    VALUES,
    as_ratio,
    as_size,
    block_layers,
    complement,
    layer,
    positional_parts,
)
from explorer.space.language.foreign.numbers import spelled_range
from explorer.space.language.foreign.scan import Finding, Lexeme, Scan, base_layer
from explorer.space.language.names import BY_PLACE, FORKS, FUNCTIONS, KEYWORDS, TAPS, VARIABLES, find_op, is_known

_BOOLEANS = {**dict.fromkeys(("true", "yes", "on"), "1"), **dict.fromkeys(("false", "no", "off", "none"), "0")}


def calls(scan: Scan) -> Iterator[Finding]:
    """Names that are not of the language, with their arguments."""
    for index, lexeme in enumerate(scan.lexemes):
        if lexeme.kind != "name" or _is_known(scan, index) or scan.at(index + 1).text == "=":
            continue
        bracket = index + 1 if scan.at(index + 1).text == "(" and scan.touches(index + 1) else -1
        last = scan.partner.get(bracket, -1)
        arguments = scan.parts(bracket + 1, last - 1, (",",)) if last > bracket + 1 else []
        end = scan.at(last).end if last > 0 else lexeme.end
        finding = _call(scan, index, end, arguments, called=last > 0)
        if finding:
            yield finding


def _is_known(scan: Scan, index: int) -> bool:
    name = scan.at(index).text
    if name in FORKS and _has_paths_after_blank(scan, index):
        return False
    if name in scan.rules or name in KEYWORDS or (name in FUNCTIONS and scan.at(index + 1).text == "("):
        return True
    if scan.at(index + 1).text == "(" and scan.touches(index + 1) and name in (*FORKS, *TAPS, *BY_PLACE):
        return True
    if name in VARIABLES and (scan.in_arguments(index) or scan.home != "layers"):
        return True
    try:
        return find_op(name) is not None
    except ValueError:
        return False


def _has_paths_after_blank(scan: Scan, index: int) -> bool:
    """Whether a blank and a bracket with several paths follow a name, as in cat (a, b)."""
    last = scan.partner.get(index + 1, -1)
    is_open = scan.at(index + 1).text == "(" and not scan.touches(index + 1) and last > index + 2
    return is_open and len(scan.parts(index + 2, last - 1, (",",))) > 1


def _call(scan: Scan, index: int, end: int, arguments: list[str], called: bool) -> Finding | None:
    lexeme = scan.at(index)
    name, word = lexeme.text, words.plain(lexeme.text)
    found = scan.text[lexeme.start : end]
    bracket = scan.at(index + 1)
    if name in (*FORKS, *TAPS) and bracket.text == "(" and not called:
        edit = Edit(lexeme.end, bracket.start, "")
        return Finding(bracket.start, f"a blank after {name!r}; its brackets follow it directly", (edit,))
    pieces = name.split(".")
    if len(pieces) > 1 and all(scan.knows(piece) for piece in pieces) and not called:
        edit = Edit(lexeme.start, end, " ".join(pieces))
        return Finding(lexeme.start, "'.' between layers; layers are separated by blanks", (edit,))
    if called and (structure := _structure(scan, word, arguments)) is not None:
        edit = Edit(lexeme.start, end, structure)
        return Finding(lexeme.start, f"{_short(found)}: the language writes {structure}", (edit,))
    if _is_value(scan, index):
        return _value(scan, index, end, word, arguments, called)
    if word in words.LEFT_OUT:
        edit = Edit(_start_with_blanks(scan, index), end, "")
        return Finding(lexeme.start, f"{name!r} is left out: {words.LEFT_OUT[word]}", (edit,))
    if block := block_layers(name, arguments):
        edit = Edit(lexeme.start, end, block)
        return Finding(lexeme.start, f"unknown name {name!r}; as layers it is {block}", (edit,))
    if (example := _kernel_choice(scan, name, arguments)) is not None:
        return Finding(lexeme.start, f"a kernel size is part of a name; a choice of sizes is written {example}")
    if called and not arguments:
        arguments = words.CALLED_WITHOUT.get(word, [])
    if word in _BOOLEANS and word != "none" and not called:
        message = f"{name!r} among layers; write the layers, or 'none' for no layer, as in none | se(r=4)"
        return Finding(lexeme.start, message)
    new = _similar_rule(scan, name) or layer(name, arguments)
    if new is not None:
        if new == found:
            return None
        message = f"unknown name {name!r}"
        try:
            find_op(name)
        except ValueError as error:
            message = str(error)
        return Finding(lexeme.start, f"{message}; did you mean {new!r}?", (Edit(lexeme.start, end, new),))
    if word in words.UNKNOWN or re.sub(r"\d+$", "", word) in words.UNKNOWN:
        kind = words.UNKNOWN.get(word) or words.UNKNOWN[re.sub(r"\d+$", "", word)]
        return Finding(lexeme.start, f"unknown name {name!r}: the language has no such {kind}{_instead(kind)}")
    return Finding(lexeme.start, f"unknown name {name!r}{own_hint('op')}") if "." in name else None


def _kernel_choice(scan: Scan, name: str, arguments: list[str]) -> str | None:
    """Return how kernel sizes are a choice, for a conv whose size is a rule: conv(k), conv(k=k), convkxk; else None."""
    base = base_layer(re.sub(r"([a-z])x\1$", "", name)) if name not in scan.rules else None
    if base not in ("conv", "dwconv", "maxpool", "avgpool"):
        return None
    sizes = [part for part in arguments if words.argument(part.split("=")[0].strip(), ()) == "k"]
    is_named = any(not re.search(r"\d", part.split("=")[-1]) for part in sizes)
    is_in_name = re.search(r"([a-z])x\1$", name) is not None
    return f"({base}3x3 | {base}5x5)" if is_named or is_in_name else None


def _similar_rule(scan: Scan, name: str) -> str:
    """Return the rule that a name differs from in case, a hyphen or a number at the end; "" for none."""
    similar = (re.sub(r"_?\d+$", "", name), name.lower(), name.upper(), name.capitalize(), name.replace("_", "-"))
    return next((rule for rule in similar if rule in scan.rules and rule != name), "")


def _instead(kind: str) -> str:
    """Return the ops that the language has instead."""
    ops = [spelling for spelling, op in registry.by_spelling.items() if op.role == kind]
    return f"; it has {', '.join(ops)}" if ops else ""


def _start_with_blanks(scan: Scan, index: int) -> int:
    return scan.at(index - 1).end if index else 0


def _short(found: str) -> str:
    return repr(found if len(found) <= 60 else f"{found[:57]}...")


# Structure: calls that stand for choices, repetitions, sequences and merges


def _structure(scan: Scan, word: str, arguments: list[str]) -> str | None:
    values = positional_parts(arguments)
    if len(values) > 1 and re.fullmatch(r"[\"'].*[\"']", values[0]) and not _is_quoted_option(word, values[1]):
        values = values[1:]  # the name of the choice, as in Optuna
    named = dict(part.split("=", 1) for part in arguments if re.match(r"\w+\s*=[^=]", part))
    named = {words.plain(key): value.strip() for key, value in named.items()}
    listed = _listed(values or [v for k, v in named.items() if k in ("choices", "values", "options", "candidates")])
    if word in words.CHOICES and listed:
        return _bracketed(" | ".join(listed), scan)
    if word in words.RANGES and len(listed) in (2, 3) and all(re.fullmatch(r"\d+(\.\d+)?", part) for part in listed):
        if word in ("range", "arange"):
            return (
                None if len(listed) == 3 else _bracketed(spelled_range(listed[0], str(int(float(listed[1])) - 1)), scan)
            )
        step = listed[2] if len(listed) == 3 else named.get("step") or named.get("q")
        return _bracketed(spelled_range(listed[0], listed[1], step), scan)
    if word in words.CONFIGS and (kind := named.get("type") or named.get("name") or (values[0] if values else "")):
        kind = kind.strip("'\"")
        return words.BLOCKS.get(words.plain(kind)) or layer(
            kind, [a for a in arguments if not a.endswith(named.get("type", "?"))]
        )
    if word in words.RESIDUALS and listed:
        return f"{' '.join(listed)} +"
    if word in (*words.SUMS, "cat", "concat", "concatenate", *words.PARALLELS):
        return _joined_paths(word, values)
    if word in words.REPEATS and len(listed) == 2:
        body, count = listed if listed[1].isdigit() else listed[::-1]
        return f"({body}){{{count}}}" if count.isdigit() else None
    if word in words.OPTIONALS and len(listed) == 1:
        return f"{listed[0]}?" if " " not in listed[0] else f"({listed[0]})?"
    if word in words.SEQUENCES and listed:
        return " ".join(map(_in_language, listed))
    if word in ("int", "trunc") and len(listed) == 1 and scan.home != "layers":
        return f"floor({listed[0]})"
    return None


def _is_quoted_option(word: str, second: str) -> bool:
    """Whether a quoted first value of a call is an option, as in Categorical('relu', 'silu'), not the choice's name."""
    return word in words.CHOICES and second[:1] not in ("[", "(", "{")


def _joined_paths(word: str, values: list[str]) -> str | None:
    """Return add(x, f), cat([a, b], 1) and parallel(a, b): a merge with the block's input, or a fork."""
    if values and values[0][:1] in ("[", "("):
        values = values[:1]  # the rest are axes
    paths = _listed(values)
    branches = [_in_language(path) for path in paths if words.plain(path) not in words.INPUTS]
    merge = "cat" if word.startswith("c") else "+"
    fork = "cat" if word.startswith("c") else "sum"
    if len(branches) == 1 < len(paths):
        return f"{branches[0]} {merge}"
    if len(branches) < 2:
        return None
    made = f"{fork}({', '.join(branches)})"
    return made if len(branches) == len(paths) else f"{made} {merge}"


def _listed(values: list[str]) -> list[str]:
    """Return values; those of a list if it is the only one."""
    if len(values) == 1 and (inner := re.fullmatch(r"[\[({](.*)[\])}]", values[0])):
        return Scan(inner[1], "layers", ()).parts(0, len(Scan(inner[1], "layers", ()).lexemes) - 1, (",",))
    return values


def _in_language(part: str) -> str:
    """Return a foreign layer in the language; anything else as it is."""
    found = re.fullmatch(r"([A-Za-z_][\w.]*)(?:\((.*)\))?", part)
    if found is None:
        return part
    inside = Scan(found[2] or "", "layers", ())
    return layer(found[1], inside.parts(0, len(inside.lexemes) - 1, (",",)) if inside.lexemes else []) or part


def _bracketed(new: str, scan: Scan) -> str:
    """Return alternatives in brackets, unless they are the whole expression."""
    whole = re.fullmatch(r"\s*[\w.]+\(.*\)\s*", scan.text) and scan.text.count("(") - scan.text.count("((") >= 0
    first = next((k for k, lexeme in enumerate(scan.lexemes) if lexeme.text == "("), -1)
    is_whole = bool(whole) and scan.partner.get(first) == len(scan.lexemes) - 1
    return new if is_whole or "|" not in new else f"({new})"


# Values


def _is_value(scan: Scan, index: int) -> bool:
    """Whether a name is among numbers: in a number of a stage, or in an argument that is not an activation."""
    if scan.home == "number":
        return True
    bracket = scan.outer[index]
    while bracket >= 0 and scan.caller(bracket) is None:
        bracket = scan.outer[bracket]
    if bracket < 0:
        beside = (scan.at(index - 1).text, scan.at(index + 1).text)
        is_number = words.plain(scan.at(index).text) in words.NUMBERS
        return scan.home == "rule" and (is_number or any(sign in "*/" and sign for sign in beside))
    caller = scan.caller(bracket)
    assert caller is not None
    argument = scan.at(index - 2).text if scan.at(index - 1).text == "=" else ""
    if argument == "gate" or words.argument(argument, ("act",)) == "act":
        return False
    return is_known(caller.text) or (scan.at(index - 1).text == "=" and base_layer(caller.text) is not None)


def _value(scan: Scan, index: int, end: int, word: str, arguments: list[str], called: bool) -> Finding | None:
    lexeme = scan.at(index)
    name = lexeme.text
    if called and word in ("int", "trunc") and len(arguments) == 1:
        new = f"floor({arguments[0]})"
    elif called and word in words.ROUNDED and 1 <= len(arguments) <= 2:
        new = f"round({arguments[0]}, {arguments[1].split('=')[-1].strip() if len(arguments) == 2 else 8})"
    elif called:
        return None
    else:
        short = words.NUMBERS.get(word) or words.VARIABLES.get(word)
        boolean = _BOOLEANS.get(word) if scan.at(index - 2).text == "bias" else None
        if short is None and boolean is None:
            return None
        if short and scan.home == "number" and word not in words.NUMBERS:
            return None
        new = boolean or short or ""
    return Finding(lexeme.start, f"unknown name {name!r}; did you mean {new!r}?", (Edit(lexeme.start, end, new),))


def arguments(scan: Scan) -> Iterator[Finding]:
    """Foreign arguments of layers of the language, as in conv3x3(stride=2, padding=1)."""
    for index, lexeme in enumerate(scan.lexemes):
        last = scan.partner.get(index, -1)
        caller = scan.caller(index)
        if lexeme.text != "(" or last < 0 or caller is None or caller.text in scan.rules:
            continue
        try:
            found = find_op(caller.text)
        except ValueError:
            continue
        if found is None:
            continue
        op = found[0]
        names = [argument.name for argument in op.arguments]
        parts = scan.parts(index + 1, last - 1, (",",)) if last > index + 1 else []
        if caller.text == "fc" and parts and words.plain(parts[0].split("=")[-1]) in words.CLASSES:
            edit = Edit(lexeme.start, scan.at(last).end, "")
            yield Finding(
                scan.at(index + 1).start, f"{parts[0]!r}: fc has one output for each class by itself", (edit,)
            )
            continue
        by_name_only = not names or (not op.positional and not any("=" in part for part in parts))
        if parts and by_name_only and not any(scan.is_layer(k) for k in range(index + 1, last)):
            edit = Edit(lexeme.start, scan.at(last).end, "")
            takes = f"only {', '.join(names)}, written by name; the channels are inferred" if names else "no arguments"
            yield Finding(lexeme.end, f"{caller.text} takes {takes}", (edit,))
            continue
        for part in parts:
            named = re.match(r"(\w+)\s*(=|:|==)\s*(.*)", part)
            start = scan.text.find(part.split()[0], lexeme.end)
            if named and named[1] in names and named[2] == "=":
                value = as_size(VALUES.get(named[3], named[3]))
                if value != named[3]:
                    begin = scan.text.find(named[3], start + len(named[1]))
                    found_word = f"unknown name {named[3]!r}" if named[3].isidentifier() else repr(part)
                    message = f"{found_word}; the language writes {named[1]}={value}"
                    yield Finding(begin, message, (Edit(begin, begin + len(named[3]), value),))
            elif named:
                name = named[1] if named[1] in names else words.argument(named[1], names)
                written = VALUES.get(named[3], named[3])
                if name == "keep" and "p" in names:
                    name, written = "p", complement(written)
                elif name == "r":
                    written = as_ratio(written)
                has = ", ".join(names) or "none"
                message = f"{caller.text} has no argument {named[1][:40]!r}; it has: {has}"
                if named[1] in names:
                    message = f"{named[2]!r} after an argument; write {named[1]}={named[3]}"
                if name in names:
                    value = as_size(written.strip("'\""))
                    at = scan.text.find(named[2], start)
                    begin = scan.text.find(named[3], at)
                    edits = [Edit(start, at + len(named[2]), f"{name}="), Edit(begin, begin + len(named[3]), value)]
                    suggestion = f"; did you mean {name!r}?"
                    if name == "p" and written != VALUES.get(named[3], named[3]):
                        suggestion = f"; write {name}={value}"
                    elif named[1] in names:
                        suggestion = ""
                    yield Finding(start, message + suggestion, tuple(edits))
                elif name:
                    yield _without(scan, index, last, caller, part, parts, message, name, named[3])
        values = [part for part in parts if "=" not in part]
        if (
            op.role == "conv"
            and len(values) == 2
            and len(parts) == 2
            and "|" not in scan.text[lexeme.end : scan.at(last).start]
        ):
            message = (
                f"write the argument's name; {caller.text} takes {', '.join(names)}; the input channels are inferred"
            )
            start = scan.text.find(values[1], lexeme.end + len(values[0]))
            second = values[1] if not values[1].isdigit() or int(values[1]) > 7 else ""
            inside = second or f"{values[0]}, s={values[1]}"
            yield Finding(start, message, (Edit(lexeme.end, scan.at(last).start, inside),))


def _without(
    scan: Scan,
    bracket: int,
    last: int,
    caller: Lexeme,
    part: str,
    parts: list[str],
    message: str,
    name: str,
    value: str,
) -> Finding:
    """Return the finding of an argument that the language does not have: input channels, kernel size."""
    rest = ", ".join(other for other in parts if other != part)
    start = scan.text.find(part.split()[0], scan.at(bracket).end)
    why = {
        "in": "; the input channels are inferred",
        "k": "; the kernel size is part of the name",
        "out": "; it keeps its input's channels",
    }.get(name, "")
    head = caller.text
    after = ""
    if name == "k" and value.isdigit():
        head = re.sub(r"\d+x\d+", f"{value}x{value}", caller.text)
    if name in ("act", "norm") and (made := layer(value, [])):
        after = f" {made}"
        why = "; an activation or a norm is a layer of its own"
    new = f"{head}({rest}){after}" if rest else f"{head}{after}"
    return Finding(start, message + why, (Edit(caller.start, scan.at(last).end, new),))
