"""Writes the pages of docs/reference/: ops.md from the ops, settings.md from the settings, errors.md and published.md
from tables of the tests.

``python -m docs.generate`` writes these pages, the schema of space files, and what type checkers read: the stub of the
package and the keywords of functions that take settings. A test checks that they are up to date.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path

from explorer import _PUBLIC as PUBLIC
from explorer.cli.running import SPACE
from explorer.costs.analytic import count_cost
from explorer.errors import SpaceError
from explorer.networks.ops import registry
from explorer.networks.ops.base import Argument, Op
from explorer.networks.ops.merge import MERGES, Merge
from explorer.networks.ops.nested.fork import JOINS
from explorer.settings.settings import Setting, Settings
from explorer.space.json_schema import SCHEMA_FILE, schema_text
from explorer.space.search_space import parse_space
from explorer.study.settings import SearchSettings
from explorer.training.settings import TrainingSettings
from tests.published.networks import FURTHER, ROWS, member
from tests.space.errors import ERRORS
from tests.space.spaces import text

ROOT = Path(__file__).parents[1]
DO_NOT_EDIT = "<!-- Written by `python -m docs.generate`; change its sources instead. -->"

OPS_HEAD = f"""{DO_NOT_EDIT}

# Ops

On this page you can look up how each layer is written in a space file, and its arguments, output shape and costs. The
page is generated from the classes in `explorer/networks/ops/`.

- The input has the shape C x H x W. Ho and Wo are height and width of the output, K is the kernel size, S the squeeze
  width, p the padding. The other letters are arguments. A kernel can have two sides, height and width, as in
  `conv1x7`: then K*K is their product, and Ho and Wo follow from the side, stride and padding of their direction.
- An argument in [brackets] is optional. Its default follows "=" or is described in words.
- A cost that an op does not list is 0. MACs are multiply-accumulates of convolutions, linear layers and attention,
  without biases, norms, activations, pooling and sums. Activations are the output elements of the same layers.
"""

ROLES = {
    "conv": "Convolutions",
    "norm": "Norms",
    "activation": "Activations",
    "attention": "Attention",
    "regulariser": "Regularisers",
    "scale": "Scales, gates, shuffling and zero",
    "pool": "Pooling and subsampling",
    "linear": "The classifier",
}

ERRORS_HEAD = f"""{DO_NOT_EDIT}

# Errors of space files

On this page you can look up an error of a space file and its fix.

Every error is one line: file, line, column, what was found, what was expected, and the suggested fix. One run reports
all errors of a file, except those in parts that depend on a faulty part. Each example below replaces entries of this
file:

```yaml
{text()}```

The message comes first, then the faulty entry, then, after `# loads:`, the nearest entry without the error. The tests
check every example.
"""


def range_of(argument: Argument) -> str:
    """Return the allowed values of an argument in words."""
    if argument.kind == "activation":
        return "an activation"
    if argument.kind == "word":
        return " or ".join(f"`{word}`" for word in argument.words)
    low, high = (f"{bound:,.10g}" for bound in (argument.low, argument.high))
    numbers = f"{'whole, ' if argument.kind in ('whole', 'size') else ''}{low} to {high}"
    return " or ".join([numbers, *(f"`{word}`" for word in argument.words)])


def arguments_of(op: type[Op] | type[Merge]) -> Iterator[str]:
    lacking = op.lacking(()) if issubclass(op, Op) else ()
    defaults = {field.name: field.default for field in fields(op) if field.default is not MISSING}
    for argument in op.arguments:
        name = f"`{argument.name}`"
        if argument.name not in lacking:
            default = defaults.get(argument.field)
            name = f"[{name}]" if default is None else f"[`{argument.name}={default}`]"
        yield f"{name} {argument.about} ({range_of(argument)})"


def sentence(op: type) -> str:
    """Return the first paragraph of a docstring as Markdown."""
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


FORKS_HEAD = """## Forks

Parallel paths with one input, each a row of layers; they cost what their layers cost. `split(a, b)` is `cat` of
paths that begin with `part(1, 2)` and `part(2, 2)`. [The space language](language.md#parallel-paths) has examples.

| spelling | meaning | output shape |
|---|---|---|
"""


def ops_page() -> str:
    head = "| spelling | meaning | arguments | output shape | costs |\n|---|---|---|---|---|"
    parts = [OPS_HEAD]
    for role, title in ROLES.items():
        rows = [op_row(op) for op in registry.by_spelling.values() if op.role == role]
        parts.append(f"## {title}\n\n{head}\n" + "\n".join(rows) + "\n")
    forks = [f"| `{name}(a, b)` | {sentence(fork)} | {fork.shape_rule} |" for name, fork in JOINS.items()]
    parts.append(FORKS_HEAD + "\n".join(forks) + "\n")
    merges = [row(merge, f"`{merge.spelling}`") for merge in MERGES.values()]
    parts.append(f"## Merges\n\nA block has exactly one merge.\n\n{head}\n" + "\n".join(merges) + "\n")
    return "\n".join(parts)


def message(entry: dict) -> str:
    """Return the message of the first error of a file."""
    try:
        parse_space(text(**entry), "space.yaml")
    except SpaceError as error:
        return str(error.problems[0])
    raise AssertionError(entry)


def entry_lines(entry: dict) -> str:
    """Return the sections that an entry of the table replaces in the file."""
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

On this page you can find a published network, its family file and its choices, and which networks the language cannot
express.

Each network in the tables is a member of a family in `search_spaces/published/`. Its choices select it, as in
`explorer cost 'published/resnet.yaml#block=bottleneck,depth=2'`; a choice that is not named has its first alternative.
If the input shape or the number of classes differs from the file, add `--input` and `--classes`. The tests require
exact equality with the published numbers: parameters in both tables, MACs and activations in the first table.

The language cannot express:

- a softmax over parallel paths, except that of `sk3x3` (selective kernels) and `splat3x3` (ResNeSt);
- connections between stages: the input of a stage is the output of the stage before it. Within one block, taps connect
  distant parts, and maps of other resolutions: DLA and HRNet are written as one block;
- class tokens (ViT), and windows of attention that are shifted (Swin);
- condensed and deformable convolutions. There are no ops for them yet; CONTRIBUTING.md describes how to add an op.
"""


def published_page() -> str:
    parts = [PUBLISHED_HEAD]
    for title, rows in (
        ("Parameters, MACs and activations", ROWS),
        ("Other networks: parameters, and published GMACs if available", FURTHER),
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

On this page you can look up every setting of a search: its name in Python and in the settings file, its option on the
command line, its default and its range.

`explorer train` has the settings of a training. `explorer compare` has these and `--workers`. `explorer worker` has the
settings that may differ between the runs of one study.

```sh
explorer search --space preact_variants.yaml --trials 50 --print-config > search.yaml   # the effective settings
explorer search --config search.yaml                                                    # the same search
explorer search --config search.yaml --trials 100                                       # options override the file
```

```python
from explorer.study.settings import SearchSettings

explorer.search(space, trials=50)
settings = SearchSettings.make({{"trials": 50, "data": "digits"}})
explorer.search(space, settings, sampler="random")  # keywords replace single settings
```

The settings file is YAML. A value is written as for the option: `trials: 1k`, `study: 123`, `seconds: 2h`. A key is the
name of the setting or of its option (`time`). An unknown or repeated key is an error. Paths are relative to the working
folder. `--config` may be repeated; a later file overrides an earlier one.

Of several values, the first of this list is used:

1. the command line; `--no-retry-failed` switches off a flag of the file, and `--limit none` removes its limits;
2. the settings file, unless its value is `null`, which is the same as leaving the setting out;
3. the environment variable, for `storage`, `artifacts` and `data_dir`;
4. the default. The `null` of a default in the table means that the program chooses, as the text describes.

`--print-config` writes `null` for `storage`, `artifacts` and `data_dir` if nothing sets them, so that the environment
variable still applies when the file is used. Only Python can keep a study in memory (`storage=None`).
"""


def setting_row(setting: Setting) -> str:
    option, default = "Python only", f"`{json.dumps(setting.kind.write(setting.default))}`"
    if setting.flag is not None:
        option = ", ".join(
            f"`{each} {setting.metavar}`" if setting.metavar else f"`{each}`" for each in setting.options
        )
    if setting.command_default is not None:
        default += f"; on the command line `{setting.command_default}`"
    about = setting.help
    about += f" Range: {setting.kind.range}." if setting.kind.range else ""
    about += f" In Python: {setting.in_python}" if setting.in_python and setting.flag else setting.in_python
    cells = (f"`{setting.name}`", option, default, about, "yes" if setting.in_fingerprint else "")
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def settings_table(settings: Iterable[Setting]) -> str:
    head = "| setting | option | default | meaning | fixed per study |\n|---|---|---|---|---|\n"
    return head + "\n".join(map(setting_row, settings)) + "\n"


def search_settings() -> list[Setting]:
    """Return the settings of a search that are not those of a training."""
    training = {each.name for each in TrainingSettings.described()}
    return [each for each in SearchSettings.described() if each.name not in training]


def settings_page() -> str:
    return "\n".join(
        [
            SETTINGS_HEAD,
            "A study created with other values of the settings marked in the last column cannot be resumed.\n",
            f"## Settings of a training\n\n{settings_table(TrainingSettings.described())}",
            f"## Settings of a search\n\n{settings_table([SPACE, *search_settings()])}",
        ]
    )


def options_module(cls: type[Settings], classes: Mapping[str, tuple[str, Iterable[Setting]]]) -> str:
    """Return a module of ``TypedDict`` classes with the settings of a class.

    Args:
        cls: The class of the settings.
        classes: Name of each class -> its base class, and its settings.
    """
    found = {"TypedDict": "typing", "TrainingOptions": "explorer.training.options"}
    for module in (TrainingSettings, cls):  # the annotations mean what the modules of the settings import
        for node in ast.walk(ast.parse(inspect.getsource(inspect.getmodule(module)))):
            if isinstance(node, ast.ImportFrom):
                found |= {alias.name: node.module for alias in node.names}
    used = [word for base, settings in classes.values() for word in (base, *(each.accepts for each in settings))]
    names = set(re.findall(r"[A-Za-z]\w*", " ".join(used))) - set(classes)
    imported = {module: sorted(name for name in names if found.get(name) == module) for module in found.values()}
    lines = [f"from {module} import {', '.join(imported[module])}" for module in sorted(imported) if imported[module]]
    own = [line for line in lines if line.startswith("from explorer")]
    parts = [
        f'"""The keywords of functions that take ``{cls.__name__}``, for type checkers.\n\n'
        'Written by ``python -m docs.generate``; change the fields of the settings instead.\n"""\n',
        "from __future__ import annotations\n",
        "\n".join([*(line for line in lines if line not in own), "", *own]) + "\n",
    ]
    for name, (base, settings) in classes.items():
        about = f'"""Keywords that replace single values of ``{cls.__name__}``."""'
        fields = "\n".join(f"    {each.name}: {each.accepts}" for each in settings)
        parts.append(f"\nclass {name}({base}, total=False):\n    {about}\n\n{fields}\n")
    return "\n".join(parts)


def training_options() -> str:
    of_train = [each for each in TrainingSettings.described() if each.name != "data"]  # its own parameter of ``train``
    data = [each for each in TrainingSettings.described() if each.name == "data"]
    return options_module(
        TrainingSettings, {"TrainOptions": ("TypedDict", of_train), "TrainingOptions": ("TrainOptions", data)}
    )


def search_options() -> str:
    return options_module(SearchSettings, {"SearchOptions": ("TrainingOptions", search_settings())})


def public_stub() -> str:
    """Return the stub of the package, which tells type checkers what its public names stand for."""
    names = sorted(PUBLIC.items(), key=lambda item: (item[1], item[0]))
    imports = "\n".join(f"from {module} import {attribute} as {name}" for name, (module, attribute) in names)
    listed = "\n".join(f'    "{name}",' for name in sorted(PUBLIC))
    return (
        f"# Written by `python -m docs.generate` from the table in __init__.py.\n\n{imports}\n\n"
        f"__all__ = [\n{listed}\n]\n__version__: str\n"
    )


# Each generated file, and the function that returns its content.
PAGES: dict[Path, Callable[[], str]] = {
    ROOT / "docs" / "reference" / "ops.md": ops_page,
    ROOT / "docs" / "reference" / "errors.md": errors_page,
    ROOT / "docs" / "reference" / "published.md": published_page,
    ROOT / "docs" / "reference" / "settings.md": settings_page,
    ROOT / "explorer" / "__init__.pyi": public_stub,
    ROOT / "explorer" / "training" / "options.py": training_options,
    ROOT / "explorer" / "study" / "options.py": search_options,
    ROOT / "search_spaces" / SCHEMA_FILE: schema_text,
}


if __name__ == "__main__":
    for path, content in PAGES.items():
        path.write_text(content())
