"""Published networks, named by their choices in a family, have their known costs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

import explorer
from explorer.costs.reference import check_cost
from explorer.networks.ops.squeeze_excitation import SqueezeExcitation
from explorer.networks.resize import resized
from explorer.space.shipped import shipped_spaces
from tests.published.networks import FURTHER, ROWS, Published, family, member


def identify(row: Published) -> str:
    return f"{row.name}-{row.side}".replace(" ", "_")


# The smallest network of each family, for building; most with a small input, for speed.
BUILT = list({row.family: row for row in sorted(ROWS + FURTHER, key=lambda row: -row.params)}.values())
BUILT_SIDE = 64
# Convs without padding need larger images, and the windows of MaxViT divide no smaller map.
LARGER_SIDE = {"inception_v3": 96, "inception_resnet_v2": 96, "maxvit": 224, "halonet": 256, "bat_resnext": 256}
LARGER_SIDE |= {"mobilevit": 256, "twins": 224}
# One of each kind: squeeze and excitation, pre-activation, shuffled groups, layer norm, self-attention.
QUICK = {"mobilenetv3_small_100", "resnetv2_18", "shufflenet_g3", "convnext_atto", "botnet26t_256"}


@pytest.mark.parametrize("row", ROWS, ids=identify)
def test_costs_equal_the_published_ones(row: Published) -> None:
    """A published network, named by its choices, has exactly its known cost."""
    cost = explorer.cost(member(row))
    assert (cost.params, cost.macs, cost.activations) == (row.params, row.macs, row.activations)


@pytest.mark.parametrize("row", FURTHER, ids=identify)
def test_further_members_have_the_published_size(row: Published) -> None:
    """Other members of the families have the published parameters, and the published GMACs to two decimals."""
    cost = explorer.cost(member(row))
    assert cost.params == row.params
    if row.gmacs != "-":
        assert abs(cost.macs / 1e9 - float(row.gmacs)) <= 0.0051


def test_every_published_family_is_in_the_table() -> None:
    """Every file of the folder is in the table, and each is checked completely on loading."""
    files = {path for path in shipped_spaces() if path.startswith("published/")}
    assert files == {f"published/{row.family}.yaml" for row in ROWS + FURTHER}
    assert {family(row.family, row.side).validated for row in ROWS + FURTHER} == {"all"}


def test_published_networks_are_all_different() -> None:
    """No two rows of one family are the same network, so every choice has an effect."""
    digests = [(row.family, member(row).digest) for row in ROWS + FURTHER]
    assert len(set(digests)) == len(digests)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small maps gain nothing from threads, which are slow if other processes use the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    "row",
    [pytest.param(row, marks=() if row.name in QUICK else pytest.mark.slow) for row in BUILT],
    ids=identify,
)
def test_built_networks_agree(row: Published) -> None:
    """The smallest published network of each family runs, and external counters agree with its costs."""
    whole, side = member(row), min(row.side, LARGER_SIDE.get(row.family, BUILT_SIDE))
    architecture = whole if side == row.side else resized(whole, whole.input._replace(height=side, width=side))
    report = check_cost(architecture)
    cost = explorer.cost(architecture)
    assert report.differences == ()
    assert (report.params_built, report.fvcore_macs, report.torch_macs) == (cost.params, cost.macs, cost.macs)
    assert products_put_out(explorer.build(architecture).eval(), architecture) == cost.activations


def products_put_out(network: nn.Module, architecture: explorer.Architecture) -> int:
    """Return the output elements of convolutions, linear layers and matrix products in a run."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Count(TorchDispatchMode):
        elements = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if function.overloadpacket.__name__ in ("convolution", "addmm", "mm", "bmm"):
                self.elements += out.numel()
            return out

    with torch.no_grad(), Count() as count:
        scores = network(torch.zeros(1, *architecture.input))
    assert scores.shape == (1, architecture.classes)
    assert torch.isfinite(scores).all()
    return count.elements


@pytest.mark.parametrize(
    ("arguments", "channels", "squeeze"),
    [
        ("r=4, round=8", 72, 16),
        ("r=4, round=8, least=0.9", 72, 24),  # 16 would be less than nine tenths of 18
        ("r=4, round=8, least=0.9", 136, 32),  # 32 is not less than nine tenths of 34
        ("r=4, least=0.9", 75, 18),  # without `round` there is nothing to keep from
    ],
)
def test_squeeze_keeps_its_least_share(arguments: str, channels: int, squeeze: int) -> None:
    """``least`` takes the next multiple if the nearest one is below that share of C/r, as in MobileNetV3's SE."""
    text = f"stages: {{blocks: 1, width: {channels}}}\nstem: conv1x1({channels})\nblock: conv1x1 se({arguments}) +\n"
    space = explorer.parse_space(f"input: 3x8x8\nclasses: 2\nhead: gap fc\n{text}")
    (found,) = [placed.op for placed in space.architecture(0).layers() if isinstance(placed.op, SqueezeExcitation)]
    assert found.squeeze == squeeze
