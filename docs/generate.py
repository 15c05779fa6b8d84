"""The pages made from the program itself: ops.md from the ops, errors.md from the table that the tests loop over.

``python -m docs.generate`` writes them anew, and the schema of space files with them; a test checks that they are up
to date.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path

from explorer.errors import SpaceError
from explorer.grammar.json_schema import SCHEMA_FILE, schema_text
from explorer.grammar.parse import parse_space
from explorer.ops import registry
from explorer.ops.base import Argument, Op
from explorer.ops.merge import MERGES, Merge
from tests.grammar.errors import ERRORS
from tests.grammar.spaces import text

ROOT = Path(__file__).parents[1]
DO_NOT_EDIT = "<!-- Written by `python -m docs.generate`; change what it is made from instead. -->"

OPS_HEAD = f"""{DO_NOT_EDIT}

# Ops

Everything that a space file may name as a layer, from the classes in `explorer/ops/` themselves. C x H x W arrives,
Ho and Wo are the sides that leave, K is the kernel, S the squeeze, p the padding; the other letters are the arguments.
What an op does not say it costs, it does not cost: MACs are products of convolutions, linear layers and attention,
without biases, norms, activations, pooling and sums; activations are the elements that these products put out. An
argument in [brackets] may be left out, its value is then the one behind "=", or what the words say.
"""

ROLES = {
    "conv": "Convolutions",
    "norm": "Norms",
    "activation": "Activations",
    "attention": "Attention",
    "regulariser": "Regularisers",
    "scale": "Scales, gates and shuffling",
    "pool": "Pooling and subsampling",
    "linear": "The classifier",
}

ERRORS_HEAD = f"""{DO_NOT_EDIT}

# Errors of space files

Every fault is one line: file, line, column, what was found, what could stand there, and the likely mend. All faults of
a file come in one pass: reading goes on behind a fault, and what does not depend on it is checked too. The tests loop
over this table. Each faulty entry below stands in the file

```yaml
{text()}```

which it changes as shown, and the entry beside it is the nearest one that loads.
"""


def range_of(argument: Argument) -> str:
    """What may stand for an argument, in words."""
    if argument.kind == "activation":
        return "an activation"
    if argument.kind == "word":
        return " or ".join(f"`{word}`" for word in argument.words)
    low, high = (f"{bound:,.10g}" for bound in (argument.low, argument.high))
    return f"{'whole, ' if argument.kind == 'whole' else ''}{low} to {high}"


def arguments_of(op: type[Op] | type[Merge]) -> Iterator[str]:
    lacking = op.lacking(()) if issubclass(op, Op) else ()
    defaults = {field.name: field.default for field in fields(op) if field.default is not MISSING}
    for argument in op.arguments:
        name = f"`{argument.name}`"
        if argument.name not in lacking:
            name = f"[`{argument.name}={defaults[argument.field]}`]" if argument.field in defaults else f"[{name}]"
        yield f"{name} {argument.about} ({range_of(argument)})"


def sentence(op: type) -> str:
    """The first paragraph of a docstring as Markdown."""
    first = re.split(r"\n\s*\n", op.__doc__.strip())[0]
    return " ".join(first.replace("``", "`").split())


def formula(text: str) -> str:
    return text.replace("*", "·")


def cost_of(rule) -> str:
    return "<br>".join(f"{what}: {formula(count)}" for what, count in rule.items()) or "nothing"


def row(op: type[Op] | type[Merge], spelling: str) -> str:
    arguments = "<br>".join(arguments_of(op)) or "none"
    return f"| {spelling} | {sentence(op)} | {arguments} | {op.shape_rule} | {cost_of(op.cost_rule)} |"


def op_row(op: type[Op]) -> str:
    plain, sized = f"`{op.spelling}`", f"`{op.spelling}KxK`"
    return row(op, {True: sized, None: f"{plain}, {sized}", False: plain}[op.sized])


def ops_page() -> str:
    head = "| written | what it is | arguments | leaves | costs |\n|---|---|---|---|---|"
    parts = [OPS_HEAD]
    for role, title in ROLES.items():
        rows = [op_row(op) for op in registry.by_spelling.values() if op.role == role]
        parts.append(f"## {title}\n\n{head}\n" + "\n".join(rows) + "\n")
    rows = [row(merge, f"`{merge.spelling}`") for merge in MERGES.values()]
    parts.append(f"## Merges\n\nA block holds exactly one.\n\n{head}\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def message(entry: dict) -> str:
    """The line that the first fault of a file comes to."""
    try:
        parse_space(text(**entry), "space.yaml")
    except SpaceError as error:
        return str(error.problems[0])
    raise AssertionError(entry)


def entry_lines(entry: dict) -> str:
    """The sections that an entry of the table puts into the file."""
    lines = []
    for key, value in entry.items():
        if value is None:
            lines.append(f"(no {key})")
        elif isinstance(value, dict):
            lines += [f"{key}:", *(f"  {name}: {words}" for name, words in value.items())]
        else:
            lines.append(f"{key}: {value}")
    return "\n".join(lines) or "(as above)"


def errors_page() -> str:
    parts = [ERRORS_HEAD]
    for title, errors in ERRORS.items():
        parts.append(f"## {title}\n")
        for error in errors:
            parts.append(f"```\n{message(error.bad)}\n```\n")
            parts.append(f"```yaml\n{entry_lines(error.bad)}\n# loads:\n{entry_lines(error.good)}\n```\n")
    return "\n".join(parts)


def pages() -> dict[Path, str]:
    """Every generated file and what is to stand in it."""
    return {
        ROOT / "docs" / "ops.md": ops_page(),
        ROOT / "docs" / "errors.md": errors_page(),
        ROOT / "search_spaces" / SCHEMA_FILE: schema_text(),
    }


if __name__ == "__main__":
    for path, content in pages().items():
        path.write_text(content)
