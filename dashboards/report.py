"""A study as one static page: the dashboard's figures in a file that opens offline.

plotly.js travels inside, packed; the browser unpacks it. All texts from the data are escaped.
"""

from __future__ import annotations

import base64
import html
import json
import time
import zlib
from collections.abc import Iterable, Mapping

from plotly import graph_objects as go
from plotly.offline import get_plotlyjs

import explorer
from dashboards.effect_figures import categories_figure, distribution_figure, effects_figure, interaction_figure
from dashboards.figures import frontier_figure
from dashboards.quantities import unit_of
from dashboards.reading import frontier_chances, read_confirmations
from dashboards.run_figures import growth_figure, timeline_figure
from dashboards.run_tables import growth, timeline
from dashboards.tables import choice_points, frontier_points, seed_points, state_counts
from dashboards.text import safe_text
from explorer.effects import choice_effects, comparable, quantity, varying_choices
from explorer.errors import StudyError
from explorer.quantities import LATENCY, is_maximised
from explorer.records import TrialRecord
from explorer.store import Study

BARS = 2_000  # of the timeline: more than a screen has pixels
THROUGH = 4  # choices that ribbons go through

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' blob:; img-src data: blob:">
<title>{title}</title>
<style>
 body {{ font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 1000px; margin: 2em auto;
        padding: 0 1em; }}
 h1 {{ font-size: 1.5em; overflow-wrap: anywhere }} h2 {{ font-size: 1.15em; margin: 2em 0 .3em }}
 p, td, th {{ overflow-wrap: anywhere }} .note {{ color: #666 }}
 .wide {{ overflow-x: auto }} table {{ border-collapse: collapse; font-size: 13px }}
 td, th {{ border-bottom: 1px solid #ddd; padding: .25em .7em; text-align: left; vertical-align: top }}
 td.number, th.number {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
<script>
const packed = "{packed}";
const figures = {figures};
const bytes = Uint8Array.from(atob(packed), letter => letter.charCodeAt(0));
const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
new Response(stream).text().then(code => {{
  const script = document.createElement("script");
  script.textContent = code;
  document.head.appendChild(script);
  for (const [name, figure] of Object.entries(figures))
    Plotly.newPlot(name, figure.data, figure.layout, {{displaylogo: false, responsive: true}});
  document.body.dataset.drawn = "yes";
}});
</script>
</body>
</html>
"""
HEAD = PAGE[: PAGE.index("<title>")]  # with which every report begins


def report_page(study: Study, records: Iterable[TrialRecord]) -> str:
    """The page: what was searched, the frontier with its table, effects, how choices go together, growth, who worked
    when. Latencies of several environments are not put into one figure: MACs stand in for them."""
    records = list(records)
    figures: dict[str, go.Figure] = {}
    parts = [_facts(study, records)]
    x, y = study.plane
    if x == LATENCY and (mixed := study.mixed_environments()):
        x = "macs"
        parts.append(
            f"<p>Latencies were measured in {_escaped(mixed)}: such numbers compare machines, not networks. The"
            " figures are therefore drawn over MACs.</p>"
        )
    colour = next((name for name in choice_points(records) if name == "order"), None)
    points = frontier_points(records, x, y, study.objectives, colour)
    if points.empty:
        parts.append("<p>No trial of this study is complete, so there is no frontier to draw.</p>")
    else:
        units = unit_of(x, points.x), unit_of(y, points.y)
        maximised = is_maximised(x, study.objectives), is_maximised(y, study.objectives)
        again = read_confirmations(study)
        figures["frontier"] = frontier_figure(
            points,
            *units,
            log_x=True,
            maximised=maximised,
            colour=colour,
            likely=frontier_chances(study, records, x, y) if again else {},
            seeds=seed_points(again, records, x, y, study.fingerprint.get("epochs")),
        )
        front = [int(number) for number in points.trial[points.frontier]]
        by_number = {record.number: record for record in records}
        note = "Trained networks; the line joins those that no other beats."
        if again:
            note += (
                " Crosses with whiskers: mean over trainings from fresh seeds, and the deviation of a single one."
                " The fainter a point, the less likely it is on the frontier, noise reckoned with."
            )
        parts.append(_section("Frontier", "frontier", note))
        parts.append(_frontier_table([by_number[number] for number in front], x, y))
        parts += _learnt(figures, records, study, x, y)
    spent = growth(records, study.objectives)
    if len(spent) > 1:
        figures["growth_trials"] = growth_figure(spent, "trials", "complete trials")
        figures["growth"] = growth_figure(spent, "seconds", "seconds of training, all workers together")
        parts.append(_section("How the frontier grew", "growth_trials", ""))
        parts.append('<div id="growth" class="wide"></div>')
    worked = timeline(records)
    if not worked.empty:
        figures["timeline"] = timeline_figure(worked.nlargest(BARS, "start").sort_values(["lane", "start"]))
        parts.append(_section("Who worked when", "timeline", f"At most the last {BARS:,} trials."))
    failures = [record for record in records if record.state == "failed"]
    if failures:
        rows = [(str(record.number), record.reason) for record in failures[:50]]
        parts.append(f"<h2>Failures</h2>{_table(('trial', 'reason'), rows, numbers=1)}")
    for figure in figures.values():
        figure.update_layout(template="plotly_white")
    return PAGE.format(
        title=_escaped(f"{study.name}: {study.space_name}"),
        body="\n".join(parts),
        packed=base64.b64encode(zlib.compress(get_plotlyjs().encode(), 9)).decode(),
        # Within a script, "<" could end it.
        figures=json.dumps({name: json.loads(figure.to_json()) for name, figure in figures.items()}).replace(
            "<", "\\u003c"
        ),
    )


def _learnt(figures: dict[str, go.Figure], records: list[TrialRecord], study: Study, x: str, y: str) -> Iterable[str]:
    known = comparable(records, y, x)
    unit = unit_of(y, [quantity(record, y) for record in known])
    try:
        effects = choice_effects(records, y, x)
    except StudyError as error:
        yield f"<h2>What matters</h2><p>{_escaped(error)}.</p>"
        return
    if not effects:
        return
    figures["effects"] = effects_figure(effects, unit, unit_of(x, []))
    yield _section(
        "What matters",
        "effects",
        "Each level against the choice's most frequent one. A whisker that crosses zero: these trials cannot say.",
    )
    factor = effects[0].factor
    figures["spread"] = distribution_figure(known, factor, y, unit)
    yield _section("How results spread", "spread", f"A curve for each level of {factor}.")
    factors = varying_choices(known)
    if len(factors) > 1:
        ranked = list(dict.fromkeys([*(effect.factor for effect in effects), *factors]))
        figures["together"] = interaction_figure(known, ranked[0], ranked[1], y, unit)
        yield _section(
            "Two choices together", "together", "Mean values, whatever the networks cost; in brackets, of how many."
        )
        figures["through"] = categories_figure(known, ranked[:THROUGH], y, unit)
        yield _section("Networks through their choices", "through", "")


def _facts(study: Study, records: list[TrialRecord]) -> str:
    counts = ", ".join(f"{count:,} {state}" for state, count in state_counts(records).items()) or "no trials yet"
    print_of: Mapping[str, object] = study.fingerprint
    saved = study.savings()
    tried, cut = saved["trainings_saved"], saved["epochs_saved"]
    epochs = cut + saved["epochs_trained"]
    recipe = print_of.get("recipe")
    rows = [
        ("trials", counts),
        ("trainings saved", f"{tried:,}: their networks had been tried before" if tried else ""),
        ("epochs saved", f"{cut:,} of {epochs:,}: their networks had fallen behind" if cut > 0 else ""),
        ("objectives", ", ".join(f"{name} ({direction})" for name, direction in study.objectives.items())),
        ("data", print_of.get("data") or "a function of the user's own"),
        ("recipe", f"{recipe['name']}, {print_of.get('epochs')} epochs" if recipe else ""),
        ("seeds", f"one training a network; the search's seed is {study.seed}"),
        ("devices", ", ".join(sorted({r.environment.device_name for r in records if r.environment}))),
        ("begun", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(study.created))),
        ("written", f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())} by explorer {explorer.__version__}"),
    ]
    return _table((), [(name, str(value)) for name, value in rows if value])


def _frontier_table(front: list[TrialRecord], x: str, y: str) -> str:
    names = list(dict.fromkeys((y, x, "params", "macs")))
    rows = []
    for record in front:
        values = record.quantities
        shown = [unit_of(name, [values[name]]).of(values[name]) if name in values else "" for name in names]
        rows.append((str(record.number), *shown, ", ".join(f"{k}={v}" for k, v in record.choices.items())))
    heads = ("trial", *(unit_of(name, []).title for name in names), "choices")
    return _table(heads, rows, numbers=1 + len(names))


def _section(title: str, figure: str, note: str) -> str:
    said = f'<p class="note">{_escaped(note)}</p>' if note else ""
    return f'<h2>{_escaped(title)}</h2>{said}<div id="{figure}" class="wide"></div>'


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]], numbers: int = 0) -> str:
    def line(cells: tuple[str, ...], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=number' if place < numbers else ''}>{_escaped(cell)}</{tag}>"
            for place, cell in enumerate(cells)
        )

    head = f"<tr>{line(heads, 'th')}</tr>" if heads else ""
    lines = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f'<div class="wide"><table>{head}{lines}</table></div>'


def _escaped(value: object) -> str:
    return html.escape(safe_text(value, length=600))
