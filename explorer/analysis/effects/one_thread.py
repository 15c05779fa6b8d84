"""Linear algebra on one thread."""

from __future__ import annotations

from contextlib import AbstractContextManager

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # it has no annotations


def one_thread() -> AbstractContextManager[object]:
    """Return a context in which NumPy and SciPy use one thread.

    The matrices of a model are many and small. On a busy machine, several threads wait for each other at each of them,
    which takes tens of times as long.
    """
    import scipy.linalg.lapack  # noqa: F401  # SciPy has a BLAS library of its own, which is limited if it is loaded

    limited: AbstractContextManager[object] = ThreadpoolController().limit(limits=1, user_api="blas")
    return limited
