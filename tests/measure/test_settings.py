"""The settings that a device supports."""

from __future__ import annotations

import sys

import pytest
import torch

from explorer.errors import MeasurementError
from explorer.measure import settings
from explorer.measure.settings import Setting, default_mode, make_settings


def made(device="cpu", batches=(1,), dtypes=("float32",), layouts=("nchw",), modes=("eager",)):
    return make_settings(device, batches, dtypes, layouts, modes)


def test_every_combination_once():
    """All combinations are listed once, in the order of the words."""
    found = made(batches=(1, 32, 1), dtypes=("float32", "bfloat16"), layouts=("nchw", "channels_last"))
    assert len(found) == len(set(found)) == 8
    assert found[0] == Setting(1, "float32", "nchw", "eager") and found[-1] == Setting(32, "bfloat16", "channels_last")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"batches": (0,)}, "a batch must be in 1..65536, found 0"),
        ({"batches": ()}, "nothing to measure"),
        ({"dtypes": ("bflaot16",)}, "unknown dtype 'bflaot16'; known: float32, .*; did you mean 'bfloat16'"),
        ({"layouts": ("nhwc",)}, "unknown layout 'nhwc'; known: nchw, channels_last"),
        ({"modes": ("graphs",)}, "unknown mode 'graphs'; .*; did you mean 'graph'"),
        ({"dtypes": ("float32", "tf32")}, "batch 1, tf32, nchw, eager on cpu: tf32 is a number format of NVIDIA GPUs"),
        ({"modes": ("graph",)}, "CUDA graphs need a GPU; use eager"),
        ({"modes": ("onnxruntime",), "dtypes": ("bfloat16",)}, "onnxruntime"),
        ({"device": "cuda:0", "modes": ("onnxruntime",)}, "on cuda:0: onnxruntime is measured on a CPU only"),
    ],
)
def test_unsupported_settings_are_rejected(asked, message):
    """An unknown word or an unsupported combination gives one line before any measurement."""
    with pytest.raises(MeasurementError, match=message) as caught:
        made(**asked)
    assert len(str(caught.value).splitlines()) == 1


def test_float16_needs_cpu_support(tmp_path):
    """A CPU without flags for float16 arithmetic is rejected, because it would emulate it."""
    plain, able = tmp_path / "plain", tmp_path / "able"
    plain.write_text("flags : fpu avx512f avx512_bf16 f16c\n")
    able.write_text("flags : fpu avx512f avx512_fp16 amx_bf16\n")
    asked = Setting(dtype="float16")
    assert "does not compute in float16" in settings._cpu_fault(asked, plain)
    assert settings._cpu_fault(asked, able) == ""


def _executable(path):
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS uses another default compiler")
def test_compiling_needs_a_compiler(monkeypatch, tmp_path):
    """torch.compile on a CPU is rejected without the C++ compiler that it calls, with the fix."""
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    _executable(tmp_path / "clang++")  # torch calls g++ by default
    with pytest.raises(
        MeasurementError, match=r"needs a C\+\+ compiler for a CPU, and g\+\+ is not on the PATH; install"
    ):
        made(modes=("compile",))
    monkeypatch.setenv("CXX", "clang++")
    assert len(made(modes=("compile",))) == 1
    monkeypatch.setenv("CXX", "icpx")
    with pytest.raises(MeasurementError, match="CXX=icpx was not found"):
        made(modes=("compile",))


def test_a_missing_package_is_named(monkeypatch):
    """A missing package of onnxruntime is named with the command to install it."""
    monkeypatch.setattr(settings, "find_spec", lambda name: None if name == "onnxruntime" else object())
    with pytest.raises(MeasurementError, match=r"onnxruntime not installed; .*pip install .*'onnxruntime>="):
        made(modes=("onnxruntime",))


def test_formats_of_a_gpu(monkeypatch, tmp_path):
    """tf32 and bfloat16 need Ampere; compiling needs triton, a C compiler and Volta."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(settings, "find_spec", lambda name: None)
    for dtype in ("tf32", "bfloat16"):
        with pytest.raises(MeasurementError, match=f"{dtype} needs compute capability 8.0, this GPU has 7.5"):
            made("cuda:0", dtypes=(dtype,), modes=("graph",))
    with pytest.raises(MeasurementError, match="needs triton"):
        made("cuda:0", modes=("compile",))
    monkeypatch.setattr(settings, "find_spec", lambda name: object())
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MeasurementError, match=r"C compiler .* gcc or clang is not on the PATH; install gcc"):
        made("cuda:0", modes=("compile",))
    _executable(tmp_path / "clang")
    assert len(made("cuda:0", modes=("compile",))) == 1
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (6, 1))
    with pytest.raises(MeasurementError, match=r"compile needs compute capability 7\.0, this GPU has 6.1"):
        made("cuda:0", modes=("compile",))
    assert made("cuda:0", dtypes=("float16",), modes=("graph",)) == [Setting(dtype="float16", mode="graph")]


def test_default_modes():
    """The default mode of a GPU is graph replay."""
    assert (default_mode("cpu"), default_mode("cuda:1")) == ("eager", "graph")
