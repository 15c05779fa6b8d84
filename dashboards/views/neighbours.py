"""What happens if only one choice changes: the networks one choice away, each a button that opens it; and how a network
that no trial holds is shown beside the one that it was reached from."""

from __future__ import annotations

import streamlit as st

from dashboards.cost_tables import comparison_rows
from dashboards.current import say
from dashboards.neighbours import Neighbour, by_digest, neighbour_label, neighbour_networks, neighbour_rows
from dashboards.quantities import counted, unit_of
from dashboards.spaces import address_of, shipped_as, space_file
from dashboards.text import safe_text
from dashboards.views.anatomy import draw_anatomy
from dashboards.views.detail import train_command
from explorer.costing.analytic import count_cost
from explorer.errors import ExplorerError
from explorer.records import TrialRecord
from explorer.space.choices import Derivation
from explorer.space.search_space import SearchSpace
from explorer.store import Study

COMPARED = "compared"  # the session's key of the numbers of the trials that the page shows
NETWORK = "network"  # and of the index of a derivation shown beside them, or None
LARGEST = 10**1000  # derivations that can be numbered in an address
MOST_BUTTONS = 8  # alternatives of one choice; more are picked from a list


def draw_neighbours(study: Study, records: list[TrialRecord], space: SearchSpace, derivation: Derivation) -> None:
    """Choice by choice: what the network answers, and a button for every other answer."""
    st.subheader("If only one choice changes", anchor=False)
    if space.count() >= LARGEST:
        say("This space holds so many networks that their numbers have more than a thousand digits.")
        return
    try:
        index = space.rank(derivation)
        own = count_cost(space.architecture(derivation)).to_dict()
        networks = _networks((space.digest, index), space, derivation)
    except (ExplorerError, KeyError) as error:
        say(f"The choices of this trial are not a derivation of the study's space: {error}.")
        return
    if not networks:
        say("No choice of this network has another alternative.")
        return
    tried, (_, objective) = by_digest(records), study.plane
    st.caption(
        f"This network is derivation {index:,} of {counted(space.count())}. Each button opens the network that differs"
        " in that choice alone, its MACs against this one's; a trial's number says that it was tried."
    )
    for choice in dict.fromkeys(each.choice for each in networks):
        _draw_choice([each for each in networks if each.choice == choice], own, tried, objective)
    with st.expander("The same as a table"):
        st.dataframe(neighbour_rows(networks, own, tried, objective), hide_index=True, width="stretch")


def draw_untried(study: Study, records: list[TrialRecord], space: SearchSpace, index: int, beside: TrialRecord) -> None:
    """The network of derivation ``index``, which was not trained, beside the trial it was reached from."""
    try:
        derivation = space.unrank(index)
        architecture = space.architecture(derivation)
    except ExplorerError as error:
        say(f"{error}.")
        return
    costs = count_cost(architecture).to_dict()
    shown = [f"{unit_of(name, [costs[name]]).of(costs[name])} {unit_of(name, []).title}" for name in ("macs", "params")]
    st.text(" · ".join([f"derivation {index:,} of {counted(space.count())}", *shown]))
    holds = by_digest(records).get(architecture.digest)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text("No trial holds this network." if holds is None else f"Trial {holds.number} holds this network.")
        if holds is not None:
            st.button(f"Show trial {holds.number}", key="show_holder", on_click=show_trial, args=(holds.number,))
        st.button(f"Back to trial {beside.number}", key="back", on_click=show_trial, args=(beside.number,))
    st.subheader(f"Against trial {beside.number}", anchor=False)
    rows = comparison_rows(
        {
            f"trial {beside.number}": ({**beside.objectives, **beside.costs}, beside.choices),
            "this network": (costs, derivation.choices),
        }
    )
    st.dataframe(rows[rows.differs != ""], hide_index=True, width="stretch", height="content")
    draw_anatomy(architecture)
    draw_neighbours(study, records, space, derivation)
    _draw_training(study, space, derivation)


def show_trial(number: int) -> None:
    """Has the page show one trial alone."""
    st.session_state[COMPARED], st.session_state[NETWORK] = [number], None


def _show(neighbour: Neighbour, trial: TrialRecord | None) -> None:
    if trial is not None:
        show_trial(trial.number)
    else:
        st.session_state[NETWORK] = neighbour.index


def _draw_choice(others: list[Neighbour], own: dict[str, float], tried: dict[str, TrialRecord], objective: str) -> None:
    as_buttons = len(others) <= MOST_BUTTONS
    place = "markdown" if as_buttons else "plain"
    labels = [neighbour_label(each, own, tried.get(each.digest), objective, place) for each in others]
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
            safe_text(f"Others of {others[0].choice}", "markdown"),
            range(len(others)),
            index=None,
            format_func=labels.__getitem__,
            placeholder=f"{len(others)} others",
            label_visibility="collapsed",
            key=key,
            on_change=picked,
        )


def _draw_training(study: Study, space: SearchSpace, derivation: Derivation) -> None:
    st.subheader("Train it", anchor=False)
    address = address_of(study, space, derivation)
    if not study.fingerprint.get("data"):
        st.text("The networks of this study were evaluated by a function of its author's, to which this address goes.")
        st.code(safe_text(address, length=5_000), language=None, wrap_lines=True)
    else:
        st.code(train_command(study, address), language=None, wrap_lines=True)
    if shipped_as(study) is None:
        name = space_file(study)
        st.download_button(
            "Save the space's file", study.space_text, file_name=name, on_click="ignore", key="save_space"
        )
        st.caption(f"The space is not one of those that come with the explorer: save its file as {name} first.")


@st.cache_data(max_entries=64, show_spinner="Deriving its neighbours")
def _networks(key: tuple, _space: SearchSpace, _derivation: Derivation) -> list[Neighbour]:
    return neighbour_networks(_space, _derivation)
