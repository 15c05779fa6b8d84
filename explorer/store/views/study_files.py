"""The files of a study: where they are, and its trained weights."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from explorer.errors import StoreError
from explorer.records import TrialRecord
from explorer.store.artifacts import artifacts_folder, folder_of, study_slug, weights_file
from explorer.store.database import StudyIdentity, open_if_present
from explorer.store.remote.files import Files, FolderFiles, ObjectStore
from explorer.store.remote.outbox import NoTransfers, Outbox, Transfers
from explorer.store.remote.place import PLACE, is_remote, parse_place
from explorer.store.schema import studies
from explorer.system.files import write_atomically
from explorer.system.user_folders import user_cache

CACHE_BYTES = 2 << 30  # of weights from object stores that this machine keeps; the oldest are removed first


def files_of(database_file: Path | None, study: str, created: float, place: str) -> Files:
    """Return the files of a study.

    Args:
        database_file: As for ``artifacts_folder``.
        study: The study's name.
        created: When the study was created, in seconds since the epoch.
        place: The setting ``artifacts``; empty for the usual folder.
    """
    if is_remote(place):
        return ObjectStore(f"{place}/{study_slug(study, created)}")
    return FolderFiles(artifacts_folder(database_file, study, created, place))


def require_writable_place(database_file: Path | None, place: str) -> None:
    """Raise StoreError if no files can be written to a place that was named. Nothing is left there.

    Args:
        database_file: As for ``artifacts_folder``.
        place: The setting ``artifacts``. An empty one is not checked: trainings run without weights too.
    """
    if not place:
        return
    files: Files = ObjectStore(place) if is_remote(place) else FolderFiles(folder_of(database_file, place))
    try:
        files.require_writable()
    except StoreError as error:
        raise StoreError(f"{PLACE}: {error}") from None


def places_of(storage: str) -> list[str]:
    """Return the places that the studies of a database name for their files.

    Raises:
        StoreError: The database cannot be read.
    """
    database = open_if_present(storage)
    if database is None:
        return []
    texts = database.read(lambda connection: list(connection.scalars(select(studies.c.fingerprint))))
    return [parse_place(place) for place in (json.loads(text).get(PLACE) for text in texts) if place]


@dataclass(frozen=True, repr=False)
class StudyFiles(StudyIdentity):
    """The files of ``Study``."""

    @property
    def _opened(self) -> Any:
        """This study; the subclass ``Study`` has the other attributes."""
        return self

    @property
    def place(self) -> str:
        """The setting ``artifacts`` of the study; empty for the usual folder."""
        place = self._opened.fingerprint.get(PLACE, "")
        return parse_place(place) if isinstance(place, str) and place else ""

    @property
    def artifacts(self) -> Path:
        """The folder of the study's files on this machine. It may not exist.

        If the study's place is an object store, trainings write to this folder, and their files are sent from there.
        """
        return artifacts_folder(self.database.file, self.name, self._opened.created, self.place)

    @property
    def files(self) -> Files:
        """The files of the study, where all machines find them."""
        return files_of(self.database.file, self.name, self._opened.created, self.place)

    def require_writable_place(self) -> None:
        """Raise StoreError if the place that was named for the study's files cannot be written to."""
        require_writable_place(self.database.file, self.place)

    def transfers(self) -> Transfers:
        """Return what sends the files of this machine's trainings to the study's place."""
        files = self.files
        return Outbox(files, self.artifacts) if isinstance(files, ObjectStore) else NoTransfers(self.artifacts)

    def weights(self, record: TrialRecord) -> Path | None:
        """Return the safetensors file of the trial's trained weights, or None if they were not saved.

        Weights in an object store are copied to the cache folder of this machine and compared with their SHA-256.

        Raises:
            StoreError: The object store cannot be read, or the weights there are not those of the trial.
        """
        path = weights_file(self.artifacts, record.digest)
        if not record.weights or path.is_file():
            return path if record.weights else None
        files = self.files
        return _cached(files, path.name, record.weights) if isinstance(files, ObjectStore) else None


def _cached(store: ObjectStore, name: str, digest: str) -> Path | None:
    """Return the copy of a file whose SHA-256 is ``digest``; None if the store does not have the file."""
    folder = user_cache("weights")
    path = folder / f"{digest}{Path(name).suffix}"
    if path.is_file():
        return path
    content = store.read(name)
    if content is None:
        return None
    if hashlib.sha256(content).hexdigest() != digest:
        raise StoreError(
            f"{store.url}/{name}: the file is not the one that was written (its SHA-256 differs); delete it, and export"
            " trains the network again"
        )
    try:
        write_atomically(path, content)
    except OSError as error:
        raise StoreError(f"{path}: the weights cannot be written: {error.strerror or error}") from error
    _bound(folder, keep=path)
    return path


def _bound(folder: Path, keep: Path) -> None:
    """Remove the oldest files of a folder while it has more than ``CACHE_BYTES``."""
    files = sorted((path for path in folder.glob("*") if path != keep), key=lambda path: path.stat().st_mtime)
    held = keep.stat().st_size + sum(path.stat().st_size for path in files)
    for path in files:
        if held <= CACHE_BYTES:
            return
        held -= path.stat().st_size
        path.unlink(missing_ok=True)
