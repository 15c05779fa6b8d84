"""The ops of extensions in an exported network: where each is from, so that a changed op is noticed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from explorer.errors import ArchitectureError
from explorer.export.manifest import PROVENANCE
from explorer.extensions.lookup import find, names
from explorer.extensions.registry import how_to_restore
from explorer.networks.architecture import MAX_JSON_BYTES, Architecture
from explorer.system.files import read_regular
from explorer.system.strict_json import parse_json


def own_ops(architecture: Architecture) -> dict[str, str]:
    """Return the ops of a network that are extensions: name -> where it is from, with its code or version."""
    used = {layer.op.spelling for layer in architecture.layers()}
    found = [find("op", name) for name in names("op") if name in used]
    return {each.name: str(each.origin) for each in found if each is not None}


def changed_op(recorded: Mapping[str, str], architecture: Architecture) -> str:
    """Return that an op of an exported network has changed, and what to do; an empty text if none has.

    Args:
        recorded: The ops as ``own_ops`` returned them at the export.
        architecture: The network.
    """
    for name, now in own_ops(architecture).items():
        if (before := recorded.get(name, now)) != now:
            return (
                f"it was exported with the op {name!r} of {before}, found that of {now}; {how_to_restore(before)}, or"
                " export the network again"
            )
    return ""


def require_unchanged_ops(file: Path, architecture: Architecture) -> None:
    """Raise ArchitectureError if an op of an exported network has changed: it would be another network.

    Args:
        file: The file of the architecture. If it is alone, nothing is known of its ops.
        architecture: The network.
    """
    fields: Any = {}
    with suppress(OSError, ValueError):  # 'explorer describe' names a damaged file
        fields = parse_json(read_regular(file.with_name(PROVENANCE), MAX_JSON_BYTES))
    recorded = fields.get("ops") if isinstance(fields, dict) else None
    if isinstance(recorded, dict) and (message := changed_op(recorded, architecture)):
        raise ArchitectureError(f"{file}: {message}")
