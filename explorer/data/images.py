"""Encoded images (JPEG, PNG and what else Pillow reads) to pixels, and what had to be converted on the way."""

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
_WARNING_FILTERS_LOCK = threading.Lock()  # they belong to the process: two threads would restore each other's


class ImageFormat(NamedTuple):
    """What images are decoded to: a shape, and whether an image of another size is fitted into it or refused.

    ``grey_bits``: how many bits the levels of 16-bit grey images need, 8 to 16; the upper 8 of them are kept. None: as
    many as the largest level among the images that are decoded together.
    """

    shape: TensorShape
    fit: bool = False
    grey_bits: int | None = None


class WrongSize(DataError):
    """An image of another size than was expected."""


def decode_image(data: bytes, image_format: ImageFormat) -> tuple[np.ndarray, list[str]]:
    """One image, uint8 (C, H, W), and the CONVERSIONS that were made. Raises DataError, without the place."""
    if not data:
        raise DataError("the image is empty: 0 bytes")
    try:
        pixels, kinds = _decode(data, image_format)
    except DataError:
        raise
    except Exception as error:  # a decoder fed with damaged bytes raises nearly anything
        raise DataError(f"the image cannot be decoded: {_reason(error)}") from error
    return pixels.transpose(2, 0, 1), kinds


def image_shape(data: bytes) -> TensorShape:
    """The shape of an encoded image, from its header: one channel for grey images, else three. Raises DataError."""
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
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # a small file can claim a huge image
        return Image.open(io.BytesIO(data))


def _is_grey(image: PillowImage) -> bool:
    return image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;16")


def _orientation(image: PillowImage) -> int:
    """1 to 8 as EXIF counts them; 1, upright, where nothing sensible is said."""
    if image.format == "PNG" and "exif" not in image.info:  # asking for more would decode it
        return 1
    try:
        with _WARNING_FILTERS_LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged EXIF data, beside which the image may be whole
            found = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:
        return 1
    return found if found in range(1, 9) else 1


def _upright_size(image: PillowImage) -> tuple[int, int]:
    """Width and height as they are after turning the image upright: orientations 5 to 8 lie on their side."""
    width, height = image.size
    return (height, width) if _orientation(image) >= 5 else (width, height)


def _decode(data: bytes, image_format: ImageFormat) -> tuple[np.ndarray, list[str]]:
    """(H, W, C) and the conversions."""
    from PIL import Image, ImageOps

    shape, kinds = image_format.shape, []
    with _open(data) as image:
        size = _upright_size(image)  # before decoding: a small file can claim a huge image
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
    from PIL import Image

    if image.mode.startswith("I;16"):
        kinds.append("16-bit")
        return Image.fromarray(upper_bits(np.asarray(image), grey_bits))
    if image.mode in ("I", "F"):
        raise DataError("the image has 32 bits a pixel, expected 8 or 16 without a sign; save it with 8")
    return image


def upper_bits(levels: np.ndarray, grey_bits: int) -> np.ndarray:
    return np.asarray(np.minimum(levels >> (grey_bits - 8), 255), np.uint8)


def levels_16_bit(data: bytes) -> np.ndarray | None:
    """The levels of a grey image of 16 bits; None for other images and those that cannot be read."""
    try:
        with _open(data) as image:
            return np.asarray(image) if image.mode.startswith("I;16") else None
    except Exception:  # told when it is decoded
        return None


def _is_16_bit_colour(image: PillowImage, data: bytes) -> bool:
    """Whether Pillow has dropped the lower 8 bits of a PNG's channels by itself."""
    depth = data[24] if image.format == "PNG" and len(data) > 24 else 8  # a field of the header chunk, IHDR
    return depth == 16 and not image.mode.startswith("I")


def _channels(image: PillowImage, channels: int, kinds: list[str]) -> PillowImage:
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
        warnings.simplefilter("ignore")  # of a palette's transparency in bytes, which is told here
        return image.convert("L" if channels == 1 else "RGB")
