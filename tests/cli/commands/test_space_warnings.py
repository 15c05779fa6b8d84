"""Warnings of a space on the command line."""

from __future__ import annotations

import json

import pytest

from tests.command_line import run
from tests.space.spaces import text

SPACE = text({"op": "conv3x3 bn + | none +"}, block="op", input="8x8x1", stages="{blocks: 1 | 2, width: 8}")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(SPACE)
    return str(path)


def test_space_shows_its_warnings_once(capsys, file):
    """``explorer space`` prints each warning on standard error, and the line that silences them."""
    status, out, err = run(capsys, "space", file)
    assert status == 0 and "warning" not in out
    first, second, last = err.splitlines()
    assert first.startswith(f"warning: {file}:1:1: the input 8x8x1 is") and first.endswith("[input-order]")
    assert second.startswith(f"warning: {file}:8:27: no layer stands") and second.endswith("[nothing-before-merge]")
    assert last == "to silence them, add this line to the file: allow: [input-order, nothing-before-merge]"


def test_space_as_json_has_its_warnings(capsys, file):
    """``--json`` has the warnings as a list of mappings and prints nothing on standard error."""
    status, out, err = run(capsys, "space", file, "--json")
    (first, second) = json.loads(out)["warnings"]
    assert (status, err) == (0, "")
    assert (first["name"], first["file"], first["line"], first["column"]) == ("input-order", file, 1, 1)
    assert second["name"] == "nothing-before-merge" and second["fix"].startswith("write 'zero +'")


def test_allowed_warnings_are_not_shown(capsys, tmp_path):
    """The line that the command proposes silences the warnings."""
    path = tmp_path / "mine.yaml"
    path.write_text(SPACE + "allow: [input-order, nothing-before-merge]\n")
    status, _, err = run(capsys, "space", str(path))
    assert (status, err) == (0, "")


def test_a_search_shows_the_warnings_before_it_begins(capsys, file):
    """``explorer search`` prints warnings first, but not on the input, which the data set replaces."""
    status, _, err = run(capsys, "search", "--space", file, "--data", "no-such-data")
    assert status == 2
    assert err.startswith(f"warning: {file}:8:27: no layer stands")
    assert "input-order" not in err and err.count("warning:") == 1


def test_choices_of_one_stage_are_shown_with_it(capsys, tmp_path):
    """A number of blocks that is a choice of each stage is listed once for each, under the name of the choice."""
    path = tmp_path / "mine.yaml"
    path.write_text(text(stages="{blocks: [1 | 2, 1 | 3], width: [8, 16], stride: [1, 2]}"))
    _, out, _ = run(capsys, "space", str(path))
    assert "stages.blocks@stage1" in out and "stages.blocks@stage2" in out


@pytest.mark.slow  # trains a network: the document of a search needs a search
def test_a_search_as_json_has_the_warnings(capsys, file, tmp_path):
    """``explorer search --json`` has the warnings of its space."""
    storage = f"sqlite:///{tmp_path}/a.db"
    small = ("--data", "digits", "--subset", "64", "--epochs", "1", "--trials", "1", "--device", "cpu")
    status, out, _ = run(capsys, "search", "--space", file, *small, "--storage", storage, "--json")
    assert status == 0
    assert [warning["name"] for warning in json.loads(out)["warnings"]] == ["nothing-before-merge"]


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ("{params: <= 2}", "params <= 2, found 914 to 1.51k (did you mean 'params <= 2k'?)"),
        ("{macs: '> 1T', params: <= 2k}", "macs > 1T, found 50.8k to 87.6k"),
        ("{weight_layers: '> 9'}", "weight_layers > 9, found 3 to 4"),
        ("{macs: '> 60k', params: <= 1k}", "macs > 60k, found 50.8k to 87.6k; params <= 1k, found 914 to 1.51k"),
    ],
)
def test_limits_that_exclude_all_networks_are_reported(capsys, tmp_path, limits, message):
    """Without a network within the limits, a warning has the range of each limited cost and the bound that may be
    meant."""
    path = tmp_path / "mine.yaml"
    path.write_text(text(stages="{blocks: 1 | 2, width: 8}", block="conv3x3 bn relu +", input="3x8x8", limits=limits))
    status, out, err = run(capsys, "space", str(path))
    assert status == 0 and "satisfied by 0.0% of the derivations" in out
    assert f"warning: {path}:7:1: no network is within the limits: {message}\n" in err
