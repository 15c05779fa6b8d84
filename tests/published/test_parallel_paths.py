"""Networks with parallel paths put out the logits of timm's and torchvision's for the same weights."""

from __future__ import annotations

import importlib
import warnings

import pytest
import torch
from torch import nn

import explorer
from tests.published.networks import Published, family, read_table
from tests.published.parallel_paths import PARALLEL_PATHS

SIDE = {"inception_v3": 96, "inception_resnet_v2": 96}  # convs without padding need larger images than others
QUICK = {"shufflenet_v2_x1_0", "ghostnet_050", "starnet_s1", "ese_vovnet19b_dw", "mixnet_s", "dla34"}


def reference(row: Published) -> nn.Module:
    """Return the network of the library that the row's figures come from, without auxiliary classifiers."""
    library = row.source.split()[0]
    try:
        module = importlib.import_module(library)
    except (ImportError, RuntimeError) as error:  # torchvision's operators are compiled for one build of torch
        pytest.skip(f"{library} cannot be imported: {error}")
    if library == "timm":
        return module.create_model(row.name)
    options = {"init_weights": False, "aux_logits": False} if row.name == "googlenet" else {}
    return getattr(module.models, row.name)(**options)


def randomise(network: nn.Module) -> None:
    """Draw the averages of batch norms and all vectors, which would otherwise be equal in all layers."""
    for key, value in network.state_dict().items():
        if key.endswith(("running_var", "weight")) and value.dim() == 1:
            value.uniform_(0.7, 1.3)
        elif value.dim() == 1:
            value.normal_(0, 0.1)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, marks=() if row.name in QUICK else pytest.mark.slow, id=row.name)
        for row in read_table(PARALLEL_PATHS)
    ],
)
def test_the_library_puts_out_the_same_logits(row: Published) -> None:
    """The library's weights, loaded by order, give its logits within 1e-4 of the largest."""
    theirs = reference(row)
    torch.manual_seed(0)
    randomise(theirs)
    side = SIDE.get(row.family, 64)
    space = family(row.family, side)
    with warnings.catch_warnings():  # timm has the convs of Res2Net before their norms; the test compares outputs
        warnings.filterwarnings("ignore", "The weights hold 'layer1.0.convs.1' before")
        architecture = space.architecture(space.named(row.choices))
        network = explorer.load_weights(architecture, theirs.state_dict(), by_order=True)
    image = torch.randn(2, 3, side, side)
    with torch.no_grad():
        expected, found = theirs.eval()(image), network.eval()(image)
    assert expected.std() > 0
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
