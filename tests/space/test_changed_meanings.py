"""Spellings that earlier versions read otherwise: their meaning now, and the studies that they concern."""

from __future__ import annotations

import pytest

from explorer.errors import SpaceError, StoreError
from explorer.networks.ops import registry
from explorer.networks.ops.pool import BlurPool
from explorer.networks.ops.squeeze_excitation import SqueezeExcitation
from explorer.space.lint.meanings import changed_meanings
from explorer.store.database import open_for_writing
from explorer.store.studies import create_study
from explorer.study.fingerprint.fingerprint import make_fingerprint, require_same
from explorer.study.settings import SearchSettings
from tests.space.spaces import only, space


def ops(arch, kind):
    return [str(layer.op) for layer in arch.layers() if isinstance(layer.op, kind)]


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("conv3x3 blurpool", ["blurpool(s=2)"]),
        ("conv3x3(s=1) blurpool(s=s)", ["blurpool(s=2)"]),
        ("conv3x3 blurpool(s=1)", []),
        ("conv3x3 blurpool3x3", ["blurpool3x3"] * 4),
        ("conv3x3(s=1) blurpool3x3(s=s)", ["blurpool3x3", "blurpool3x3", "blurpool(s=2)", "blurpool3x3"]),
    ],
)
def test_blurpool_blurs_where_it_shrinks_or_has_its_size(written, found):
    """``blurpool`` is the identity at stride 1, as ``avgpool``; ``blurpool3x3`` filters in every block."""
    assert ops(only(block=f"{written} bn +"), BlurPool) == found


def test_blurpool_has_one_size():
    """Another size is an error with the one that exists."""
    with pytest.raises(SpaceError, match="blurpool has the size 3x3, found 5x5; write blurpool3x3"):
        only(block="conv3x3 blurpool5x5 +")


def test_a_stored_blur_at_stride_1_keeps_its_meaning():
    """An op that an earlier version stored is read as the filter that it was."""
    read = registry.from_json({"op": "blurpool", "stride": 1})
    assert read == BlurPool(1) and str(read) == "blurpool3x3"


@pytest.mark.parametrize(
    ("written", "ratio"),
    [("1/4", 4), ("0.25", 4), ("share", 4), ("1/(2*half)", 4), ("1", 1), ("in/(2*w)", "1/2"), ("3", 3)],
)
def test_a_ratio_below_1_is_the_share(written, ratio):
    """A constant below 1 is the share of the channels; a formula of the widths divides them, whatever its value."""
    rules = {"share": "1/4", "half": "2"}
    one, two = (
        only(grammar=rules, stages="{blocks: 1, width: 16}", stem="conv3x3(16)", block=f"conv3x3 se({r}) +")
        for r in (written, ratio if ratio != "1/2" else "width=32")
    )
    assert ops(one, SqueezeExcitation) == ops(two, SqueezeExcitation) and one.digest == two.digest


def test_a_choice_of_shares_is_a_choice_of_ratios():
    """Each alternative is read by itself: 1/4 and 4 are one network."""
    made = space(block="conv3x3 se(r=(1/4 | 4 | 8)) +")
    assert len({made.architecture(derivation).digest for derivation in made}) == 2


UNCHANGED = ["conv3x3 blurpool3x3 +", "conv3x3 se(4) +", "conv3x3 se(r=in/(2*w)) +"]
CHANGED = {
    "conv3x3 blurpool +": {"blurpool": "the identity at stride 1"},
    "conv3x3 se(r=q) +": {"se": "a ratio below 1 is the share"},
    "conv3x3 scale(q - 1/4) +": {"scale(0)": "the layers before it are left out"},
}
RULES = {"q": "1/4 | 4"}


@pytest.mark.parametrize("block", [*UNCHANGED, *CHANGED])
def test_an_earlier_study_resumes_only_if_its_space_means_the_same(block):
    """A study of an earlier version is refused if its space has such a spelling; a study of this one resumes."""
    made = space(RULES, block=block, stages="{blocks: 1, width: 8}", stem="conv3x3(8) blurpool(s=2)")
    settings = SearchSettings(objectives={"x": "max"}, evaluate=evaluate)
    now = make_fingerprint(made, settings)
    assert changed_meanings(made) == now.get("language", {}) == CHANGED.get(block, {})
    kept = {name: value for name, value in now.items() if name != "language"}
    earlier, current = (
        create_study(
            open_for_writing(None),
            "one",
            space_name="tiny",
            space_text=made.text,
            fingerprint=each,
            objectives={"x": "max"},
            seed=0,
        )
        for each in (kept, now)
    )
    require_same(current, now, made.text)
    if block in CHANGED:
        with pytest.raises(StoreError, match="created with other settings \\(language"):
            require_same(earlier, now, made.text)
    else:
        require_same(earlier, now, made.text)


def test_a_shortcut_times_zero_means_the_same():
    """``scale(0)`` alone as a shortcut has no layers that count no more."""
    assert changed_meanings(space(shortcut="{same: scale(0)}")) == {}
    assert changed_meanings(space(shortcut="{same: conv1x1 scale(0)}")) != {}


def evaluate(arch, *, choices, epochs, seed):
    return {"x": 1.0}
