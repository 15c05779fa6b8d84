"""The number of epochs in a checkpoint, read from the header of the file without torch."""

from __future__ import annotations

import json
from pathlib import Path

MAX_HEADER = 100 << 20  # bytes, the limit of the safetensors format


def epochs_of_checkpoint(checkpoint: bytes | Path) -> int:
    """Return the epochs of the training that wrote a checkpoint.

    Args:
        checkpoint: The file, or its content.

    Returns:
        The number; 0 if there is no file, or if it is no checkpoint or is cut. The content is not compared with its
        SHA-256.
    """
    try:
        if isinstance(checkpoint, Path):
            size = checkpoint.stat().st_size
            with checkpoint.open("rb") as stream:
                length = int.from_bytes(stream.read(8), "little")
                header = json.loads(stream.read(min(length, MAX_HEADER)))
        else:
            size, length = len(checkpoint), int.from_bytes(checkpoint[:8], "little")
            header = json.loads(checkpoint[8 : 8 + length])
        epochs = len(json.loads(header.pop("__metadata__")["state"])["curve"])
        content = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
        return epochs if size == 8 + length + content else 0
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return 0
