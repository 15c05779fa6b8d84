"""``explorer data`` and ``doctor``: data sets and checks of this machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from explorer.analysis.amounts import format_count
from explorer.cli import WorkFailed
from explorer.cli.options import as_json, console, data_dir, plain, print_json, print_table, skip_damaged, storage
from explorer.errors import DataError

if TYPE_CHECKING:  # the functions import them when they are called
    from explorer.data.catalogue import Entry
    from explorer.data.sources import Download, PublicDataset


@click.group()
def data() -> None:
    """List, inspect and download data sets."""


@data.command("list")
@data_dir
@as_json
def list_(data_dir: str | None, as_json: bool) -> None:
    """List the data sets that --data accepts, with the folder of each or the command that downloads it."""
    from explorer.data.catalogue import list_data
    from explorer.data.sources import data_root

    entries = list_data(data_dir)
    if as_json:
        print_json([_entry_json(entry) for entry in entries])
        return
    columns = {"name": "left", "state": "left", "input": "left", "classes": "right", "images": "right", "where": "left"}
    rows = []
    for entry in entries:
        where = entry.problem or (f"{entry.where} ({entry.layout})" if entry.where else "")
        if entry.state == "missing":
            where = f"'explorer data fetch {entry.name}' downloads it ({format_count(entry.download_bytes)}B)"
        images = " + ".join(f"{number:,}" for number in entry.images.values())
        rows.append((entry.name, entry.state, entry.shape, entry.classes, images, where))
    print_table(columns, rows)
    root = data_root(data_dir)
    absent = "" if root.is_dir() else " (a file, not a folder)" if root.exists() else " (there is no such folder)"
    console().print(plain(f"looked in {root}{absent}; set another folder with --data-dir or EXPLORER_DATA"))


def _entry_json(entry: Entry) -> dict[str, Any]:
    """Return one data set as ``explorer data list --json`` prints it."""
    return {
        **asdict(entry),
        "where": str(entry.where) if entry.where else None,
        "shape": list(entry.shape),
        "fetch": f"explorer data fetch {entry.name}" if entry.state == "missing" else None,
    }


@data.command()
@click.argument("name")
@data_dir
@skip_damaged
@as_json
def show(name: str, data_dir: str | None, skip_damaged: bool, as_json: bool) -> None:
    """Show the classes of the data set or folder NAME, their number of images in each split, and conversions.

    The command reads every image and so finds all damaged ones. With --json it lists them all, and exits with status 2.
    """
    from explorer.data.dataset import load_data
    from explorer.data.decoding import DamagedImages
    from explorer.data.reading import escaped_name
    from explorer.data.splits import SPLITS

    try:
        dataset = load_data(name, data_dir, skip_damaged=skip_damaged)
        counts = dataset.counts()
    except DamagedImages as error:
        if as_json:
            print_json({"name": name, "damaged": error.images, "images": error.total})
        raise
    notes = tuple(dict.fromkeys(dataset.notes + dataset.test.notes))
    if as_json:
        print_json({**dataset.fingerprint, "shape": list(dataset.shape), "classes": counts, "notes": notes})
        return
    print_table(
        {"class": "left", **dict.fromkeys(SPLITS, "right")},
        [(escaped_name(each), *(f"{number:,}" for number in numbers.values())) for each, numbers in counts.items()],
    )
    click.echo(f"{dataset.name}: {dataset.classes} classes, images of {dataset.shape}")
    for note in notes:
        click.echo(note)


@data.command()
@click.argument("name")
@data_dir
@as_json
def fetch(name: str, data_dir: str | None, as_json: bool) -> None:
    """Download the data set NAME and verify it. An existing data set is not changed."""
    from explorer.data.catalogue import KNOWN, locate, require_known
    from explorer.data.fetch import target_files
    from explorer.data.sources import data_root

    require_known(name)
    fetched: list[Path] = []
    where: Path | None = None
    if name in KNOWN:
        known, root = KNOWN[name], data_root(data_dir)
        targets = target_files(known, root)
        where = targets[0].parent
        try:
            source = locate(name, data_dir)
        except DataError:  # the existing copy is damaged: the download goes to another folder
            source = None
        if source is not None and not any(target.exists() for target in targets):
            where = source.where
        else:
            try:
                fetched = _fetch_with_progress(known, root)
            except DataError as error:
                raise WorkFailed(str(error)) from error
    if as_json:
        print_json({"name": name, "where": str(where) if where else None, "fetched": [str(path) for path in fetched]})
    elif where is None:
        click.echo(f"{name} comes with the explorer; there is nothing to fetch")
    elif fetched:
        click.echo(f"{name} is in {where}: {len(fetched)} of {len(targets)} files downloaded, all hashes verified")
    else:
        click.echo(f"{name} is already in {where}")


def _fetch_with_progress(known: PublicDataset, root: Path) -> list[Path]:
    """Download a data set and show the progress on standard error: as bars on a terminal, else as one line per file.

    Returns the downloaded files.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

    from explorer.data.fetch import fetch_data

    out = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as drawn:
        tasks: dict[Download, TaskID] = {}

        def show_progress(download: Download, done: int, total: int) -> None:
            if download not in tasks:
                tasks[download] = drawn.add_task(download.name, total=total)
                if not out.is_terminal:
                    click.echo(f"downloading {download.url}", err=True)
            drawn.update(tasks[download], completed=done, total=total)

        return fetch_data(known, root, show_progress)


@click.command()
@data_dir
@as_json
@storage
def doctor(data_dir: str | None, as_json: bool, storage: str) -> None:
    """Check what this machine has, what is missing, and how to fix it. Status 1 if a search cannot run."""
    from explorer.cli.doctor import examine, healthy

    checks = examine(storage, data_dir)
    ok = healthy(checks)
    if as_json:
        # Scripts of earlier versions read the field under its former name, "mend".
        print_json({"ok": ok, "checks": [{**asdict(check), "mend": check.fix} for check in checks]})
    else:
        out = console()
        for check in checks:
            mark = "ok" if check.ok else ("MISSING" if check.needed else "absent")
            out.print(plain(f"{mark:<8} {check.name}: {check.found}"))
            if check.fix:
                out.print(plain(f"         -> {check.fix}"))
        out.print(plain("a search has all that it needs" if ok else "a search lacks what is marked MISSING"))
    if not ok:
        lacking = ", ".join(check.name for check in checks if check.needed and not check.ok)
        raise WorkFailed(f"a search cannot run here: {lacking}")
