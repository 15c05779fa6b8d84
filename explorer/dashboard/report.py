"""The report: the dashboard's figures of one study as a single HTML file that opens offline.

plotly.js is compressed in the file, and the browser decompresses it. All texts from the data are escaped.
"""

from __future__ import annotations

import base64
import html
import json
import time
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from plotly import graph_objects as go
from plotly.offline import get_plotlyjs

import explorer
from explorer.analysis.amounts import plural
from explorer.analysis.effects import Effect, EffectModel, comparable, levels_of, quantity, varying_choices
from explorer.analysis.estimates import Estimate, best_estimates, with_estimates
from explorer.analysis.frontier_certainty import certainty_text
from explorer.analysis.quantities import LATENCY, is_maximised, quantity_named
from explorer.dashboard.data.columns import table_of_records
from explorer.dashboard.data.effects import answer_text, answer_titles, answers_of, by_size, clearest_factor
from explorer.dashboard.data.runs import constant_objectives, hypervolume_growth, left_out_text, timeline
from explorer.dashboard.data.storage import certainty_of, read_confirmations
from explorer.dashboard.data.summary import OWN_FUNCTION, state_counts
from explorer.dashboard.data.trials import choice_points, frontier_points, seed_points
from explorer.dashboard.figures.distributions import categories_figure, distribution_figure
from explorer.dashboard.figures.effects import EFFECTS_CAPTION, MAX_ROWS, effects_figure
from explorer.dashboard.figures.frontier import CAPTION, SEEDS_CAPTION, frontier_figure
from explorer.dashboard.figures.importance import IMPORTANCE_CAPTION, importance_figure
from explorer.dashboard.figures.interactions import MATRIX_CAPTION, matrix_figure
from explorer.dashboard.figures.level_curves import CURVES_CAPTION, MAX_LEVELS, curves_figure
from explorer.dashboard.figures.runs import MAX_BARS, hypervolume_figure, timeline_figure
from explorer.dashboard.figures.style import template
from explorer.dashboard.quantities import Unit, unit_of
from explorer.dashboard.text import safe_text
from explorer.errors import StudyError
from explorer.records import TrialRecord
from explorer.store import Study
from explorer.study.recorded_space import space_networks
from explorer.study.results.effects import values_text
from explorer.study.results.levels import unknown_levels_text

MAX_CHOICES = 4  # in parallel categories
MAX_FAILURES = 50  # listed
LONG = 9  # characters of a cell that has a line of its own on a phone, where half a line holds no more

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' blob:; img-src data: blob:">
<title>{title}</title>
<style>
 :root {{ color-scheme: light dark }}
 body {{ font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 1000px; margin: 2em auto;
        padding: 0 1em; }}
 h1 {{ font-size: 1.5em; overflow-wrap: anywhere }} h2 {{ font-size: 1.15em; margin: 2em 0 .3em }}
 p, td, th {{ overflow-wrap: break-word }} td.long {{ overflow-wrap: anywhere }}
 .note {{ color: #595959 }} summary {{ cursor: pointer; margin: .6em 0 }} .wide {{ overflow-x: auto }}
 table {{ border-collapse: collapse; font-size: 13px }}
 td, th {{ border-bottom: 1px solid #ddd; padding: .25em .7em; text-align: left; vertical-align: top }}
 td.number, th.number {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }}
 @media (prefers-color-scheme: dark) {{
  body {{ color: #fafafa; background: #14161c }} .note {{ color: #b8bcc8 }} td, th {{ border-color: #3a3f4b }}
 }}
 @media (min-width: 641px) {{ .cards td.long {{ min-width: 10em }} .cards td.long:last-child {{ min-width: 20em }} }}
 @media (max-width: 640px) {{
  table.cards thead {{ position: absolute; left: -10000px }}
  table.cards, table.cards tbody {{ display: block }}
  table.cards tr {{ display: grid; grid-template-columns: 1fr 1fr; column-gap: 1em; margin-bottom: .6em;
                   padding: .35em .6em; border: 1px solid #8885; border-radius: .5em }}
  table.cards td {{ display: flex; gap: .6em; border: 0; padding: .1em 0; white-space: normal; text-align: left }}
  table.cards td:empty {{ display: none }} table.cards td.long {{ grid-column: 1 / -1 }}
  table.cards td::before {{ content: attr(data-label); flex: 0 0 50%; opacity: .8 }}
  table.cards td.long::before {{ flex-basis: 26% }}
  table.cards td, table.cards td span {{ min-width: 0; overflow-wrap: anywhere }}
 }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
<script>
const packed = "{packed}";
const figures = {figures};
const templates = {templates};
const dark = matchMedia("(prefers-color-scheme: dark)");
const themed = layout => ({{...layout, template: templates[dark.matches ? "dark" : "light"]}});
const bytes = Uint8Array.from(atob(packed), letter => letter.charCodeAt(0));
const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
new Response(stream).text().then(code => {{
  const script = document.createElement("script");
  script.textContent = code;
  document.head.appendChild(script);
  for (const [name, figure] of Object.entries(figures))
    Plotly.newPlot(name, figure.data, themed(figure.layout), {{displaylogo: false, responsive: true}});
  dark.addEventListener("change", () => {{
    for (const [name, figure] of Object.entries(figures)) Plotly.react(name, figure.data, themed(figure.layout));
  }});
  document.body.dataset.drawn = "yes";
}});
</script>
</body>
</html>
"""
HEAD = PAGE[: PAGE.index("<title>")]  # the start of every report


def report_page(study: Study, records: Iterable[TrialRecord]) -> str:
    """Return the report as HTML: settings, frontier, effects of choices, hypervolume, timeline of workers, failures.

    If latencies were measured in several environments, the figures use MACs instead.

    Args:
        study: The study.
        records: Its trials.
    """
    records = list(records)
    figures: dict[str, go.Figure] = {}
    parts = [_facts(study, records)]
    x, y = study.plane
    if x == LATENCY and (mixed := study.mixed_environments()):
        x = "macs"
        parts.append(
            f"<p>Latencies were measured in {_escaped(mixed)}; they compare machines, not networks. The"
            " figures therefore use MACs.</p>"
        )
    colour = next((name for name in choice_points(records) if name == "order"), None)
    confirmed, epochs = read_confirmations(study), study.fingerprint.get("epochs")
    estimated = with_estimates(records, confirmed, study.objectives, epochs)
    points = frontier_points(estimated, x, y, study.objectives, colour)
    if points.empty:
        parts.append("<p>No trial of this study is complete, so there is no frontier to draw.</p>")
    else:
        units = unit_of(x, points.x), unit_of(y, points.y)
        maximised = is_maximised(x, study.objectives), is_maximised(y, study.objectives)
        certainty = certainty_of(study, records, x, y)
        stays = {} if certainty is None else certainty.probabilities
        estimates = best_estimates(records, confirmed, y, epochs)
        figures["frontier"] = frontier_figure(
            points,
            *units,
            log_x=True,
            maximised=maximised,
            colour=colour,
            probabilities=stays,
            seeds=seed_points(table_of_records(records), estimates, x),
        )
        front = [int(number) for number in points.trial[points.frontier]]
        by_number = {record.number: record for record in estimated}
        note = f"{CAPTION} {SEEDS_CAPTION}" if confirmed else CAPTION
        parts.append(_section("Frontier", "frontier", f"{note} {certainty_text(certainty, front, y)}"))
        parts.append(_frontier_table([by_number[number] for number in front], x, y, stays, estimates))
        parts += _effect_sections(figures, records, study, x, y)
    growth = hypervolume_growth(records, study.objectives)
    if len(growth) > 1:
        figures["growth_trials"] = hypervolume_figure(growth, "trials")
        figures["growth"] = hypervolume_figure(growth, "seconds")
        left_out = left_out_text(constant_objectives(records, study.objectives))
        parts.append(_section("Hypervolume of the frontier", "growth_trials", left_out))
        parts.append('<div id="growth" class="wide"></div>')
    bars = timeline(records)
    if not bars.empty:
        figures["timeline"] = timeline_figure(bars)
        parts.append(_section("Timeline of workers", "timeline", f"At most the last {MAX_BARS:,} trials."))
    failures = [record for record in records if record.state == "failed"]
    if failures:
        rows = [(str(record.number), record.reason) for record in failures[:MAX_FAILURES]]
        parts.append(f"<h2>Failures</h2>{_table(('trial', 'reason'), rows, numbers=1)}")
    for figure in figures.values():
        figure.update_layout(template=None)
    templates = {name: template(name == "dark").to_plotly_json() for name in ("light", "dark")}
    return PAGE.format(
        templates=json.dumps(templates),
        title=_escaped(f"{study.name}: {study.space_name}"),
        body="\n".join(parts),
        packed=base64.b64encode(zlib.compress(get_plotlyjs().encode(), 9)).decode(),
        # In a script, "<" could start its end tag.
        figures=json.dumps({name: json.loads(figure.to_json()) for name, figure in figures.items()}).replace(
            "<", "\\u003c"
        ),
    )


def _effect_sections(
    figures: dict[str, go.Figure], records: list[TrialRecord], study: Study, x: str, y: str
) -> Iterable[str]:
    known, maximised = comparable(records, y, x), is_maximised(y, study.objectives)
    unit = unit_of(y, [quantity(record, y) for record in known])
    try:
        model = EffectModel(known, y, x, maximised=maximised, space=space_networks(study, known, x))
    except StudyError as error:
        yield f"<h2>What each choice does</h2><p>{_escaped(error)}.</p>"
        return
    effects = by_size(model.effects())
    if untried := unknown_levels_text(study, records):
        yield f'<p class="note">Levels {_escaped(untried)}.</p>'
    if not effects:
        return
    figures["effects"] = effects_figure(effects[:MAX_ROWS], unit, x)
    yield _section("What each choice does", "effects", EFFECTS_CAPTION)
    if values := values_text(study):
        yield f'<p class="note">{_escaped(values)}</p>'
    table = _effects_table(effects, unit, x)
    yield f"<details><summary>The {plural(len(effects), 'row')} as a table</summary>{table}</details>"
    factor = clearest_factor(effects)
    own = [effect for effect in effects if effect.factor == factor]
    figures["curves"] = curves_figure(model.curves(factor), own, levels_of(known, factor)[:MAX_LEVELS], unit, x)
    reference = f"The colours are levels of {factor}; the reference is {own[0].reference}."
    yield _section("Objective over cost", "curves", f"{CURVES_CAPTION} {reference}")
    found = model.interactions()
    figures["importance"] = importance_figure(model.importances())
    yield _section("Importance of choices", "importance", IMPORTANCE_CAPTION)
    if found:
        figures["together"] = matrix_figure(found, unit)
        yield _section("Interactions of choices", "together", MATRIX_CAPTION)
    figures["spread"] = distribution_figure(known, factor, y, unit)
    yield _section("Distribution of results", "spread", f"One curve per level of {factor}.")
    factors = varying_choices(known)
    if len(factors) > 1:
        ranked = list(dict.fromkeys([factor, *factors]))
        figures["through"] = categories_figure(known, ranked[:MAX_CHOICES], y, unit)
        yield _section("Parallel categories", "through", "")


def _effects_table(effects: Iterable[Effect], unit: Unit, cost: str) -> str:
    """Return one row per effect with an answer in each cell, without columns that are empty in all rows."""
    heads = ("choice", "level", "against", *answer_titles(cost), "note")
    rows = []
    for effect in effects:
        answers = [answer_text(answer, unit, cost) for answer in answers_of(effect)]
        rows.append((effect.factor, effect.level, effect.reference, *answers, effect.note))
    kept = [column for column in range(len(heads)) if column < 6 or any(row[column] for row in rows)]
    return _table(tuple(heads[column] for column in kept), [tuple(row[column] for column in kept) for row in rows])


def _facts(study: Study, records: list[TrialRecord]) -> str:
    counts = (
        ", ".join(f"{count:,} {state}" for state, count in state_counts(table_of_records(records)).items())
        or "no trials yet"
    )
    settings: Mapping[str, Any] = study.fingerprint
    savings = study.savings()
    repeated, stopped = savings["trainings_saved"], savings["epochs_saved"]
    epochs = stopped + savings["epochs_trained"]
    recipe = settings.get("recipe")
    rows = [
        ("trials", counts),
        ("trainings saved", f"{repeated:,}: their networks had been trained before" if repeated else ""),
        ("epochs saved", f"{stopped:,} of {epochs:,}: their trials were stopped early" if stopped > 0 else ""),
        ("objectives", ", ".join(f"{name} ({direction})" for name, direction in study.objectives.items())),
        ("data", settings.get("data") or OWN_FUNCTION),
        ("recipe", f"{recipe['name']}, {plural(settings.get('epochs') or 0, 'epoch')}" if recipe else ""),
        ("seeds", f"{_seeds(study)}; seed of the search: {study.seed}"),
        ("devices", ", ".join(sorted({r.environment.device_name for r in records if r.environment}))),
        ("created", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(study.created))),
        ("written", f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())} by explorer {explorer.__version__}"),
    ]
    return _table((), [(name, str(value)) for name, value in rows if value])


def _seeds(study: Study) -> str:
    again = len(read_confirmations(study))
    return f"one training per network, and {plural(again, 'fresh seed')}" if again else "one training per network"


def _frontier_table(
    front: list[TrialRecord], x: str, y: str, stays: Mapping[int, float], estimates: Mapping[int, Estimate]
) -> str:
    sources = {record.number: estimates[record.number] for record in front if record.number in estimates}
    confirmed = any(not estimate.is_own for estimate in sources.values())
    names = list(dict.fromkeys((y, x, "params", "macs")))
    rows = []
    for record in front:
        values = record.quantities
        shown = [unit_of(name, [values[name]]).of(values[name]) if name in values else "" for name in names]
        if confirmed:
            shown[0] = sources[record.number].interval
            shown.append(sources[record.number].source)
        shown += [f"{stays[record.number]:.0%}"] if stays else []
        rows.append((str(record.number), *shown, ", ".join(f"{k}={v}" for k, v in record.choices.items())))
    titles = [unit_of(name, []).title for name in names]
    titles = [quantity_named(y).tested, *titles[1:], "source"] if confirmed else titles
    heads = ("trial", *titles, *(["stays"] if stays else []), "choices")
    return _table(heads, rows, numbers=len(heads) - 1)


def _section(title: str, figure: str, note: str) -> str:
    paragraph = f'<p class="note">{_escaped(note)}</p>' if note else ""
    return f'<h2>{_escaped(title)}</h2>{paragraph}<div id="{figure}" class="wide"></div>'


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]], numbers: int = 0) -> str:
    """Return an HTML table whose first ``numbers`` columns are right-aligned."""

    def cell(column: int, text: str, tag: str) -> str:
        kind = "number" if column < numbers else "long" if len(text) > LONG else ""
        label = f' data-label="{_escaped(heads[column])}"' if heads and tag == "td" else ""
        shown = _escaped(text)
        if label and text:
            shown = f"<span>{shown}</span>"
        return f"<{tag}{f' class={kind}' if kind else ''}{label}>{shown}</{tag}>"

    def line(cells: tuple[str, ...], tag: str) -> str:
        return "<tr>" + "".join(cell(column, text, tag) for column, text in enumerate(cells)) + "</tr>"

    head = f"<thead>{line(heads, 'th')}</thead>" if heads else ""
    lines = "".join(line(row, "td") for row in rows)
    kind = "cards" if heads else "facts"
    return f'<div class="wide" tabindex="0"><table class="{kind}">{head}<tbody>{lines}</tbody></table></div>'


def _escaped(value: object) -> str:
    return html.escape(safe_text(value, length=600))
