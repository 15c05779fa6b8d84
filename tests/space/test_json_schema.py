"""The JSON schema describes the shape of a space file for editors."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from explorer.errors import SpaceError
from explorer.space.json_schema import SCHEMA_FILE, schema
from explorer.space.search_space import parse_space
from explorer.space.shipped import shipped_spaces
from tests.space.spaces import RandomSpaces, text

SHIPPED = shipped_spaces()


def faults(content: str) -> list[str]:
    """Return the schema's errors for a file, read as an editor reads it."""
    data = YAML(typ="safe", pure=True).load(content)
    return [error.message for error in Draft202012Validator(schema()).iter_errors(data)]


def test_the_schema_is_valid():
    """The schema is valid JSON Schema, and the command prints it."""
    Draft202012Validator.check_schema(schema())
    child = subprocess.run(
        [sys.executable, "-m", "explorer.space.json_schema"], capture_output=True, text=True, check=True
    )
    assert json.loads(child.stdout) == schema()


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_file_is_valid_and_names_the_schema(name):
    """Each shipped space validates, and its first line refers to the schema beside it."""
    path = SHIPPED[name]
    assert faults(path.read_text()) == []
    first = path.read_text().splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    named = path.parent / first.partition("=")[2]
    assert named.resolve().name == SCHEMA_FILE and json.loads(named.read_text()) == schema()


@pytest.mark.parametrize("seed", range(20))
def test_every_file_that_loads_is_valid(seed):
    """A file that loads is valid under the schema, so an editor never marks a correct file."""
    content = RandomSpaces(seed).text()
    try:
        parse_space(content)
    except SpaceError:
        return
    assert faults(content) == []


BAD = {
    "an unknown key": {"blok": "conv3x3 +"},
    "a missing section": {"head": None},
    "stages without a width": {"stages": "{blocks: 2}"},
    "an unknown key of stages": {"stages": "{blocks: 2, width: 8, strid: 2}"},
    "an empty list of stages": {"stages": "[]"},
    "a list where an expression stands": {"block": "[conv3x3, +]"},
    "an input that is no shape": {"input": "32x32"},
    "classes that are no number": {"classes": "ten"},
    "too many classes": {"classes": "70000"},
    "a scope there is not": {"vary": {"act": "blocks"}, "grammar": {"act": "relu | silu"}},
    "an unknown cost": {"limits": "{parms: <= 2M}"},
    "a bound that is none": {"limits": "{params: 2M}"},
    "a shortcut from nowhere": {"shortcut": "{from: preactivation}"},
    "an unknown key of a rule's shortcut": {"shortcut": "{r: {chnged: bn}}", "grammar": {"r": "conv3x3 +"}},
    "a rule named as an op": {"grammar": {"bn": "in_"}},
    "a rule named as a variable": {"grammar": {"w": "1"}},
    "a rule that begins with a digit": {"grammar": {"3rd": "bn"}},
}


@pytest.mark.parametrize("what", BAD)
def test_wrong_shapes_are_invalid(what):
    """Files that the reader rejects for their shape are invalid under the schema, and the plain file passes both."""
    with pytest.raises(SpaceError):
        parse_space(text(**BAD[what]))
    assert faults(text(**BAD[what]))
    assert faults(text()) == []
