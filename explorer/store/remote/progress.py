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
        The number; 0 if there is no file or if it is no checkpoint.
    """
    try:
        if isinstance(checkpoint, Path):
            with checkpoint.open("rb") as stream:
                header = stream.read(min(int.from_bytes(stream.read(8), "little"), MAX_HEADER))
        else:
            header = checkpoint[8 : 8 + int.from_bytes(checkpoint[:8], "little")]
        return len(json.loads(json.loads(header)["__metadata__"]["state"])["curve"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return 0
