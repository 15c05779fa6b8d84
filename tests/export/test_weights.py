"""Weight files of other tools."""

from __future__ import annotations

import re

import numpy
import pytest
import torch
from safetensors.torch import save_file

import explorer
from explorer.errors import ExportError
from explorer.export.weights import load_weights

ARCHITECTURE = explorer.load_space("he2016_orders.yaml").architecture(0)


@pytest.fixture(scope="module")
def state():
    return explorer.build(ARCHITECTURE, seed=3).state_dict()


@pytest.mark.parametrize(
    "changed",
    [
        lambda state: {f"module.{key}": value for key, value in state.items()},
        lambda state: {f"_orig_mod.{key}": value for key, value in state.items()},
        lambda state: {f"model.{key}": value for key, value in state.items()},
        lambda state: {f"module.net.{key}": value for key, value in state.items()},
        lambda state: {f"module._orig_mod.{key}": value for key, value in state.items()},
        lambda state: {f"_orig_mod.module.{key}": value for key, value in state.items()},
        lambda state: {"n_averaged": torch.tensor(3), **{f"module.{key}": value for key, value in state.items()}},
        lambda state: {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")},
        lambda state: {"epoch": 3, "state_dict": state, "optimizer": {}},
        lambda state: {"model": {f"module.{key}": value for key, value in state.items()}},
        lambda state: {"weights": state, "meta": {"epoch": 3}},
    ],
)
def test_weights_of_wrapped_networks_are_read(state, changed):
    """Prefixes of DataParallel and torch.compile, averaged models, missing counters and checkpoints are accepted."""
    loaded = load_weights(ARCHITECTURE, changed(state)).state_dict()
    for key, value in state.items():
        assert key.endswith("num_batches_tracked") or torch.equal(loaded[key], value)


def test_weights_of_another_network_are_still_rejected(state):
    """A prefix that only some names have is not removed."""
    some = {f"module.{key}" if place else key: value for place, (key, value) in enumerate(state.items())}
    with pytest.raises(ExportError, match=r"another network|network lacks"):
        load_weights(ARCHITECTURE, some)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_another_dtype_is_rejected_with_its_conversion(state, dtype):
    """Weights in half or double precision are rejected with the code to convert them."""
    other = {key: value.to(dtype) if value.is_floating_point() else value for key, value in state.items()}
    with pytest.raises(ExportError, match=r"convert it with \.float\(\)"):
        load_weights(ARCHITECTURE, other)


@pytest.mark.parametrize("kind", ["net.pt", "net.pth", "net.ckpt", "net.bin", "legacy.pt", "net.npz"])
def test_other_formats_give_the_code_to_convert_them(tmp_path, state, kind):
    """The message names the file type, and its line of Python writes a safetensors file that can be read."""
    path = tmp_path / kind
    if kind == "net.npz":
        numpy.savez(path, **{key: value.numpy() for key, value in state.items()})
    else:
        wrapped = {"epoch": 1, "state_dict": state} if kind == "net.ckpt" else state
        torch.save(wrapped, path, _use_new_zipfile_serialization=not kind.startswith("legacy"))
    with pytest.raises(ExportError) as caught:
        load_weights(ARCHITECTURE, path)
    said = str(caught.value)
    assert ("NumPy archive" if kind == "net.npz" else "PyTorch pickle file") in said and "\n" not in said
    code = re.search(r"convert it with Python: (.*)$", said)[1]
    exec(code, {})
    loaded = load_weights(ARCHITECTURE, path.with_suffix(".safetensors")).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


def test_a_graph_is_not_a_weights_file(tmp_path):
    """An ONNX file is reported as such."""
    (tmp_path / "net.onnx").write_bytes(b"\x08\x07\x12\x04test" * 9)
    with pytest.raises(ExportError, match="an ONNX graph, not a safetensors file"):
        load_weights(ARCHITECTURE, tmp_path / "net.onnx")


def test_prefixes_in_a_file_are_removed(tmp_path, state):
    """A safetensors file with prefixes is read like a mapping."""
    save_file({f"module.{key}": value.contiguous() for key, value in state.items()}, tmp_path / "net.safetensors")
    assert load_weights(ARCHITECTURE, tmp_path / "net.safetensors")
