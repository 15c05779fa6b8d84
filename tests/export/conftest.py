"""Networks of every kind, exported once and run together in one new process."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch

from explorer.export.model_py.code import ModelCode, write_code
from explorer.export.verify.comparison import Exported, exported_outputs
from explorer.export.verify.process import FreshProcess
from explorer.export.weights import weight_bytes
from explorer.networks.architecture import Architecture
from explorer.networks.build import Network
from tests.export.spaces import hand_written, randomised, shipped


class Made(NamedTuple):
    """A network, its code, and the logits of that code for two images in a separate process."""

    label: str
    architecture: Architecture
    network: Network
    code: ModelCode
    logits: torch.Tensor


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Use one thread, because more threads slow down networks this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def fresh():
    """One process for all networks that must run without this package."""
    with FreshProcess() as process:
        yield process


@pytest.fixture(scope="session")
def exported(tmp_path_factory, fresh) -> list[Made]:
    """Every network of ``spaces.py`` and twelve random ones of the default space."""
    found, folders = [], []
    for number, (label, architecture) in enumerate([*hand_written(), *shipped(12)]):
        folder = tmp_path_factory.mktemp(f"network{number}")
        network, code = randomised(architecture, seed=number), write_code(architecture)
        (folder / "model.py").write_text(code.text)
        (folder / "model.safetensors").write_bytes(weight_bytes(network.state_dict()))
        folders.append(Exported(folder, architecture.input, ["python"]))
        found.append((label, architecture, network, code))
    outputs = exported_outputs(fresh, folders, batches=[2])
    return [Made(*parts, of["python"][2][0]) for parts, of in zip(found, outputs)]
