"""Published state dicts load into the explorer's networks and give the logits of the papers' equations."""

from __future__ import annotations

import importlib

import pytest
import torch
from torch.nn.functional import batch_norm, conv2d, linear, max_pool2d, relu

import explorer
from explorer.errors import ExportError
from tests.export.spaces import loaded

SIDE = 64
CLASSES = 10
DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}
WIDTHS = (64, 128, 256, 512)


def architecture(family: str, layers: int):
    """Return the published network with a small input, so that it runs fast."""
    space = loaded(f"published/{family}.yaml").with_input((3, SIDE, SIDE), CLASSES)
    choices = {f"depth@stage{k}": str(depth) for k, depth in enumerate(DEPTHS[layers], 1)}
    return space.architecture(space.named({"block": "bottleneck" if layers == 50 else "basic", **choices}))


class Weights:
    """A random state dict with published names, filled as a forward pass requests its layers."""

    def __init__(self, seed: int):
        self.tensors: dict[str, torch.Tensor] = {}
        self.draw = torch.Generator().manual_seed(seed)

    def tensor(self, name: str, *shape: int) -> torch.Tensor:
        if name not in self.tensors:
            fan_in = max(1, torch.Size(shape[1:]).numel())
            self.tensors[name] = torch.randn(shape, generator=self.draw) / fan_in**0.5
            if name.endswith("running_var"):
                self.tensors[name].abs_().add_(0.5)
        return self.tensors[name]

    def conv(self, name: str, x: torch.Tensor, out: int, kernel: int, stride: int = 1) -> torch.Tensor:
        weight = self.tensor(f"{name}.weight", out, x.shape[1], kernel, kernel)
        return conv2d(x, weight, stride=stride, padding=kernel // 2)

    def norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """Apply batch normalisation with running averages and epsilon 1e-5 (Ioffe and Szegedy 2015)."""
        fields = ("running_mean", "running_var", "weight", "bias")
        self.tensors[f"{name}.num_batches_tracked"] = torch.tensor(3)
        return batch_norm(x, *(self.tensor(f"{name}.{field}", x.shape[1]) for field in fields), eps=1e-5)


def resnet(w: Weights, x: torch.Tensor, layers: int) -> torch.Tensor:
    """y = F(x) + x, ReLU after the sum, and a projection if the shape changes (He et al. 2015, eq. 1 and 2), with
    torchvision's names and the stride of a bottleneck on its 3x3 conv."""
    x = relu(w.norm("bn1", w.conv("conv1", x, 64, 7, 2)))
    x = max_pool2d(x, 3, 2, 1)
    for stage, (width, depth) in enumerate(zip(WIDTHS, DEPTHS[layers]), 1):
        for block in range(depth):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            if layers == 50:
                y = relu(w.norm(f"{name}.bn1", w.conv(f"{name}.conv1", x, width, 1)))
                y = relu(w.norm(f"{name}.bn2", w.conv(f"{name}.conv2", y, width, 3, stride)))
                y = w.norm(f"{name}.bn3", w.conv(f"{name}.conv3", y, 4 * width, 1))
            else:
                y = relu(w.norm(f"{name}.bn1", w.conv(f"{name}.conv1", x, width, 3, stride)))
                y = w.norm(f"{name}.bn2", w.conv(f"{name}.conv2", y, width, 3))
            if y.shape != x.shape:
                x = w.norm(f"{name}.downsample.1", w.conv(f"{name}.downsample.0", x, y.shape[1], 1, stride))
            x = relu(y + x)
    x = x.mean((2, 3))
    return linear(x, w.tensor("fc.weight", CLASSES, x.shape[1]), w.tensor("fc.bias", CLASSES))


def resnetv2(w: Weights, x: torch.Tensor) -> torch.Tensor:
    """ResNet-50 in full pre-activation: y = F(relu(bn(x))) + h, with h the identity or a projection of relu(bn(x)) if
    the shape changes, BN and ReLU before the head (He et al. 2016, eq. 5 and appendix), and timm's names."""
    x = max_pool2d(w.conv("stem.conv", x, 64, 7, 2), 3, 2, 1)
    for stage, (width, depth) in enumerate(zip(WIDTHS, DEPTHS[50])):
        for block in range(depth):
            name, stride = f"stages.{stage}.blocks.{block}", 2 if stage and block == 0 else 1
            first = relu(w.norm(f"{name}.norm1", x))
            y = relu(w.norm(f"{name}.norm2", w.conv(f"{name}.conv1", first, width, 1)))
            y = relu(w.norm(f"{name}.norm3", w.conv(f"{name}.conv2", y, width, 3, stride)))
            y = w.conv(f"{name}.conv3", y, 4 * width, 1)
            x = y + (w.conv(f"{name}.downsample.conv", first, 4 * width, 1, stride) if block == 0 else x)
    x = relu(w.norm("norm", x)).mean((2, 3), keepdim=True)
    weight = w.tensor("head.fc.weight", CLASSES, x.shape[1], 1, 1)
    return conv2d(x, weight, w.tensor("head.fc.bias", CLASSES)).flatten(1)


CASES = {
    "resnet18": ("resnet", 18, lambda w, x: resnet(w, x, 18)),
    "resnet50": ("resnet", 50, lambda w, x: resnet(w, x, 50)),
    "resnetv2_50": ("resnetv2", 50, resnetv2),
}


def case(name: str):
    """Return architecture, published state dict, images, and the logits by the equations."""
    family, layers, forward = CASES[name]
    weights = Weights(seed=layers)
    x = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = forward(weights, x)
    return architecture(family, layers), weights.tensors, x, logits


@pytest.mark.parametrize("name", ["resnet18", pytest.param("resnet50", marks=pytest.mark.slow), "resnetv2_50"])
def test_published_weights_give_the_equations_logits(name):
    """Random published weights of ResNet-18, ResNet-50 and ResNetV2-50 give the logits of the papers' equations within
    a relative 1e-5."""
    made, weights, x, logits = case(name)
    with torch.no_grad():
        found = explorer.load_weights(made, weights)(x)
    assert logits.std() > 0.01
    assert (found - logits).abs().max() <= 1e-5 * max(1, logits.abs().max())


def test_only_batch_counters_may_be_missing():
    """Batch counters, which old files lack, may be missing; any other missing, extra or misshapen key is named."""
    made, weights, x, logits = case("resnet18")
    plain = {key: value for key, value in weights.items() if not key.endswith("num_batches_tracked")}
    with torch.no_grad():
        assert (explorer.load_weights(made, plain)(x) - logits).abs().max() <= 1e-4
    for spoilt, message in (
        (
            {k: v for k, v in plain.items() if k != "layer3.0.conv1.weight"},
            r"torchvision.*lack 'layer3\.0\.conv1\.weight'",
        ),
        ({**plain, "layer4.2.conv1.weight": x}, r"hold 'layer4\.2\.conv1\.weight'"),
        ({**plain, "fc.weight": torch.zeros(1000, 512)}, r"'head\.1\.weight' is torch\.float32 \(1000, 512\)"),
    ):
        with pytest.raises(ExportError, match=message):
            explorer.load_weights(made, spoilt)


def test_weights_of_another_structure_are_rejected():
    """Published weights are rejected by a network of another structure or with a layer that has no published name."""
    _, weights, _, _ = case("resnet18")
    with pytest.raises(ExportError, match=r"lack 'layer1\.0\.conv3\.weight'"):
        explorer.load_weights(architecture("resnet", 50), weights)
    with pytest.raises(ExportError, match="they are of another network"):
        explorer.load_weights(architecture("resnetv2", 50), weights)
    space = loaded("published/resnet.yaml")
    deep = space.architecture(space.named({"entry": "deep"}))
    with pytest.raises(ExportError, match=r"have no name for the layer 'stem\.3'|lack|is torch"):
        explorer.load_weights(deep, weights)


def library(name: str):
    """Return the library if it is installed and works with this build of torch."""
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:  # torchvision's operators are compiled for one build
        pytest.skip(f"{name} cannot be imported: {error}")


@pytest.mark.parametrize("name", CASES)
def test_the_library_gives_the_same_logits(name):
    """An installed torchvision or timm network gives the explorer's logits within 1e-5 for the same weights."""
    if name == "resnetv2_50":
        theirs = library("timm").create_model(name, num_classes=CLASSES)
    else:
        theirs = getattr(library("torchvision").models, name)(num_classes=CLASSES)
    family, layers, _ = CASES[name]
    draw = torch.Generator().manual_seed(0)
    for key, value in theirs.state_dict().items():
        if key.endswith("running_mean"):
            value.copy_(torch.randn(value.shape, generator=draw) / 4)
    x = torch.randn(2, 3, SIDE, SIDE, generator=draw)
    with torch.no_grad():
        logits = theirs.eval()(x)
        found = explorer.load_weights(architecture(family, layers), theirs.state_dict())(x)
    assert logits.std() > 0 and (found - logits).abs().max() <= 1e-5 * max(1, logits.abs().max())
