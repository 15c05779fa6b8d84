"""The pages made from the program: ops.md from the ops, settings.md from the settings, errors.md and published.md from
tables that tests loop over.

``python -m docs.generate`` writes them anew, and the schema of space files with them; a test checks that they are up
to date.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, fields
from pathlib import Path

from explorer.cli.running import SPACE
from explorer.costs.analytic import count_cost
from explorer.errors import SpaceError
from explorer.networks.ops import registry
from explorer.networks.ops.base import Argument, Op
from explorer.networks.ops.merge import MERGES, Merge
from explorer.settings.settings import Setting
from explorer.space.json_schema import SCHEMA_FILE, schema_text
from explorer.space.search_space import parse_space
from explorer.study.settings import SearchSettings
from explorer.training.settings import TrainingSettings
from tests.published.networks import FURTHER, ROWS, member
from tests.space.errors import ERRORS
from tests.space.spaces import text

ROOT = Path(__file__).parents[1]
DO_NOT_EDIT = "<!-- Written by `python -m docs.generate`; change what it is made from instead. -->"

OPS_HEAD = f"""{DO_NOT_EDIT}

# Ops

All layers of space files, from the classes in `explorer/networks/ops/`. The input has the shape C x H x W, Ho and Wo
are the output sides, K is the kernel, S the squeeze, p the padding; the other letters are the arguments. A cost that an
op does not list is 0: MACs are products of convolutions, linear layers and attention, without biases, norms,
activations, pooling and sums; activations are the output elements of these products. An argument in [brackets] is
optional; its default follows "=", or is described in words.
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

Every error is one line: file, line, column, what was found, what was expected, and the suggested fix. One pass reports
all errors of a file: parsing goes on after an error, and what does not depend on it is checked too. The tests loop
over this table. Each faulty entry below is put into this file

```yaml
{text()}```

and the entry beside it is the nearest one that loads.
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


PUBLISHED_HEAD = f"""{DO_NOT_EDIT}

# Published networks

Each of these is a member of a family in `search_spaces/published/`, named there by its choices (first alternatives
where none is named), as in `explorer cost 'published/resnet.yaml#block=bottleneck,depth=2'`; sides other than the
file's are given with `--input` and `--classes`. The tests require the published figures to the last unit: parameters
in both tables, MACs and activations in the first.

What the language cannot say, and why:

- networks whose branch forks: Inception, Res2Net, ResNeSt and selective kernels (several convs side by side), GhostNet
  and ShuffleNetV2 (the map is split, each half goes its own way); a block has one branch and one shortcut;
- networks that join far parts: DPN's second path, U-Nets, feature pyramids, HRNet; a stage sees the one before alone;
- attention with tokens (ViT, Swin) and hybrids with an output projection or local windows (HaloNet): `mhsa` is
  attention over all positions without an output projection, as in BoTNet;
- weight standardisation (BiT), global response norm (ConvNeXtV2), condensing and deformable convs: no op does that
  yet (CONTRIBUTING says how to add one); their parameters and MACs may be those of a network that can be said.

Everything in the first table can be said exactly; no network of it was left out.
"""


def published_page() -> str:
    parts = [PUBLISHED_HEAD]
    for title, rows in (
        ("Parameters, MACs and activations", ROWS),
        ("Further members: parameters, and GMACs where they are published", FURTHER),
    ):
        exact = rows[0].macs is not None
        columns = ["network", "side", "family", "choices", "params"]
        columns += ["MACs", "activations"] if exact else ["published GMACs", "MACs", "activations"]
        parts.append(f"## {title}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
        for row in rows:
            cost = count_cost(member(row))
            choices = ", ".join(f"{name}={value}" for name, value in row.choices.items()) or "index 0"
            cells = [row.name, str(row.side), row.family, f"`{choices}`", f"{cost.params:,}"]
            cells += [] if exact else [row.gmacs]
            cells += [f"{cost.macs:,}", f"{cost.activations:,}"]
            parts[-1] += f"\n| {' | '.join(cells)} |"
        parts[-1] += "\n"
    return "\n".join(parts)


SETTINGS_HEAD = f"""{DO_NOT_EDIT}

# Settings

Every setting of a search has one name in Python, in the settings file and (with hyphens, unless the table says
otherwise) on the command line. `explorer train` takes the settings of a training, `explorer compare` these and
`--workers`, `explorer worker` those that may differ between the runs of one study.

```sh
explorer search --space preact_variants.yaml --trials 50 --print-config > search.yaml   # the settings in force
explorer search --config search.yaml                                                    # the same search
explorer search --config search.yaml --trials 100                                       # options override the file
```

```python
explorer.search(space, trials=50)
settings = SearchSettings.make({{"trials": 50, "data": "digits"}})  # from explorer.study.settings
explorer.search(space, settings, sampler="random")  # keywords replace single settings
```

The settings file is YAML. It may leave out settings, which then have their defaults; an unknown or repeated key is an
error. `null` stands for the default that the table describes. Paths are relative to the working folder.
"""


def setting_row(setting: Setting) -> str:
    option, default = "Python only", f"`{json.dumps(setting.kind.write(setting.default))}`"
    if setting.flag is not None:
        option = f"`{setting.flag} {setting.metavar}`" if setting.metavar else f"`{setting.flag}`"
    if setting.command_default is not None:
        default += f"; on the command line `{setting.command_default}`"
    about = setting.help
    about += f" Range: {setting.kind.range}." if setting.kind.range else ""
    about += f" In Python: {setting.in_python}" if setting.in_python and setting.flag else setting.in_python
    cells = (f"`{setting.name}`", option, default, about, "yes" if setting.in_fingerprint else "")
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def settings_table(settings: Iterable[Setting]) -> str:
    head = "| setting | option | default | what it does | of the study |\n|---|---|---|---|---|\n"
    return head + "\n".join(map(setting_row, settings)) + "\n"


def settings_page() -> str:
    training = {each.name for each in TrainingSettings.described()}
    further = [each for each in SearchSettings.described() if each.name not in training]
    return "\n".join(
        [
            SETTINGS_HEAD,
            "A study keeps the settings marked in the last column: a run that changes one of them is refused.\n",
            f"## Of a training\n\n{settings_table(TrainingSettings.described())}",
            f"## Of a search\n\n{settings_table([SPACE, *further])}",
        ]
    )


# Every generated file and what writes that which is to stand in it.
PAGES: dict[Path, Callable[[], str]] = {
    ROOT / "docs" / "ops.md": ops_page,
    ROOT / "docs" / "errors.md": errors_page,
    ROOT / "docs" / "published.md": published_page,
    ROOT / "docs" / "settings.md": settings_page,
    ROOT / "search_spaces" / SCHEMA_FILE: schema_text,
}


if __name__ == "__main__":
    for path, content in PAGES.items():
        path.write_text(content())
