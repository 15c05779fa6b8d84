"""Take a network out of the dashboard: commands that export or train it, its files and its code."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import streamlit as st

from explorer.dashboard.data.storage import read_trial
from explorer.dashboard.launch import server_environment
from explorer.dashboard.session import show_message, storage_url
from explorer.dashboard.text import safe_text
from explorer.errors import ExportError
from explorer.networks.architecture import Architecture
from explorer.records import TrialRecord
from explorer.store import Study
from explorer.store.database import DEFAULT_STORAGE

PICTURE = "picture"  # key of the session state: the format in which the figure is saved
PICTURES = ("svg", "png")


def draw_picture_options() -> None:
    """Draw the picker of the format in which the camera button above the figure saves it."""
    st.selectbox("Save the figure as", PICTURES, format_func=str.upper, key=PICTURE, width=200)


def picture_options() -> dict[str, Any]:
    """Return the settings of the buttons above a figure."""
    saved = st.session_state.get(PICTURE, PICTURES[0])
    return {
        "displaylogo": False,
        "modeBarButtonsToRemove": ["lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d"],
        "toImageButtonOptions": {"format": saved, "filename": "frontier", "scale": 2 if saved == "png" else 1},
        "edits": {"shapePosition": True},
    }


def export_command(study: Study, number: int) -> str:
    """Return the command that exports a trial. A storage that needs a password is left to the environment."""
    words = ["explorer", "export", safe_text(f"{study.name}:{number}", length=300), "-o", f"trial-{number}"]
    if study.storage != DEFAULT_STORAGE and "***" not in study.storage:
        words += ["--storage", safe_text(study.storage, length=500)]
    return shlex.join(words)


def is_exportable(study: Study, trial: TrialRecord) -> bool:
    """Return whether a trial, or the trial that a cached one repeats, is complete. Raises StoreError."""
    return (trial if trial.same_as is None else read_trial(study, trial.same_as)).state == "complete"


def train_command(study: Study, address: str) -> str:
    """Return the command that trains the network at an address with the study's training settings."""
    settings = study.fingerprint
    place = study.data_places[0] if study.data_places else {}
    data = place.get("name", str(settings["data"]))
    words = ["explorer", "train", address, "--data", data, "--epochs", str(settings.get("epochs"))]
    words += ["--data-dir", place["data_dir"]] if "data_dir" in place else []
    recipe, subset = (settings.get("recipe") or {}).get("name"), (settings.get("split") or {}).get("subset")
    words += ["--recipe", recipe] if recipe else []
    words += ["--subset", str(subset)] if subset else []
    return shlex.join(safe_text(word, length=5_000) for word in words)


def draw_export(study: Study, trial: TrialRecord, architecture: Architecture, address: str = "") -> None:
    """Draw the export command, buttons that save the architecture or a zip file, and the network's code on request.

    A trial without a result has neither the command nor the zip file. Raises StoreError.

    Args:
        study: The study.
        trial: The trial.
        architecture: Its network.
        address: The line that names the network in its space; empty if there is none.
    """
    exportable = is_exportable(study, trial)
    if exportable:
        st.caption("Export with this command")
        st.code(export_command(study, trial.number), language=None, wrap_lines=True)
    if address:
        st.caption("The network in one line, which every command takes")
        st.code(safe_text(address, length=5_000), language=None, wrap_lines=True)
    document = json.dumps(json.loads(architecture.to_json()), indent=2)
    with st.container(horizontal=True):
        st.download_button(
            "architecture.json", document, file_name="architecture.json", on_click="ignore", key="take_json"
        )
        if exportable and st.button("Export as a zip file", key="prepare"):
            with st.spinner("Exporting and checking"):
                try:
                    packed = zipped_export(study, trial, storage_url())
                except ExportError as error:
                    show_message(f"Not exported: {error}")
                else:
                    name = f"trial-{trial.number}.zip"
                    st.download_button(f"Save {name}", packed, name, "application/zip", on_click="ignore", key="zip")
    if st.toggle("Show its code and its space file", key="show_code"):
        from explorer.export.model_py.code import write_code  # the page starts without torch
        from explorer.export.space_file import space_text

        st.code(space_text(architecture), language="yaml", wrap_lines=True)
        st.code(write_code(architecture).text, language="python", wrap_lines=True)


def zipped_export(study: Study, trial: TrialRecord, storage: str) -> bytes:
    """Return what ``explorer export`` writes for a trial, as a zip file.

    The export runs in its own process: a trial without saved weights is trained again, and the server must not wait.

    Args:
        study: The study.
        trial: A complete or cached trial.
        storage: URL of the storage, with its password.

    Raises:
        ExportError: The export failed; the message is its last line.
    """
    with tempfile.TemporaryDirectory() as above:
        folder = Path(above) / f"trial-{trial.number}"
        command = [sys.executable, "-c", "from explorer.cli import main; main()"]
        command += ["export", "-o", str(folder), "--", f"{study.name}:{trial.number}"]  # a name may begin with a dash
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
