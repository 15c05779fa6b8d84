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

from dashboards.cost_tables import comparison_rows
from dashboards.current import (
    LISTED,
    chosen_trial,
    current_study,
    identity,
    keep_chosen,
    kept,
    say,
    storage_url,
)
from dashboards.figures import gradient_figure
from dashboards.launch import server_environment
from dashboards.places import Place, read_number, read_place
from dashboards.reading import read_gradient_flow, read_trial
from dashboards.spaces import space_of
from dashboards.tables import frontier_points
from dashboards.text import safe_text
from dashboards.views.anatomy import FLAT, draw_anatomy, draw_blocks, draw_stages
from dashboards.views.detail import export_command, headline, training_part
from dashboards.views.neighbours import COMPARED, NETWORK, draw_neighbours, draw_untried
from explorer.architecture import Architecture
from explorer.errors import ExplorerError, ExportError, StoreError
from explorer.records import TrialRecord
from explorer.space.choices import Derivation
from explorer.store import Study

SIDE_BY_SIDE = 5  # the five orders of He et al. 2016
# Keys of the session: the study whose trials are shown; what the address bar said when the page was last drawn; the
# study and trials that the page shows where the address bar says nothing.
SHOWN_OF, SAID, HOME = "compared_of", "place", "home"


def draw() -> None:
    """The page."""
    asked, problem = read_place({name: st.query_params.get_all(name) for name in ("study", "trial", "network")})
    moved = asked != st.session_state.get(SAID, Place())  # a link was followed, or the browser's Back
    found = current_study()
    if found is None:
        return
    study, records = found
    if not records:
        say("This study has no trials yet. They appear here by themselves once the search has begun.")
        return
    here = asked if asked.study in ("", study.name) else Place()
    states = {record.number: record.state for record in records}
    unknown = [number for number in here.trials if number not in states]
    if unknown:
        problem = f"The address asks for trial {unknown[0]}; this study has trials 0 to {max(states)}."
    if problem:
        say(problem)
    _arrange(study, records, here._replace(trials=tuple(number for number in here.trials if number in states)), moved)
    numbers = _pick(states, _frontier(study, records))
    _tell_address(study, asked, here, numbers)
    if not numbers:
        say("Pick one trial to see it in full, or up to five to see them side by side.")
        return
    keep_chosen(study, numbers[0])
    trials = [trial for number in numbers if (trial := _read(study, number)) is not None]
    network = st.session_state[NETWORK]
    if trials and network is not None:
        _untried(study, records, trials[0], network)
    elif len(trials) > 1:
        _compare(study, trials)
    elif trials:
        _one(study, records, trials[0])


def _arrange(study: Study, records: list[TrialRecord], asked: Place, moved: bool) -> None:
    """Has the session hold what to show: what it held before, unless the study is another or the address says so."""
    fresh = COMPARED not in st.session_state or st.session_state.get(SHOWN_OF) != identity(study)
    if fresh:
        st.session_state[SHOWN_OF] = identity(study)
        st.session_state[HOME] = [_first(study, records)]
    if fresh or moved:
        st.session_state[COMPARED] = list(asked.trials)[:SIDE_BY_SIDE] or st.session_state[HOME]
        st.session_state[NETWORK] = asked.network


def _tell_address(study: Study, asked: Place, here: Place, numbers: list[int]) -> None:
    """Has the address bar say what the page shows, so that it can be sent to others and come back to."""
    shown = Place(study.name, tuple(numbers), st.session_state[NETWORK])
    if here != asked or shown != Place(study.name, here.trials or tuple(st.session_state[HOME]), here.network):
        st.query_params.from_dict(shown.query())
        asked = shown
    st.session_state[SAID] = asked


def _first(study: Study, records: list[TrialRecord]) -> int:
    """The trial looked at last, or else the dear end of the frontier."""
    chosen = chosen_trial(study)
    if chosen is not None and any(record.number == chosen for record in records):
        return chosen
    front = _frontier(study, records)
    return front[-1] if front else records[0].number


def _frontier(study: Study, records: list[TrialRecord]) -> list[int]:
    """The trials on the frontier of the study's plane, by ascending cost."""

    def find() -> list[int]:
        points = frontier_points(records, *study.plane, study.objectives)
        return [int(number) for number in points.trial[points.frontier]]

    return kept((*identity(study), study.revision, "front"), find)


def _pick(states: dict[int, str], front: list[int]) -> list[int]:
    """The picker of trials. Of too many to send a list the frontier's are offered, and any other number is typed."""

    def leave_network() -> None:
        st.session_state[NETWORK] = None

    picked = st.session_state[COMPARED]
    numbers = [number for number in map(read_number, map(str, picked)) if number in states]
    if numbers != picked:  # something was typed
        st.session_state[COMPARED] = list(dict.fromkeys(numbers))
        strange = [safe_text(each, length=40) for each in picked if read_number(str(each)) not in states]
        if strange:
            say(f"No trial {', '.join(strange)}: this study has trials 0 to {max(states):,}.")
    few = len(states) <= LISTED
    return st.multiselect(
        "Trials (up to five, side by side)" if few else f"Trials (up to five; type a number, 0 to {max(states):,})",
        list(states) if few else sorted({*front, *st.session_state[COMPARED]}),
        # A label that changed, with a trial's state say, would be another option, and what is picked be lost.
        format_func=str,
        key=COMPARED,
        max_selections=SIDE_BY_SIDE,
        accept_new_options=True,
        on_change=leave_network,
    )


def _read(study: Study, number: int) -> TrialRecord | None:
    try:
        return read_trial(study, number)
    except StoreError as error:
        say(f"{error}.")
        return None


def _architecture(trial: TrialRecord) -> Architecture | None:
    try:
        return Architecture.from_json(trial.architecture, trial.digest)
    except ExplorerError as error:
        say(f"The architecture of trial {trial.number} cannot be read: {error}.")
        return None


def _compare(study: Study, trials: list[TrialRecord]) -> None:
    rows = comparison_rows(
        {f"trial {each.number}": ({**each.objectives, **each.costs}, each.choices) for each in trials}
    )
    st.subheader("What differs", anchor=False)
    only = st.toggle("Only what differs", value=True, key="only_differences")
    st.dataframe(rows[rows.differs != ""] if only else rows, hide_index=True, width="stretch", height="content")
    for column, trial in zip(st.columns(len(trials), gap="medium"), trials, strict=True):
        with column:
            st.text(headline(study, trial))
            architecture = _architecture(trial)
            if architecture is not None:
                draw_blocks(architecture, f"block_of_{trial.number}")
                draw_stages(architecture)


def _one(study: Study, records: list[TrialRecord], trial: TrialRecord) -> None:
    st.text(headline(study, trial))
    if trial.reason:
        say(f"{trial.state}: {trial.reason}")
    architecture = _architecture(trial)
    if architecture is None:
        return
    draw_anatomy(architecture)
    space = space_of(study, architecture)
    if isinstance(space, str):
        say(space)
    else:
        draw_neighbours(study, records, space, Derivation(dict(trial.choices)))
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Training", anchor=False)
        training_part(study, trial)
        _gradients(study, trial)
    with right:
        st.subheader("Take it with you", anchor=False)
        _take(study, trial, architecture)


def _untried(study: Study, records: list[TrialRecord], trial: TrialRecord, network: int) -> None:
    architecture = _architecture(trial)
    if architecture is None:
        return
    space = space_of(study, architecture)
    if isinstance(space, str):
        say(space)
    else:
        draw_untried(study, records, space, network, trial)


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
