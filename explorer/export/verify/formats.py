"""Export formats, their files and the packages that each format needs."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from explorer.errors import ExportError, did_you_mean
from explorer.system.installation import install_command

FILES = {
    "yaml": "architecture.yaml",
    "python": "model.py",
    "safetensors": "model.safetensors",
    "onnx": "model.onnx",
    "pt2": "model.pt2",
    "hub": "config.json",
}
RUN = ("python", "onnx", "pt2")  # the formats whose files can be run
PACKAGES = {"onnx": ("onnx", "onnxscript")}  # packages that a format needs besides torch


def check_formats(formats: Iterable[str] | None = None) -> frozenset[str]:
    """Check the names of formats.

    Args:
        formats: One name or several, of FILES; by default all but "hub" whose packages are installed. "hub"
            includes "python" and "safetensors".

    Returns:
        The formats.

    Raises:
        ExportError: A format is unknown, or its packages are not installed.
    """
    if formats is None:
        return frozenset(name for name in FILES if name != "hub" and not lacking_packages(name))
    chosen = frozenset([formats] if isinstance(formats, str) else formats)
    if "hub" in chosen:  # its files refer to the code and the weights
        chosen |= {"python", "safetensors"}
    for name in sorted(chosen):
        if name not in FILES:
            near = did_you_mean(name, FILES)
            raise ExportError(f"unknown export format {name[:40]!r}; known: {', '.join(FILES)}{near}")
        if lacking := lacking_packages(name):
            command = install_command("export")
            raise ExportError(f"the format {name!r} needs {' and '.join(lacking)}: {command}, or leave it out")
    return chosen


def lacking_packages(name: str) -> list[str]:
    """Return the packages that a format needs and that are not installed."""
    return [package for package in PACKAGES.get(name, ()) if find_spec(package) is None]
