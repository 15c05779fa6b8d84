"""``explorer effects``: what the choices of a study do, all else equal, at equal cost, and on the frontier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from explorer.analysis.quantities import FRACTIONS
from explorer.cli.options import as_json, print_json, print_table, storage
from explorer.cli.studies import X_HELP, Y_HELP, mix, warn_of_mixed_latencies
from explorer.store import open_study

if TYPE_CHECKING:  # the functions import it when they are called
    from explorer.analysis.effects import Effect, EqualCost, Frontier, Interaction, Paired


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
@mix
@as_json
@storage
def effects(
    study: str,
    factor: str | None,
    x: str | None,
    y: str | None,
    between: bool,
    mix_environments: bool,
    as_json: bool,
    storage: str,
) -> None:
    """Estimate the effect of each choice of STUDY on OBJECTIVE, against the most frequent level.

    All else equal, at equal COST, and on the frontier; docs/effects.md explains the three answers.
    """
    from explorer.analysis.effects import EffectModel
    from explorer.study.space_networks import space_networks

    opened = open_study(storage, study)
    x, y = opened.axes(x, y)
    opened.require_known((x, y))
    if not mix_environments:
        opened.require_one_environment((x, y))
    records = opened.trials(full=False)
    maximised = {"max": True, "min": False}.get(opened.objectives.get(y, ""))
    model = EffectModel(records, y, x, maximised=maximised, space=space_networks(opened, records, x))
    if as_json:
        print_json([each.to_json() for each in (model.interactions(factor) if between else model.effects(factor))])
    else:
        _print_effects(model.effects(factor), x, y)
        if between:
            _print_interactions(model.interactions(factor), y)
    warn_of_mixed_latencies(opened, (x, y), on_stderr=as_json)


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
    for note, levels in notes.items():
        click.echo(f"{', '.join(levels)}: {note}")


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
