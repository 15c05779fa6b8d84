"""The two embedded tasks: scikit-learn's real 8x8 digits, and the same digits amid clutter.

Both are made to tell networks apart within seconds on one CPU core, as ``benchmarks/task_difficulty.py``
measures it. Where most of the 1,797 digits are trained on, every network reaches 98-99.7%; so ``digits``
trains on 200 of them, and ``cluttered-digits`` hides them among pieces of others.
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from explorer.data.cache import cached
from explorer.data.splits import Split, stratified_parts
from explorer.errors import DataError

# How many of the 1,797 digits go to train, validation and test. Few to validation, because a search
# validates after every epoch and validation would otherwise cost more than training.
DIGITS = (200, 400, 1197)
CLUTTERED_DIGITS = (800, 500, 497)
PLACEMENTS = (1, 1, 2)  # images made of each digit of the three splits

CANVAS = 16
CLUTTER_PIECES = 2
CLUTTER_SIDE = 3
NOISE = 6  # standard deviation, in grey levels of 0..255


def load_digits(seed: int) -> tuple[Split, Split, Split]:
    """Train, validation and test of the plain digits, uint8 (N, 1, 8, 8), stratified by ``seed``."""
    train, validation, test = stratified_parts(_digits(), DIGITS, seed)
    return train, validation, test


def load_cluttered_digits(seed: int) -> tuple[Split, Split, Split]:
    """Train, validation and test of the cluttered digits, uint8 (N, 1, 16, 16), all fixed by ``seed``.

    Each image holds one whole digit at a random place, among pieces cut from other digits: the cluttered
    translated MNIST of Mnih et al. 2014, arXiv:1406.6247, section 4.1, at the size of these digits, with
    fewer and smaller pieces and a little noise. Digits and clutter of one split appear in no other.
    """
    parts = stratified_parts(_digits(), CLUTTERED_DIGITS, seed)
    random = np.random.RandomState(seed)
    train, validation, test = (
        _clutter(part, placements, random) for part, placements in zip(parts, PLACEMENTS, strict=True)
    )
    return train, validation, test


def _digits() -> Split:
    """All 1,797 digits, uint8 (1797, 1, 8, 8); their 17 grey levels are spread over 0..255."""
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("the embedded digits come with scikit-learn, which is not installed: pip install scikit-learn")
    return cached(f"digits-{version('scikit-learn')}", [Path(package.origin)], _decode_digits)


def _decode_digits() -> Split:
    from sklearn.datasets import load_digits  # takes two seconds to import

    images, labels = load_digits(return_X_y=True)
    return Split(np.round(images.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8), labels.astype(np.int64))


def _clutter(digits: Split, placements: int, random: np.random.RandomState) -> Split:
    """``placements`` images of each digit, uint8 (N * placements, 1, CANVAS, CANVAS)."""
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
    """Lay a piece (N, s, s) on each canvas (N, S, S) with its upper left at ``corner`` (2, N); the brighter shows."""
    rows, columns = corner[:, :, None] + np.arange(pieces.shape[-1])
    at = (np.arange(len(canvas))[:, None, None], rows[:, :, None], columns[:, None, :])
    canvas[at] = np.maximum(canvas[at], pieces)


def _windows(images: np.ndarray, side: int) -> np.ndarray:
    """All square windows of images (N, H, W), as a view (N, H-side+1, W-side+1, side, side)."""
    return np.lib.stride_tricks.sliding_window_view(images, (side, side), axis=(1, 2))
