"""Windows of convolutions and pooling: their sizes, strides and padding, along the height and the width."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from explorer.errors import ArchitectureError

Size = int | tuple[int, int]  # of a kernel, a stride or a padding: one number for both sides, or (height, width)
Padding = int | tuple[int, int] | str | None  # a size, "same", or None for the default of the op

SAME = "same"


def sides(size: Size) -> tuple[int, int]:
    """Return a size as (height, width)."""
    return (size, size) if isinstance(size, int) else size


def size_of(height: int, width: int) -> Size:
    """Return a size: one number if height and width are equal."""
    return height if height == width else (height, width)


def half(kernel: Size) -> Size:
    """Return (K-1)//2 of each side, the padding of a pool that is written with a size."""
    return size_of(*((side - 1) // 2 for side in sides(kernel)))


def require_half(spelling: str, kernel: Size, padding: Padding) -> None:
    """Raise ArchitectureError if a window could be on the padding alone, which torch refuses too."""
    if padding is None or isinstance(padding, str):
        return
    if any(2 * pad > side for pad, side in zip(sides(padding), sides(kernel))):
        raise ArchitectureError(
            f"the padding of {spelling} is at most half its window of {spell_size(kernel)}, found {spell_size(padding)}"
        )


def product(first: Size, second: Size) -> Size:
    """Return the product of two sizes, side by side."""
    (a, b), (c, d) = sides(first), sides(second)
    return size_of(a * c, b * d)


def spell_size(size: Size | Fraction | str) -> str:
    """Return a size as the language writes it: ``2``, ``2x1``. Others are returned as text."""
    return "x".join(map(str, size)) if isinstance(size, tuple) else str(size)


def spell_kernel(kernel: Size) -> str:
    """Return a kernel size as it ends the spelling of an op: ``3x3``, ``1x7``."""
    return "x".join(map(str, sides(kernel)))


class Axis(NamedTuple):
    """The windows along one side of a map.

    Attributes:
        side: The pixels of the map.
        window: The pixels of a window, with the gaps of a dilation.
        stride: The pixels between the starts of two windows.
        before: The padding before the first pixel.
        after: The padding after the last pixel.
        ceil: Whether a last window may extend beyond the padding, if it starts on the map or the padding before it.
    """

    side: int
    window: int
    stride: int
    before: int
    after: int
    ceil: bool = False

    @property
    def out(self) -> int:
        """The number of windows; below 1 if the window is larger than the padded map."""
        room = self.side + self.before + self.after - self.window
        if not self.ceil:
            return room // self.stride + 1
        out = -(room // -self.stride) + 1
        return out - 1 if (out - 1) * self.stride >= self.side + self.before else out

    @property
    def end(self) -> int:
        """The pixel after the last window, from 0 for the first pixel of the map."""
        return (self.out - 1) * self.stride + self.window - self.before

    @property
    def covers(self) -> bool:
        """Whether there is one window, and it covers the whole side."""
        return self.out == 1 and self.end >= self.side

    @property
    def pixels(self) -> tuple[int, ...]:
        """What determines the pixels of each window, without padding; empty if one window has them all."""
        return () if self.covers else (self.window, self.stride, self.before, self.out)


def axes(
    shape: tuple[int, int], kernel: Size, stride: Size, padding: Size | str, dilation: int = 1, ceil: bool = False
) -> Iterator[Axis]:
    """Yield the windows along the height and along the width.

    Args:
        shape: Height and width of the map.
        kernel: The kernel size.
        stride: The stride.
        padding: The padding of each side of the map, or ``same``: as TensorFlow's SAME, so much that the output has
            ceil(side / stride) pixels, an odd amount with the larger half at the end.
        dilation: The dilation.
        ceil: Whether the size is rounded up.
    """
    for place, (side, k, s) in enumerate(zip(shape, sides(kernel), sides(stride))):
        window = dilation * (k - 1) + 1
        if isinstance(padding, str):
            total = max((-(side // -s) - 1) * s + window - side, 0)
            before, after = total // 2, total - total // 2
        else:
            before = after = sides(padding)[place]
        yield Axis(side, window, s, before, after, ceil)


def fixed_padding(kernel: Size, stride: Size, padding: Size | str, dilation: int = 1) -> Size | None:
    """Return the padding of each side of the map; None if ``same`` needs another one at each input size."""
    if not isinstance(padding, str):
        return padding
    total = [dilation * (k - 1) for k in sides(kernel)]
    if any(amount % 2 or (s > 1 and amount) for amount, s in zip(total, sides(stride))):
        return None
    return size_of(*(amount // 2 for amount in total))


def same_pad() -> type:
    from torch import Tensor, nn
    from torch.nn.functional import pad

    class SamePad2d(nn.Module):
        """Padding as TensorFlow's SAME: ceil(side / stride) windows at every input size."""

        def __init__(
            self,
            kernel_size: int | tuple[int, int],
            stride: int | tuple[int, int] = 1,
            dilation: int = 1,
            lowest: bool = False,
        ):
            super().__init__()
            high, wide = (kernel_size,) * 2 if isinstance(kernel_size, int) else kernel_size
            self.window = dilation * (high - 1) + 1, dilation * (wide - 1) + 1
            self.stride = (stride,) * 2 if isinstance(stride, int) else stride
            self.value = float("-inf") if lowest else 0.0

        def forward(self, x: Tensor) -> Tensor:
            amounts = []
            for axis in (1, 0):  # the width first
                window, stride = self.window[axis], self.stride[axis]
                last = (x.shape[2 + axis] - 1) % stride + 1  # pixels from the last window's start
                total = (window - last) * (window > last)
                amounts += [total // 2, total - total // 2]
            return pad(x, amounts, value=self.value)

    return SamePad2d


def mean_without_padding() -> type:
    from torch import Tensor, nn, ones_like

    class MeanWithoutPadding(nn.Module):
        """Average pooling after padding with zeros, which are not counted in the mean."""

        def __init__(self, pad: nn.Module, pool: nn.Module):
            super().__init__()
            self.pad, self.pool = pad, pool

        def forward(self, x: Tensor) -> Tensor:
            mean: Tensor = self.pool(self.pad(x)) / self.pool(self.pad(ones_like(x[:1, :1])))
            return mean

    return MeanWithoutPadding
