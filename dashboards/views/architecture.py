"""Networks in full: side by side, where their costs lie, what happens if one choice changes, their code."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import streamlit as st

from dashboards.cost_figures import place_figure
from dashboards.cost_tables import COSTED, comparison_rows, cost_by_place, neighbour_rows, stage_rows
from dashboards.current import chosen_trial, current_study, keep_chosen, say, storage_url
from dashboards.diagram import block_dot, block_groups, network_dot
from dashboards.figures import gradient_figure
from dashboards.launch import server_environment
from dashboards.quantities import unit_of
from dashboards.reading import read_gradient_flow, read_trial
from dashboards.spaces import space_of
from dashboards.tables import frontier_points
from dashboards.text import safe_text
from dashboards.views.detail import export_command, headline, training_part
from explorer.architecture import Architecture
from explorer.errors import ExplorerError, ExportError, StoreError
from explorer.grammar.space import Derivation
from explorer.records import TrialRecord
from explorer.store import Study

SIDE_BY_SIDE = 4
FLAT = {"displayModeBar": False}
COMPARED = "compared"


def draw() -> None:
    """The page."""
    found = current_study()
    if found is None:
        return
    study, records = found
    if not records:
        say("This study has no trials yet. They appear here by themselves once the search has begun.")
        return
    numbers = _pick(study, records)
    if not numbers:
        say("Pick one trial to see it in full, or up to four to see them side by side.")
        return
    keep_chosen(study, numbers[0])
    trials = [trial for number in numbers if (trial := _read(study, number)) is not None]
    if len(trials) > 1:
        _compare(trials)
    elif trials:
        _one(study, records, trials[0])


def _pick(study: Study, records: list[TrialRecord]) -> list[int]:
    states = {record.number: record.state for record in records}
    chosen = chosen_trial(study)
    if chosen is None or chosen not in states:
        x = next((name for name in study.objectives if name != next(iter(study.objectives))), "macs")
        points = frontier_points(records, x, next(iter(study.objectives)), study.objectives)
        front = [int(number) for number in points.trial[points.frontier]]
        chosen = front[-1] if front else records[0].number
    if COMPARED not in st.session_state or not set(st.session_state[COMPARED]) <= set(states):
        st.session_state[COMPARED] = [chosen]
    return st.multiselect(
        "Trials (up to four, side by side)",
        list(states),
        format_func=lambda number: f"{number} — {safe_text(states.get(number, ''))}",
        key=COMPARED,
        max_selections=SIDE_BY_SIDE,
    )


def _read(study: Study, number: int) -> TrialRecord | None:
    try:
        return read_trial(study, number)
    except StoreError as error:
        say(f"{error}.")
        return None


def _architecture(trial: TrialRecord) -> Architecture | None:
    try:
        return Architecture.from_json(trial.architecture)
    except ExplorerError as error:
        say(f"The architecture of trial {trial.number} cannot be read: {error}.")
        return None


def _blocks(architecture: Architecture, key: str) -> None:
    groups = block_groups(architecture)
    place = st.selectbox(
        "Block", range(len(groups)), format_func=lambda n: groups[n].title, label_visibility="collapsed", key=key
    )
    st.graphviz_chart(block_dot(groups[place]), width="content")


def _compare(trials: list[TrialRecord]) -> None:
    rows = comparison_rows(trials)
    st.subheader("What differs", anchor=False)
    only = st.toggle("Only what differs", value=True, key="only_differences")
    st.dataframe(rows[rows.differs != ""] if only else rows, hide_index=True, width="stretch", height="content")
    for column, trial in zip(st.columns(len(trials), gap="medium"), trials, strict=True):
        with column:
            st.text(headline(trial))
            architecture = _architecture(trial)
            if architecture is not None:
                _blocks(architecture, f"block_of_{trial.number}")
                st.dataframe(stage_rows(architecture), hide_index=True, width="stretch", height="content")


def _one(study: Study, records: list[TrialRecord], trial: TrialRecord) -> None:
    st.text(headline(trial))
    if trial.reason:
        say(f"{trial.state}: {trial.reason}")
    architecture = _architecture(trial)
    if architecture is None:
        return
    left, right = st.columns([2, 3], gap="medium")
    with left:
        st.subheader("Block", anchor=False)
        _blocks(architecture, "block")
        with st.expander("The whole network"):
            st.graphviz_chart(network_dot(architecture), width="content")
    with right:
        st.subheader("Where its costs lie", anchor=False)
        cost = st.segmented_control("Cost", COSTED, format_func=_title, default="macs", key="by_place", required=True)
        table = cost_by_place(architecture)
        unit = unit_of(cost, table.groupby("part")[cost].sum())
        st.plotly_chart(place_figure(table, cost, unit), key="place_chart", width="stretch", config=FLAT)
        st.dataframe(stage_rows(architecture), hide_index=True, width="stretch", height="content")
    st.subheader("If only one choice changes", anchor=False)
    _neighbours(study, records, trial, architecture)
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Training", anchor=False)
        training_part(study, trial)
        _gradients(study, trial)
    with right:
        st.subheader("Take it with you", anchor=False)
        _take(study, trial, architecture)


def _gradients(study: Study, trial: TrialRecord) -> None:
    try:
        flow = read_gradient_flow(study, trial.digest)
    except StoreError as error:
        say(f"{error}.")
        return
    if flow is None:
        st.caption("No gradient flow was recorded; a search with --record-gradients keeps one of each network.")
        return
    st.subheader("Gradients at initialisation", anchor=False)
    st.plotly_chart(gradient_figure(flow), key="gradient_chart", width="stretch", config=FLAT)
    st.caption(safe_text(f"A batch of {flow.batch} images of {flow.source}, seed {flow.seed}.", "markdown"))


def _neighbours(study: Study, records: list[TrialRecord], trial: TrialRecord, architecture: Architecture) -> None:
    space = space_of(study, architecture)
    if isinstance(space, str):
        say(space)
        return
    trained = {record.digest: record for record in records if record.state == "complete"}
    try:
        derivation = Derivation(dict(trial.choices))
        rows = neighbour_rows(space, derivation, trained, next(iter(study.objectives)))
        index = space.rank(derivation)
    except (ExplorerError, KeyError) as error:
        say(f"The choices of this trial are not a derivation of the study's space: {error}.")
        return
    percents = {name: st.column_config.NumberColumn(format="%+.1f") for name in rows.columns if name.endswith("(%)")}
    st.dataframe(rows, hide_index=True, width="stretch", column_config=percents)
    st.caption(
        f"This network is derivation {index:,} of {space.count():,}. Costs are against its own; a trial number means "
        "that the neighbour was trained. Train another with: explorer train SPACE.yaml\\#INDEX"
    )


def _take(study: Study, trial: TrialRecord, architecture: Architecture) -> None:
    st.caption("The whole export with this line")
    st.code(export_command(study, trial.number), language=None, wrap_lines=True)
    document = json.dumps(json.loads(architecture.to_json()), indent=2)
    with st.container(horizontal=True):
        st.download_button(
            "architecture.json", document, file_name="architecture.json", on_click="ignore", key="take_json"
        )
        if trial.state in ("complete", "cached") and st.button("Export as a zip file", key="prepare"):
            with st.spinner("Exporting and checking"):
                try:
                    packed = zipped_export(study, trial, storage_url())
                except ExportError as error:
                    say(f"Not exported: {error}")
                else:
                    name = f"trial-{trial.number}.zip"
                    st.download_button(f"Save {name}", packed, name, "application/zip", on_click="ignore", key="zip")
    if st.toggle("Show its code and its line of the language", key="show_code"):
        from explorer.export.code import write_code  # the page starts without torch
        from explorer.export.space_file import space_text

        st.code(space_text(architecture), language="yaml")
        st.code(write_code(architecture).text, language="python", height=500)


def zipped_export(study: Study, trial: TrialRecord, storage: str) -> bytes:
    """What ``explorer export`` writes of a trial, as a zip file. Raises ExportError with what it said instead.

    In a process of its own: a trial without kept weights is trained again, which the server need not wait for.
    """
    with tempfile.TemporaryDirectory() as above:
        folder = Path(above) / f"trial-{trial.number}"
        command = [sys.executable, "-c", "from explorer.cli import main; main()"]
        command += ["export", f"{study.name}:{trial.number}", "-o", str(folder)]
        done = subprocess.run(
            command, env=server_environment(storage), capture_output=True, text=True, errors="replace"
        )
        if done.returncode:
            raise ExportError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "the export failed")
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(folder.rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    archive.write(file, f"{folder.name}/{file.relative_to(folder)}")
        return packed.getvalue()


def _title(name: str) -> str:
    return unit_of(name, []).title
