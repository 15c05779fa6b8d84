"""YAML lists and mappings in place of an expression: lists as choices or layers, and choices as other tools write them.

Such tools: NNI (``_type: choice``, ``_value: [...]``), Weights & Biases (``values``, ``min`` and ``max``), Optuna
(``low``, ``high``, ``step``), Hydra (``_target_``), MMCV (``type: BN``).
"""

from __future__ import annotations

import re
from collections.abc import Container

from explorer.space.language.foreign.layers import layer
from explorer.space.language.foreign.numbers import spelled_range
from explorer.space.language.foreign.scan import are_alternatives, is_layer_name, joined
from explorer.space.language.foreign.words import BLOCKS, plain
from explorer.space.language.yaml import Entry, Mapping, Scalar, Sequence

_VALUES = (
    "_value",
    "values",
    "value",
    "choices",
    "options",
    "candidates",
    "choice",
    "oneof",
    "one_of",
    "items",
    "enum",
)
_LAYERS = ("layers", "ops", "sequence", "seq", "sequential", "modules")
_LOWS = ("min", "low", "lower", "start", "from", "lo", "lower_bound", "minimum")
_HIGHS = ("max", "high", "upper", "stop", "end", "to", "hi", "upper_bound", "maximum")
_STEPS = ("step", "q", "by", "quantum")
_TYPES = ("_target_", "type", "name", "class", "class_name", "op", "layer", "target", "module")


def as_expression(entry: Entry, home: str, rules: Container[str]) -> str | None:
    """Return a list or a mapping as an expression, which may still have foreign words; None if it has no meaning.

    Args:
        entry: The list or the mapping.
        home: Where it is, see ``Scan``.
        rules: The names of the file's rules.
    """
    if isinstance(entry, Scalar):
        return entry.text
    if isinstance(entry, Sequence):
        parts = [as_expression(item, "layers", rules) for item in entry.items]
        if not parts or not all(parts):
            return None
        found = [_grouped(part) for part in map(str, parts)]
        if home == "layers" and len(found) > 1 and all(re.search(r"(^|\s)(\+|cat(?!\()|gate)", part) for part in found):
            return " ; ".join(found)
        if any(is_layer_name(part.split("(")[0], rules) for part in found):
            found = ["none" if part in ("0", "None", "False") else part for part in found]
        return joined(found, home, rules)
    return _mapping(entry, home, rules)


def _mapping(entry: Mapping, home: str, rules: Container[str]) -> str | None:
    pairs = {key.text: value for key, value in entry.items}
    if pairs and all(isinstance(value, Scalar) and not value.text for value in pairs.values()):
        if home == "number":
            return f"[{', '.join(pairs)}]"  # {16, 32, 64}
        return joined(list(pairs), "rule", rules)  # {relu, silu}
    if _are_weighted(pairs) and are_alternatives(list(pairs), "layers", rules):
        return " | ".join(pairs)
    kind = pairs.get("_type")
    for key in _VALUES:
        value = pairs.get(key)
        if isinstance(value, Sequence):
            texts = [item.text for item in value.items if isinstance(item, Scalar)]
            name = kind.text if isinstance(kind, Scalar) else ""
            if len(texts) in (2, 3) and re.search(r"int|uniform|range", name):
                numbers = texts[:2] if name == "randint" or len(texts) == 2 else texts
                if all(re.fullmatch(r"\d+(\.\d+)?", number) for number in numbers):
                    last = str(int(float(numbers[1])) - 1) if name == "randint" else numbers[1]
                    return spelled_range(numbers[0], last, numbers[2] if len(numbers) == 3 else None)
            parts = [as_expression(item, "layers", rules) for item in value.items]
            return " | ".join(map(str, parts)) if parts and all(parts) else None
    for key in _LAYERS:
        if isinstance(value := pairs.get(key), Sequence):
            parts = [as_expression(item, "layers", rules) for item in value.items]
            return " ".join(map(str, parts)) if all(parts) else None
    low, high, step = (_number(pairs, names) for names in (_LOWS, _HIGHS, _STEPS))
    if low and high:
        return spelled_range(low, high, step or None)
    for key in _TYPES:
        if isinstance(kind := pairs.get(key), Scalar) and kind.text:
            others = [(k, v.text) for k, v in pairs.items() if k != key and isinstance(v, Scalar)]
            if plain(kind.text) in BLOCKS:
                return BLOCKS[plain(kind.text)]
            return layer(kind.text, [f"{k}={v}" for k, v in others if not k.startswith("_")])
    if len(pairs) > 1 and all(is_layer_name(name.split("(")[0], rules) for name in pairs):
        texts = [value.text if isinstance(value, Scalar) else "?" for value in pairs.values()]
        if "?" not in texts:
            return " ".join(f"{name}({text})" if text else name for name, text in zip(pairs, texts))
    if len(pairs) == 1:  # - conv3x3: {out: 16}, or - conv3x3: 16
        ((name, value),) = pairs.items()
        if isinstance(value, Scalar):
            return f"{name}({value.text})" if value.text else name
        if isinstance(value, Mapping) and all(isinstance(v, Scalar) for _, v in value.items):
            given = ", ".join(f"{k.text}={v.text}" for k, v in value.items if isinstance(v, Scalar))
            return f"{name}({given})"
    return None


def _are_weighted(pairs: dict[str, Entry]) -> bool:
    """Whether the values are probabilities, as in {relu: 0.5, silu: 0.5}."""
    texts = [value.text if isinstance(value, Scalar) else "" for value in pairs.values()]
    return len(pairs) > 1 and all(re.fullmatch(r"0?\.\d+", text) for text in texts)


def _number(pairs: dict[str, Entry], names: tuple[str, ...]) -> str:
    found = next((pairs[name] for name in names if name in pairs), None)
    text = found.text if isinstance(found, Scalar) else ""
    return text if re.fullmatch(r"\d+(\.\d+)?", text) else ""


def _grouped(part: str) -> str:
    return f"({part})" if "|" in part and not part.startswith("(") else part
