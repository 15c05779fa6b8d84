"""The two embedded data sets: scikit-learn's 8x8 digits, and the same digits with clutter.

Networks reach different accuracies on both within seconds on one CPU core (measured by
``benchmarks/task_difficulty.py``). With most of the 1,797 digits for training, every network reaches 98-99.7%.
Therefore ``digits`` trains on 200 of them, and ``cluttered-digits`` adds pieces of other digits.
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from explorer.data.cache import cached
from explorer.data.splits import Split, stratified_parts
from explorer.errors import DataError

# Number of the 1,797 digits in train, validation and test. Validation is small, because a search validates after every
# epoch, which would otherwise take longer than training.
DIGITS = (200, 400, 1197)
CLUTTERED_DIGITS = (800, 500, 497)
PLACEMENTS = (1, 1, 2)  # images of each digit in the three splits

CANVAS = 16  # pixels of an image's side
CLUTTER_PIECES = 2  # in an image
CLUTTER_SIDE = 3  # pixels of a piece's side
NOISE = 6  # standard deviation, in grey levels of 0..255


def load_digits(seed: int) -> tuple[Split, Split, Split]:
    """Return train, validation and test of the plain digits, uint8 (N, 1, 8, 8), stratified.

    Args:
        seed: Seed of the splits.
    """
    train, validation, test = stratified_parts(_digits(), DIGITS, seed)
    return train, validation, test


def load_cluttered_digits(seed: int) -> tuple[Split, Split, Split]:
    """Return train, validation and test of the cluttered digits, uint8 (N, 1, 16, 16), stratified.

    Each image holds one whole digit at a random position and pieces of other digits. This is the cluttered translated
    MNIST of Mnih et al. 2014 (arXiv:1406.6247, section 4.1) at the size of these digits, with fewer and smaller pieces
    and with noise. Digits and pieces of one split appear in no other split.

    Args:
        seed: Seed of the splits, positions, pieces and noise.
    """
    parts = stratified_parts(_digits(), CLUTTERED_DIGITS, seed)
    random = np.random.RandomState(seed)
    train, validation, test = (
        _clutter(part, placements, random) for part, placements in zip(parts, PLACEMENTS, strict=True)
    )
    return train, validation, test


def _digits() -> Split:
    """Return all 1,797 digits, uint8 (1797, 1, 8, 8), with their 17 grey levels scaled to 0..255."""
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("the embedded digits come with scikit-learn, which is not installed: pip install scikit-learn")
    return cached(f"digits-{version('scikit-learn')}", [Path(package.origin)], _decode_digits)


def _decode_digits() -> Split:
    from sklearn.datasets import load_digits  # takes two seconds to import

    images, labels = load_digits(return_X_y=True)
    return Split(np.round(images.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8), labels.astype(np.int64))


def _clutter(digits: Split, placements: int, random: np.random.RandomState) -> Split:
    """Return ``placements`` images of each digit, uint8 (N * placements, 1, CANVAS, CANVAS)."""
    images = np.asarray(digits.images)
    side = images.shape[-1]
    owner = np.repeat(np.arange(len(digits)), placements)
    canvas = np.zeros((len(owner), CANVAS, CANVAS), np.uint8)
    _paint(canvas, images[owner, 0], random.randint(0, CANVAS - side + 1, (2, len(owner))))
    for _ in range(CLUTTER_PIECES):
        other = (owner + random.randint(1, len(digits), len(owner))) % len(digits)  # never the digit itself
        top, left = random.randint(0, side - CLUTTER_SIDE + 1, (2, len(owner)))
        pieces = _windows(images[:, 0], CLUTTER_SIDE)[other, top, left]
        _paint(canvas, pieces, random.randint(0, CANVAS - CLUTTER_SIDE + 1, (2, len(owner))))
    noisy = canvas + np.round(NOISE * random.standard_normal(canvas.shape))
    return Split(np.clip(noisy, 0, 255).astype(np.uint8)[:, None], digits.labels[owner])


def _paint(canvas: np.ndarray, pieces: np.ndarray, corner: np.ndarray) -> None:
    """Draw a piece (N, s, s) on each canvas (N, S, S) at the upper left ``corner`` (2, N); the brighter pixel wins."""
    rows, columns = corner[:, :, None] + np.arange(pieces.shape[-1])
    at = (np.arange(len(canvas))[:, None, None], rows[:, :, None], columns[:, None, :])
    canvas[at] = np.maximum(canvas[at], pieces)


def _windows(images: np.ndarray, side: int) -> np.ndarray:
    """Return all square windows of images (N, H, W) as a view (N, H-side+1, W-side+1, side, side)."""
    return np.lib.stride_tricks.sliding_window_view(images, (side, side), axis=(1, 2))
