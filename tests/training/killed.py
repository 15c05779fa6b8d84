"""A training that kills its own process, for tests that run it in a separate process, or that is stopped."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

from explorer.data.dataset import load_data
from explorer.networks.build import build_network
from explorer.training import checkpoint
from explorer.training.loop import train_network
from explorer.training.recipe import recipe
from tests.space.spaces import only

EPOCHS = 5
RECIPE = replace(  # all features with state or randomness
    recipe("quick_small"), ema=0.9, mixup=0.3, cutout=2, muon=True, smaller_images=0.5
)


def train(path: Path | None, kill_at: int | None = None):
    """Return the network and the result. ``kill_at`` is the epoch at whose end, before its checkpoint, the process
    dies."""
    checkpoint.MIN_SECONDS = checkpoint.TIME_FACTOR = 0  # write a checkpoint after every epoch

    def die(epoch):
        if epoch.epoch == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    return _train(path, die)


def pause(path: Path | None, on_epoch=None, pauses: bool = True):
    """Return the network and the result of a training that ``on_epoch`` may stop."""
    return _train(path, on_epoch, pauses)


def _train(path: Path | None, on_epoch, pauses: bool = False):
    net = build_network(only(input="1x8x8", block="conv3x3 bn relu drop(0.3) conv3x3 bn + relu"))
    result = train_network(
        net,
        load_data("digits"),
        RECIPE,
        epochs=EPOCHS,
        seed=3,
        precision="bfloat16",
        checkpoint=path,
        pauses=pauses,
        on_epoch=on_epoch,
    )
    return net, result
