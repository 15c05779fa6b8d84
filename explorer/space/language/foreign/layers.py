"""Foreign layers with their arguments as the language writes them: ``nn.Conv2d(16, 32, 1)`` is ``conv1x1(32)``."""

from __future__ import annotations

import re
from fractions import Fraction

from explorer.networks.ops import registry
from explorer.space.language.foreign import words
from explorer.space.language.names import USUAL

# Positional arguments of other libraries, by the base of the name; in Keras a conv begins with its filters.
_TORCH_CONV = ("in", "out", "k", "s", "pad", "d", "g", "bias")
_KERAS_CONV = ("out", "k", "s", "pad")
_POOL = ("k", "s", "pad")
_POSITIONAL = {"bn": ("in",), "gn": ("g", "in"), "ln": ("in",), "in_": ("in",), "fc": ("in", "out")}
_POSITIONAL |= {"drop": ("p",), "droppath": ("p",), "leaky_relu": ("slope",), "scale": ("x",), "shuffle": ("g",)}
_POSITIONAL |= {"relu": ("nothing",), "se": ("in", "r"), "eca": ("in",), "cbam": ("in", "r"), "mhsa": ("in", "heads")}
VALUES = {"True": "1", "False": "0", "true": "1", "false": "0"}
VALUES |= {f"{quote}{word}{quote}": "0" for word in ("valid", "VALID") for quote in ("", "'", '"')}
VALUES |= {f"{quote}{word}{quote}": "same" for word in ("same", "SAME") for quote in ("", "'", '"')}
_DEFAULTS = {"s": "1", "d": "1", "g": "1"}


def layer(name: str, arguments: list[str]) -> str | None:
    """Return how the language writes a foreign layer; None for an unknown one.

    Args:
        name: The name, such as ``nn.Conv2d`` or ``conv_bn_relu``.
        arguments: The texts of its arguments.
    """
    word = re.sub(r"^.*\.", "", name)
    kernel, base = _kernel(word)
    if several := words.SEVERAL.get(words.plain(base)):
        return several.replace("KxK", _both(kernel or _named_kernel(arguments) or "3"))
    spelling = words.LAYERS.get(words.plain(word)) or words.LAYERS.get(words.plain(base))
    if spelling is None and re.fullmatch(r"\d{1,2}x\d{1,2}", word):
        spelling = "conv"
    if spelling is None and words.plain(base) in ("pwconv", "pointwise", "pointwiseconv", "conv1by1", "pw", "pwconv2d"):
        spelling, kernel = "conv", "1"
    if spelling is None:
        return _compound(word, arguments)
    if spelling in ("gap", "gmp") and any(as_size(value) != "1" for value in positional_parts(arguments)):
        return None  # a map of several pixels
    is_keras = "2D" in word or "keras" in name or "layers" in name
    if arguments and re.search(r"[A-Z].*2[dD]$", word) and spelling in ("conv", "dwconv", "maxpool", "avgpool"):
        arguments = _with_padding(arguments, is_keras, spelling)
    return _spelled(spelling, kernel, arguments, is_keras)


def block_layers(name: str, arguments: list[str]) -> str:
    """Return the layers of a block of papers, such as ``MBConv6_5x5`` or ``mbconv(e=3, k=5)``; "" for others."""
    kernel, base = _kernel(name) if re.search(r"\dx\d", name) else ("", name)
    word = words.plain(base)
    expansion = re.sub(r"^\D*", "", word) if word not in words.BLOCKS else ""
    layers = words.BLOCKS.get(word) or words.BLOCKS.get(re.sub(r"\d$", "", word), "")
    given, _ = read_arguments(arguments, (), ["e"])
    expansion = given.get("e", expansion)
    kernel = given.get("k", kernel)
    if kernel.isdigit():
        layers = layers.replace("dwconv3x3", f"dwconv{_both(kernel)}")
    if expansion.isdigit() and "6*in" in layers:
        layers = layers.replace("6*in", f"{expansion}*in").replace("r=24", f"r={4 * int(expansion)}")
    return layers


def _with_padding(arguments: list[str], is_keras: bool, spelling: str) -> list[str]:
    """Return the arguments of a layer of PyTorch or Keras with its padding, which is 0 by default."""
    positional = _POOL if "pool" in spelling else _KERAS_CONV if is_keras else _TORCH_CONV
    given, _ = read_arguments(arguments, positional, [])
    is_sized = any(side not in ("", "1") for side in as_size(given.get("k", "")).split("x"))
    return [*arguments, "padding=0"] if is_sized and "pad" not in given else arguments


def as_ratio(value: str) -> str:
    """Return a ratio as the number that divides the channels: 4 for 0.25; any other text as it is."""
    share = Fraction(value) if re.fullmatch(r"0?\.\d+|1/\d+", value) else Fraction(1)
    return str(1 / share) if 0 < share < 1 and (1 / share).denominator == 1 else value


def complement(value: str) -> str:
    """Return the probability of dropping for one of keeping: 0.1 for 0.9; any other text as ``1 - value``."""
    return f"{float(1 - Fraction(value)):g}" if re.fullmatch(r"[01]?(\.\d+)?", value) and value else f"1 - {value}"


def _kernel(word: str) -> tuple[str, str]:
    """Return the kernel size in a name, "" for none, and the name without it."""
    plain = re.sub(r"(?i)2d(?![a-z])", "", word)
    found = re.search(r"(\d{1,2})x(\d{1,2})", plain, re.IGNORECASE) or re.search(r"(?<=[A-Za-z_])(\d{1,2})$", plain)
    if found is None or (found.lastindex == 1 and words.LAYERS.get(words.plain(word))):
        return "", word
    size = found[1] if found.lastindex == 1 or found[1] == found[2] else f"{found[1]}x{found[2]}"
    return size, plain[: found.start()] + plain[found.end() :]


def _both(kernel: str) -> str:
    """Return a kernel size as it ends the name of a layer: ``3x3`` for 3."""
    return kernel if "x" in kernel else f"{kernel}x{kernel}"


def as_size(value: str) -> str:
    """Return a size such as (1, 7), 1x7, (3, 3) or 3 as the language writes it; any other text as it is."""
    found = re.fullmatch(r"[(\[]?\s*(\d+)\s*(?:[,x]\s*(\d+)\s*)?[)\]]?", value)
    if found is None:
        return value
    return found[1] if found[2] in (None, found[1]) else f"{found[1]}x{found[2]}"


def _named_kernel(arguments: list[str]) -> str:
    return next((m[1] for part in arguments if (m := re.match(r"(?:k|kernel_size|kernel)\s*=\s*(\d+)", part))), "")


def _compound(word: str, arguments: list[str]) -> str | None:
    """Return the layers of a name such as ``ConvBNReLU`` or ``conv3x3_bn_relu``."""
    pieces = re.findall(
        r"(?:dw)?[A-Za-z]*?\d+x\d+|[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+\d*(?![x\d])|[A-Z]+\d*|\d+x\d+", word
    )
    for split in (word.split("_"), word.split("-"), pieces, _camel(word)):
        if len(split) < 2:
            continue
        layers = [layer(piece, [] if k else arguments) if "_" not in piece else None for k, piece in enumerate(split)]
        if all(layers):
            return " ".join(map(str, layers))
    return None


def _camel(word: str) -> list[str]:
    """Split ``ConvBNReLU`` by the words that are known, the longest first."""
    known = sorted({*words.LAYERS, "conv3x3", "conv1x1"}, key=len, reverse=True)
    rest, parts = words.plain(word), []
    while rest:
        piece = next((k for k in known if len(k) > 1 and rest.startswith(k)), None)
        if piece is None:
            return []
        parts.append(piece)
        rest = rest[len(piece) :]
    return parts


def _spelled(spelling: str, kernel: str, arguments: list[str], is_keras: bool) -> str | None:
    op = registry.by_spelling.get(spelling)
    if op is None:
        return spelling  # a merge, or none
    positional = _POSITIONAL.get(spelling, ())
    if op.role == "conv":
        positional = _KERAS_CONV if is_keras else _TORCH_CONV
        if (
            not is_keras
            and len(positional_parts(arguments)) < 3
            and any(re.match(r"filters|out", a) for a in arguments)
        ):
            positional = ("k", "s", "pad")
        elif len(positional_parts(arguments)) == 1:
            positional = ("out",)
    elif op.role == "pool":
        positional = _POOL
    names = [argument.name for argument in op.arguments]
    size = next((part for part in arguments if re.fullmatch(r"\d{1,2}x\d{1,2}", part)), "")
    if size:
        kernel, arguments = as_size(size), [part for part in arguments if part != size]
    values = positional_parts(arguments)
    if (
        op.role == "conv"
        and not kernel
        and len(values) == 1
        and values[0].isdigit()
        and int(values[0]) in (1, 3, 5, 7, 9, 11)
    ):
        positional = ("k",)
    given, after = read_arguments(arguments, positional, names)
    if spelling == "conv" and given.get("g", "1") not in ("1",) and given.get("g") == given.get("in"):
        spelling, op = "dwconv", registry.by_spelling["dwconv"]
        del given["g"]
    kernel = kernel or given.pop("k", "")
    kernel = as_size(kernel)
    if spelling == "maxpool" and not kernel:
        kernel, given = "2", {"s": "2", **given}
    if op.sized is True and not kernel:
        kernel = "3"
    if op.sized is False or (kernel and not re.fullmatch(r"\d+(x\d+)?", kernel)):
        kernel = ""
    if op.role == "pool" and kernel and spelling != "gap" and "s" not in given:
        given["s"] = kernel if arguments else given.get("s", "")
    kernel_sides = list(map(int, kernel.split("x"))) if kernel else []
    is_same = given.get("pad") == "same" and given.get("s", "1") == "1" and all(side % 2 for side in kernel_sides)
    if is_same or given.get("pad") == as_size("x".join(str((side - 1) // 2) for side in kernel_sides)):
        given.pop("pad", "")  # the default
    if spelling == "gn":
        given.setdefault("g", USUAL["g"])
    lacking = [name for name in op.lacking([a.field for a in op.arguments if a.name in given]) if name not in given]
    given = {**{name: USUAL.get(name, "1") for name in lacking}, **given}
    kept = {
        name: value
        for name, value in given.items()
        if name in names and value and _DEFAULTS.get(name) != value and not (name == "bias" and value == "0")
    }
    if spelling in ("fc", "dwconv"):
        kept.pop("out", None)
    written = [
        value if name == op.arguments[0].name and op.positional and name != "s" else f"{name}={value}"
        for name, value in kept.items()
    ]
    size = _both(kernel) if kernel and op.sized is not False else ""
    brackets = f"({', '.join(written)})" if written else ""
    return " ".join([f"{spelling}{size}{brackets}", *after])


def read_arguments(
    arguments: list[str], positional: tuple[str, ...], names: list[str]
) -> tuple[dict[str, str], list[str]]:
    """Return the arguments of a foreign call by the language's names, and the layers that follow (an activation).

    Args:
        arguments: The texts of the arguments.
        positional: The meaning of arguments without a name.
        names: The names of the op's arguments.
    """
    given: dict[str, str] = {}
    after: list[str] = []
    place = 0
    for part in arguments:
        found = re.match(r"(\w+)\s*[=:]\s*(.*)", part)
        if found:
            name = words.argument(found[1], names)
            value = found[2]
        else:
            name, value = (positional[place] if place < len(positional) else ""), part
            place += 1
        value = as_size(VALUES.get(value, value).strip("'\""))
        if name == "keep":
            name, value = "p", complement(value)
        if name == "r":
            value = as_ratio(value)
        if name in ("act", "norm"):
            made = layer(value, []) if re.fullmatch(r"[\w.]+", value) else None
            after += [made] if made and made != "none" else []
        elif name:
            given[name] = words.VARIABLES.get(words.plain(value), value) if value.isidentifier() else value
    return given, after


def positional_parts(arguments: list[str]) -> list[str]:
    """Return the arguments without a name."""
    return [part for part in arguments if not re.match(r"\w+\s*=[^=]", part)]
