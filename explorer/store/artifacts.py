"""Where a study's files lie."""

from __future__ import annotations

from pathlib import Path

from explorer.files import slug


def artifacts_folder(database_file: Path | None, study: str) -> Path:
    """``explorer.artifacts/<slug>`` beside the database's file; in the working folder for a server's."""
    beside = database_file.resolve().parent if database_file else Path.cwd()
    return beside / "explorer.artifacts" / slug(study)
