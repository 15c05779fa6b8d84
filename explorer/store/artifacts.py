"""Paths of the files of a study: trained weights and checkpoints."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from explorer.errors import StoreError
from explorer.records import TrainingResult
from explorer.store.checking import DIGEST, describe
from explorer.store.remote.place import is_remote, place_folder
from explorer.system.files import slug


def artifacts_folder(database_file: Path | None, study: str, created: float, place: str = "") -> Path:
    """Return the folder of a study's files on this machine, ``explorer.artifacts/<slug>``.

    Args:
        database_file: The file of an SQLite database; the folder is next to it. None for a database server: the folder
            is in the current folder.
        study: The study's name.
        created: When the study was created, in seconds since the epoch. It distinguishes studies of the same name in
            two databases of one folder.
        place: The folder that replaces ``explorer.artifacts``. If it is a URL, the usual folder is where trainings
            write before their files are sent.
    """
    return folder_of(database_file, "" if is_remote(place) else place) / study_slug(study, created)


def folder_of(database_file: Path | None, place: str = "") -> Path:
    """Return the folder that has the folders of studies.

    Args:
        database_file: As for ``artifacts_folder``.
        place: The folder that replaces ``explorer.artifacts``.
    """
    return place_folder(place, database_file.resolve().parent if database_file else Path.cwd())


def study_slug(study: str, created: float) -> str:
    """Return the name of the folder of a study's files, also in an object store."""
    return slug(study, f" of {created!r}")


def train_checkpoint(database_file: Path | None, training: str) -> Path:
    """Return the checkpoint of a training that belongs to no study.

    Args:
        database_file: As for ``artifacts_folder``.
        training: A text that identifies the training.
    """
    return folder_of(database_file) / f"{slug(training)}.checkpoint"


def weights_file(folder: Path, digest: str) -> Path:
    """Return the file of trained weights of the network ``digest``. Raises StoreError if that is not a digest."""
    return folder / f"{_valid_digest(digest)}.safetensors"


def curve_file(folder: Path, number: int) -> Path:
    """Return the file of the training curve of a trial, in a study whose place of artifacts was chosen."""
    return folder / f"trial-{int(number)}.curve.json"


def curve_content(number: int, digest: str, seed: int, state: str, result: TrainingResult) -> bytes:
    """Return the content of the file of a training curve.

    Args:
        number: The trial's number.
        digest: The digest of its network.
        seed: Its seed.
        state: How it ended.
        result: The result of its training.
    """
    facts = {"trial": number, "network": digest, "seed": seed, "state": state}
    return json.dumps({**facts, **asdict(result)}).encode()


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
