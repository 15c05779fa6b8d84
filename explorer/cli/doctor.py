"""Checks of this machine: what a search needs, what is missing and how to fix it. Each check is one function."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from explorer.errors import ExplorerError, StoreError, one_line
from explorer.store.passwords import hide_passwords
from explorer.system.files import write_in
from explorer.system.installation import extra_names, installed, package_name, pip_command, requirements

MIN_DISK_BYTES = 256 * 2**20  # for weights and records
MIN_MEMORY_BYTES = 2**30  # one training of a small network with its data
LOCK_SECONDS = 2  # nobody else uses the new file: on a file system with locks it is locked at once
# Names in /proc/cpuinfo of CPU instructions for bfloat16, on x86 and Arm.
BF16_FLAGS = ("amx_bf16", "avx512_bf16", "avx_ne_convert", "bf16")


@dataclass(frozen=True)
class Check:
    """The result of one check; its attributes are fields of ``explorer doctor --json``.

    Attributes:
        name: What was checked.
        ok: Whether the check passed.
        found: What was found.
        needed: Whether a search cannot run without it.
        fix: Suggested fix; empty if there is nothing to fix.
    """

    name: str
    ok: bool
    found: str
    needed: bool = False
    fix: str = ""


def examine(storage: str, data_dir: str | None = None) -> list[Check]:
    """Run all checks. They raise no errors and leave no files.

    Args:
        storage: URL of the database.
        data_dir: Folder of the data sets; EXPLORER_DATA or the explorer's data folder by default.
    """
    return [
        _python(),
        *_packages(),
        *_extras(),
        _checked("cpu", _cpu),
        _checked("compiler", _compiler),
        _checked("memory", _memory),
        _checked("gpu", _gpu),
        _checked("a training step", _training, needed=True),
        _checked("storage", partial(_storage, storage), needed=True),
        _checked("disk", partial(_disk, storage), needed=True),
        *_places(storage),
        _checked("cache", _cache),
        _checked("slurm", _slurm),
        _checked("data", partial(_data, data_dir)),
        _browser(),
    ]


def _checked(name: str, check: Callable[[], Check], needed: bool = False) -> Check:
    """Return the result of ``check``, or the error that it raised because a package is missing or broken."""
    try:
        return check()
    except Exception as error:
        return Check(name, False, one_line(error)[:300], needed, "see the packages above")


def healthy(checks: list[Check]) -> bool:
    """Return whether all checks passed that a search needs."""
    return all(check.ok for check in checks if check.needed)


def _python() -> Check:
    ok = sys.version_info >= (3, 11)
    return Check(
        "python",
        ok,
        f"{platform.python_version()} at {sys.executable}",
        True,
        "" if ok else "install Python 3.11 or newer",
    )


def _packages() -> Iterator[Check]:
    """Check the explorer's dependencies, one check per package."""
    for requirement in requirements(""):
        found, ok = installed(requirement)
        fix = "" if ok else pip_command([requirement])
        yield Check(package_name(requirement), ok, found, True, fix)


def _extras() -> Iterator[Check]:
    """Check the optional dependencies, one check per extra."""
    for extra in extra_names():
        wanted = requirements(extra)
        states = [(requirement, *installed(requirement)) for requirement in wanted]
        missing = [requirement for requirement, _, ok in states if not ok]
        found = ", ".join(f"{package_name(requirement)} {found}" for requirement, found, _ in states)
        yield Check(f"[{extra}]", not missing, found or "unknown", fix=pip_command(missing) if missing else "")


def _cpu() -> Check:
    from explorer.system.cores import usable_cores
    from explorer.system.environment import cpu_words, device_name

    cores, seen = usable_cores(), os.cpu_count() or 1
    of = f" of {seen} (CPU affinity or the container's CPU limit)" if cores < seen else ""
    flags = cpu_words()
    units = ", ".join(flag for flag in BF16_FLAGS if flag in flags) or ("none" if flags else "unknown on this system")
    return Check("cpu", True, f"{device_name('cpu')}, {cores}{of} cores for this process, bfloat16 units: {units}")


def _compiler() -> Check:
    """Check for the C++ compiler with which trainings on a CPU compile the batch norms of their networks."""
    from explorer.system.native_code import compiler_words

    command = compiler_words()[0]
    if (found := shutil.which(command)) is not None:
        return Check("compiler", True, found)
    fix = "install a C++ compiler, such as g++, or name it in CXX; without one trainings on a CPU take longer"
    return Check("compiler", False, f"no {command}", fix=fix)


def _memory() -> Check:
    from explorer.system.cores import usable_cores
    from explorer.system.memory import available_memory, machine_memory, total_memory

    total = total_memory()
    workers = max(1, total // MIN_MEMORY_BYTES)
    ok = total >= MIN_MEMORY_BYTES * usable_cores()  # a search starts one worker per core
    found = f"{total / 2**30:.1f} GiB"
    if total < machine_memory():
        found += " (the limit of its container)"
    found += f", {available_memory() / 2**30:.1f} GiB of it free"
    return Check("memory", ok, found, fix="" if ok else f"search with --workers {workers}")


def _gpu() -> Check:
    from explorer.system.environment import nvidia_driver

    driver_version = nvidia_driver()
    nvml = "nvidia-smi found" if shutil.which("nvidia-smi") else "no nvidia-smi"
    import torch

    found = []
    for i in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(i).total_memory / 2**30
        found.append(f"cuda:{i} {torch.cuda.get_device_name(i)}, {memory:.0f} GiB")
    if found:
        return Check(
            "gpu", True, f"{'; '.join(found)}; driver {driver_version or 'unknown'}, {nvml}, CUDA {torch.version.cuda}"
        )
    if driver_version:
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "a CPU-only build"
        fix = "install the CUDA build of this torch version from the index that pytorch.org names for the driver"
        return Check(
            "gpu",
            False,
            f"driver {driver_version}, {nvml}, but torch {torch.__version__}, {built}, finds no GPU",
            fix=fix,
        )
    return Check("gpu", True, "none; networks are trained on the CPU")


def _slurm() -> Check:
    """Check whether jobs can be submitted to SLURM. A machine without SLURM needs none."""
    programs = ("sbatch", "squeue", "scancel", "srun")
    missing = [program for program in programs if shutil.which(program) is None]
    if len(missing) == len(programs):
        return Check("slurm", True, "none on this machine; --engine slurm needs a login node of a cluster")
    if missing:
        return Check("slurm", False, f"{', '.join(missing)} is missing", fix="install the client programs of SLURM")
    done = subprocess.run(["sinfo", "--noheader", "--format=%P"], capture_output=True, text=True, timeout=20)
    if done.returncode:
        why = " ".join(done.stderr.split())[:200] or "no answer"
        return Check("slurm", False, f"the cluster does not answer: {why}", fix="search on a login node of the cluster")
    return Check("slurm", True, f"partitions: {', '.join(done.stdout.split())}")


def _training() -> Check:
    """Run one training step on the device that a search would use: an installed torch may still fail to run."""
    import torch

    from explorer.system.environment import find_device

    device = find_device("auto")
    net = torch.nn.Conv2d(3, 8, 3).to(device)
    net(torch.zeros(2, 3, 8, 8, device=device)).sum().backward()
    gradient = net.weight.grad
    finite = gradient is not None and bool(torch.isfinite(gradient).all())
    return Check("a training step", finite, f"torch {torch.__version__} on {device}", True)


def _storage(storage: str) -> Check:
    """Check whether the database can be opened and written by its user. A missing database is not created."""
    try:
        shown = _try_storage(storage)
    except (ExplorerError, OSError) as error:
        reason = f"{error.filename or ''}: {error.strerror}" if isinstance(error, OSError) else str(error)
        return Check("storage", False, reason, True, "correct it, or name another with --storage or EXPLORER_STORAGE")
    except ImportError as error:
        return Check("storage", False, f"{error.name} is missing", True, pip_command(requirements("postgres")))
    except Exception as error:
        reason = one_line(getattr(error, "orig", None) or error)  # the driver's message, without SQLAlchemy's
        found = hide_passwords(reason)[:300]
        return Check("storage", False, found, True, "start the server, or correct the URL, user or password")
    return Check("storage", True, shown, True)


def _try_storage(storage: str) -> str:
    """Open the database for writing and return its description. Raises an error if that fails."""
    import sqlalchemy
    from sqlalchemy.pool import NullPool

    from explorer.store.database import open_for_reading
    from explorer.store.server.privileges import check_search
    from explorer.store.storage_url import parse_storage, shown_storage, sqlite_file

    url = parse_storage(storage)
    shown, file = shown_storage(url), sqlite_file(url)
    if file is None:
        engine = sqlalchemy.create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": 10})
        with engine.connect() as connection:
            check_search(connection, shown)
        return shown
    write_in(file.parent)
    _lock_in(file.parent)
    if not file.exists():
        return f"{shown}, not created yet, in {file.parent}"
    open_for_reading(storage).close()
    with open(file, "rb+"):  # checks the permission to write
        pass
    return f"{shown} in {file.parent}"


def _lock_in(folder: Path) -> None:
    """Write to a temporary database in the folder, as a search does. Raises StoreError if files cannot be locked."""
    with tempfile.TemporaryDirectory(prefix=".explorer-doctor-", dir=folder) as place:
        connection = sqlite3.connect(os.path.join(place, "locks.db"), timeout=LOCK_SECONDS)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE written (value)")
            connection.commit()
        except sqlite3.OperationalError as error:
            raise StoreError(
                f"{folder}: a database cannot be written there ({error}); the file system may lack locks, as some"
                " network file systems do"
            ) from None
        finally:
            connection.close()


def _disk(storage: str) -> Check:
    from explorer.store.storage_url import database_file

    try:
        file = database_file(storage)
        folder = file.parent if file else Path.cwd()
        free = shutil.disk_usage(folder).free
    except (ExplorerError, OSError) as error:
        return Check("disk", False, str(error), True, "name another folder with --storage")
    ok = free >= MIN_DISK_BYTES
    fix = "" if ok else f"free {MIN_DISK_BYTES / 2**20:.0f} MiB, or name another folder with --storage"
    return Check("disk", ok, f"{free / 2**30:.1f} GiB free in {folder}", True, fix)


def _places(storage: str) -> Iterator[Check]:
    """Check the places that the environment and the studies of the database name for their files."""
    from explorer.store.remote.place import VARIABLE, is_remote, place_of_environment
    from explorer.store.storage_url import database_file
    from explorer.store.views.study_files import places_of, require_writable_place

    file = None
    try:
        named = [place] if (place := place_of_environment()) else []
    except ExplorerError as error:
        yield Check("artifacts", False, str(error), fix=f"correct {VARIABLE}")
        named = []
    with suppress(Exception):  # the check of the storage reports it
        file = database_file(storage)
        named += places_of(storage)
    for place in dict.fromkeys(named):
        try:
            require_writable_place(file, place)
        except ExplorerError as error:
            copy = "copy the study to another place: explorer studies copy STUDY NEW --artifacts PLACE"
            fix = "check the network, the bucket and the credentials" if is_remote(place) else copy
            yield Check("artifacts", False, str(error), fix=fix)
        else:
            yield Check("artifacts", True, f"{place}: a file was written and removed")


def _cache() -> Check:
    """Check the cache folder. Without a cache everything works, but each training decodes its images again."""
    from explorer.data.cache import cache_folder

    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_in(folder)
    except OSError as error:
        fix = "name another folder with XDG_CACHE_HOME; without a cache every training decodes its images again"
        return Check("cache", False, f"{folder}: {error.strerror}", fix=fix)
    return Check("cache", True, f"{folder}, {shutil.disk_usage(folder).free / 2**30:.1f} GiB free")


def _data(data_dir: str | None) -> Check:
    from explorer.data.catalogue import list_data
    from explorer.data.sources import data_root

    entries = list_data(data_dir)
    found = [
        f"{entry.name} ({entry.where or entry.state})" for entry in entries if entry.state in ("embedded", "found")
    ]
    absent = [entry.name for entry in entries if entry.state == "missing"]
    damaged = [entry.problem for entry in entries if entry.state == "damaged"]
    fix = f"explorer data fetch {absent[0]}" if absent else ""
    listed = f"{', '.join(found)}; not in {data_root(data_dir)}: {', '.join(absent)}" if absent else ", ".join(found)
    return Check("data", not damaged, "; ".join([listed, *damaged]), fix=fix)


def _browser() -> Check:
    """Check for a web browser, which shows the dashboard; it may also run on another machine."""
    try:
        name = webbrowser.get().name
    except webbrowser.Error:
        name = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "firefox"))), "")
    fix = "" if name else "open the dashboard in a browser on another machine, through ssh -L 8501:localhost:8501"
    return Check("browser", bool(name), name or "none on this machine", fix=fix)
