"""One trial in detail: its block as papers draw it, its stages, training curve, costs and choices."""

from __future__ import annotations

import shlex

import pandas
import streamlit as st

from dashboards.current import say
from dashboards.diagram import network_dot
from dashboards.figures import training_figure
from dashboards.quantities import unit_of
from dashboards.reading import read_trial
from dashboards.text import safe_text
from dashboards.views.anatomy import draw_blocks
from explorer.architecture import Architecture
from explorer.errors import ExplorerError, StoreError
from explorer.records import TrialRecord
from explorer.store import Study
from explorer.store.database import DEFAULT_STORAGE


def draw_detail(study: Study, number: int) -> None:
    """Everything that is kept of trial ``number``."""
    try:
        trial = read_trial(study, number)
    except StoreError as error:
        say(f"{error}.")
        return
    st.text(headline(study, trial))
    if trial.reason:
        say(f"{trial.state}: {trial.reason}")
    block, network, training, numbers = st.tabs(["Block", "Network", "Training", "Choices and costs"])
    try:
        architecture = Architecture.from_json(trial.architecture, trial.digest)
    except ExplorerError as error:
        architecture = None
        with block:
            say(f"The architecture of this trial cannot be read: {error}.")
    if architecture is not None:
        with block:
            draw_blocks(architecture, "block")
        with network:
            st.graphviz_chart(network_dot(architecture), width="content")
    with training:
        training_part(study, trial)
    with numbers:
        _numbers(trial)
    st.caption("Export this network with")
    st.code(export_command(study, number), language=None, wrap_lines=True)


def export_command(study: Study, number: int) -> str:
    """What to type to export a trial. A storage that needs a password is left to the environment."""
    words = ["explorer", "export", safe_text(f"{study.name}:{number}", length=300), "-o", f"trial-{number}"]
    if study.storage != DEFAULT_STORAGE and "***" not in study.storage:
        words += ["--storage", safe_text(study.storage, length=500)]
    return shlex.join(words)


def train_command(study: Study, address: str) -> str:
    """What to type to train the network at ``address`` as the study trains its own."""
    terms = study.fingerprint
    place = study.data_places[0] if study.data_places else {}
    data = place.get("name", str(terms["data"]))
    words = ["explorer", "train", address, "--data", data, "--epochs", str(terms.get("epochs"))]
    words += ["--data-dir", place["data_dir"]] if "data_dir" in place else []
    recipe, subset = (terms.get("recipe") or {}).get("name"), (terms.get("split") or {}).get("subset")
    words += ["--recipe", recipe] if recipe else []
    words += ["--subset", str(subset)] if subset else []
    return shlex.join(safe_text(word, length=5_000) for word in words)


def headline(study: Study, trial: TrialRecord) -> str:
    """A trial in one line: number, state, accuracy, what else its study is after, MACs, parameters."""
    parts = [f"trial {trial.number}", trial.state]
    if trial.same_as is not None:
        parts.append(f"same network as trial {trial.same_as}")
    values = trial.quantities
    for name in dict.fromkeys(("accuracy", *study.objectives, "macs", "params")):
        if name in values:
            unit = unit_of(name, [values[name]])
            parts.append(f"{unit.of(values[name])} {'' if name == 'accuracy' else unit.title}".strip())
    return safe_text(" · ".join(parts))


def training_part(study: Study, trial: TrialRecord) -> None:
    """A trial's training curve with its figures, or why there is none."""
    try:
        # A cached trial holds the network of another, whose training is its own.
        trained = read_trial(study, trial.same_as) if trial.state == "cached" and trial.same_as is not None else trial
    except StoreError as error:
        say(f"{error}.")
        return
    if trained.result is None or not trained.result.curve:
        waiting = "It is drawn when the training ends." if trial.state == "running" else "None was kept of this trial."
        say(f"No training curve. {waiting}")
        return
    if trained is not trial:
        st.caption(f"The training of trial {trained.number}, which holds the same network.")
    st.plotly_chart(
        training_figure(trained.result.curve), width="stretch", key="training_chart", config={"displayModeBar": False}
    )
    result = trained.result
    st.caption(
        f"{result.epochs} epochs in {result.seconds:.1f} s, {result.images_per_second:,.0f} images/s in training steps."
    )


def _numbers(trial: TrialRecord) -> None:
    values = {**trial.objectives, **trial.costs}
    rows = [(unit.title, unit.of(value)) for name, value in values.items() for unit in (unit_of(name, [value]),)]
    rows += [(safe_text(name), safe_text(text, "cell")) for name, text in trial.choices.items()]
    rows.append(("seed", str(trial.seed)))
    if trial.seconds is not None:
        rows.append(("seconds", f"{trial.seconds:.1f}"))
    if trial.environment is not None:
        rows.append(
            ("device", safe_text(f"{trial.environment.device_name}, {trial.environment.threads} threads", "cell"))
        )
    rows.append(("digest", safe_text(trial.digest, "cell")))
    st.dataframe(pandas.DataFrame(rows, columns=["", "value"]), hide_index=True, width="stretch", height="content")
