"""Settings of a measurement (batch, dtype, layout, mode), and which of them a device supports."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path

from explorer.errors import MeasurementError, did_you_mean
from explorer.system.environment import CPU_INFO, cpu_words
from explorer.system.installation import install_command

DTYPES = ("float32", "tf32", "bfloat16", "float16")
LAYOUTS = ("nchw", "channels_last")
MODES = ("eager", "graph", "compile", "onnxruntime")
MAX_BATCH = 65_536  # images; catches a mistyped batch before memory runs out
_HALF_FLAGS = {"avx512_fp16", "amx_fp16", "asimdhp"}  # of CPUs that compute in float16, x86 and ARM
# The first compute capability that supports it: Ampere and Volta.
_CAPABILITY = {"tf32": (8, 0), "bfloat16": (8, 0), "compile": (7, 0)}
_CXX = ("clang++",) if sys.platform == "darwin" else ("g++",)  # compilers that torch calls for a CPU
_CC = ("gcc", "clang")  # compilers that triton calls for a GPU's launchers
_ONNX_PACKAGES = ("onnxruntime", "onnx", "onnxscript")


@dataclass(frozen=True, slots=True)
class Setting:
    """How a network is run.

    Attributes:
        batch: Images per run, in 1..MAX_BATCH.
        dtype: One of DTYPES.
        layout: One of LAYOUTS.
        mode: One of MODES.
    """

    batch: int = 1
    dtype: str = "float32"
    layout: str = "nchw"
    mode: str = "eager"

    def __str__(self) -> str:
        return f"batch {self.batch}, {self.dtype}, {self.layout}, {self.mode}"


def default_mode(device: str) -> str:
    """Return "eager" for a CPU and "graph" for a GPU, where launching an operation can take longer than computing it.

    Args:
        device: A device name from ``find_device``.
    """
    return "eager" if device == "cpu" else "graph"


def make_settings(
    device: str, batches: Iterable[int], dtypes: Iterable[str], layouts: Iterable[str], modes: Iterable[str]
) -> list[Setting]:
    """Return all combinations, each once, after checking that the device supports them.

    Args:
        device: A device name from ``find_device``.
        batches: Images per run.
        dtypes: Words of DTYPES.
        layouts: Words of LAYOUTS.
        modes: Words of MODES.

    Raises:
        MeasurementError: A word is not known, the device does not support a combination, or a package or compiler that
            it needs is missing.
    """
    settings = list(dict.fromkeys(Setting(*words) for words in product(batches, dtypes, layouts, modes)))
    if not settings:
        raise MeasurementError("nothing to measure: name at least one batch, dtype, layout and mode")
    for setting in settings:
        _check_words(setting)
    for setting in settings:
        fault = _cpu_fault(setting) if device == "cpu" else _cuda_fault(setting, device)
        if fault:
            raise MeasurementError(f"{setting} on {device}: {fault}")
    return settings


def _check_words(setting: Setting) -> None:
    """Raise MeasurementError unless each field has a value that some device supports."""
    if not 1 <= setting.batch <= MAX_BATCH:
        raise MeasurementError(f"a batch must be in 1..{MAX_BATCH}, found {setting.batch}")
    for what, word, known in (
        ("dtype", setting.dtype, DTYPES),
        ("layout", setting.layout, LAYOUTS),
        ("mode", setting.mode, MODES),
    ):
        if word not in known:
            raise MeasurementError(f"unknown {what} {word!r}; known: {', '.join(known)}{did_you_mean(word, known)}")


def _cpu_fault(setting: Setting, cpuinfo: Path = CPU_INFO) -> str:
    """Return why a CPU cannot run this setting; empty if it can."""
    if setting.dtype == "tf32":
        return "tf32 is a number format of NVIDIA GPUs; use float32"
    if setting.dtype == "float16" and not _HALF_FLAGS & cpu_words(cpuinfo):
        return "this CPU does not compute in float16, and emulated it is slower than float32; use float32 or bfloat16"
    if setting.mode == "graph":
        return "CUDA graphs need a GPU; use eager"
    if setting.mode == "compile" and (missing := _missing_compiler("CXX", _CXX)):
        return f"torch.compile needs a C++ compiler for a CPU, and {missing}; install g++, or use eager"
    if setting.mode == "onnxruntime":
        if absent := [name for name in _ONNX_PACKAGES if find_spec(name) is None]:
            return f"{', '.join(absent)} not installed; {install_command('export')}, or use eager"
        if (setting.dtype, setting.layout) != ("float32", "nchw"):
            return "onnxruntime is measured in float32 and nchw only"
    return ""


def _cuda_fault(setting: Setting, device: str) -> str:
    """Return why a GPU cannot run this setting; empty if it can."""
    if setting.mode == "onnxruntime":
        return "onnxruntime is measured on a CPU only; use graph or compile, or --device cpu"
    if setting.mode == "compile" and find_spec("triton") is None:
        return "torch.compile needs triton for a GPU, and it is not installed; use graph"
    if setting.mode == "compile" and (missing := _missing_compiler("CC", _CC)):
        return f"torch.compile needs a C compiler for a GPU's launches, and {missing}; install gcc, or use graph"
    for word in (setting.dtype, setting.mode):
        if word in _CAPABILITY:
            import torch

            if (found := torch.cuda.get_device_capability(device)) < (needed := _CAPABILITY[word]):
                return f"{word} needs compute capability {needed[0]}.{needed[1]}, this GPU has {found[0]}.{found[1]}"
    return ""


def _missing_compiler(variable: str, usual: Iterable[str]) -> str:
    """Return which compiler is missing; empty if the one that ``variable`` names, or else a ``usual`` one, exists."""
    named = os.environ.get(variable)
    if any(map(shutil.which, [named] if named else usual)):
        return ""
    return f"{variable}={named} was not found" if named else f"{' or '.join(usual)} is not on the PATH"
