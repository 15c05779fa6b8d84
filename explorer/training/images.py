"""Encoded images (JPEG, PNG and what else Pillow reads) to pixels, and what had to be converted on the way."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from explorer.errors import DataError, one_line
from explorer.ops.base import TensorShape
from explorer.training.splits import Split

_ORIENTATION = 0x0112  # the EXIF tag
_WARNING_FILTERS = threading.Lock()  # they belong to the process: two threads would restore each other's

# What may be done to an image, in the order in which it is told.
CONVERSIONS = {
    "grey": "grey images taken as colour",
    "colour": "colour images taken as grey levels",
    "palette": "images with a palette taken as colour",
    "cmyk": "CMYK images turned to red, green and blue without a colour profile",
    "transparency": "images with transparency, which is dropped",
    "16-bit": "grey images of 16 bits, whose levels need {form.grey_bits} bits: the upper 8 of them are kept{levels}",
    "16-bit colour": "colour images of 16 bits a channel, of which the upper 8 are kept",
    "frames": "images of several frames, of which the first is taken",
    "turned": "images turned upright as their EXIF orientation says",
    "fitted": "images resized to {shape.width} pixels on their shorter side and cut to the middle square",
}


class Form(NamedTuple):
    """What images are decoded to: a shape, and whether an image of another size is fitted into it or refused.

    ``grey_bits``: how many bits the levels of 16-bit grey images need, 8 to 16; the upper 8 of them are kept. None: as
    many as the largest level among the images that are decoded together.
    """

    shape: TensorShape
    fit: bool = False
    grey_bits: int | None = None


class Notes:
    """Counts the conversions, with the place of the first of each kind."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, kinds: Iterable[str], place: str) -> None:
        for kind in kinds:
            count, first = self._found.get(kind, (0, place))
            self._found[kind] = (count + 1, first)

    def lines(self, form: Form, levels: str = "") -> tuple[str, ...]:
        """A sentence for each kind: how many, what was done, and the first of them. ``levels``: how many grey levels
        of 16 bits remain."""
        named = {"shape": form.shape, "form": form, "levels": levels}
        told = ((text.format(**named), self._found.get(kind)) for kind, text in CONVERSIONS.items())
        return tuple(f"{found[0]} {text}; the first is {found[1]}" for text, found in told if found)


def decode_images(
    encoded: Iterable[tuple[str, bytes]], labels: np.ndarray, form: Form, skip_damaged: bool = False
) -> Split:
    """The images as uint8 (N, C, H, W), with their labels (N,). ``encoded``: N pairs of a place, for messages, and the
    bytes. ``skip_damaged``: leave out the images that cannot be decoded.

    Raises DamagedImages with all places of images that cannot be decoded, WrongSize for one of another size."""
    out, notes, damaged, kept, first = np.empty((len(labels), *form.shape), np.uint8), Notes(), [], [], ""
    deep: list[tuple[int, str, bytes]] = []  # 16-bit grey images wait until the largest level is known
    levels = np.zeros(2**16, bool)  # the grey levels of 16 bits that occur

    def decode(i: int, place: str, data: bytes) -> None:
        nonlocal first
        try:
            out[i], kinds = decode_image(data, form)
        except WrongSize as error:
            like = f"; {first} is of that size" if first else ""
            raise WrongSize(f"{place}: {error}{like}") from error
        except DataError as error:
            damaged.append(f"{place}: {error}")
            return
        notes.add(kinds, place)
        kept.append(i)
        first = first or place

    for i, (place, data) in enumerate(encoded):
        found = _deep_levels(data) if form.grey_bits is None else None
        if found is None:
            decode(i, place, data)
        else:
            deep.append((i, place, data))
            levels[found] = True
    if form.grey_bits is None:
        form = form._replace(grey_bits=_bits(np.flatnonzero(levels)) if deep else None)
    for image in deep:
        decode(*image)
    told = notes.lines(form, _remaining(np.flatnonzero(levels), form) if deep else "")
    if damaged and not skip_damaged:
        raise DamagedImages(damaged, len(labels))
    if damaged:
        told += (damaged_note(damaged, len(labels)),)
        out, labels = out[np.sort(kept)], labels[np.sort(kept)]
    return Split(out, labels, told, form.grey_bits, len(damaged))


def damaged_note(damaged: list[str], total: int) -> str:
    return f"{len(damaged)} of {total} images left out, which are damaged; the first is {damaged[0]}"


def needed_grey_bits(encoded: Iterable[bytes]) -> int | None:
    """How many bits the levels of those images that are grey and of 16 bits need; None where there are none."""
    levels = [found for found in map(_deep_levels, encoded) if found is not None]
    return max(map(_bits, levels)) if levels else None


def find_damaged(encoded: Iterable[tuple[str, bytes]], form: Form) -> dict[int, str]:
    """The images that cannot be decoded: number -> place and reason. Raises WrongSize for one of another size."""
    damaged = {}
    for i, (place, data) in enumerate(encoded):
        try:
            decode_image(data, form)
        except WrongSize as error:
            raise WrongSize(f"{place}: {error}") from error
        except DataError as error:
            damaged[i] = f"{place}: {error}"
    return damaged


class DamagedImages(DataError):
    """Images that cannot be decoded. ``images``: each with its place and what is wrong; ``mend``: what to do."""

    NAMED = 10

    def __init__(self, images: list[str], total: int, mend: str = "replace or remove it"):
        self.images, self.total, self.mend = images, total, mend
        named = images[: self.NAMED]
        more = len(images) - len(named)
        lines = [*named, *([f"and {more} more"] if more else [])]
        if len(images) == 1:
            super().__init__(f"{images[0]}; {mend}")
        else:
            super().__init__(f"{len(images)} of {total} images are damaged; {mend}: {'; '.join(lines)}")

    def __reduce__(self):
        return (type(self), (self.images, self.total, self.mend))


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


def _open(data: bytes):
    from PIL import Image

    with _WARNING_FILTERS, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # a small file can claim a huge image
        return Image.open(io.BytesIO(data))


def _is_grey(image) -> bool:
    return image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;16")


def _orientation(image) -> int:
    """1 to 8 as EXIF counts them; 1, upright, where nothing sensible is said."""
    if image.format == "PNG" and "exif" not in image.info:  # asking for more would decode it
        return 1
    try:
        with _WARNING_FILTERS, warnings.catch_warnings():
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
        if _is_deep_colour(image, data):
            kinds.append("16-bit colour")
        image = _eight_bits(image, kinds, form.grey_bits or 16)
        image = _channels(image, shape.channels, kinds)
        if size != (shape.width, shape.height):
            image = ImageOps.fit(image, (shape.width, shape.height), Image.Resampling.BILINEAR)  # with antialiasing
            kinds.append("fitted")
        pixels = np.asarray(image)
    return pixels.reshape(shape.height, shape.width, -1), kinds


def _eight_bits(image, kinds: list[str], grey_bits: int):
    from PIL import Image

    if image.mode.startswith("I;16"):
        kinds.append("16-bit")
        return Image.fromarray(_upper_bits(np.asarray(image), grey_bits))
    if image.mode in ("I", "F"):
        raise DataError("the image has 32 bits a pixel, expected 8 or 16 without a sign; save it with 8")
    return image


def _upper_bits(levels: np.ndarray, grey_bits: int) -> np.ndarray:
    return np.minimum(levels >> (grey_bits - 8), 255).astype(np.uint8)


def _bits(levels: np.ndarray) -> int:
    return max(8, int(levels.max()).bit_length())


def _remaining(levels: np.ndarray, form: Form) -> str:
    """How many of the grey ``levels`` remain different."""
    return f", which leaves {len(np.unique(_upper_bits(levels, form.grey_bits))):,} of {len(levels):,} levels"


def _deep_levels(data: bytes) -> np.ndarray | None:
    """The levels of a grey image of 16 bits; None for other images and those that cannot be read."""
    try:
        with _open(data) as image:
            return np.asarray(image) if image.mode.startswith("I;16") else None
    except Exception:  # told when it is decoded
        return None


def _is_deep_colour(image, data: bytes) -> bool:
    """Whether Pillow has dropped the lower 8 bits of a PNG's channels by itself."""
    depth = data[24] if image.format == "PNG" and len(data) > 24 else 8  # a field of the header chunk, IHDR
    return depth == 16 and not image.mode.startswith("I")


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
    image.load()
    with _WARNING_FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a palette's transparency in bytes, which is told here
        return image.convert("L" if channels == 1 else "RGB")
