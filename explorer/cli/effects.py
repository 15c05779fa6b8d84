"""``explorer effects``: what the choices of a study do, all else equal, at equal cost, and on the frontier.

With ``--pairs`` it trains counterparts of trained networks first, so that the intervals become narrower.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from explorer.analysis.quantities import FRACTIONS
from explorer.cli import WorkFailed
from explorer.cli.amounts import Whole
from explorer.cli.options import as_json, choices_line, data_dir, device, mix, print_json, print_table, storage
from explorer.cli.setting_options import setting_options
from explorer.cli.studies import X_HELP, Y_HELP, warn_of_mixed_latencies
from explorer.store import Study, open_study
from explorer.study.settings import SearchSettings
from explorer.system.signals import raise_interrupted

if TYPE_CHECKING:  # the functions import it when they are called
    from explorer.analysis.effects import Effect, EqualCost, Frontier, Interaction, Narrowing, Paired
    from explorer.study.events import Progress
    from explorer.study.pairs.run import Pairs

MAX_NOTES = 12  # that are printed below the table
OF_TRAININGS = ("seconds", "workers", "trial_seconds", "trial_memory", "retry_failed")  # settings of a search
ONLY_WITH_PAIRS = (*OF_TRAININGS, "dry_run", "device", "data_dir")


@click.command()
@click.argument("study", default="")
@click.option(
    "--factor", metavar="CHOICE", help="Show only this choice, as in order or attn@stage2; attn means every attn@..."
)
@click.option("--x", "--cost", "x", metavar="COST", help=X_HELP)
@click.option("--y", "--objective", "y", metavar="OBJECTIVE", help=Y_HELP)
@click.option(
    "--interactions",
    "between",
    is_flag=True,
    help="Show by how much the effect of a choice differs between the levels of another; with --json, only this.",
)
@click.option(
    "--pairs",
    type=Whole(1, 10_000),
    metavar="N",
    help="First train the N counterparts of trained networks that narrow the intervals most. The same command resumes;"
    " a larger N adds some.",
)
@click.option("--dry-run", is_flag=True, help="With --pairs: show the counterparts and what they tell; train nothing.")
@setting_options(each for each in SearchSettings.described() if each.name in OF_TRAININGS)
@device
@data_dir
@mix
@as_json
@storage
def effects(
    study: str,
    factor: str | None,
    x: str | None,
    y: str | None,
    between: bool,
    pairs: int | None,
    mix_environments: bool,
    as_json: bool,
    storage: str,
    **options: Any,
) -> None:
    """Estimate the effect of each choice of STUDY on OBJECTIVE, against the most frequent level.

    All else equal, at equal COST, and on the frontier: docs/explanation/effects.md explains the three answers.
    --pairs N trains networks that differ from trained ones in one choice, with the same seeds, and then estimates the
    effects again.
    """
    opened = open_study(storage, study)
    x, y = opened.axes(x, y)
    opened.require_known((x, y))
    if not mix_environments:
        opened.require_one_environment((x, y))
    if pairs is not None:
        if between:
            raise click.UsageError("--interactions and --pairs exclude each other; run --pairs first")
        _run_pairs(opened, pairs, x, y, factor, as_json, options)
    else:
        _require_pairs()
        _estimate(opened, x, y, factor, between, as_json)
    warn_of_mixed_latencies(opened, (x, y), on_stderr=as_json)


def _estimate(study: Study, x: str, y: str, factor: str | None, between: bool, as_json: bool) -> None:
    """Print the effects, or the interactions."""
    from explorer.study.results.effects import fit_effects, values_text
    from explorer.study.results.levels import (
        excluded_levels,
        stopped_levels,
        stopped_text,
        untried_levels,
        untried_text,
    )

    model = fit_effects(study, x, y)
    if as_json:
        print_json([each.to_json() for each in (model.interactions(factor) if between else model.effects(factor))])
        return
    _print_effects(model.effects(factor), x, y)
    untried, stopped = (
        [level for level in levels if factor in (None, level.choice, level.choice.split("@")[0])]
        for levels in (untried_levels(study), stopped_levels(study))
    )
    texts = untried_text(untried, excluded_levels(study, untried)), stopped_text(stopped)
    for text in filter(None, (*texts, values_text(study))):
        click.echo(text)
    if between:
        _print_interactions(model.interactions(factor), y)


def _require_pairs() -> None:
    """Raise UsageError for an option that has no effect without ``--pairs``."""
    ctx = click.get_current_context()
    for each in ctx.command.params:
        typed = ctx.get_parameter_source(str(each.name)) is ParameterSource.COMMANDLINE
        if typed and each.name in ONLY_WITH_PAIRS:
            raise click.UsageError(f"{each.opts[0]} has an effect only with --pairs N")


def _run_pairs(
    study: Study, pairs: int, x: str, y: str, factor: str | None, as_json: bool, options: dict[str, Any]
) -> None:
    """Train counterparts and print them, the intervals before and after, and the effects."""
    from explorer.study import show_progress
    from explorer.study.pairs.run import run_pairs
    from explorer.study.results.effects import fit_effects

    with ExitStack() as display:
        shown: list[Progress] = []

        def before(proposed: Pairs) -> None:
            if not as_json:
                _print_pairs(proposed, y)
            shown.append(display.enter_context(show_progress()))

        found = run_pairs(
            study, pairs, factor=factor, x=x, y=y, before=before, progress=lambda event: shown[0](event), **options
        )
    estimated = [] if options["dry_run"] else fit_effects(study, x, y).effects(factor)
    if as_json:
        print_json(_pairs_json(found, estimated))
    else:
        _print_pairs(found, y)
        if estimated:
            click.echo()
            _print_effects(estimated, x, y)
        if not (options["dry_run"] or found.signal or found.broken or found.failed):
            click.echo(f"{found.ended}, {found.seconds:.0f} s; a larger --pairs adds counterparts")
    if found.signal:
        raise_interrupted(found.signal)
    if found.broken or found.failed:
        raise WorkFailed(found.ended)


def _pairs_json(found: Pairs, estimated: Sequence[Effect]) -> dict[str, Any]:
    """Return the document of ``--pairs --json``."""
    achieved = {(each.factor, each.level): each for each in found.achieved}

    def interval(each: Narrowing) -> dict[str, Any]:
        now = achieved.get((each.factor, each.level))
        return {
            **{"factor": each.factor, "level": each.level, "reference": each.reference},
            **{"half_width_before": each.before, "half_width_expected": each.after},
            "half_width_achieved": None if now is None else now.before,
            **{"pairs_before": each.pairs_before, "pairs_expected": each.pairs_after},
            "pairs_achieved": None if now is None else now.pairs_before,
        }

    return {
        **{"study": found.study.name, "storage": found.study.storage},
        **{"objective": found.question.objective, "cost": found.question.cost, "asked": found.question.factor},
        "trainings": [asdict(each) for each in found.trainings],
        "intervals": [interval(each) for each in found.expected],
        "effects": [effect.to_json() for effect in estimated],
        **{"ended": found.ended, "seconds": found.seconds},
    }


def _print_pairs(found: Pairs, y: str) -> None:
    """Print the counterparts before the trainings, and the widths of the intervals."""
    scale, unit = (100.0, f"percentage points of {y}") if y in FRACTIONS else (1.0, y)
    achieved = {(each.factor, each.level): each for each in found.achieved}
    if not achieved:
        about = found.question.factor or "all choices"
        click.echo(f"the {len(found.trainings)} most informative trainings about {about}, each with its twin's seed:\n")
        print_table(
            {"trial": "right", "twin": "right", "differs in": "left", "state": "left", "choices": "left"},
            [(each.trial, each.twin, each.factor, each.state, choices_line(each.choices)) for each in found.trainings],
        )
    click.echo(f"\nhalf-widths of the 95% intervals all else equal, in {unit}:\n")
    headings = ("pairs", "expected pairs", "half-width", "expected", *(("achieved",) if achieved else ()))
    print_table(
        {**dict.fromkeys(("choice", "level", "against"), "left"), **dict.fromkeys(headings, "right")},
        [
            (
                *(each.factor, each.level, each.reference, each.pairs_before, each.pairs_after),
                *(f"{scale * value:.3g}" for value in (each.before, each.after)),
                *((f"{scale * achieved[each.factor, each.level].before:.3g}",) if achieved else ()),
            )
            for each in found.expected
        ],
    )


def _print_effects(found: Sequence[Effect], x: str, y: str) -> None:
    """Print the three answers side by side, and the notes below."""
    from explorer.analysis.effects.notes import span_text

    notes: dict[str, list[str]] = {}
    rows = []
    for effect in found:
        for note in filter(None, effect.note.split("; ")):
            notes.setdefault(note, []).append(f"{effect.factor}={effect.level}")
        at = effect.equal_cost or effect.frontier
        rows.append(
            (
                effect.factor,
                effect.level,
                effect.reference,
                effect.trials,
                _answer(effect.paired, y),
                f"{effect.paired.cost_ratio:.3g}" if effect.paired else "",
                _answer(effect.equal_cost, y),
                _answer(effect.frontier, y),
                span_text(at.low, at.high, x) if at else "",
            )
        )
    print_table(
        {
            **{"choice": "left", "level": "left", "against": "left", "trials": "right"},
            **{"all else equal": "right", f"{x} ratio": "right"},
            **{f"at equal {x}": "right", "on the frontier": "right", "compared at": "right"},
        },
        rows,
    )
    unit = f"percentage points of {y}" if y in FRACTIONS else y
    click.echo(f"effects in {unit}, with 95% intervals; * not zero, corrected for the number of comparisons")
    for note, levels in list(notes.items())[:MAX_NOTES]:
        click.echo(f"{', '.join(levels)}: {note}")
    if len(notes) > MAX_NOTES:
        click.echo(f"and {len(notes) - MAX_NOTES} more notes; --json has the note of every level")


def _print_interactions(found: Sequence[Interaction], y: str) -> None:
    """Print the interactions, those most surely not zero first."""
    if not found:
        click.echo("no two choices have enough networks with each pair of levels to tell an interaction")
        return
    click.echo()
    by_certainty = sorted(found, key=lambda each: -abs(each.effect) / max(each.ci95[1] - each.ci95[0], 1e-300))
    print_table(
        {"effect of": "left", "under": "left", "against": "left", "differs by": "right"},
        [
            (
                f"{each.factor}={each.level}, not {each.reference}",
                f"{each.other}={each.other_level}",
                each.other_reference,
                _answer(each, y),
            )
            for each in by_certainty
        ],
    )


def _answer(answer: Paired | EqualCost | Frontier | Interaction | None, y: str) -> str:
    """Format an answer, such as ``+1.2 (+0.3 .. +2.1) *``."""
    if answer is None:
        return "-"
    scale, form = (100.0, "+.1f") if y in FRACTIONS else (1.0, "+.3g")
    low, high = answer.ci95
    mark = " *" if answer.significant else ""
    return f"{scale * answer.effect:{form}} ({scale * low:{form}} .. {scale * high:{form}}){mark}"
