"""Where a study's files lie."""

from __future__ import annotations

from pathlib import Path

from explorer.errors import StoreError
from explorer.store.checking import DIGEST, shown
from explorer.system.files import slug


def artifacts_folder(database_file: Path | None, study: str, created: float) -> Path:
    """``explorer.artifacts/<slug>`` beside the database's file; in the working folder for a server's. ``created``: when
    the study was begun, which tells it from one of its name in another database of the same folder."""
    return _beside(database_file) / slug(study, f" of {created!r}")


def train_checkpoint(database_file: Path | None, training: str) -> Path:
    """The state of one training that belongs to no study; ``training``: a text that tells it from others."""
    return _beside(database_file) / f"{slug(training)}.checkpoint"


def _beside(database_file: Path | None) -> Path:
    return (database_file.resolve().parent if database_file else Path.cwd()) / "explorer.artifacts"


def weights_file(folder: Path, digest: str) -> Path:
    """The trained weights of the network of that digest."""
    return folder / f"{_checked(digest)}.safetensors"


def checkpoint_file(folder: Path, digest: str) -> Path:
    """The state of that network's training, while it lasts."""
    return folder / f"{_checked(digest)}.checkpoint"


def confirmation_checkpoint(folder: Path, digest: str, epochs: int, seed: int) -> Path:
    """The state of that network's training of so many epochs from that fresh seed, while it lasts."""
    return folder / f"{_checked(digest)}.{int(epochs)}-{int(seed)}.checkpoint"


def _checked(digest: str) -> str:
    """The digest, once it is known to be one: a database may come from anybody, and a name with a slash in it would
    lead out of the folder."""
    if not DIGEST.fullmatch(digest):
        raise StoreError(f"{shown(digest)} is not the digest of a network: no file is named after it")
    return digest
