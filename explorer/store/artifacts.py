"""Paths of the files of a study: trained weights and checkpoints."""

from __future__ import annotations

from pathlib import Path

from explorer.errors import StoreError
from explorer.store.checking import DIGEST, describe
from explorer.system.files import slug


def artifacts_folder(database_file: Path | None, study: str, created: float) -> Path:
    """Return the folder of a study's files, ``explorer.artifacts/<slug>``.

    Args:
        database_file: The file of an SQLite database; the folder is next to it. None for a database server: the folder
            is in the current folder.
        study: The study's name.
        created: When the study was created, in seconds since the epoch. It distinguishes studies of the same name in
            two databases of one folder.
    """
    return _artifacts_root(database_file) / slug(study, f" of {created!r}")


def train_checkpoint(database_file: Path | None, training: str) -> Path:
    """Return the checkpoint of a training that belongs to no study.

    Args:
        database_file: As for ``artifacts_folder``.
        training: A text that identifies the training.
    """
    return _artifacts_root(database_file) / f"{slug(training)}.checkpoint"


def _artifacts_root(database_file: Path | None) -> Path:
    return (database_file.resolve().parent if database_file else Path.cwd()) / "explorer.artifacts"


def weights_file(folder: Path, digest: str) -> Path:
    """Return the file of trained weights of the network ``digest``. Raises StoreError if that is not a digest."""
    return folder / f"{_valid_digest(digest)}.safetensors"


def checkpoint_file(folder: Path, digest: str) -> Path:
    """Return the checkpoint of the network's training. Raises StoreError if ``digest`` is not a digest."""
    return folder / f"{_valid_digest(digest)}.checkpoint"


def confirmation_checkpoint(folder: Path, digest: str, epochs: int, seed: int) -> Path:
    """Return the checkpoint of a confirmation: the network's training of ``epochs`` epochs from the fresh ``seed``.

    Raises:
        StoreError: ``digest`` is not a digest.
    """
    return folder / f"{_valid_digest(digest)}.{int(epochs)}-{int(seed)}.checkpoint"


def _valid_digest(digest: str) -> str:
    """Return the digest. Raises StoreError if it is malformed.

    A digest from an untrusted database could contain a slash, and its path would be outside the folder.
    """
    if not DIGEST.fullmatch(digest):
        raise StoreError(f"{describe(digest)} is not the digest of a network: no file is named after it")
    return digest
