"""The machine and the versions that a measurement comes from, and names of devices."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from explorer.errors import MeasurementError, did_you_mean
from explorer.system.nvml import driver_version

PACKAGES = ("torch", "numpy")  # whose version can change a time or an accuracy
CPU_INFO = Path("/proc/cpuinfo")
DEVICES = ("auto", "cpu", "cuda")  # names that are suggested for a mistyped device


@dataclass(frozen=True, slots=True)
class Environment:
    """The machine and the versions with which a value was measured.

    Attributes:
        device: The torch device, for instance ``cpu`` or ``cuda:0``.
        device_name: The name of the CPU or GPU.
        threads: The computing threads of the process.
        platform: The operating system.
        python: The version of Python.
        versions: Package -> version.
        commit: The commit of this project; empty if unknown.
    """

    device: str
    device_name: str
    threads: int
    platform: str
    python: str
    versions: Mapping[str, str]
    commit: str = ""

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def digest(self) -> str:
        """A hash of all fields."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


def describe_environment(device: str = "cpu", threads: int | None = None) -> Environment:
    """Return the environment of this process for work on a device.

    Args:
        device: A name that ``find_device`` knows.
        threads: Computing threads of the work. Default: those that torch uses.

    Raises:
        MeasurementError: There is no such device.
    """
    import torch

    device = find_device(device)
    versions = {name: found for name in PACKAGES if (found := _version(name))}
    if device.startswith("cuda"):
        versions |= {"cuda": str(torch.version.cuda), "driver": nvidia_driver() or "unknown"}
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]  # torch does not annotate it
        versions |= {"cudnn": str(cudnn)}
    return Environment(
        device=device,
        device_name=device_name(device),
        threads=torch.get_num_threads() if threads is None else threads,
        platform=platform.platform(),
        python=platform.python_version(),
        versions=versions,
        commit=_commit(Path(__file__).parents[2]),
    )


def find_device(name: str = "auto") -> str:
    """Return the device of a name, "cpu" or "cuda:N".

    Args:
        name: "auto" (the first GPU, else the CPU), "cpu", "cuda" or "cuda:N", in any case.

    Raises:
        MeasurementError: There is no such device.
    """
    name = name.strip().lower()
    if name == "cpu":  # without torch, whose import takes seconds
        return name
    import torch

    count = torch.cuda.device_count()
    if name == "auto":
        return "cuda:0" if count else "cpu"
    match = re.fullmatch(r"cuda(?::(\d+))?", name)
    if match is None:
        raise MeasurementError(f"unknown device {name!r}; known: auto, cpu, cuda, cuda:0, ...{_device_hint(name)}")
    number = int(match[1] or 0)
    if number >= count:
        raise MeasurementError(f"no device {name!r}: {count} CUDA devices found; 'cpu' and 'auto' always work")
    return f"cuda:{number}"


def _device_hint(name: str) -> str:
    """Return a hint for a name that is not a device."""
    word = name.strip().lower()
    if word.startswith(("gpu", "nvidia")):
        return "; a GPU is 'cuda'"
    if "," in word or word == "all":
        return "; one process uses one GPU: start 'explorer worker --device cuda:1' for each further one"
    if numbered := re.fullmatch(r"cuda[ _.-]?(\d{1,4})|(\d{1,4})", word):
        return f"; did you mean 'cuda:{numbered[1] or numbered[2]}'?"
    if word in ("mps", "metal", "rocm", "hip", "xpu", "tpu", "xla", "npu", "vulkan", "directml"):
        return "; only CPUs and NVIDIA GPUs are supported: use 'cpu'"
    return did_you_mean(name, DEVICES)


def device_name(device: str) -> str:
    """Return the model of the CPU or the name of the GPU.

    Args:
        device: A name that ``find_device`` knows.

    Raises:
        MeasurementError: There is no such device.
    """
    device = find_device(device)
    if device == "cpu":
        return _cpu_name()
    import torch

    return torch.cuda.get_device_name(device)


def gpu_models(folder: Path = Path("/proc/driver/nvidia/gpus")) -> set[str]:
    """Return the models of the NVIDIA GPUs of this machine, without opening them: a context takes memory on the GPU.

    Args:
        folder: The folder in which the driver describes each GPU.
    """
    models = set()
    for file in folder.glob("*/information"):
        with suppress(OSError):
            models |= {line.partition(":")[2].strip() for line in file.read_text().splitlines() if "Model:" in line}
    return models


def device_identity(device: str) -> str:
    """Return an identifier of the device on this machine: "cpu", or the UUID of a GPU.

    Processes may number the GPUs differently, so cuda:0 of one can be cuda:1 of another.

    Args:
        device: A name that ``find_device`` knows.

    Raises:
        MeasurementError: There is no such device.
    """
    device = find_device(device)
    if device == "cpu":
        return device
    import torch

    return f"GPU-{torch.cuda.get_device_properties(device).uuid}"


def cpu_words(cpuinfo: Path = CPU_INFO) -> frozenset[str]:
    """Return all words of Linux's description of the CPU, including its instruction sets; empty on other systems.

    Args:
        cpuinfo: The file with the description.
    """
    try:
        return frozenset(cpuinfo.read_text().split())
    except OSError:
        return frozenset()


def cpu_identity(cpuinfo: Path = CPU_INFO) -> str:
    """Return an identifier of the processor's model and instruction sets.

    Args:
        cpuinfo: The file with Linux's description of the CPU.
    """
    try:
        lines = cpuinfo.read_text().split("\n\n")[0].splitlines()
    except OSError:
        return f"{platform.processor()} {platform.machine()}"
    named = ("model name", "flags", "Model", "Features", "CPU implementer", "CPU part")
    return hashlib.sha256("\n".join(line for line in lines if line.startswith(named)).encode()).hexdigest()[:16]


def _cpu_name(cpuinfo: Path = CPU_INFO) -> str:
    """Return the model name of the CPU from Linux, or from Python on other systems."""
    try:
        found = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def nvidia_driver(path: Path = Path("/proc/driver/nvidia/version")) -> str:
    """Return the version of the NVIDIA driver; empty if there is none, "unknown" if it does not report its version.

    Args:
        path: The file of the kernel module. A container or WSL may hide it; NVML then reports the version.
    """
    try:
        text = path.read_text()
    except OSError:
        return driver_version()
    found = re.search(r"Kernel Module\b.*?(\d+\.[\d.]+)", text)
    return found[1] if found else driver_version() or "unknown"


def _version(package: str) -> str:
    """Return the version of an installed package, else an empty text."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _commit(root: Path) -> str:
    """Return the commit of the checkout in ``root``, with ``-dirty`` if files differ from it; empty for no checkout."""
    if not (root / ".git").exists():  # an installed package may be within another project's repository
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
