"""``explorer studies``: list, rename, delete, copy, merge and annotate the studies of a storage."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click
from click.core import ParameterSource

from explorer.analysis.amounts import plural
from explorer.cli.options import as_json, print_json, print_table, storage
from explorer.errors import ExplorerError, did_you_mean
from explorer.records import TrialRecord
from explorer.store.studies import StudySummary, list_studies, open_study
from explorer.store.study import Study


class StudyCommandGroup(click.Group):
    """A group that lists the studies if it is called without a command."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            part_of_url = "@" in args[0] and "://" not in args[0]  # it may hold a password
            raise click.UsageError(
                f"unknown command{'' if part_of_url else f' {args[0]!r}'}; the commands are {', '.join(self.commands)}"
                f"{did_you_mean(args[0], self.commands)}; 'explorer trials STUDY' lists the trials of a study",
                ctx,
            )
        return super().resolve_command(ctx, args)


@click.group(cls=StudyCommandGroup, invoke_without_command=True)
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only studies with this tag; may be repeated.")
@as_json
@storage
@click.pass_context
def studies(ctx: click.Context, tags: tuple[str, ...], as_json: bool, storage: str) -> None:
    """List the studies in a storage: space, data, objectives, number of trials, last change. Or change one of them."""
    if ctx.invoked_subcommand is not None:
        return
    found = [study for study in list_studies(storage) if set(tags) <= set(study.tags)]
    if as_json:
        print_json([_summary_json(study) for study in found])
        return
    noted = {name for name in ("tags", "note") if any(getattr(study, name) for study in found)}
    print_table(
        {
            **{"study": "left", "space": "left", "data": "left", "objectives": "left"},
            **{"complete": "right", "failed": "right", "interrupted": "right", "changed": "left"},
            **{name: "left" for name in ("tags", "note") if name in noted},
        },
        [
            (
                study.name,
                study.space_name,
                study.data,
                ", ".join(f"{name} ({direction})" for name, direction in study.objectives.items()),
                study.counts["complete"],
                study.counts["failed"],
                study.counts["interrupted"],
                datetime.fromtimestamp(study.changed).strftime("%Y-%m-%d %H:%M"),
                *([", ".join(study.tags)] if "tags" in noted else []),
                *([study.note] if "note" in noted else []),
            )
            for study in found
        ],
    )  # fmt: skip


def _summary_json(study: StudySummary) -> dict[str, Any]:
    """Return a study as ``explorer studies --json`` prints it."""
    return {
        "name": study.name,
        "space": study.space_name,
        "data": study.data,
        "objectives": dict(study.objectives),
        "trials": dict(study.counts),
        "created": study.created,
        "changed": study.changed,
        "note": study.note,
        "tags": list(study.tags),
    }


def _own_storage(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--storage``, which may also stand before the command: ``explorer studies --storage URL copy``."""

    def wrapped(*args: Any, storage: str, **kwargs: Any) -> Any:
        ctx = click.get_current_context()
        typed = ParameterSource.COMMANDLINE
        parent = ctx.parent
        if (
            parent is not None
            and parent.get_parameter_source("storage") is typed
            and ctx.get_parameter_source("storage") is not typed
        ):
            storage = parent.params["storage"]
        return command(*args, storage=storage, **kwargs)

    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    return storage(wrapped)


@studies.command()
@click.argument("study")
@click.argument("name", metavar="NEW")
@as_json
@_own_storage
def rename(study: str, name: str, as_json: bool, storage: str) -> None:
    """Give STUDY the name NEW. The folder of its weights and checkpoints moves with it."""
    from explorer.store.managing.changes import rename_study

    renamed = rename_study(open_study(storage, study), name)
    if as_json:
        print_json({"study": renamed.name, "folder": renamed.files.shown})
    else:
        resuming = f"to resume it, search with --study {shlex.quote(renamed.name)}"
        click.echo(f"study {study!r} is now {renamed.name!r}; {resuming}")


@studies.command()
@click.argument("names", nargs=-1, required=True, metavar="STUDY...")
@click.option("--yes", is_flag=True, help="Delete without a question.")
@as_json
@_own_storage
def delete(names: Sequence[str], yes: bool, as_json: bool, storage: str) -> None:
    """Delete each STUDY: its trials and confirmations, and the folder of its weights and checkpoints."""
    from explorer.store.managing.changes import delete_study
    from explorer.store.managing.files import bytes_of

    found = [open_study(storage, name) for name in dict.fromkeys(names)]
    described = [
        f"{study.name!r}: {plural(sum(study.counts().values()), 'trial')}, {bytes_of(study.files) / 1e6:.1f} MB"
        for study in found
    ]
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise ExplorerError(f"nothing is deleted without --yes; it deletes {'; '.join(described)}")
        click.confirm(f"delete {'; '.join(described)}?", abort=True, err=True)
    removed = [{"study": study.name, "bytes": delete_study(study)} for study in found]
    if as_json:
        print_json(removed)
    else:
        for line in described:
            click.echo(f"deleted {line}")


@studies.command()
@click.argument("study")
@click.argument("name", default="", metavar="[NEW]")
@click.option("--to", "target", metavar="URL", help="Database of the copy; by default the same, under the name NEW.")
@click.option(
    "--artifacts", metavar="PLACE", help="Where the copy keeps its files: a folder, or a URL such as s3://..."
)
@as_json
@_own_storage
def copy(study: str, name: str, target: str | None, artifacts: str | None, as_json: bool, storage: str) -> None:
    """Copy STUDY with its trials, confirmations, weights and checkpoints, between any two databases. It may run
    meanwhile: its running trainings are interrupted in the copy, and a search of the copy resumes them."""
    from explorer.store.managing.copies import copy_study
    from explorer.store.remote.place import parse_place

    if target is None and not name:
        raise ExplorerError("name the copy, as in: explorer studies copy STUDY NEW; or its database with --to URL")
    place = parse_place(artifacts) if artifacts is not None else ""
    made = copy_study(open_study(storage, study), target, name, place)
    if as_json:
        print_json({"study": made.name, "storage": made.storage, "trials": made.counts(), "folder": made.files.shown})
    else:
        count = plural(sum(made.counts().values()), "trial")
        click.echo(f"copied {count} to study {made.name!r} in {made.storage}")


@studies.command()
@click.argument("study")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--from", "origin", metavar="URL", help="Database of the sources; by default that of STUDY.")
@as_json
@_own_storage
def merge(study: str, sources: Sequence[str], origin: str | None, as_json: bool, storage: str) -> None:
    """Add the ended trials of each SOURCE to STUDY. Their settings must be equal, except seed, limits and budget;
    otherwise the differences are printed and nothing changes. The sources do not change."""
    from explorer.study.exchange.merging import merge_studies

    target = open_study(storage, study)
    found = [open_study(origin or storage, name) for name in dict.fromkeys(sources)]
    merged = merge_studies(target, *found)
    if as_json:
        print_json([{"source": source.name, **asdict(each)} for source, each in zip(found, merged)])
        return
    for source, each in zip(found, merged):
        left_out = {"already in it": each.present, "not ended": each.unfinished}
        rest = "".join(f", {count} {why}" for why, count in left_out.items() if count)
        click.echo(f"{source.name!r}: added {plural(each.added, 'trial')} to {study!r}{rest}")


@studies.command()
@click.argument("study", metavar="STUDY[:TRIAL]")
@click.argument("text", required=False)
@as_json
@_own_storage
def note(study: str, text: str | None, as_json: bool, storage: str) -> None:
    """Write TEXT down as the note of STUDY, or of one of its trials, in place of an earlier one; an empty text removes
    it. Without TEXT, print the note."""
    owner = _annotated(storage, study, note=text) if text is not None else _owner(storage, study)[2]
    _print_annotations(study, owner, owner.note, as_json, text is None)


@studies.command()
@click.argument("study", metavar="STUDY[:TRIAL]")
@click.argument("tags", nargs=-1, metavar="[TAG]...")
@click.option("--remove", is_flag=True, help="Remove these tags instead.")
@as_json
@_own_storage
def tag(study: str, tags: Sequence[str], remove: bool, as_json: bool, storage: str) -> None:
    """Add each TAG to STUDY, or to one of its trials; 'explorer studies --tag TAG' lists the studies that have it.
    Without TAG, print the tags."""
    changes = {"remove_tags" if remove else "add_tags": tags}
    owner = _annotated(storage, study, **changes) if tags else _owner(storage, study)[2]
    _print_annotations(study, owner, ", ".join(owner.tags), as_json, True)


def _owner(storage: str, address: str) -> tuple[Study, int | None, Study | TrialRecord]:
    """Return the study of an address, the number of the trial if it names one, and which of them it names."""
    name, colon, number = address.rpartition(":")
    names = {each.name for each in list_studies(storage)}
    if address not in names and colon and name in names and number.isascii() and number.isdigit():
        study = open_study(storage, name)
        return study, int(number), study.trial(int(number))
    study = open_study(storage, address)
    return study, None, study


def _annotated(storage: str, address: str, **changes: Any) -> Study | TrialRecord:
    """Change note and tags of what an address names; return it as changed."""
    from explorer.store.managing.changes import annotate_study, annotate_trial

    study, number, _ = _owner(storage, address)
    return annotate_study(study, **changes) if number is None else annotate_trial(study, number, **changes)


def _print_annotations(address: str, owner: Study | TrialRecord, text: str, as_json: bool, shown: bool) -> None:
    """Print the note and tags of a study or a trial as JSON, or ``text`` if it is to be shown."""
    if as_json:
        named = {"study": owner.name} if isinstance(owner, Study) else {"trial": address}
        print_json({**named, "note": owner.note, "tags": list(owner.tags)})
    elif shown and text:
        click.echo(text)
