"""Zero-cost scores follow their definitions and are reproducible."""

from __future__ import annotations

import math

import pytest
import torch

import explorer
from explorer.data.dataset import load_data
from explorer.errors import ExplorerError, SpaceError
from explorer.networks.build import build_network
from explorer.networks.ops.base import TensorShape
from explorer.scoring.names import NAMES
from explorer.scoring.passes import Batch, Passes
from explorer.scoring.zero_cost import SCORES, Scorer, score_architecture, zen
from explorer.space.search_space import load_space, parse_space
from explorer.space.shipped import shipped_spaces

PLAIN = """
name: plain
input: 1x6x6
classes: 3
block: chain
stages: {blocks: 1, width: 4, stride: 1}
shortcut: {same: none, changed: none}
stem: conv3x3(4) relu
head: gap fc
grammar: {chain: conv3x3 relu conv3x3 relu +}
"""


@pytest.fixture(scope="module")
def plain():
    return parse_space(PLAIN, "plain.yaml").architecture(0)


def noise(batch: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the images and labels for scores without a data set."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (batch,), generator=random)
    return torch.randn(batch, 1, 6, 6, generator=random), labels


def test_names_are_the_scores():
    assert tuple(SCORES) == NAMES


QUICK = ("he2016_orders.yaml", "preact_variants.yaml", "published/botnet.yaml", "published/mobilenet_v3_small.yaml")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in shipped_spaces()]
)
def test_each_shipped_space_can_be_scored(name):
    """Networks of every shipped space have finite, reproducible scores, or None if undefined, and the random state is
    unchanged."""
    space = load_space(name)
    try:
        space = space.with_input(TensorShape(3, 64, 64), space.classes) if space.input.height > 64 else space
    except SpaceError:
        pytest.skip("its networks need images that are too large for a test")
    arch = min((space.architecture(d) for d in space.sample(8, seed=3)), key=lambda arch: explorer.cost(arch).macs)
    if explorer.cost(arch).macs > 6e7:
        pytest.skip("all eight networks drawn are too large for a test")
    before = torch.get_rng_state()
    scores = score_architecture(arch, batch=2, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert scores == score_architecture(arch, batch=2, seed=1)
    assert all(value is None or math.isfinite(value) for value in scores.values())
    assert scores["grad_norm"] > 0 and scores["snip"] > 0


def test_naswot_counts_agreeing_units(plain):
    """The score equals a count image by image and unit by unit."""
    net, sides = build_network(plain, 2).eval(), []
    for module in net.modules():
        if isinstance(module, torch.nn.ReLU):
            module.register_forward_hook(lambda module, x, y: sides.append((y > 0).flatten(1)))
    net(noise(5, seed=2)[0])
    bits = torch.cat(sides, 1)
    alike = torch.tensor([[float((a == b).sum()) for a in bits] for b in bits], dtype=torch.float64)
    expected = torch.linalg.slogdet(alike).logabsdet.item()
    assert score_architecture(plain, ["naswot"], batch=5, seed=2)["naswot"] == pytest.approx(expected)


def test_synflow_is_conserved_across_layers(plain):
    """In a chain without norms the score is the output times the number of layers (Tanaka et al. 2020, theorem 1)."""
    net = build_network(plain, 0).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.abs_()
        output = net(torch.ones(1, 1, 6, 6, dtype=torch.float64)).sum().item()
        biases = sum(p.sum().item() for p in net.parameters() if p.ndim == 1)
    assert biases == 0
    assert score_architecture(plain, ["synflow"])["synflow"] == pytest.approx(math.log(4 * output))


def test_snip_is_the_change_of_the_loss(plain):
    """For each weight of the last layer, a small scaling changes the loss by that weight's part of the score."""
    scores = score_architecture(plain, ["snip", "grad_norm"], batch=6, seed=3)
    images, labels = noise(6, seed=3)
    images, net = images.double(), build_network(plain, 3).double().eval()

    def loss() -> float:
        with torch.no_grad():
            return torch.nn.functional.cross_entropy(net(images), labels).item()

    snip, norms, step = 0.0, 0.0, 1e-5
    for weight in (p for p in net.parameters() if p.ndim > 1):
        squares, flat = 0.0, weight.data.view(-1)
        for place in range(len(flat)):
            kept = flat[place].item()
            flat[place] = kept + step
            above = loss()
            flat[place] = kept - step
            slope = (above - loss()) / (2 * step)
            flat[place] = kept
            snip += abs(kept * slope)
            squares += slope**2
        norms += math.sqrt(squares)
    assert scores["snip"] == pytest.approx(snip, rel=1e-3)
    assert scores["grad_norm"] == pytest.approx(norms, rel=1e-3)


def test_zen_prefers_depth():
    """Of two networks of one block order the deeper one has the higher score."""
    space = load_space("he2016_orders.yaml")
    shallow = parse_space(space.text.replace("blocks: 3", "blocks: 1"), "shallow.yaml").architecture(0)
    deep = space.architecture(0)
    assert explorer.cost(shallow).macs < explorer.cost(deep).macs
    scores = [score_architecture(arch, ["zen"], batch=4)["zen"] for arch in (shallow, deep)]
    assert scores[0] < scores[1]


def test_the_layout_of_the_images_does_not_change_zen():
    """Its noise is drawn in one order, so that a data set in channels last gives the score of contiguous noise."""
    architecture = load_space("preact_variants.yaml").architecture(0)
    images, labels = torch.zeros(4, *architecture.input), torch.zeros(4, dtype=torch.int64)
    layouts = (images, images.contiguous(memory_format=torch.channels_last))
    first, second = (zen(Passes(architecture, Batch(each, labels))) for each in layouts)
    assert architecture.input.channels > 1 and first == pytest.approx(second, rel=1e-4)


def test_without_norm_or_activation_there_is_no_score(plain):
    """The score is None."""
    bare = parse_space(PLAIN.replace(" relu", ""), "bare.yaml").architecture(0)
    assert score_architecture(bare, ["naswot"])["naswot"] is None
    assert score_architecture(plain, ["zen"])["zen"] is None


def test_scores_on_a_data_set():
    """A data set of another shape is rejected, and images change every score that uses them, so not synflow."""
    data = load_data("digits")
    arch = load_space("preact_variants.yaml").with_input(data.shape, data.classes).architecture(7)
    real, noise = (score_architecture(arch, data=seen, batch=8) for seen in (data, None))
    assert real["naswot"] != noise["naswot"] and real["synflow"] == noise["synflow"]
    with pytest.raises(ExplorerError, match="digits has 1x8x8"):
        score_architecture(load_space("preact_variants.yaml").architecture(7), data=data)
    with pytest.raises(ExplorerError, match=r"unknown score 'naswit'.*naswot"):
        score_architecture(arch, ["naswit"])


def test_a_score_is_a_cost_function():
    """``Scorer`` computes a score as a cost of every candidate, which the sampler uses."""
    space = load_space("preact_variants.yaml").with_input(TensorShape(1, 8, 8), 10)
    scorer = Scorer("synflow", batch=4)
    study = explorer.search(
        space, objectives={"accuracy": "max", "macs": "min"}, trials=3, sampler="random", storage=None,
        evaluate=lambda arch, *, choices, epochs, seed: {"accuracy": 0.5}, costs={"synflow": scorer},
    )  # fmt: skip
    assert len(study.trials()) >= 3
    for record in study.trials():
        arch = explorer.Architecture.from_json(record.architecture)
        assert record.costs["synflow"] == score_architecture(arch, ["synflow"])["synflow"]


def test_the_callers_state_has_no_effect():
    """Inference mode and the global random state do not change the scores, and the state stays unchanged."""
    space = load_space("preact_variants.yaml")
    architecture = space.architecture(space.sample(1)[0])
    names = ("zen", "grad_norm")
    expected = score_architecture(architecture, names, batch=4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        before = torch.random.get_rng_state()
        with torch.inference_mode():
            assert score_architecture(architecture, names, batch=4) == expected
        assert torch.equal(torch.random.get_rng_state(), before)
