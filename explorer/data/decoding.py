"""Decoding of a split's images to an array of pixels, with notes on conversions and damaged images."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from explorer.data.images import ImageFormat, WrongSize, decode_image, levels_16_bit, upper_bits
from explorer.data.splits import Split
from explorer.errors import DataError

# Conversion -> text of its note, in the order of the notes.
CONVERSIONS = {
    "grey": "grey images converted to RGB",
    "colour": "colour images converted to grey levels",
    "palette": "palette images converted to their colours",
    "cmyk": "CMYK images converted to RGB without a colour profile",
    "transparency": "images with transparency, which is dropped",
    "16-bit": "grey images of 16 bits, whose levels need {grey_bits} bits: the upper 8 of them are kept{levels}",
    "16-bit colour": "colour images of 16 bits a channel, of which the upper 8 are kept",
    "frames": "images of several frames, of which the first is taken",
    "turned": "images rotated upright according to their EXIF orientation",
    "fitted": "images resized to {shape.width} pixels on their shorter side and cut to the middle square",
}


class ConversionCounts:
    """The number of conversions of each kind, and the first image of each kind."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, kinds: Iterable[str], place: str) -> None:
        """Count the conversions of one image; ``place``: its file, for the notes."""
        for kind in kinds:
            count, first = self._found.get(kind, (0, place))
            self._found[kind] = (count + 1, first)

    def lines(self, image_format: ImageFormat, levels: str = "") -> tuple[str, ...]:
        """Return a note for each kind of conversion.

        Args:
            image_format: What the images were decoded to.
            levels: End of the note on 16-bit grey images.
        """
        values = {"shape": image_format.shape, "grey_bits": image_format.grey_bits, "levels": levels}
        notes = ((text.format(**values), self._found.get(kind)) for kind, text in CONVERSIONS.items())
        return tuple(f"{found[0]} {text}; the first is {found[1]}" for text, found in notes if found)


def decode_images(
    encoded: Iterable[tuple[str, bytes]], labels: np.ndarray, image_format: ImageFormat, skip_damaged: bool = False
) -> Split:
    """Decode all images of a split.

    Args:
        encoded: For each image its file, for messages, and its bytes.
        labels: The labels, int64 (N,).
        image_format: What the images are decoded to.
        skip_damaged: Whether to leave out images that cannot be decoded.

    Returns:
        The split, uint8 (N, C, H, W), with notes on conversions.

    Raises:
        DamagedImages: Some images cannot be decoded; the error lists all of them.
        WrongSize: An image has another size.
    """
    out = np.empty((len(labels), *image_format.shape), np.uint8)
    conversions, damaged, kept, first = ConversionCounts(), [], [], ""
    deferred: list[tuple[int, str, bytes]] = []  # 16-bit grey images, until the largest level is known
    levels = np.zeros(2**16, bool)  # which 16-bit grey levels occur

    def decode(i: int, place: str, data: bytes) -> None:
        nonlocal first
        try:
            out[i], kinds = decode_image(data, image_format)
        except WrongSize as error:
            like = f"; {first} is of that size" if first else ""
            raise WrongSize(f"{place}: {error}{like}") from error
        except DataError as error:
            damaged.append(f"{place}: {error}")
            return
        conversions.add(kinds, place)
        kept.append(i)
        first = first or place

    for i, (place, data) in enumerate(encoded):
        found = levels_16_bit(data) if image_format.grey_bits is None else None
        if found is None:
            decode(i, place, data)
        else:
            deferred.append((i, place, data))
            levels[found] = True
    if image_format.grey_bits is None:
        image_format = image_format._replace(grey_bits=_needed_bits(np.flatnonzero(levels)) if deferred else None)
    for image in deferred:
        decode(*image)
    remaining = ""
    if deferred and image_format.grey_bits:
        remaining = _remaining_levels(np.flatnonzero(levels), image_format.grey_bits)
    notes = conversions.lines(image_format, remaining)
    if damaged and not skip_damaged:
        raise DamagedImages(damaged, len(labels))
    if damaged:
        notes += (damaged_note(damaged, len(labels)),)
        out, labels = out[np.sort(kept)], labels[np.sort(kept)]
    return Split(out, labels, notes, image_format.grey_bits, len(damaged))


def damaged_note(damaged: list[str], total: int) -> str:
    """Return the note on ``damaged`` images that were left out of ``total``."""
    return f"{len(damaged)} of {total} images are damaged and were left out; the first is {damaged[0]}"


def needed_grey_bits(encoded: Iterable[bytes]) -> int | None:
    """Return how many bits the levels of the 16-bit grey images need, 8..16; None if there is no such image."""
    levels = [found for found in map(levels_16_bit, encoded) if found is not None]
    return max(map(_needed_bits, levels)) if levels else None


def find_damaged(encoded: Iterable[tuple[str, bytes]], image_format: ImageFormat) -> dict[int, str]:
    """Find the images that cannot be decoded.

    Args:
        encoded: For each image its file, for messages, and its bytes.
        image_format: What the images are decoded to.

    Returns:
        Index -> file and reason.

    Raises:
        WrongSize: An image has another size.
    """
    damaged = {}
    for i, (place, data) in enumerate(encoded):
        try:
            decode_image(data, image_format)
        except WrongSize as error:
            raise WrongSize(f"{place}: {error}") from error
        except DataError as error:
            damaged[i] = f"{place}: {error}"
    return damaged


class DamagedImages(DataError):
    """Images that cannot be decoded.

    Attributes:
        images: File and reason of each image.
        total: Number of all images.
        fix: Suggested fix.
    """

    NAMED = 10  # images that the message names

    def __init__(self, images: list[str], total: int, fix: str = "replace or remove it"):
        self.images, self.total, self.fix = images, total, fix
        named = images[: self.NAMED]
        more = len(images) - len(named)
        lines = [*named, *([f"and {more} more"] if more else [])]
        if len(images) == 1:
            super().__init__(f"{images[0]}; {fix}")
        else:
            super().__init__(f"{len(images)} of {total} images are damaged; {fix}: {'; '.join(lines)}")

    def __reduce__(self) -> tuple[type[DamagedImages], tuple[list[str], int, str]]:
        return (type(self), (self.images, self.total, self.fix))


def _needed_bits(levels: np.ndarray) -> int:
    """Return how many bits the largest level needs, at least 8."""
    return max(8, int(levels.max()).bit_length())


def _remaining_levels(levels: np.ndarray, grey_bits: int) -> str:
    """Return the end of the note that says how many different grey levels remain."""
    return f", which leaves {len(np.unique(upper_bits(levels, grey_bits))):,} of {len(levels):,} levels"
