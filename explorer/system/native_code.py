"""Compile C++ functions of the package on the machine that calls them, if it has a C++ compiler.

A library is compiled once for each source, processor, C library and compiler, in about a second, and cached in
``$XDG_CACHE_HOME/explorer/native`` (``~/.cache/explorer/native``). It is compiled for the instruction sets of this
processor, which a binary in a wheel cannot be. A compilation that failed is tried again after a day.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from explorer.system.environment import cpu_identity
from explorer.system.user_folders import user_cache

COMPILE = ("-std=c++17", "-O2", "-ftree-vectorize", "-march=native", "-fopenmp", "-fPIC", "-fno-exceptions", "-c")
TIMEOUT_SECONDS = 60.0  # a compilation takes about a second; a compiler on a file system that hangs must not block
FAILURE_SECONDS = 86_400  # else each process would wait for a compiler that hangs
_log = logging.getLogger(__name__)


@functools.cache
def native_library(source: Path) -> ctypes.CDLL | None:
    """Return the library with the functions of a C++ file; None if it cannot be compiled or loaded.

    Its OpenMP threads are those of the program, if it has loaded a library of OpenMP for all others, as torch does.

    Args:
        source: The C++ file; its functions are declared ``extern "C"``.
    """
    try:
        words = (*COMPILE, cpu_identity(), *platform.libc_ver(), *compiler_words())
        key = hashlib.sha256(b"\0".join((source.read_bytes(), *map(str.encode, words))))
        library = cache_folder() / f"{source.stem}-{key.hexdigest()[:16]}.so"
        if not _is_whole(library):
            _compile(source, library)
        return ctypes.CDLL(str(library))
    except (OSError, ValueError, RuntimeError, subprocess.SubprocessError) as error:  # RuntimeError: no home folder
        _log.info("%s is not compiled, slower functions replace it: %s", source.name, error)
        return None


def compiler_words() -> list[str]:
    """Return the command of the C++ compiler and its first arguments, as in ``CXX="ccache g++"``."""
    return shlex.split(os.environ.get("CXX", "")) or ["c++"]


def cache_folder() -> Path:
    """Return the folder of the compiled libraries."""
    return user_cache("native")


def _digest_file(library: Path) -> Path:
    """Return the file with the digest of a library."""
    return library.with_suffix(".sha256")


def _is_whole(library: Path) -> bool:
    """Return whether a library is this user's and is as it was compiled; to load one that was cut ends the process."""
    try:
        if hasattr(os, "geteuid") and any(
            path.stat().st_uid != os.geteuid() or path.stat().st_mode & 0o022 for path in (library, library.parent)
        ):
            return False
        return _digest_file(library).read_text() == hashlib.sha256(library.read_bytes()).hexdigest()
    except (OSError, ValueError):
        return False


def _compile(source: Path, library: Path) -> None:
    """Compile a C++ file. Raises OSError or SubprocessError if that fails, or if there is no compiler."""
    words = compiler_words()
    if (compiler := shutil.which(words[0])) is None:
        raise FileNotFoundError("no C++ compiler found")
    library.parent.mkdir(parents=True, exist_ok=True)
    library.parent.chmod(0o700)  # else other users could place a library there
    failed = library.with_suffix(".failed")
    if failed.exists() and time.time() - failed.stat().st_mtime < FAILURE_SECONDS:
        raise OSError(f"{failed}: {failed.read_text(errors='replace')}")
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=library.parent) as folder:
        compiled, linked = Path(folder, "compiled.o"), Path(folder, "linked.so")
        # Linked without -fopenmp: a second library of OpenMP, with threads of its own, would be loaded beside torch's.
        for command in ([*COMPILE, str(source), "-o", str(compiled)], ["-shared", str(compiled), "-o", str(linked)]):
            line = [compiler, *words[1:], *command]
            try:
                subprocess.run(
                    line,
                    check=True,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    timeout=TIMEOUT_SECONDS,
                )
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                said = (error.stderr or b"").decode(errors="replace").strip()
                failed.write_text("\n".join(filter(None, (str(error), said))))
                raise
        linked.chmod(0o700)
        digest = Path(folder, "digest")
        digest.write_text(hashlib.sha256(linked.read_bytes()).hexdigest())
        linked.replace(library)
        digest.replace(_digest_file(library))
