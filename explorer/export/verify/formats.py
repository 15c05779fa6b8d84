"""The formats that a network is exported in, their files, and what each needs to be installed."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from explorer.errors import ExportError, did_you_mean

FILES = {
    "yaml": "architecture.yaml",
    "python": "model.py",
    "safetensors": "model.safetensors",
    "onnx": "model.onnx",
    "pt2": "model.pt2",
}
RUN = ("python", "onnx", "pt2")  # the formats that compute something
PACKAGES = {"onnx": ("onnx", "onnxscript")}  # what a format needs beside torch


def check_formats(formats: Iterable[str] | None = None) -> frozenset[str]:
    """The formats as a set, all that can be written when left out. Raises ExportError for one that there is not, or
    whose packages are not installed."""
    if formats is None:
        return frozenset(name for name in FILES if not lacking_packages(name))
    wanted = frozenset([formats] if isinstance(formats, str) else formats)
    for name in sorted(wanted):
        if name not in FILES:
            near = did_you_mean(name, FILES)
            raise ExportError(f"unknown export format {name[:40]!r}; known: {', '.join(FILES)}{near}")
        if lacking := lacking_packages(name):
            mend = "pip install 'explorer[export]'"
            raise ExportError(f"the format {name!r} needs {' and '.join(lacking)}: {mend}, or leave it out")
    return wanted


def lacking_packages(name: str) -> list[str]:
    """The packages that the format needs and that are not installed."""
    return [package for package in PACKAGES.get(name, ()) if find_spec(package) is None]
