"""Downloading of public data sets. Each file is verified against its published SHA-256."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from explorer.data.sources import Download, PublicDataset
from explorer.errors import DataError, one_line
from explorer.system.files import sweep, sync_folder

TIMEOUT_SECONDS = 30  # without a byte, after which the server counts as unreachable
STALE_SECONDS = 24 * 3600  # temporary folders older than this are left by killed processes and are deleted

# Called with a file, the number of bytes downloaded and the size of the file.
Progress = Callable[[Download, int, int], None]


def target_files(known: PublicDataset, root: Path) -> list[Path]:
    """Return the paths below ``root`` that the data set's files are downloaded to."""
    return [root / known.name / download.name for download in known.downloads]


def fetch_data(known: PublicDataset, root: Path, progress: Progress = lambda *_: None) -> list[Path]:
    """Download the files that are missing or incomplete below ``root``.

    A file is moved to its path only after its hash has been verified. A present file with another hash is replaced.

    Args:
        known: The data set.
        root: Folder of the data sets.
        progress: Called during each download.

    Returns:
        The files that were downloaded.

    Raises:
        DataError: The network, the server or the disk fails, or a hash is wrong.
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
        headers={"Accept-Encoding": "identity"},  # uncompressed, because the hash is that of the file
    )
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=target.parent) as temporary:
        try:
            pooch.retrieve(download.url, download.sha256, fname=target.name, path=temporary, downloader=downloader)
        except requests.RequestException as error:
            raise DataError(f"{download.url} cannot be downloaded: {_reason(error)}") from error
        except ValueError as error:  # pooch has removed the file
            raise DataError(
                f"{download.url}: the downloaded file's SHA-256 differs from the published {download.sha256}; "
                "the file is deleted. The server may have sent a web page, or the file was changed: "
                "try again later"
            ) from error
        whole = Path(temporary, target.name)
        with open(whole, "rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(whole, target)
        sync_folder(target.parent)


def _reason(error: Exception) -> str:
    """Return the cause in plain words: requests wraps it several times, with addresses of objects."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answers {response.status_code} {response.reason}"
    cause: BaseException = error
    while inner := cause.__cause__ or cause.__context__:
        cause = inner
    said = getattr(cause, "strerror", None) or one_line(cause)
    return f"{said}; check the network connection, or set a proxy in HTTPS_PROXY"


class _Reporter:
    """An adapter from pooch's progress bar to ``Progress``."""

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
