"""``explorer compare``: compare two spaces by the errors of their networks at equal cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from explorer.analysis.amounts import format_count, format_percent
from explorer.cli.amounts import Whole
from explorer.cli.options import as_json, print_json, print_table, storage
from explorer.cli.setting_options import setting_options
from explorer.study.settings import SearchSettings
from explorer.training.settings import TrainingSettings

if TYPE_CHECKING:  # the function imports it when it is called
    from explorer.study.events import Event


@click.command()
@click.argument("space_a", metavar="SPACE_A")
@click.argument("space_b", metavar="SPACE_B")
@click.option(
    "--cost", default="macs", show_default=True, metavar="COST", help="The cost at which networks are compared."
)
@click.option(
    "-n",
    "networks",
    type=Whole(2, 100_000),
    default=20,
    show_default=True,
    metavar="N",
    help="Networks to sample from each space.",
)
@setting_options(each for each in SearchSettings.described() if each.name == "workers")
@click.option("--seed", type=int, default=0, show_default=True, metavar="S", help="Seed of sampling and trainings.")
@setting_options(TrainingSettings.described())
@as_json
@storage
def compare(space_a: str, space_b: str, as_json: bool, **options: Any) -> None:
    """Compare the error distributions of two spaces at equal cost. SPACE_A and SPACE_B are studies in the storage, or
    spaces; N networks of each space are sampled uniformly and trained. The same command resumes the comparison."""
    from explorer.study import show_progress
    from explorer.study.compare import compare_spaces

    ended = []
    with show_progress() as progress:

        def report(event: Event) -> None:
            progress(event)
            if event.kind == "finished":
                ended.append(f"{event.status.study}: {event.why}")

        found = compare_spaces(space_a, space_b, progress=report, **options)
    for line in ended:
        click.echo(line, err=True)
    if as_json:
        print_json(found.to_json())
        return
    print_table(
        {"": "left", "networks": "right", "compared": "right", "mean error": "right", "least error": "right"},
        [
            (s.name, s.networks, s.compared, format_percent(s.mean_error), format_percent(s.min_error))
            for s in (found.a, found.b)
        ],
    )
    low, high = found.ci95
    least, most = map(format_count, found.range)
    click.echo(
        f"at equal {found.cost} ({least} to {most}, {found.bins} bins): the mean error of the first minus that of the "
        f"second is {100 * found.difference:+.1f} points (95% interval {100 * low:+.1f} to {100 * high:+.1f}); "
        f"largest distance of the two distributions {found.ks:.2f}"
    )
