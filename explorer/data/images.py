"""Decoding of one image (JPEG, PNG and Pillow's other formats) to pixels."""

from __future__ import annotations

import io
import threading
import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from explorer.errors import DataError, one_line
from explorer.networks.ops.base import TensorShape

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

_EXIF_ORIENTATION = 0x0112  # the EXIF tag
_WARNING_FILTERS_LOCK = threading.Lock()  # warning filters are global: two threads would restore each other's filters


class ImageFormat(NamedTuple):
    """The format that images are decoded to.

    Attributes:
        shape: Shape of an image, (C, H, W).
        fit: Whether to resize and crop images of another size; otherwise they are an error.
        grey_bits: Number of bits that the levels of 16-bit grey images need, 8..16; the upper 8 of them are used. None
            means the number that the largest level needs among the images that are decoded together.
    """

    shape: TensorShape
    fit: bool = False
    grey_bits: int | None = None


class WrongSize(DataError):
    """An image has another size than expected."""


def decode_image(data: bytes, image_format: ImageFormat) -> tuple[np.ndarray, list[str]]:
    """Decode one image.

    Args:
        data: The encoded image.
        image_format: What it is decoded to.

    Returns:
        The pixels, uint8 (C, H, W), and the conversions that were made, which are keys of ``decoding.CONVERSIONS``.

    Raises:
        DataError: The image cannot be decoded; the message does not name the file.
    """
    if not data:
        raise DataError("the image is empty: 0 bytes")
    try:
        pixels, kinds = _decode(data, image_format)
    except DataError:
        raise
    except Exception as error:  # decoders raise many kinds of errors for damaged images
        raise DataError(f"the image cannot be decoded: {_reason(error)}") from error
    return pixels.transpose(2, 0, 1), kinds


def image_shape(data: bytes) -> TensorShape:
    """Return the shape of an encoded image from its header: one channel if it is grey, else three.

    Raises:
        DataError: The header cannot be read.
    """
    try:
        with _open(data) as image:
            width, height = _upright_size(image)
            return TensorShape(1 if _is_grey(image) else 3, height, width)
    except Exception as error:
        raise DataError(f"the image cannot be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return one_line(error).partition(" <_io.")[0]  # without the address of Pillow's buffer


def _open(data: bytes) -> PillowImage:
    from PIL import Image

    with _WARNING_FILTERS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # a small file can hold a huge image
        return Image.open(io.BytesIO(data))


def _is_grey(image: PillowImage) -> bool:
    return image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;16")


def _orientation(image: PillowImage) -> int:
    """Return the EXIF orientation, 1..8; 1 (upright) if it is missing or invalid."""
    if image.format == "PNG" and "exif" not in image.info:  # getexif would decode the whole image
        return 1
    try:
        with _WARNING_FILTERS_LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damaged EXIF data; the image itself may be intact
            found = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:
        return 1
    return found if found in range(1, 9) else 1


def _upright_size(image: PillowImage) -> tuple[int, int]:
    """Return width and height after the EXIF orientation is applied; orientations 5 to 8 swap them."""
    width, height = image.size
    return (height, width) if _orientation(image) >= 5 else (width, height)


def _decode(data: bytes, image_format: ImageFormat) -> tuple[np.ndarray, list[str]]:
    """Return the pixels, (H, W, C), and the conversions."""
    from PIL import Image, ImageOps

    shape, kinds = image_format.shape, []
    with _open(data) as image:
        size = _upright_size(image)  # checked before decoding: a small file can hold a huge image
        if size != (shape.width, shape.height) and not image_format.fit:
            raise WrongSize(f"the image is {size[0]} x {size[1]} pixels, expected {shape.width} x {shape.height}")
        if getattr(image, "n_frames", 1) > 1:
            image.seek(0)
            kinds.append("frames")
        if _orientation(image) != 1:
            image = ImageOps.exif_transpose(image)
            kinds.append("turned")
        if _is_16_bit_colour(image, data):
            kinds.append("16-bit colour")
        image = _eight_bits(image, kinds, image_format.grey_bits or 16)
        image = _channels(image, shape.channels, kinds)
        if size != (shape.width, shape.height):
            image = ImageOps.fit(image, (shape.width, shape.height), Image.Resampling.BILINEAR)  # with antialiasing
            kinds.append("fitted")
        pixels = np.asarray(image, np.uint8)
    return pixels.reshape(shape.height, shape.width, -1), kinds


def _eight_bits(image: PillowImage, kinds: list[str], grey_bits: int) -> PillowImage:
    """Convert 16-bit grey images to 8 bits; return other images unchanged."""
    from PIL import Image

    if image.mode.startswith("I;16"):
        kinds.append("16-bit")
        return Image.fromarray(upper_bits(np.asarray(image), grey_bits))
    if image.mode in ("I", "F"):
        raise DataError("the image has 32 bits a pixel, expected 8 or 16 without a sign; save it with 8")
    return image


def upper_bits(levels: np.ndarray, grey_bits: int) -> np.ndarray:
    """Return the upper 8 of ``grey_bits`` bits of each level as uint8; larger levels become 255."""
    return np.asarray(np.minimum(levels >> (grey_bits - 8), 255), np.uint8)


def levels_16_bit(data: bytes) -> np.ndarray | None:
    """Return the levels of a 16-bit grey image; None for other images and for unreadable ones."""
    try:
        with _open(data) as image:
            return np.asarray(image) if image.mode.startswith("I;16") else None
    except Exception:  # reported when the image is decoded
        return None


def _is_16_bit_colour(image: PillowImage, data: bytes) -> bool:
    """Return whether the image is a colour PNG with 16 bits a channel; Pillow drops the lower 8 of them."""
    depth = data[24] if image.format == "PNG" and len(data) > 24 else 8  # bit depth in the header chunk, IHDR
    return depth == 16 and not image.mode.startswith("I")


def _channels(image: PillowImage, channels: int, kinds: list[str]) -> PillowImage:
    """Convert to one channel (grey) or three (RGB)."""
    if image.mode == "CMYK":
        kinds.append("cmyk")
    elif image.mode in ("P", "PA"):
        kinds.append("palette")
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        kinds.append("transparency")
    if channels == 3 and _is_grey(image):
        kinds.append("grey")
    elif channels == 1 and not _is_grey(image):
        kinds.append("colour")
    image.load()
    with _WARNING_FILTERS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a palette's transparency, which has a note
        return image.convert("L" if channels == 1 else "RGB")
