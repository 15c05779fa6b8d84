"""The shape of a space file as JSON Schema, for editors: the keys and the type of each value.

The schema is made from the tables that the parser uses. It takes expressions as text and does not check them.
``python -m explorer.space.json_schema`` prints it.
"""

from __future__ import annotations

import json
from typing import Any

from explorer.analysis.quantities import BEFORE_TRAINING
from explorer.space.grammar import SCOPES
from explorer.space.language.conditions import MAX_CONDITIONS
from explorer.space.language.names import KEYS, RESERVED
from explorer.space.language.parse import REQUIRED
from explorer.space.language.shortcuts import SHORTCUT_KEYS, SOURCES
from explorer.space.language.stages import MAX_STAGES, STAGE_KEYS, STAGE_NUMBERS
from explorer.space.lint.names import LINTS

SCHEMA_FILE = "space.schema.json"
BOUND = r"^\s*(<=|>=|=<|=>|≤|≥|<|>)\s*([0-9][0-9_]*(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,2})?\s*[A-Za-z]*\s*$"
RULE_NAME = "^[A-Za-z][A-Za-z0-9_-]{0,63}$"

ABOUT = {
    "name": "the space's name; by default that of the file",
    "about": "description of the space in one line",
    "input": "channels x height x width, as in 3x32x32; with rules `3 x res x res`; a data set overrides fixed sizes",
    "classes": "the number of classes; a data set chosen at run time overrides it",
    "stem": "layers before the first stage; `post` copies the norms and activations after the first block's last conv",
    "stages": "blocks, width, stride, dilation: one value for all stages or a list; or a list of mappings, one a stage",
    "block": "every block: the residual branch, one merge (+, cat, gate), the layers after it; `;` separates units",
    "shortcut": "`same` where a block keeps its shape, `changed` where it does not, `from`; or by rules' names",
    "transition": "layers before every stage but the first; they have the stage's stride if one of them takes a stride",
    "head": "layers after the last stage; `pre` copies the norms and activations that open the last block",
    "grammar": "rules: name and expression; `|` separates alternatives",
    "vary": "scope of a rule: one choice per network, per stage, per block, or per use",
    "where": "conditions that every network satisfies, as in width@stage2 >= width@stage1",
    "limits": "bounds on costs in a search, as in <= 50M",
    "allow": "names of warnings that are not shown for this file",
}


INPUT = "^[1-9][0-9]{0,4}(x[1-9][0-9]{0,3}x[1-9][0-9]{0,3}|( +x +([1-9][0-9]{0,3}|[A-Za-z][A-Za-z0-9_-]*)){2})$"


def schema() -> dict[str, Any]:
    """Return the schema of a space file, draft 2020-12."""
    expression = {"$ref": "#/$defs/expression"}
    shortcut = {"$ref": "#/$defs/shortcut"}
    condition = {"type": "string", "minLength": 1}
    entries = {key: expression for key in STAGE_KEYS if key != "shortcut"} | {"shortcut": shortcut}

    def listed(entry: dict[str, Any]) -> dict[str, Any]:
        return {"anyOf": [entry, {"type": "array", "items": entry, "minItems": 1, "maxItems": MAX_STAGES}]}

    needed = [key for key, default in STAGE_NUMBERS.items() if default is None]
    row = {"type": "object", "properties": entries, "required": needed, "additionalProperties": False}
    columns = {**row, "properties": {key: listed(entry) for key, entry in entries.items()}}
    sections: dict[str, Any] = {
        "name": {"type": ["string", "number"]},
        "about": {"type": ["string", "number"]},
        "input": {"type": "string", "pattern": INPUT},
        "classes": {"type": "integer", "minimum": 1, "maximum": 65_536},
        "stages": {"anyOf": [columns, {"type": "array", "items": row, "minItems": 1, "maxItems": MAX_STAGES}]},
        "shortcut": shortcut,
        "grammar": {
            "type": "object",
            "propertyNames": {"pattern": RULE_NAME, "not": {"enum": _taken()}},
            "additionalProperties": expression,
        },
        "vary": {"type": "object", "additionalProperties": {"enum": list(SCOPES)}},
        "where": {"anyOf": [condition, {"type": "array", "items": condition, "maxItems": MAX_CONDITIONS}]},
        "limits": {
            "type": "object",
            "properties": {cost: {"type": "string", "pattern": BOUND} for cost in BEFORE_TRAINING},
            "additionalProperties": False,
        },
        "allow": {"anyOf": [{"enum": list(LINTS)}, {"type": "array", "items": {"enum": list(LINTS)}}]},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A search space of residual networks",
        "type": "object",
        "properties": {key: sections.get(key, expression) | {"description": ABOUT[key]} for key in KEYS},
        "required": list(REQUIRED),
        "additionalProperties": False,
        "$defs": {
            "expression": {
                "description": "an expression of the space language, or a number",
                "anyOf": [{"type": "string", "minLength": 1}, {"type": "number"}],
            },
            "shortcut": {
                "type": "object",
                "properties": _shortcut_parts(expression),
                "additionalProperties": {
                    "type": "object",
                    "properties": _shortcut_parts(expression),
                    "additionalProperties": False,
                },
            },
        },
    }


def _shortcut_parts(expression: dict[str, Any]) -> dict[str, Any]:
    return {key: {"enum": list(SOURCES)} if key == "from" else expression for key in SHORTCUT_KEYS}


def _taken() -> list[str]:
    """Return the names that the language uses itself; ops with a size (``conv3x3``) are left to the parser."""
    return sorted(RESERVED)


def schema_text() -> str:
    """Return the schema as the file that editors read."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")
