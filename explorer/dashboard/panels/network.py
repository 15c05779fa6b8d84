"""One network or trial: its blocks, its costs by part, its training, its choices."""

from __future__ import annotations

from collections.abc import Mapping

import pandas
import streamlit as st

from explorer.analysis.amounts import plural
from explorer.analysis.quantities import quantity_named
from explorer.dashboard.data.architecture import COSTED, compared_stage_rows, cost_by_part, stage_rows
from explorer.dashboard.data.storage import read_trial
from explorer.dashboard.figures.architecture import cost_figure, training_figure
from explorer.dashboard.figures.drawing.groups import BlockGroup, block_groups, counterpart
from explorer.dashboard.figures.drawing.layout import block_drawing, network_drawing
from explorer.dashboard.panels.charts import draw_figure
from explorer.dashboard.panels.drawings import draw_drawing
from explorer.dashboard.panels.estimated import estimates_for
from explorer.dashboard.panels.export import export_command, is_exportable
from explorer.dashboard.panels.notes import draw_notes
from explorer.dashboard.panels.tables import draw_table
from explorer.dashboard.quantities import unit_of
from explorer.dashboard.session import show_message
from explorer.dashboard.text import safe_text
from explorer.errors import ExplorerError, StoreError
from explorer.networks.architecture import Architecture
from explorer.records import TrialRecord
from explorer.store import Study


def quantity_title(name: str) -> str:
    """Return the title of a quantity, without its unit."""
    return unit_of(name, []).title


def draw_blocks(
    architecture: Architecture, key: str, other: Architecture | None = None, height: int | None = None
) -> None:
    """Draw a picker of the network's distinct blocks and the drawing of the picked one.

    Args:
        architecture: The network.
        key: A name that no other picker of the page has.
        other: A network to compare it with; boxes that differ are marked.
        height: Greatest height of the drawing in pixels; None for its own.
    """
    groups = block_groups(architecture)
    picked = st.selectbox(
        "Block", range(len(groups)), format_func=lambda n: groups[n].title, label_visibility="collapsed", key=key
    )
    theirs: BlockGroup | None = counterpart(groups[picked], block_groups(other)) if other is not None else None
    draw_drawing(block_drawing(groups[picked], theirs), f"{key}_drawing", height)


def draw_anatomy(architecture: Architecture) -> None:
    """Draw block and network on the left, costs by part on the right."""
    left, right = st.columns([2, 3], gap="medium")
    with left:
        st.subheader("Block", anchor=False)
        draw_blocks(architecture, "block")
        with st.expander("The whole network"):
            draw_drawing(network_drawing(architecture), "whole")
    with right:
        st.subheader("Costs by part", anchor=False)
        cost = st.segmented_control(
            "Cost", COSTED, format_func=quantity_title, default="macs", key="by_place", required=True
        )
        table = cost_by_part(architecture)
        draw_figure(cost_figure(table, cost, unit_of(cost, table.groupby("part")[cost].sum())), "place")
        draw_stages(architecture)


def draw_stages(architecture: Architecture) -> None:
    """Draw the network's parts as a table."""
    draw_table(stage_rows(architecture), "Parts of the network with their costs")


def draw_compared_stages(networks: Mapping[str, Architecture]) -> None:
    """Draw the parts of several networks as one table, equal parts below each other.

    Args:
        networks: Heading of each network -> the network.
    """
    draw_table(compared_stage_rows(networks), "Parts of the networks with their costs")


DETAIL = "detail"  # key of the tabs
BLOCK, NETWORK_TAB, TRAINING, NUMBERS = "Block", "Network", "Training", "Choices and costs"
DRAWING_HEIGHT = 330  # pixels, so that a block is on the first screen


def draw_detail(study: Study, number: int) -> None:
    """Draw everything that is stored about a trial; only the open tab is computed."""
    try:
        trial = read_trial(study, number)
    except StoreError as error:
        show_message(f"{error}.")
        return
    draw_headline(study, trial)
    block, network, training, numbers = st.tabs([BLOCK, NETWORK_TAB, TRAINING, NUMBERS], on_change="rerun", key=DETAIL)
    if block.open or network.open:
        try:
            architecture = trial.architecture
        except ExplorerError as error:
            show_message(f"The architecture of this trial cannot be read: {error}.")
        else:
            with block if block.open else network:
                if block.open:
                    draw_blocks(architecture, "block", height=DRAWING_HEIGHT)
                else:
                    draw_drawing(network_drawing(architecture), "network", DRAWING_HEIGHT)
    elif training.open:
        with training:
            draw_training(study, trial)
    else:
        with numbers:
            _draw_numbers(study, trial)
            if is_exportable(study, trial):
                st.caption("Export this network with")
                st.code(export_command(study, number), language=None, wrap_lines=True)
            draw_notes(study, number)


def draw_headline(study: Study, trial: TrialRecord) -> None:
    """Draw a trial in one line, and the reason of its state, if it has one. Raises StoreError."""
    st.text(headline(study, trial))
    if trial.reason:
        show_message(f"{trial.state}: {trial.reason}")


def headline(study: Study, trial: TrialRecord) -> str:
    """Return a trial in one line: number, state, accuracy, objectives, MACs and parameters. Raises StoreError."""
    parts = [f"trial {trial.number}", trial.state]
    if trial.same_as is not None:
        parts.append(f"same network as trial {trial.same_as}")
    values, estimates = trial.quantities, estimates_for(study, trial)
    for name in dict.fromkeys(("accuracy", *study.objectives, "macs", "params")):
        if name in values:
            unit = unit_of(name, [values[name]])
            own, title = unit.exact(values[name]), "" if name == "accuracy" else unit.title
            if name in estimates:
                best = estimates[name]
                source = f"({best.source}{f'; in the search {own}' if best.seeds else ''})"
                parts.append(f"{unit.joined(best.interval, title)} {source}")
            else:
                parts.append(unit.joined(own, title))
    return safe_text(" · ".join(parts))


def draw_training(study: Study, trial: TrialRecord) -> None:
    """Draw a trial's training curve, or say why there is none."""
    try:
        # A cached trial has the network, and therefore the training, of another one.
        trained = read_trial(study, trial.same_as) if trial.state == "cached" and trial.same_as is not None else trial
    except StoreError as error:
        show_message(f"{error}.")
        return
    if trained.result is None or not trained.result.curve:
        reason = "It is drawn when the training ends." if trial.state == "running" else "This trial stored none."
        show_message(f"No training curve. {reason}")
        return
    if trained is not trial:
        st.caption(f"The training of trial {trained.number}, which has the same network.")
    draw_figure(training_figure(trained.result.curve), "training")
    result = trained.result
    st.caption(
        f"{plural(result.epochs, 'epoch')} in {result.seconds:.1f} s, {result.images_per_second:,.0f} images/s"
        " in training steps."
    )


def _draw_numbers(study: Study, trial: TrialRecord) -> None:
    values, estimates, rows = {**trial.objectives, **trial.costs}, estimates_for(study, trial), []
    for name, value in values.items():
        unit = unit_of(name, [value])
        if name in estimates:
            rows.append((f"{quantity_named(name).tested}, best estimate", str(estimates[name])))
        rows.append((f"{unit.title}{', in the search' if name in estimates else ''}", unit.exact(value)))
    rows += [(safe_text(name), safe_text(text, "cell")) for name, text in trial.choices.items()]
    rows.append(("seed", str(trial.seed)))
    if trial.counterpart:
        rows.append(("counterpart of trial", str(trial.counterpart["twin"])))
    if trial.seconds is not None:
        rows.append(("seconds", f"{trial.seconds:.1f}"))
    if trial.environment is not None:
        rows.append(
            ("device", safe_text(f"{trial.environment.device_name}, {trial.environment.threads} threads", "cell"))
        )
    rows.append(("digest", safe_text(trial.digest, "cell")))
    draw_table(pandas.DataFrame(rows, columns=["", "value"]), "Choices and costs of the trial")
