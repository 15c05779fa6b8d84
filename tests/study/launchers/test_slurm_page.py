"""The commands of docs/many_machines/slurm.md run on a SLURM cluster of one node."""

from __future__ import annotations

import ast
import json

import pytest

from explorer.store.studies import open_study
from tests.documentation.blocks import blocks_of, commands

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]
PAGE = "docs/many_machines/slurm.md"
# What the page has, and what this cluster has: no CIFAR-10, no GPU and little time.
REPLACED = {
    "postgresql://USER@HOST:5432/DATABASE": "",
    "preact_variants-cifar10": "preact_variants-digits",
    "cifar10": "digits",
    "partition=gpu": "partition=main",
}
SHORT = ("--epochs", "1", "--subset", "100", "--sampler", "random", "--trials", "4", "--workers", "2")


def test_the_commands_of_the_page_run(explorer, slurm, storage, tmp_path):
    """Each command of a shell block ends with status 0; a later option replaces an earlier one, so that it is short."""
    ran = []
    for block in blocks_of(PAGE):
        for words in commands(block.text) if block.language == "sh" else ():
            for before, after in REPLACED.items():
                words = [word.replace(before, after) for word in words]
            if words[0] == "export":
                assert words[1] == "EXPLORER_STORAGE="  # the tests have another server
                continue
            program, command, *rest = words
            assert program == "explorer"
            rest = rest[: rest.index(">")] if ">" in rest else rest
            short = SHORT if command == "search" else ()
            process = explorer(command, *rest, *short, **slurm.environment, EXPLORER_STORAGE=storage)
            out, err = process.communicate(timeout=900)
            assert process.returncode == 0, f"{words}\n{out}\n{err}"
            ran.append((command, out))
    outputs = dict(ran)
    assert [command for command, _ in ran] == ["doctor", "search", "search", "status", "trials", "stop"]
    assert "partitions: main*" in outputs["doctor"] and ran[1][1].startswith("#!/bin/bash")
    assert len(json.loads(outputs["trials"])) == 4 and "no process works on it" in outputs["stop"]
    assert open_study(storage, "preact_variants-digits").counts()["complete"] == 4


def test_the_python_of_the_page_is_valid():
    """The Python block names settings that there are."""
    from explorer.study.settings import SearchSettings

    (block,) = [block for block in blocks_of(PAGE) if block.language == "python"]
    names = {each.name for each in SearchSettings.described()}
    call = ast.parse(block.text, mode="eval").body
    assert {keyword.arg for keyword in call.keywords} <= names
