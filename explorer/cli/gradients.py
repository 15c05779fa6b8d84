"""``explorer gradients``: show how signal and gradient flow through networks at initialisation."""

from __future__ import annotations

import click

from explorer.analysis.amounts import plural
from explorer.cli.address import find_architecture
from explorer.cli.amounts import Whole
from explorer.cli.options import (
    as_json,
    data_dir,
    device,
    input_override,
    input_shape,
    print_json,
    print_table,
    storage,
)


@click.command()
@click.argument("archs", metavar="ARCH...", nargs=-1, required=True)
@click.option("--batch", type=Whole(2, 4_096), default=32, show_default=True, metavar="N", help="Images in the batch.")
@click.option(
    "--seed",
    type=Whole(0, 2**32 - 1),
    default=0,
    metavar="S",
    show_default=True,
    help="Seed of weights, images and dropout.",
)
@device
@click.option(
    "--data", metavar="NAME", help="Use training images of this data set, with its shape and classes, instead of noise."
)
@data_dir
@input_shape
@as_json
@storage
def gradients(
    archs: tuple[str, ...],
    batch: int,
    seed: int,
    device: str,
    data: str | None,
    data_dir: str | None,
    input: str | None,
    classes: int | None,
    as_json: bool,
    storage: str,
) -> None:
    """Show how signal and gradient flow through the blocks of ARCH (SPACE.yaml#INDEX, STUDY:TRIAL, an exported folder)
    at initialisation.

    grad norm: norm of the loss gradient with respect to the block's output. cosine: cosine similarity of this gradient
    to that of the stage's last block. shortcut: share of the gradient that flows through the shortcut. dead: share of
    channels that no image activates. signal: variance of the output.
    """
    from explorer.data.dataset import load_data
    from explorer.system.environment import find_device
    from explorer.training.gradient_flow import gradient_flow

    override = input_override(data, data_dir, input, classes)
    found = [find_architecture(arch, storage, override).architecture for arch in archs]
    place = find_device(device)
    # Wrong networks and devices are reported first, because reading the data may take long.
    dataset = None if data is None else load_data(data, data_dir)
    flows = [gradient_flow(each, batch=batch, seed=seed, data=dataset, device=place) for each in found]
    if as_json:
        print_json([flow.to_dict() for flow in flows])
        return
    for arch, flow in zip(archs, flows):
        click.echo(f"{arch}: {flow.digest}, {plural(flow.batch, 'image')} of {flow.source}, seed {flow.seed}")
        columns = ("stage", "block", "grad norm", "cosine", "shortcut", "dead", "signal")
        print_table(
            dict.fromkeys(columns, "right"),
            [
                (
                    block.stage,
                    block.block,
                    _format_value(block.grad_norm, ".3g"),
                    _format_value(block.cosine, ".3f"),
                    _format_value(block.shortcut_share, ".0%"),
                    _format_value(block.dead_share, ".0%"),
                    _format_value(block.signal_var, ".3g"),
                )
                for block in flow.blocks
            ],
        )


def _format_value(value: float | None, form: str) -> str:
    """Format a value; None as a dash."""
    return "-" if value is None else format(value, form)
