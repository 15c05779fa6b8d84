"""What tests compare of a data set that was read: its notes and its images."""

from __future__ import annotations


def conversions(data) -> tuple[str, ...]:
    """Return the notes without the one about the small size of these data sets."""
    return tuple(note for note in data.notes if not note.startswith("validation has only"))


def contents(part) -> set[bytes]:
    """Return the pixels of each different image."""
    return {image.tobytes() for image in part.images}
