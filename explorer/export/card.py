"""The model card: what the exported network is, what it costs, where it comes from, how to load it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from explorer.architecture import Architecture
from explorer.costing.analytic import count_cost

COSTS = {
    "params": "parameters",
    "macs": "multiply-accumulates, one image",
    "flops": "FLOPs (2 x multiply-accumulates)",
    "activations": "activations (elements put out by conv and linear layers)",
    "weight_layers": "weight layers",
    "receptive_field": "receptive field, pixels",
    "peak_memory_bytes": "peak memory in inference, bytes (float32, batch 1)",
}
MAX_TEXT = 200

LOADING = """\
## Loading

```python
import torch
from model import load

network = load("model.safetensors")  # needs torch and nothing else
logits = network(torch.zeros(1, {channels}, {height}, {width}))  # (1, {classes})
```
"""


def model_card(
    architecture: Architecture,
    space: str,
    provenance: Mapping[str, Any],
    max_abs_diff: Mapping[str, float],
    trained: bool,
) -> str:
    """The text of ``README.md``. ``space``: the network in the space language, empty where that is
    not exported. ``provenance``: what is known of its origin, nested as it may be; shown as text only."""
    cost = count_cost(architecture).to_dict()
    channels, height, width = architecture.input
    parts = [
        f"# Residual network {architecture.digest}\n",
        f"{architecture.input} images (channels x height x width), {architecture.classes} classes.\n",
        *([] if trained else ["**Not trained**: the weights are an initialisation, from seed 0.\n"]),
        "## Costs\n",
        _table({about: f"{cost[key]:,}" for key, about in COSTS.items()}),
        "## Provenance\n",
        _table({name: _text(value) for name, value in _flat(provenance)}) if provenance else "Nothing is recorded.\n",
    ]
    if space:
        drawn = "## The network in the space language\n\nWhat stands before `+` is the residual branch, what follows"
        parts.append(f"{drawn} it comes after the merge.\n\n```yaml\n{space}```\n")
    if "python" in max_abs_diff:
        parts.append(LOADING.format(channels=channels, height=height, width=width, classes=architecture.classes))
        parts.append(
            "Checked at export in a fresh process: the logits of `model.py` differ from the network's by"
            f" at most {max_abs_diff['python']:g}.\n"
        )
    parts.append("`manifest.json` lists the SHA-256 of every file.\n")
    return "\n".join(parts)


def _table(rows: Mapping[str, str]) -> str:
    return "".join(["| | |\n|---|---|\n", *(f"| {_text(name)} | {text} |\n" for name, text in rows.items())])


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of every entry of nested mappings."""
    if not isinstance(value, Mapping):
        yield name, value
        return
    for key, inner in value.items():
        yield from _flat(inner, f"{name}.{key}" if name else str(key))


def _text(value: Any) -> str:
    """A value as one line of Markdown that shows it and does nothing else."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    printable = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text[:MAX_TEXT])
    escaped = re.sub(r"[\\`*_{}\[\]#!|~$]", r"\\\g<0>", html.escape(printable, quote=False))
    return escaped + ("..." if len(text) > MAX_TEXT else "")
