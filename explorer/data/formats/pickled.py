"""Safe reading of CIFAR's Python batches, which are pickles: no code in them is run."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from explorer.errors import DataError, one_line

# The names of integer types in numpy's pickles.
_ELEMENT_TYPES = ("b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8")
MODULES = ("numpy.core", "numpy._core")  # before numpy 2, and since


def load_batch(data: bytes) -> Mapping[str, Any]:
    """Return the pickled mapping, with text as keys and numpy arrays as arrays.

    Args:
        data: The pickle.

    Raises:
        DataError: It is damaged, or holds anything but numbers, text, lists, mappings and arrays of integers.
    """
    try:
        batch = _BatchUnpickler(io.BytesIO(data), encoding="bytes").load()
        if not isinstance(batch, dict):
            raise DataError(f"expected a mapping, found {type(batch).__name__}")
        return {_text(key): value.array() if isinstance(value, _Array) else value for key, value in batch.items()}
    except DataError:
        raise
    except Exception as error:  # damaged pickles raise many kinds of errors
        raise DataError(f"not a readable CIFAR batch, damaged or cut short: {one_line(error)}") from error


def _text(key: object) -> str:
    return key.decode("latin1") if isinstance(key, bytes) else str(key)


class _ElementType:
    """An array's element type."""

    def __init__(self, kind: object, *_: object):
        name = kind.decode("latin1") if isinstance(kind, bytes) else kind
        if name not in _ELEMENT_TYPES:
            raise DataError(f"refused: an array of type {name!r}, where a CIFAR batch holds whole numbers")
        self.name, self.order = name, "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] in (">", b">") else "<"


class _Array:
    """The description of an array in a pickle; only its shape, type and bytes are passed to numpy."""

    def __init__(self, *_: object):
        self.state: tuple[Any, ...] = ((), _ElementType("u1"), False, b"")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state[-4:]  # after a version number

    def array(self) -> np.ndarray:
        shape, kind, fortran, data = self.state
        if not isinstance(kind, _ElementType) or not isinstance(data, (bytes, bytearray)):
            raise DataError("an array without the description that numpy writes")
        flat = np.frombuffer(data, f"{kind.order}{kind.name}")
        return flat.reshape(shape, order="F" if fortran else "C")


def _from_buffer(data: object, kind: object, shape: object, order: object) -> _Array:
    """Return what numpy's function ``_frombuffer`` would create."""
    array = _Array()
    array.state = (shape, kind, order == "F", data)
    return array


class _BatchUnpickler(pickle._Unpickler):
    """An unpickler that allows only the names in ALLOWED and replaces each by a harmless class or function.

    The base class is the unpickler written in Python, which is as fast on these batches. The one in C allocates 20 GB
    if a damaged byte gives an object the number 2^31.
    """

    ALLOWED: dict[tuple[str, str], Any] = {
        **{(f"{module}.multiarray", "_reconstruct"): _Array for module in MODULES},
        **{(f"{module}.numeric", "_frombuffer"): _from_buffer for module in MODULES},
        ("numpy", "ndarray"): object,  # used only as an argument of _reconstruct
        ("numpy", "dtype"): _ElementType,
        ("_codecs", "encode"): lambda text, _: text.encode("latin1"),  # how Python 3 writes bytes in protocol 2
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise DataError(f"refused: it asks for {module}.{name}; a CIFAR batch holds numbers, text and numpy arrays")
        return partial(self.ALLOWED[module, name])  # a pickle can set attributes only on the partial
