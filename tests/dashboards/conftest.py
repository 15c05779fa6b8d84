"""Studies for the dashboard: real networks with their real costs, and synthetic accuracies."""

from __future__ import annotations

import base64
import dataclasses
import functools
import math
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy
import pytest

from explorer.costs.analytic import count_cost
from explorer.dashboard.launch import server_environment
from explorer.records import Environment, Epoch, TrainingResult, TrialRecord
from explorer.space.search_space import load_space
from explorer.store.confirmations import ConfirmationWriter, Wanted
from explorer.store.database import open_for_writing
from explorer.store.lease import new_worker
from explorer.store.rows import Ending, Proposal
from explorer.store.studies import create_study
from explorer.store.study import Study
from explorer.store.writer import StudyWriter
from tests.polling import PATIENCE

ENVIRONMENT = Environment("cpu", "a processor", 1, "Linux", "3.11", {"torch": "2.13.0"})
OBJECTIVES = {"accuracy": "max", "macs": "min"}
COMPLETE = 20
EPOCHS = 8
FAILED, REJECTED, CACHED, RUNNING = range(COMPLETE, COMPLETE + 4)  # the numbers of the trials that are not complete
REASON = "the loss was not finite in epoch 3"


def begin_study(
    url: str,
    name: str,
    objectives: Mapping[str, str] = OBJECTIVES,
    space: str = "preact_variants",
    data: str = "digits",
):
    """Return a writer of a study without trials."""
    study = create_study(
        open_for_writing(url),
        name,
        space_name=space,
        space_text=small_space().text,
        fingerprint={"data": data, "epochs": EPOCHS},
        objectives=objectives,
        seed=0,
    )
    return StudyWriter(study, new_worker())


@functools.cache
def small_space():
    """The shipped space with 8x8 images as input."""
    return load_space("preact_variants.yaml").with_input((1, 8, 8), 10)


def proposal(draw: int, **changed: Mapping) -> Proposal:
    """Return a proposal of a network of the shipped space; the same ``draw`` gives the same network."""
    space = small_space()
    derivation = space.unrank(draw * 977 % space.count())
    architecture = space.architecture(derivation)
    made = {"choices": dict(derivation.choices), "costs": count_cost(architecture).to_dict(), **changed}
    return Proposal(architecture.digest, architecture.to_json(), made["choices"], made["costs"], draw)


def ending(accuracy: float, **objectives: float) -> Ending:
    """Return a training of eight epochs that ends with ``accuracy``."""
    curve = tuple(
        Epoch(epoch, 2 * math.exp(-epoch / 4), 2 * math.exp(-epoch / 5), accuracy * epoch / EPOCHS, 0.9, 0.1, 0.5)
        for epoch in range(1, EPOCHS + 1)
    )
    result = TrainingResult(accuracy, curve[-1].val_loss, 0.9, EPOCHS, 4.0, 1000.0, curve)
    return Ending("complete", {"accuracy": accuracy, **objectives}, result, environment=ENVIRONMENT)


def accuracy_of(number: int) -> float:
    """Return a synthetic accuracy that differs from every other trial's by at least 0.02."""
    return 0.30 + 0.02 * (number * 7 % COMPLETE)


def write_study(url: str, name: str) -> Study:
    """Write COMPLETE complete trials, then one failed, one rejected, one cached (as trial 0) and one running."""
    writer = write_ended(url, name)
    assert writer.begin(RUNNING, proposal(RUNNING)).state == "running"
    return writer.study


def write_ended(url: str, name: str) -> StudyWriter:
    """The trials of ``write_study`` but for the running one."""
    writer = begin_study(url, name)
    for number in range(COMPLETE):
        assert writer.begin(number, proposal(number)).state == "running"
        writer.finish(number, ending(accuracy_of(number)))
    writer.begin(FAILED, proposal(FAILED))
    writer.finish(FAILED, Ending("failed", reason=REASON))
    writer.refuse(REJECTED, proposal(REJECTED), "rejected", "macs <= 1M: it has 2.3M")
    assert writer.begin(CACHED, proposal(0)).state == "cached"
    return writer


def write_timed(url: str, name: str, *environments: dict, data: str = "digits") -> None:
    """Write a study of four trials whose latencies were measured in these environments in turn."""
    writer = begin_study(url, name, {"accuracy": "max", "latency_ms": "min"}, data=data)
    for number in range(4):
        environment = {"versions": {}, "limits": {}, **environments[number % len(environments)]}
        made = proposal(number, costs={"latency_ms": 1.0 + number})
        latency = {"environment": environment, "contended": False, "notes": []}
        writer.begin(number, dataclasses.replace(made, latency=latency))
        writer.finish(number, ending(0.5 + number / 10, latency_ms=1.0 + number))


def confirm(study: Study, trial: TrialRecord, seed: int, value: float) -> None:
    """Write a run of the trial's network from a new seed with the trial's epochs that reaches ``value``."""
    writer, wanted = ConfirmationWriter(study, new_worker()), Wanted(trial.digest, EPOCHS, seed)
    assert writer.claim([wanted]) is not None
    assert writer.finish(wanted, test={"accuracy": value}, result=ending(value).result)


@contextmanager
def serving(url: str, *options: str) -> Iterator[str]:
    """Start the dashboard of ``url`` as the command line does, and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = "import sys; from explorer.cli import main; sys.exit(main())"
    words = ["dashboard", "--storage", url, "--port", str(port), *options]
    server = subprocess.Popen(
        [sys.executable, "-c", program, *words], env=server_environment(""), stdout=subprocess.DEVNULL
    )
    try:
        while not answers(port):
            assert server.poll() is None, "the server ended by itself"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE) == 0
    assert not answers(port), "the server outlived what started it"


def answers(port: int) -> bool:
    try:
        return urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5).status == 200
    except (URLError, OSError):
        return False


def join_log(file: Path) -> None:
    """Moves what SQLite still keeps in its log into the file."""
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def numbers(values) -> list[float]:
    """Return the numbers that plotly packed, or the values unchanged."""
    if isinstance(values, dict):
        return numpy.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]).tolist()
    return [value for value in values if value is not None]


@pytest.fixture
def url(tmp_path):
    """The URL of a storage that does not exist yet."""
    return f"sqlite:///{tmp_path}/explorer.db"


@pytest.fixture(scope="session")
def written_file(tmp_path_factory) -> Path:
    """A database with what ended in the study "digits & co"; tests work on copies of it."""
    file = tmp_path_factory.mktemp("written") / "explorer.db"
    write_ended(f"sqlite:///{file}", "digits & co").study.database.close()
    join_log(file)
    return file


@pytest.fixture
def study(url, written_file, tmp_path):
    """The study "digits & co" in it, as ``write_study`` writes it."""
    shutil.copy(written_file, tmp_path / "explorer.db")
    writer = begin_study(url, "digits & co")
    writer.begin(RUNNING, proposal(RUNNING))  # its lease begins now
    return writer.study
