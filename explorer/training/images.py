"""Encoded images (JPEG, PNG and what else Pillow reads) to arrays."""

from __future__ import annotations

import io
from collections.abc import Iterable
from importlib.util import find_spec

import numpy as np

from explorer.errors import DataError
from explorer.ops.base import TensorShape

JPEG_MAGIC = b"\xff\xd8\xff"


def decode_images(encoded: Iterable[tuple[str, bytes]], count: int, shape: TensorShape) -> np.ndarray:
    """The images as uint8 (count, C, H, W). ``encoded``: pairs of a place, for messages, and the bytes.

    Grey levels when ``shape`` has one channel, else red, green, blue. Raises DataError with the place
    of an image that cannot be decoded or is of another size.
    """
    out = np.empty((count, *shape), np.uint8)
    jpeg = _fast_jpeg(shape)
    for i, (place, data) in enumerate(encoded):
        try:
            pixels = jpeg(data) if jpeg is not None and data.startswith(JPEG_MAGIC) else _pillow(data, shape)
        except DataError as error:
            raise DataError(f"{place}: {error}") from error
        except Exception as error:  # a decoder fed with damaged bytes raises nearly anything
            raise DataError(f"{place}: the image cannot be decoded: {error}") from error
        if pixels.shape[:2] != (shape.height, shape.width):
            raise DataError(f"{place}: {_wrong_size(pixels.shape[1], pixels.shape[0], shape)}")
        out[i] = pixels.transpose(2, 0, 1)
    return out


def image_shape(data: bytes) -> TensorShape:
    """The shape of an encoded image, from its header: one channel for grey images, else three."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        grey = image.mode in ("1", "L", "I;16", "I", "F")
        return TensorShape(1 if grey else 3, image.height, image.width)


def _fast_jpeg(shape: TensorShape):
    """simplejpeg's decoder where it is installed: the same pixels as Pillow's in an eighth of the time."""
    if find_spec("simplejpeg") is None:
        return None
    import simplejpeg

    return lambda data: simplejpeg.decode_jpeg(data, colorspace="GRAY" if shape.channels == 1 else "RGB")


def _pillow(data: bytes, shape: TensorShape) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        if image.size != (shape.width, shape.height):  # before decoding: a small file can claim a huge image
            raise DataError(_wrong_size(*image.size, shape))
        pixels = np.asarray(image.convert("L" if shape.channels == 1 else "RGB"))
    return pixels.reshape(shape.height, shape.width, -1)


def _wrong_size(width: int, height: int, shape: TensorShape) -> str:
    return f"the image is {width} x {height} pixels, expected {shape.width} x {shape.height}"
