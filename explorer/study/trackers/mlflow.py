"""The tracker ``mlflow``: an experiment for the study, with a run for each trial.

The target is the address of a tracking server or a folder; by default MLflow's own, ``MLFLOW_TRACKING_URI``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from mlflow import MlflowClient

from explorer.records import TrialRecord
from explorer.store.study import Study
from explorer.study.events import Event, Progress
from explorer.study.trackers.tracking import METRICS, results_of

STATUS = {"complete": "FINISHED", "cached": "FINISHED", "stopped": "FINISHED", "interrupted": "KILLED"}  # else FAILED

# MLflow's own values hold up a search for four minutes while its server is away. Values of the environment are kept.
BRIEF = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


@contextmanager
def _brief_requests() -> Iterator[None]:
    """Limit the time that a request waits for the server; the caller's own use of MLflow is not limited.

    The lines on repeated requests are left out, since the tracker says that it waits, and why it failed.
    """
    added = {name: value for name, value in BRIEF.items() if name not in os.environ}
    os.environ.update(added)
    requests = logging.getLogger("urllib3.connectionpool")
    level = requests.level
    requests.setLevel(logging.ERROR)
    try:
        yield
    finally:
        requests.setLevel(level)
        for name in added:
            os.environ.pop(name, None)


@_brief_requests()
def make(study: Study, target: str) -> Progress:
    """Return a tracker that sends to the server or folder ``target``."""
    client = MlflowClient(tracking_uri=target or None)
    experiment = client.get_experiment_by_name(study.name)
    tags = {"space": study.space_name, "data": str(study.fingerprint.get("data") or "")}
    identifier = experiment.experiment_id if experiment else client.create_experiment(study.name, tags=tags)
    runs: dict[int, str] = {}

    def of(trial: TrialRecord) -> str:
        if trial.number not in runs:
            named = {"mlflow.runName": f"trial {trial.number}", "digest": trial.digest, "seed": str(trial.seed)}
            runs[trial.number] = client.create_run(identifier, tags=named).info.run_id
            for name, text in trial.choices.items():
                client.log_param(runs[trial.number], name.replace("@", "/"), text)
        return runs[trial.number]

    @_brief_requests()
    def track(event: Event) -> None:
        trial = event.trial
        if trial is not None and event.epoch is not None:
            for name in METRICS:
                client.log_metric(of(trial), name, getattr(event.epoch, name), step=event.epoch.epoch)
        elif trial is not None and event.kind == "started":
            of(trial)
        elif trial is not None and event.kind == "ended":
            run = of(trial)
            for name, value in results_of(trial).items():
                client.log_metric(run, name, value)
            for name, text in {"state": trial.state, "reason": trial.reason}.items():
                client.set_tag(run, name, text)
            client.set_terminated(runs.pop(trial.number), STATUS.get(trial.state, "FAILED"))
        elif event.kind == "finished":
            for run in runs.values():
                client.set_terminated(run, "KILLED")

    return track
