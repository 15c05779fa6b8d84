"""Architectures as JSON: equal after reading, and invalid files are rejected."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from explorer.errors import ArchitectureError
from explorer.networks.architecture import Architecture
from tests.space.spaces import only, random_space


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_json_round_trip(seed):
    """An architecture is equal after conversion to JSON text and back, op by op, with its stages."""
    made = random_space(seed, largest=10**9)
    if made is None:
        return
    arch = made.architecture(made.sample(1, seed=seed)[0])
    again = Architecture.from_json(arch.to_json())
    assert again == arch
    assert (again.input, again.classes, again.stem, again.stages, again.head) == (
        arch.input,
        arch.classes,
        arch.stem,
        arch.stages,
        arch.head,
    )
    assert again.to_json() == arch.to_json()


def test_json_of_every_merge_and_shortcut():
    """Gates, no shortcut, shared pre-activation and transitions survive JSON."""
    for sections in (
        {"block": "conv3x3 gate(b=-2.5)"},
        {"shortcut": "{same: none, changed: none}"},
        {"block": "bn relu conv3x3 +", "shortcut": "{from: preact}"},
        {"block": "conv3x3 cat", "transition": "conv1x1(in/2) avgpool"},
        {
            "block": "avgpool conv1x1 +",
            "stages": "{blocks: 1, width: 8, stride: 63}",
            "shortcut": "{changed: none}",
            "input": "3x64x64",
        },
    ):
        arch = only(**sections)
        again = Architecture.from_json(arch.to_json())
        assert (again.stages, again.digest) == (arch.stages, arch.digest)


def test_equal_blocks_are_one_object():
    """Equal neighbours of a stage are one block after reading, so that their shapes and costs are computed once."""
    arch = only(block="conv3x3 bn +", stages="{blocks: 4, width: 8}")
    blocks = Architecture.from_json(arch.to_json()).stages[0].blocks
    assert blocks == arch.stages[0].blocks and len({id(block) for block in blocks[1:]}) == 1


def tampered(change) -> str:
    data = json.loads(only(block="conv3x3 se(r=4) +", stages="{blocks: 1, width: 8}").to_json())
    change(data)
    return json.dumps(data)


TAMPERED = {
    "another width": (lambda d: d["stages"][0]["blocks"][0]["branch"][0].update(kernel=5), "the digest in the file is"),
    "another digest": (lambda d: d.update(digest="v1-" + "0" * 32), "the digest in the file is"),
    "an unknown op": (lambda d: d["stem"][0].update(op="cnov"), "unknown op 'cnov'"),
    "an unknown key": (lambda d: d.update(extra=1), "an architecture has the keys"),
    "a missing key": (lambda d: d.pop("head"), "an architecture has the keys"),
    "another format": (lambda d: d.update(format=2), "format 2 is unknown"),
    "an input of two": (
        lambda d: d.update(input=[3, 8]),
        r"input: expected \[channels, height, width\], found '\[3, 8\]'",
    ),
    "an input of text": (lambda d: d.update(input="3x8x8"), "input: expected .* found '3x8x8'"),
    "a channel count that is a float": (lambda d: d.update(input=[3.0, 8, 8]), "input: expected .*found"),
    "a huge input": (lambda d: d.update(input=[3, 10**9, 8]), "input height must be in 1..4096"),
    "a large number": (lambda d: d.update(classes=10**40), "classes must be in 1..65536"),
    "a huge number": (lambda d: d.update(classes=10**400), "a number of 401 digits; at most 100 are read"),
    "no classes": (lambda d: d.update(classes=True), "classes: expected a whole number, found 'True'"),
    "no list of stages": (lambda d: d.update(stages={}), "stages: expected a list of at most 10,000, found '{}'"),
    "a width that is a float": (
        lambda d: d["stages"][0]["blocks"][0]["branch"][0].update(out=8.0),
        r"stages\[0\].blocks\[0\].branch\[0\]: out of conv must be a whole number, found 8.0",
    ),
    "a width that is a text": (
        lambda d: d["stages"][0]["blocks"][0]["branch"][0].update(out="8"),
        r"stages\[0\].blocks\[0\].branch\[0\]: out of conv must be a number, found '8'",
    ),
    "a width that is a truth": (lambda d: d["stem"][0].update(out=True), r"stem\[0\]: out of conv must be a number"),
    "a negative width": (lambda d: d["stem"][0].update(out=-1), r"stem\[0\]: out of conv must be in"),
    "no stage": (lambda d: d.update(stages=[]), "at least one stage"),
    "an empty stage": (lambda d: d["stages"][0].update(blocks=[]), "a block in each"),
    "a stage without blocks": (lambda d: d["stages"][0].pop("blocks"), "a stage has exactly the keys"),
    "a block of more": (lambda d: d["stages"][0]["blocks"][0].update(x=1), "a block has the keys"),
    "a share of nothing": (lambda d: d["stages"][0]["blocks"][0].update(shared=9), '"shared" counts leading ops'),
    "a negative share": (lambda d: d["stages"][0]["blocks"][0].update(shared=-1), '"shared" counts leading ops'),
    "a merge that is none": (
        lambda d: d["stages"][0]["blocks"][0].update(merge={"op": []}),
        r"stages\[0\].blocks\[0\].merge: a merge is one of",
    ),
    "a merge that does not fit": (
        lambda d: d["stages"][0]["blocks"][0].update(merge={"op": "cat"}),
        "the digest in the file is|groups|needs equal shapes",
    ),
    "shapes that do not meet": (
        lambda d: d["stages"][0]["blocks"][0]["branch"][0].update(out=16),
        "stage 1, block 1: the merge '\\+' needs equal shapes: the branch has 16x16x16",
    ),
    "ops that are no list": (lambda d: d.update(stem={"op": "bn"}), "stem: expected a list of at most 10,000"),
    "a head for other classes": (lambda d: d.update(classes=11), "11 classes need 11x1x1"),
}


@pytest.mark.parametrize("change", TAMPERED.values(), ids=list(TAMPERED))
def test_tampered_json_is_rejected(change):
    """A JSON file with changed content or digest is rejected, and the unchanged file is read."""
    assert Architecture.from_json(tampered(lambda data: None))
    with pytest.raises(ArchitectureError, match=change[1]):
        Architecture.from_json(tampered(change[0]))


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "[]", "3", "null", '"x"', "{", "[" * 100_000, '{"format": 1e999}', b"\xff", "NaN", "9" * 5_000],
)
def test_other_json_is_rejected(text):
    """Any other JSON raises an ArchitectureError."""
    with pytest.raises(ArchitectureError):
        Architecture.from_json(text)


def test_a_digest_of_another_version_is_ignored():
    """A file with a digest of another canonical form is read by its content."""
    data = json.loads(only().to_json())
    data["digest"] = "v0-something"
    assert Architecture.from_json(json.dumps(data)) == only()
