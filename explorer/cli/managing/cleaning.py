"""``explorer clean``: list and remove files that a study no longer needs."""

from __future__ import annotations

import click

from explorer.analysis.amounts import plural
from explorer.cli import WorkFailed
from explorer.cli.options import as_json, print_json, print_table, storage
from explorer.errors import StoreError


@click.command()
@click.argument("study", default="")
@click.option("--yes", is_flag=True, help="Remove the files; without it they are only listed.")
@click.option("--paused", is_flag=True, help="Checkpoints of paused trials too; without one a trial starts again.")
@as_json
@storage
def clean(study: str, yes: bool, paused: bool, as_json: bool, storage: str) -> None:
    """List the files of STUDY that can be removed: weights of networks that are on no frontier, and files of killed
    processes. With --yes they are removed. The database keeps all results; export trains removed weights again.
    Checkpoints of paused trials are kept unless --paused is given."""
    from explorer.store.cleaning import removable_files
    from explorer.store.remote.place import is_remote
    from explorer.store.studies import open_study

    opened = open_study(storage, study)
    removable = removable_files(opened)
    found = [each for each in removable if paused or not each.is_paused]
    kept = [each for each in removable if each not in found]
    if not removable and is_remote(opened.place):  # a bucket that does not exist has no files either
        opened.require_writable_place()
    failed: list[str] = []
    for each in found if yes else ():
        try:
            opened.files.remove(each.file)
        except (OSError, StoreError) as error:
            failed.append(f"{each.file}: {getattr(error, 'strerror', None) or error}")
    total = sum(each.bytes for each in found)
    if as_json:
        print_json(
            {
                "study": opened.name,
                "folder": opened.files.shown,
                "removed": yes and not failed,
                "bytes": total,
                "kept_paused": {"files": len(kept), "bytes": sum(each.bytes for each in kept)},
                "files": [{"file": each.file, "bytes": each.bytes, "reason": each.reason} for each in found],
            }
        )
    elif not found:
        click.echo(f"nothing to free in {opened.files.shown}")
    else:
        print_table(
            {"file": "left", "bytes": "right", "why": "left"},
            [(each.file, f"{each.bytes:,}", each.reason) for each in found],
        )
        done = "removed" if yes else "can be removed; --yes removes them"
        click.echo(f"{plural(len(found), 'file')}, {total / 1e6:.1f} MB of {opened.files.shown} {done}")
    if kept and not as_json:
        size = sum(each.bytes for each in kept) / 1e6
        click.echo(f"{plural(len(kept), 'checkpoint')} of paused trials, {size:.1f} MB, kept; --paused removes them")
    if failed:
        raise WorkFailed(f"{plural(len(failed), 'file')} could not be removed, as {failed[0]}")
