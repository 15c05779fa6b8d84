"""Digests do not change between versions and processes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from explorer.networks.canonical import canonical_text
from explorer.space.search_space import load_space
from tests.space.spaces import only

PINNED = {
    0: "v1-e3ad1c1d067c81a8360b6f4975725468",
    1: "v1-990d98ddcdc3b438c6c904de1cb3fad4",
    5_184: "v1-6c8d8ebe49c51d5af9436a348d0c984b",
    10_367: "v1-f052d8db06f4dcdb0b85c969e4d8e7e7",
}

PINNED_FAMILIES = {
    "he2016_orders": "v1-d90db1eb517b0cc71c2ebcefb77dd8b0",
    "se_dilation_bottleneck": "v1-e50662228c8489cd44e6c083b1dbbf3a",
    "published/resnet": "v1-ce12999c197636864fe901d63cd4bf54",
    "published/densenet": "v1-486434bf222a6d6fbd7633e17ab1c631",
    "published/efficientnet": "v1-a15292aa4688096d2d7bfcea468a9b1a",
    "published/convnext": "v1-eab4fdeff30c8542cf38887333d844b7",
    "published/botnet": "v1-4336f4c112b75613412749d2cf6fa558",
    "published/mobilenet_v3": "v1-b21b33d7b86460423b31fb6205bf07dc",
}


@pytest.mark.parametrize("name", PINNED_FAMILIES)
def test_digests_of_families_do_not_change(name):
    """The digest of each family's index 0 is the one first published."""
    assert load_space(name).architecture(0).digest == PINNED_FAMILIES[name]


def test_digests_are_the_same_in_every_process(monkeypatch):
    """Pinned digests of preact_variants are the same in this process and in one with another hash seed."""
    made = load_space("preact_variants")
    assert {index: made.architecture(index).digest for index in PINNED} == PINNED
    program = (
        "import explorer, sys; space = explorer.load_space('preact_variants');"
        "print(*[space.architecture(int(index)).digest for index in sys.argv[1:]])"
    )
    child = subprocess.run(
        [sys.executable, "-c", program, *map(str, PINNED)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "77"},
    )
    assert child.stdout.split() == list(PINNED.values())


def test_the_canonical_form_is_plain_data():
    """The digest is computed from JSON: a list of ops and residual blocks, input and classes."""
    arch = only(stages="{blocks: 1, width: 8}")
    form = json.loads(canonical_text(arch.input, arch.classes, arch.segments))
    assert form == {
        "input": [3, 16, 16],
        "classes": 10,
        "net": [
            {"op": "conv", "kernel": 3, "out": 8},
            {"op": "bn"},
            {"op": "relu"},
            {
                "branch": [
                    {"op": "conv", "kernel": 3, "out": 8},
                    {"op": "bn"},
                    {"op": "relu"},
                    {"op": "conv", "kernel": 3, "out": 8},
                    {"op": "bn"},
                ],
                "shortcut": [],
                "merge": {"op": "+"},
            },
            {"op": "relu"},
            {"op": "gap"},
            {"op": "fc", "out": 10},
        ],
    }
