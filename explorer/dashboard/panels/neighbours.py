"""The networks one choice away from a network, and a network that no trial holds beside the trial it came from."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from explorer.costs.analytic import count_cost
from explorer.dashboard.data.architecture import (
    Neighbour,
    comparison_rows,
    neighbour_label,
    neighbour_networks,
    neighbour_rows,
    trials_by_digest,
)
from explorer.dashboard.data.space import address_of, shipped_as, space_file
from explorer.dashboard.panels.export import train_command
from explorer.dashboard.panels.network import draw_anatomy
from explorer.dashboard.panels.tables import draw_table
from explorer.dashboard.quantities import counted, unit_of
from explorer.dashboard.session import show_message
from explorer.dashboard.text import TextFormat, safe_text
from explorer.errors import ExplorerError
from explorer.records import TrialRecord
from explorer.space.choices import Derivation
from explorer.space.search_space import SearchSpace
from explorer.store import Study

# Keys of the session state.
COMPARED = "compared"  # numbers of the trials that the page shows
NETWORK = "network"  # index of a derivation shown beside them, or None

MAX_DERIVATIONS = 10**1000  # a larger index is too long for an address
MAX_BUTTONS = 8  # alternatives of one choice; more are in a list


def _total(space: SearchSpace) -> str:
    """Return the number of derivations, or of indices if the derivations are not counted."""
    return counted(space.indices) if space.is_counted else f"{counted(space.indices)} possible indices"


def draw_neighbours(study: Study, records: list[TrialRecord], space: SearchSpace, derivation: Derivation) -> None:
    """Draw, for each choice of a network, its answer and a button per alternative that opens that network."""
    st.subheader("Networks one choice away", anchor=False)
    if space.indices >= MAX_DERIVATIONS:
        show_message("This space has so many networks that their indices have more than a thousand digits.")
        return
    try:
        index = space.rank(derivation)
        own = count_cost(space.architecture(derivation)).to_dict()
        networks = _networks((space.digest, index), space, derivation)
    except (ExplorerError, KeyError) as error:
        show_message(f"The choices of this trial are not a derivation of the study's space: {error}.")
        return
    if not networks:
        show_message("No choice of this network has another alternative.")
        return
    tried, (_, objective) = trials_by_digest(records), study.plane
    st.caption(
        f"This network is derivation {index:,} of {_total(space)}. Each button opens the network that differs"
        " only in that choice. It shows the change in MACs, and the number of the trial if the network was tried."
    )
    for choice in dict.fromkeys(each.choice for each in networks):
        _draw_choice([each for each in networks if each.choice == choice], own, tried, objective)
    with st.expander("As a table"):
        draw_table(neighbour_rows(networks, own, tried, objective), "Networks one choice away")


def draw_untried(study: Study, records: list[TrialRecord], space: SearchSpace, index: int, beside: TrialRecord) -> bool:
    """Draw the network of a derivation that was not trained; return whether the space has it, or else say that not.

    Args:
        study: The study.
        records: Its trials.
        space: Its space.
        index: Index of the derivation.
        beside: The trial to compare it with.
    """
    if index >= space.indices:
        last = counted(space.indices - 1)
        show_message(f"The address names network {counted(index)}; the space of this study has networks 0 to {last}.")
        return False
    try:
        derivation = space.unrank(index)
        architecture = space.architecture(derivation)
    except ExplorerError as error:
        show_message(f"The address names network {counted(index)}: {error}.")
        return False
    costs = count_cost(architecture).to_dict()
    shown = [f"{unit_of(name, [costs[name]]).of(costs[name])} {unit_of(name, []).title}" for name in ("macs", "params")]
    st.text(" · ".join([f"derivation {index:,} of {_total(space)}", *shown]))
    holder = trials_by_digest(records).get(architecture.digest)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text("No trial holds this network." if holder is None else f"Trial {holder.number} holds this network.")
        if holder is not None:
            st.button(f"Show trial {holder.number}", key="show_holder", on_click=show_trial, args=(holder.number,))
        st.button(f"Back to trial {beside.number}", key="back", on_click=show_trial, args=(beside.number,))
    st.subheader(f"Compared with trial {beside.number}", anchor=False)
    rows = comparison_rows(
        {
            f"trial {beside.number}": ({**beside.objectives, **beside.costs}, beside.choices),
            "this network": (costs, derivation.choices),
        }
    )
    draw_table(rows[rows.differs != ""], "Differences")
    draw_anatomy(architecture)
    draw_neighbours(study, records, space, derivation)
    _draw_train_command(study, space, derivation)
    return True


def show_trial(number: int) -> None:
    """Make the page show only this trial."""
    st.session_state[COMPARED], st.session_state[NETWORK] = [number], None


def _show(neighbour: Neighbour, trial: TrialRecord | None) -> None:
    if trial is not None:
        show_trial(trial.number)
    else:
        st.session_state[NETWORK] = neighbour.index


def _draw_choice(
    others: list[Neighbour], own: Mapping[str, float], tried: Mapping[str, TrialRecord], objective: str
) -> None:
    as_buttons = len(others) <= MAX_BUTTONS
    form: TextFormat = "markdown" if as_buttons else "plain"
    labels = [neighbour_label(each, own, tried.get(each.digest), objective, form) for each in others]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(safe_text(f"{others[0].choice}: {others[0].now}, or"), width="content")
        if as_buttons:
            for each, label in zip(others, labels, strict=True):
                st.button(
                    label,
                    key=f"neighbour_{each.index}",
                    on_click=_show,
                    args=(each, tried.get(each.digest)),
                )
            return
        key = f"neighbours_{others[0].choice}"

        def picked() -> None:
            which = st.session_state[key]
            if which is not None:
                st.session_state[key] = None
                _show(others[which], tried.get(others[which].digest))

        st.selectbox(
            safe_text(f"Alternatives of {others[0].choice}", "markdown"),
            range(len(others)),
            index=None,
            format_func=labels.__getitem__,
            placeholder=f"{len(others)} alternatives",
            label_visibility="collapsed",
            key=key,
            on_change=picked,
        )


def _draw_train_command(study: Study, space: SearchSpace, derivation: Derivation) -> None:
    st.subheader("Train this network", anchor=False)
    address = address_of(study, space, derivation)
    if not study.fingerprint.get("data"):
        st.text("This study evaluated its networks with a function of its author; the address names the network to it.")
        st.code(safe_text(address, length=5_000), language=None, wrap_lines=True)
    else:
        st.code(train_command(study, address), language=None, wrap_lines=True)
    if shipped_as(study) is None:
        name = space_file(study)
        st.download_button("Save the space file", study.space_text, file_name=name, on_click="ignore", key="save_space")
        st.caption(f"The space is not shipped with the explorer: save its file as {name} first.")


@st.cache_data(max_entries=64, show_spinner="Deriving the networks one choice away")
def _networks(key: tuple[str, int], _space: SearchSpace, _derivation: Derivation) -> list[Neighbour]:
    return neighbour_networks(_space, _derivation)
