"""Crop, flip, cutout and mixup equal a computation image by image."""

from __future__ import annotations

import numpy as np
import torch

from explorer.training.augment import crop, cutout, horizontal_flip, mixup


def test_crop_is_pad_and_slice():
    """Every crop equals padding and slicing of that image."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (50, 3, 9, 7), generator=generator, dtype=torch.uint8)
    down, right = torch.randint(0, 9, (2, 50), generator=generator)
    found = crop(pixels, 4, down, right)
    for image, top, left, window in zip(pixels.numpy(), down.tolist(), right.tolist(), found.numpy(), strict=True):
        padded = np.pad(image, ((0, 0), (4, 4), (4, 4)))
        assert np.array_equal(window, padded[:, top : top + 9, left : left + 7])


def test_a_centre_crop_is_the_identity():
    """The crop at the padding's width is the image itself, and a shift of 0 leaves every image unchanged."""
    pixels = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8)
    middle = torch.full((5,), 2)
    assert torch.equal(crop(pixels, 2, middle, middle), pixels)
    assert torch.equal(crop(pixels, 0, middle * 0, middle * 0), pixels)


def test_flips_only_the_selected_images():
    """The selected images are flipped left to right, and the others are unchanged."""
    pixels = torch.randint(0, 256, (4, 3, 5, 6), dtype=torch.uint8)
    found = horizontal_flip(pixels, torch.tensor([True, False, True, False]))
    assert torch.equal(found[0::2], pixels[0::2].flip(3))
    assert torch.equal(found[1::2], pixels[1::2])


def test_cutout_blanks_a_square_about_its_centre():
    """Every blanked square equals a slice clipped at the border, for odd and even sides."""
    generator = torch.Generator().manual_seed(0)
    for side in (1, 3, 4, 20):
        images = torch.rand(40, 2, 7, 9, generator=generator) + 1
        row, column = torch.randint(0, 7, (40,), generator=generator), torch.randint(0, 9, (40,), generator=generator)
        expected = images.clone()
        for image, r, c in zip(expected, row.tolist(), column.tolist(), strict=True):
            top, left = r - side // 2, c - side // 2
            image[:, max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)] = 0
        assert torch.equal(cutout(images, side, row, column), expected)


def test_mixup_pairs_each_image_with_another():
    """A weight of 1 gives the images, 0 gives their partners, and values between give the weighted mean."""
    images = torch.rand(6, 1, 2, 2)
    assert torch.equal(mixup(images, torch.tensor(1.0)), images)
    assert torch.equal(mixup(images, torch.tensor(0.0)), images.flip(0))
    assert torch.allclose(mixup(images, torch.tensor(0.3)), 0.3 * images + 0.7 * images.flip(0))
