"""Encoded images are decoded to pixels of one form, and conversions are counted and reported."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from explorer.data.decoding import decode_images
from explorer.data.images import ImageFormat, decode_image, image_shape
from explorer.errors import DataError
from explorer.networks.ops.base import TensorShape

RANDOM = np.random.RandomState(0)
COLOUR = RANDOM.randint(0, 256, (12, 16, 3)).astype(np.uint8)
GREY = COLOUR[..., 0]


def saved(image: Image.Image | np.ndarray, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(out, kind, **options)
    return out.getvalue()


def turned(orientation: int, kind: str = "JPEG") -> bytes:
    """Return the colours saved as by a camera in that orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(COLOUR, kind, exif=exif.tobytes(), **({"quality": 95} if kind == "JPEG" else {}))


def decoded(data: bytes, channels: int = 3, height: int = 12, width: int = 16, fit: bool = False):
    pixels, kinds = decode_image(data, ImageFormat(TensorShape(channels, height, width), fit))
    assert pixels.shape == (channels, height, width)
    assert pixels.dtype == np.uint8
    return pixels.transpose(1, 2, 0), kinds


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_colours_are_unchanged(kind):
    """A lossless colour image of the right size is decoded exactly, without a note."""
    options = {"lossless": True} if kind == "WEBP" else {}
    pixels, kinds = decoded(saved(COLOUR, kind, **options))
    assert np.array_equal(pixels, COLOUR)
    assert kinds == []


def test_grey_and_colour():
    """Grey becomes three equal channels, and colour becomes Pillow's weighted sum, each with a note."""
    pixels, kinds = decoded(saved(GREY))
    assert np.array_equal(pixels, np.repeat(GREY[..., None], 3, axis=2))
    assert kinds == ["grey"]
    pixels, kinds = decoded(saved(COLOUR), channels=1)
    assert np.abs(pixels[..., 0] - COLOUR @ [0.299, 0.587, 0.114]).max() <= 1
    assert kinds == ["colour"]
    assert decoded(saved(GREY), channels=1)[1] == []


def test_transparency_is_dropped():
    """The transparency of colour and grey images is dropped with a note."""
    alpha = RANDOM.randint(0, 256, (12, 16, 1)).astype(np.uint8)
    pixels, kinds = decoded(saved(np.concatenate([COLOUR, alpha], axis=2)))
    assert np.array_equal(pixels, COLOUR)
    assert kinds == ["transparency"]
    pixels, kinds = decoded(saved(np.concatenate([GREY[..., None], alpha], axis=2)), channels=1)
    assert np.array_equal(pixels[..., 0], GREY)
    assert kinds == ["transparency"]


def test_palette():
    """A palette image has the palette's colours, and a transparent palette colour gives a note."""
    image = Image.fromarray(COLOUR // 64 * 64).quantize(64)
    pixels, kinds = decoded(saved(image))
    assert np.array_equal(pixels, np.asarray(image.convert("RGB")))
    assert kinds == ["palette"]
    assert decoded(saved(image, transparency=bytes(range(64))))[1] == ["palette", "transparency"]


def test_sixteen_bits():
    """Of 16 bits the upper 8 are kept: 0xABCD becomes 0xAB."""
    levels = RANDOM.randint(0, 2**16, (12, 16)).astype(np.uint16)
    for channels, told in ((1, ["16-bit"]), (3, ["16-bit", "grey"])):
        pixels, kinds = decoded(saved(levels), channels)
        assert np.array_equal(pixels[..., 0], levels >> 8)
        assert kinds == told


def test_thirty_two_bits_are_rejected():
    """Floating-point levels are rejected, because their range is unknown."""
    with pytest.raises(DataError, match="32 bits a pixel, expected 8 or 16"):
        decoded(saved(GREY.astype(np.float32), "TIFF"), 1)


def test_cmyk():
    """A CMYK image is converted to RGB with a note."""
    pixels, kinds = decoded(saved(Image.new("CMYK", (16, 12), (0, 255, 255, 0)), "TIFF"))
    assert pixels[0, 0].tolist() == [255, 0, 0]
    assert kinds == ["cmyk"]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_several_frames(kind):
    """Only the first frame of an animated image is used, with a note."""
    first, second = Image.new("RGB", (16, 12), (255, 0, 0)), Image.new("RGB", (16, 12), (0, 0, 255))
    data = saved(first, kind, save_all=True, append_images=[second], **({"lossless": True} if kind == "WEBP" else {}))
    pixels, kinds = decoded(data)
    assert pixels[5, 5].tolist() == [255, 0, 0]
    assert "frames" in kinds


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_the_exif_orientation_is_applied(orientation, kind):
    """An image is rotated by its EXIF orientation, and its shape is that of the rotated image."""
    data = turned(orientation, kind)
    upright = np.rot90(COLOUR, {1: 0, 2: 0, 3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}[orientation])
    if orientation in (2, 4, 5, 7):
        upright = upright[:, ::-1]
    height, width = upright.shape[:2]
    assert image_shape(data) == (3, height, width)
    pixels, kinds = decoded(data, 3, height, width)
    if kind == "PNG":
        assert np.array_equal(pixels, upright)
    else:
        assert np.abs(pixels.astype(int) - upright).mean() < np.abs(pixels.astype(int) - upright[::-1]).mean()
    assert kinds == (["turned"] if orientation > 1 else [])


def test_invalid_exif_is_ignored():
    """An invalid orientation does not affect the image."""
    data = saved(COLOUR, exif=b"Exif\0\0nonsense")
    assert np.array_equal(decoded(data)[0], COLOUR)


def test_fitted_into_a_square():
    """The shorter side is resized and the centre kept, so the outer thirds of a wide image are removed."""
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200
    pixels, kinds = decoded(saved(wide), 3, 10, 10, fit=True)
    assert (pixels[:, 1:-1] == 200).all()  # the edge mixes with the removed part
    assert kinds == ["fitted"]
    pixels, kinds = decoded(saved(wide[:, 20:40]), 3, 20, 20, fit=True)
    assert kinds == []
    assert decoded(saved(wide), 3, 40, 40, fit=True)[1] == ["fitted"]  # enlarged


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the image is empty: 0 bytes"),
        (b"no image", "the image cannot be decoded: cannot identify image file"),
        (saved(COLOUR)[:200], "the image cannot be decoded: "),
        (saved(COLOUR, "JPEG")[:-60], "the image cannot be decoded: image file is truncated"),
        (saved(COLOUR[:, :10]), "the image is 10 x 12 pixels, expected 16 x 12"),
        (saved(Image.new("1", (20_000, 20_000))), "the image cannot be decoded: Image size .* exceeds limit"),
    ],
    ids=["empty", "text", "cut PNG", "cut JPEG", "wrong size", "huge"],
)
def test_invalid_images_are_rejected(data, message):
    """An undecodable image or one of another size is rejected with the reason."""
    with pytest.raises(DataError, match=message):
        decoded(data)


def test_a_flipped_byte_raises_no_other_error():
    """Each of two hundred damaged images is decoded or rejected."""
    whole = [saved(COLOUR), saved(COLOUR, "JPEG"), saved(Image.fromarray(COLOUR).quantize(8), "GIF"), turned(6)]
    refused = 0
    for i in range(200):
        bad = bytearray(whole[i % len(whole)])
        for place in RANDOM.randint(0, len(bad), 3):
            bad[place] ^= 1 << RANDOM.randint(8)
        for ask in (image_shape, lambda data: decode_image(data, ImageFormat(TensorShape(3, 12, 16)))):
            try:
                ask(bytes(bad))
            except DataError:
                refused += 1
    assert refused > 20


def test_notes_count_each_conversion_and_name_the_first():
    """Each kind of conversion gives one sentence with its number of images and the first of them."""
    encoded = [("a", saved(COLOUR)), ("b", saved(GREY)), ("c", saved(GREY)), ("d", saved(COLOUR))]
    split = decode_images(encoded, np.arange(4), ImageFormat(TensorShape(3, 12, 16)))
    assert split.notes == ("2 grey images converted to RGB; the first is b",)
    assert len(split) == 4


def test_an_image_of_another_size_is_named_with_the_first():
    """The error names the first image and the one with another size."""
    encoded = [("a", saved(COLOUR)), ("b", saved(COLOUR[:6]))]
    with pytest.raises(DataError, match="b: the image is 16 x 6 pixels, expected 16 x 12; a is of that size"):
        decode_images(encoded, np.arange(2), ImageFormat(TensorShape(3, 12, 16)))
