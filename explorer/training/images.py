"""Encoded images (JPEG, PNG and what else Pillow reads) to pixels, and what had to be converted on the way."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from explorer.errors import DataError, one_line
from explorer.ops.base import TensorShape
from explorer.training.splits import Split

_ORIENTATION = 0x0112  # the EXIF tag

# What may be done to an image, in the order in which it is told.
CONVERSIONS = {
    "grey": "grey images taken as colour",
    "colour": "colour images taken as grey levels",
    "palette": "images with a palette taken as colour",
    "cmyk": "CMYK images turned to red, green and blue without a colour profile",
    "transparency": "images with transparency, which is dropped",
    "16-bit": "images of 16 bits, of which the upper 8 are kept",
    "frames": "images of several frames, of which the first is taken",
    "turned": "images turned upright as their EXIF orientation says",
    "fitted": "images resized to {shape.width} pixels on their shorter side and cut to the middle square",
}


class Form(NamedTuple):
    """What images are decoded to: a shape, and whether an image of another size is fitted into it or refused."""

    shape: TensorShape
    fit: bool = False


class Notes:
    """Counts the conversions, with the place of the first of each kind."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, kinds: Iterable[str], place: str) -> None:
        for kind in kinds:
            count, first = self._found.get(kind, (0, place))
            self._found[kind] = (count + 1, first)

    def lines(self, form: Form) -> tuple[str, ...]:
        """A sentence for each kind: how many, what was done, and the first of them."""
        told = ((text.format(shape=form.shape), self._found.get(kind)) for kind, text in CONVERSIONS.items())
        return tuple(f"{found[0]} {text}; the first is {found[1]}" for text, found in told if found)


def decode_images(encoded: Iterable[tuple[str, bytes]], labels: np.ndarray, form: Form) -> Split:
    """The images as uint8 (N, C, H, W), with their labels (N,). ``encoded``: N pairs of a place, for messages, and the
    bytes. Raises DataError with the place of an image that cannot be decoded or is of another size."""
    out, notes, first = np.empty((len(labels), *form.shape), np.uint8), Notes(), ""
    for i, (place, data) in enumerate(encoded):
        try:
            out[i], kinds = decode_image(data, form)
        except WrongSize as error:
            like = f"; {first} is of that size" if first else ""
            raise WrongSize(f"{place}: {error}{like}") from error
        except DataError as error:
            raise DataError(f"{place}: {error}") from error
        notes.add(kinds, place)
        first = first or place
    return Split(out, labels, notes.lines(form))


class WrongSize(DataError):
    """An image of another size than was expected."""


def decode_image(data: bytes, form: Form) -> tuple[np.ndarray, list[str]]:
    """One image, uint8 (C, H, W), and the CONVERSIONS that were made. Raises DataError, without the place."""
    if not data:
        raise DataError("the image is empty: 0 bytes")
    try:
        pixels, kinds = _decode(data, form)
    except DataError:
        raise
    except Exception as error:  # a decoder fed with damaged bytes raises nearly anything
        raise DataError(f"the image cannot be decoded: {one_line(error)}") from error
    return pixels.transpose(2, 0, 1), kinds


def image_shape(data: bytes) -> TensorShape:
    """The shape of an encoded image, from its header: one channel for grey images, else three. Raises DataError."""
    try:
        with _open(data) as image:
            width, height = _upright_size(image)
            return TensorShape(1 if _is_grey(image) else 3, height, width)
    except Exception as error:
        raise DataError(f"the image cannot be read: {one_line(error)}") from error


def _open(data: bytes):
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # a small file can claim a huge image
        return Image.open(io.BytesIO(data))


def _is_grey(image) -> bool:
    return image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;16")


def _orientation(image) -> int:
    """1 to 8 as EXIF counts them; 1, upright, where nothing sensible is said."""
    if image.format == "PNG" and "exif" not in image.info:  # asking for more would decode it
        return 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged EXIF data, beside which the image may be whole
            found = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1
    return found if found in range(1, 9) else 1


def _upright_size(image) -> tuple[int, int]:
    """Width and height as they are after turning the image upright: orientations 5 to 8 lie on their side."""
    return image.size[::-1] if _orientation(image) >= 5 else image.size


def _decode(data: bytes, form: Form) -> tuple[np.ndarray, list[str]]:
    """(H, W, C) and the conversions."""
    from PIL import Image, ImageOps

    shape, kinds = form.shape, []
    with _open(data) as image:
        size = _upright_size(image)  # before decoding: a small file can claim a huge image
        if size != (shape.width, shape.height) and not form.fit:
            raise WrongSize(f"the image is {size[0]} x {size[1]} pixels, expected {shape.width} x {shape.height}")
        if getattr(image, "n_frames", 1) > 1:
            image.seek(0)
            kinds.append("frames")
        if _orientation(image) != 1:
            image = ImageOps.exif_transpose(image)
            kinds.append("turned")
        image = _eight_bits(image, kinds)
        image = _channels(image, shape.channels, kinds)
        if size != (shape.width, shape.height):
            image = ImageOps.fit(image, (shape.width, shape.height), Image.Resampling.BILINEAR)  # with antialiasing
            kinds.append("fitted")
        pixels = np.asarray(image)
    return pixels.reshape(shape.height, shape.width, -1), kinds


def _eight_bits(image, kinds: list[str]):
    from PIL import Image

    if image.mode.startswith("I;16"):
        kinds.append("16-bit")
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise DataError("the image has 32 bits a pixel, expected 8 or 16; save it with 8")
    return image


def _channels(image, channels: int, kinds: list[str]):
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a palette's transparency in bytes, which is told here
        return image.convert("L" if channels == 1 else "RGB")
