"""Sections of a space file in other forms: an input as a list, stages as numbers, a shortcut as one expression."""

from __future__ import annotations

import re

from explorer.errors import Edit
from explorer.space.language.foreign.words import NUMBERS, plain
from explorer.space.language.yaml import Entry, Mapping, Scalar, Sequence

_DATA = {
    **dict.fromkeys(("cifar10", "cifar"), ("3x32x32", "10")),
    "cifar100": ("3x32x32", "100"),
    **dict.fromkeys(("mnist", "fashionmnist"), ("1x28x28", "10")),
    **dict.fromkeys(("imagenet", "imagenet1k", "ilsvrc2012"), ("3x224x224", "1000")),
    "tinyimagenet": ("3x64x64", "200"),
    "svhn": ("3x32x32", "10"),
    "digits": ("1x8x8", "10"),
}
_NUMBERS = {**NUMBERS, "hundred": "100", "thousand": "1000"}


def texts_of(entry: Entry) -> list[str] | None:
    """Return the texts of a list of texts, or the numbers and words of a text; None for anything else."""
    if isinstance(entry, Sequence):
        texts = [item.text for item in entry.items if isinstance(item, Scalar)]
        return texts if len(texts) == len(entry.items) else None
    return [entry.text] if isinstance(entry, Scalar) else None


def input_shape(entry: Entry) -> str:
    """Return an input of another form as ``3x32x32``; "" if it has no meaning."""
    if isinstance(entry, Mapping):
        pairs = {plain(key.text): value.text for key, value in entry.items if isinstance(value, Scalar)}
        channels = next((pairs[k] for k in ("channels", "c", "inchannels", "channel", "inch") if k in pairs), "3")
        side = next((pairs[k] for k in ("size", "height", "h", "resolution", "side", "imagesize") if k in pairs), "")
        width = next((pairs[k] for k in ("width", "w") if k in pairs), side)
        found = [channels, side, width]
    else:
        text = " ".join(texts_of(entry) or [])
        if plain(text) in _DATA:
            return _DATA[plain(text)][0]
        found = re.findall(r"\d+", text)
    if len(found) == 4 and found[0] == "1":
        found = found[1:]  # a batch of one image
    if len(found) < 3 and found:
        is_channels = len(found) == 2 and found[0] in ("1", "3")
        found = [found[0], found[1], found[1]] if is_channels else ["3", found[0], found[-1]]
    if len(found) == 3 and int(found[0] or 0) == int(found[1] or 0) and found[2] in ("1", "3"):
        found = [found[2], found[0], found[1]]  # the channels last
    return "x".join(found) if len(found) == 3 and all(number.isdigit() for number in found) else ""


def classes(entry: Entry) -> str:
    """Return a number of classes of another form in digits; "" if it has no meaning."""
    texts = texts_of(entry)
    if texts is None or not texts:
        return ""
    text = texts[0] if len(texts) == 1 else ""
    if plain(text) in _DATA:
        return _DATA[plain(text)][1]
    if text.lower() in _NUMBERS:
        return _NUMBERS[text.lower()]
    if found := re.fullmatch(
        r"\s*(\d{1,3}(?:[,_' ]?\d{3})*|\d+)(?:\.0+)?(k?)\s*(?:classes|labels|categories)?\s*[,;.]?\s*", text
    ):
        return str(int(re.sub(r"\D", "", found[1])) * (1000 if found[2] else 1))
    return str(len(texts)) if len(texts) > 1 and not all(t.isdigit() for t in texts) else ""


def rules(entry: Entry, text: str) -> tuple[Edit, ...]:
    """Return the edits of rules that are written ``act = relu | silu``, ``act -> relu | silu`` or as a list.

    Args:
        entry: The section, which is no mapping.
        text: The text of the file.
    """
    edits = []
    at = text.rfind("\n", 0, entry.span[0]) + 1
    for line in text[at : entry.span[1]].rstrip().split("\n"):
        found = re.match(r"(?:grammar:)?\s*((?:- )?[A-Za-z][\w-]*\s*(?:::?=|=>|->|=|→|:)\s*)\S", line)
        if found is None:
            return ()
        name = re.match(r"(?:- )?([\w-]+)", found[1])
        assert name is not None
        if line.startswith("grammar:"):
            return (Edit(at + found.start(1), at + len(line), f"{{{name[1]}: {line[found.end(1) :].strip()}}}"),)
        edits.append(Edit(at + found.start(1), at + found.end(1), f"{name[1]}: "))
        at += len(line) + 1
    return tuple(edits)


def stages(entry: Entry, text: str) -> str:
    """Return stages of another form as the language writes them; "" if they have no meaning.

    Args:
        entry: The section: a number of stages, a list of numbers of blocks, a list of lists, or named stages.
        text: The text of the file.
    """
    if isinstance(entry, Mapping):
        parts = [text[slice(*value.span)] for _, value in entry.items if isinstance(value, Mapping)]
        is_flow = all(part.startswith("{") for part in parts)
        if len(parts) < len(entry.items) or not parts:
            return ""
        if not is_flow:
            parts = [
                "{" + ", ".join(line.strip() for line in part.splitlines() if line.strip()) + "}" for part in parts
            ]
        return f"[{', '.join(parts)}]"
    if isinstance(entry, Scalar):
        numbers = re.findall(r"\d+", entry.text)
        if re.sub(r"[\d\s,;/()x-]", "", entry.text) or not numbers:
            return ""
        if len(numbers) == 1:
            return _by_number(["2"] * int(numbers[0])) if 1 <= int(numbers[0]) <= 8 else ""
        return _by_number(numbers)
    rows = [texts_of(item) for item in entry.items]
    if rows and all(isinstance(item, Scalar) for item in entry.items):
        numbers = [row[0] for row in rows if row]
        return _by_number(numbers) if all(number.isdigit() for number in numbers) else ""
    columns = [list(column) for column in zip(*(row or [] for row in rows))]
    whole = all(number.isdigit() for column in columns for number in column)
    if len({len(row or []) for row in rows}) != 1 or not whole or len(columns) not in (2, 3):
        return ""
    width = max(columns, key=lambda column: max(map(int, column)))
    others = [column for column in columns if column is not width]
    strides = [column for column in others if set(column) <= {"1", "2"}]
    stride = max(strides, key=lambda column: column[0] == "1", default=None) if len(others) > 1 else None
    others = [column for column in others if column is not stride]
    blocks = others[0] if others else ["1"] * len(width)
    out = f"blocks: [{', '.join(blocks)}], width: [{', '.join(width)}]"
    return f"{{{out}, stride: [{', '.join(stride)}]}}" if stride else f"{{{out}}}"


def completed(entry: Sequence, count: int) -> str:
    """Return a list with too few entries, the last one repeated; "" if it has anything but texts."""
    texts = texts_of(entry)
    return f"[{', '.join([*texts, *[texts[-1]] * (count - len(texts))])}]" if texts else ""


def split_list(entry: Entry) -> tuple[str, str] | None:
    """Return what is wrong with a list of numbers, and the list.

    Such lists are ``[16 32 64]``, whose one entry has all numbers, ``[[16, 32, 64]]`` and ``{stage1: 16, stage2: 32}``.
    None for any other entry.
    """
    if isinstance(entry, Mapping):
        texts = [value.text for _, value in entry.items if isinstance(value, Scalar)]
        are_stages = all(re.fullmatch(r"(?i)(stage|layer|s|group|block)?[ _-]?\d", key.text) for key, _ in entry.items)
        is_list = are_stages and len(texts) == len(entry.items) > 0 and all(texts)
        return ("numbers of stages are a list", f"[{', '.join(texts)}]") if is_list else None
    if not isinstance(entry, Sequence) or len(entry.items) != 1:
        return None
    only = entry.items[0]
    texts = texts_of(only) or []
    if isinstance(only, Sequence):
        return ("a list in a list", f"[{', '.join(texts)}]") if texts else None
    if re.fullmatch(r"\s*\d+(?:(?:\s+|\s*[-/;x]\s*)\d+)+\s*", "".join(texts)):
        return "a list without commas", f"[{', '.join(re.findall(r'[0-9]+', texts[0]))}]"
    return None


def _by_number(blocks: list[str]) -> str:
    """Return stages with these numbers of blocks, each of twice the width of the one before and of half its sides."""
    widths = [str(16 * 2**k) for k in range(len(blocks))]
    strides = ["1", *["2"] * (len(blocks) - 1)]
    return (
        "{"
        + ", ".join(
            f"{key}: [{', '.join(values)}]"
            for key, values in (("blocks", blocks), ("width", widths), ("stride", strides))
        )
        + "}"
    )


def shortcut(expression: str) -> str:
    """Return a shortcut that is one expression as the language writes it."""
    word = plain(expression)
    if word in ("none", "no", "false", "off", "null", "plain", "without"):
        return "{same: none, changed: none}"
    if word in ("identity", "skip", "true", "yes", "on", "same", "x"):
        return "{same: identity}"
    if word in ("a", "optiona", "pad", "zeropad", "padding", "subsample"):
        return "{changed: subsample}"
    if word in ("b", "optionb", "projection", "conv", "proj", "project", "default", "add", "sum", "residual"):
        return "{changed: conv1x1 bn}"
    if word in ("c", "optionc", "all"):
        return "{same: conv1x1 bn, changed: conv1x1 bn}"
    value = f"'{expression}'" if re.search(r"[,{}\[\]]|: ", expression) else expression
    return f"{{changed: {value}}}"


def bound(text: str, unit: str = "") -> str:
    """Return a bound of another form, such as ``2M`` or ``up to 2 million``, as ``<= 2M``; "" if it has no meaning.

    Args:
        text: The bound.
        unit: The suffix of a number that has none, for keys such as ``gflops``.
    """
    suffix = r"[kKMGT](?:M|MACs?|params?)?\b|million|billion|thousand|[kKMGT]i?[bB]\b|m\b|g\b"
    numbers = re.findall(rf"\d+(?:[.,_]\d+)*\s*(?:{suffix})?", text)
    if not numbers or "flop" in text.lower():  # a MAC is two FLOPs
        return ""
    spelled = re.sub(r"(?<=[kKMGT])i?[bB]$", "", numbers[-1].strip())
    spelled = re.sub(r"(?<=[kKMGT])(M|MACs?|params?)$", "", spelled)
    spelled = re.sub(r"\s*(million|m)$", "M", spelled)
    spelled = re.sub(r"\s*(billion|g)$", "G", spelled)
    spelled = re.sub(r"\s*thousand$", "k", spelled).replace(",", "").replace(" ", "")
    is_lower = re.search(r"min|at least|more|above|over|>|greater", text) and len(numbers) == 1
    return f"{'>=' if is_lower else '<='} {spelled}{'' if spelled[-1].isalpha() else unit}"
