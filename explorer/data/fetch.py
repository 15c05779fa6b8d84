"""Downloads public data sets, each file checked against the hash that it was published with."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from explorer.data.sources import Download, PublicDataset
from explorer.errors import DataError, one_line
from explorer.system.files import sweep, sync_folder

TIMEOUT_SECONDS = 30  # seconds without a byte
STALE_SECONDS = 24 * 3600

# Told how many bytes of a file have come, and of how many.
Progress = Callable[[Download, int, int], None]


def target_files(known: PublicDataset, root: Path) -> list[Path]:
    """Where the data set's files are put below ``root``."""
    return [root / known.name / download.name for download in known.downloads]


def fetch_data(known: PublicDataset, root: Path, progress: Progress = lambda *_: None) -> list[Path]:
    """Downloads what is not yet below ``root``, or not whole; returns the files that were downloaded.

    A file takes its place only when it is whole and its hash is right; one that stands there with another hash is
    replaced. Raises DataError when the network, the server or the disk fails, or when a hash is wrong.
    """
    fetched = []
    for download, target in zip(known.downloads, target_files(known, root), strict=True):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            sweep(target.parent, older_than=time.time() - STALE_SECONDS)
            if not _is_whole(target, download):
                _fetch(download, target, progress)
                fetched.append(target)
        except OSError as error:
            raise DataError(f"{target}: cannot be written: {error.strerror or error}") from error
    return fetched


def _is_whole(target: Path, download: Download) -> bool:
    import pooch

    return target.is_file() and pooch.file_hash(str(target), alg="sha256") == download.sha256


def _fetch(download: Download, target: Path, progress: Progress) -> None:
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    downloader = pooch.HTTPDownloader(
        progressbar=_Reporter(download, progress),
        chunk_size=2**16,
        timeout=TIMEOUT_SECONDS,
        headers={"Accept-Encoding": "identity"},  # the file as it is, whose hash is known
    )
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=target.parent) as temporary:
        try:
            pooch.retrieve(download.url, download.sha256, fname=target.name, path=temporary, downloader=downloader)
        except requests.RequestException as error:
            raise DataError(f"{download.url} cannot be downloaded: {_reason(error)}") from error
        except ValueError as error:  # pooch has removed the file
            raise DataError(
                f"{download.url}: what came has another SHA-256 than the published {download.sha256}; it is removed. "
                "The server may have answered with a page, or the file was changed: try again later"
            ) from error
        whole = Path(temporary, target.name)
        with open(whole, "rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(whole, target)
        sync_folder(target.parent)


def _reason(error: Exception) -> str:
    """What a person can use of it: requests wraps the cause several times, with addresses of objects."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answers {response.status_code} {response.reason}"
    cause: BaseException = error
    while inner := cause.__cause__ or cause.__context__:
        cause = inner
    said = getattr(cause, "strerror", None) or one_line(cause)
    return f"{said}; is there a network, or a proxy to be named in HTTPS_PROXY?"


class _Reporter:
    """What pooch takes for a progress bar."""

    def __init__(self, download: Download, progress: Progress):
        self.total, self._done = download.bytes, 0
        self._download, self._progress = download, progress

    def update(self, count: int) -> None:
        self._done += count
        self._progress(self._download, min(self._done, self.total), self.total)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        self._progress(self._download, self.total, self.total)
