"""The manifest of a Kubernetes Job whose pods are workers of a study."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML

from explorer import __version__
from explorer.errors import StudyError, did_you_mean
from explorer.store.passwords import has_password
from explorer.study.launchers.arguments import job_name

# Options of the manifest, their defaults, and what they are.
OPTIONS = {
    "image": (f"explorer:{__version__.replace('+', '-')}", "the image, which has the explorer installed"),
    "pods": ("1", "number of workers"),
    "namespace": ("", "the namespace; that of kubectl by default"),
    "secret": ("explorer-storage", "the Secret that has the storage URL"),
    "key": ("url", "the key of the URL in the Secret"),
    "claim": ("explorer", "the PersistentVolumeClaim for weights and checkpoints, which all pods can write to"),
    "cpu": ("2", "CPU cores of each pod"),
    "memory": ("4Gi", "memory of each pod"),
    "gpus": ("0", "GPUs of each pod"),
    "grace": ("120", "seconds that a pod has to release its trials when it is evicted"),
}
_NUMBERS = {"pods": (1, 100_000), "gpus": (0, 64), "grace": (10, 86_400)}
_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_PART = r"[a-z0-9]+([._-]+[a-z0-9]+)*"
# What the API and the nodes accept, with an example.
_FORMS = {
    "image": (
        rf"([A-Za-z0-9.-]+(:[0-9]+)?/)?{_PART}(/{_PART})*(:[A-Za-z0-9_][\w.-]{{0,127}})?(@sha256:[0-9a-f]{{64}})?",
        "REGISTRY/explorer:1.2.0",
    ),
    "namespace": (_LABEL, "a name of lower-case letters, digits and hyphens"),
    "secret": (rf"{_LABEL}(\.{_LABEL})*", "a name of lower-case letters, digits, hyphens and dots"),
    "key": (r"(?!\.\.?$|\.\.)[-._A-Za-z0-9]+", "letters, digits, hyphens, dots and underscores"),
    "claim": (rf"{_LABEL}(\.{_LABEL})*", "a name of lower-case letters, digits, hyphens and dots"),
    "cpu": (r"(?=.*[1-9])([0-9]+(\.[0-9]{1,3})?|[0-9]+m)", "2, 0.5 or 500m"),
    "memory": (r"(?=.*[1-9])[0-9]+(\.[0-9]+)?([KMGTPE]i|[kMGTPE])?", "4Gi or 500M"),
}
MAX_LENGTH = 253  # of a name in Kubernetes
FOLDER = "/work"  # the working folder of the image, in which files of a study on PostgreSQL are
INVALID_INPUT = 2  # exit status that another try does not change
TRIES = 3  # of a pod whose worker failed


def manifest(study: str, arguments: Sequence[str], given: Mapping[str, str]) -> dict[str, Any]:
    """Return the manifest of an Indexed Job that runs ``explorer worker`` in each pod.

    A pod that is evicted does not count as a failure: Kubernetes sends SIGTERM, the worker releases its trials, whose
    checkpoints are on the volume, and another pod takes the index.

    Args:
        study: Name of the study.
        arguments: Further arguments of ``explorer worker``.
        given: Options, by the names in OPTIONS.

    Raises:
        StudyError: An option is unknown, its value is not valid, or an argument has a password.
    """
    options = _checked(given)
    words = ["worker", "--study", study, *arguments]
    if (secret := next((place for place, word in enumerate(words) if has_password(word)), None)) is not None:
        raise StudyError(
            f"{words[secret - 1]}: the value has a password, which the manifest would show; leave it out, and give the"
            " containers a variable of the environment from a Secret, such as MLFLOW_TRACKING_PASSWORD"
        )
    pods, name = int(options["pods"]), job_name(study)
    resources = {"cpu": options["cpu"], "memory": options["memory"]}
    resources |= {"nvidia.com/gpu": options["gpus"]} if options["gpus"] != "0" else {}
    labels = {"app.kubernetes.io/name": "explorer", "app.kubernetes.io/component": "worker"}
    storage = {"secretKeyRef": {"name": options["secret"], "key": options["key"]}}
    worker = {
        "name": "worker",
        "image": options["image"],
        "args": [word.replace("$", "$$") for word in words],  # Kubernetes replaces $(NAME), and $$ by $
        "workingDir": FOLDER,
        "env": [{"name": "EXPLORER_STORAGE", "valueFrom": storage}],
        "resources": {"requests": dict(resources), "limits": dict(resources)},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "files", "mountPath": FOLDER}],
    }
    evicted = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    codes = {"containerName": "worker", "operator": "In", "values": [INVALID_INPUT]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            **({"namespace": options["namespace"]} if options["namespace"] else {}),
            "labels": dict(labels),
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": pods,
            "parallelism": pods,
            "backoffLimitPerIndex": TRIES,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": [evicted, {"action": "FailIndex", "onExitCodes": codes}]},
            "template": {
                "metadata": {"labels": dict(labels)},
                "spec": {
                    "restartPolicy": "Never",
                    "terminationGracePeriodSeconds": int(options["grace"]),
                    "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "fsGroup": 1000},
                    "containers": [worker],
                    "volumes": [{"name": "files", "persistentVolumeClaim": {"claimName": options["claim"]}}],
                },
            },
        },
    }


def as_yaml(document: Mapping[str, Any]) -> str:
    """Return a manifest as YAML."""
    out = io.StringIO()
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # keep the usual order
    yaml.dump(document, out)
    return out.getvalue()


def _checked(given: Mapping[str, str]) -> dict[str, str]:
    """Return all options. Raises StudyError."""
    if unknown := next((name for name in given if name not in OPTIONS), None):
        known = ", ".join(OPTIONS)
        raise StudyError(f"--engine-option {unknown}: known for Kubernetes: {known}{did_you_mean(unknown, OPTIONS)}")
    options = {name: given.get(name, default) for name, (default, _) in OPTIONS.items()}
    for name, (low, high) in _NUMBERS.items():
        if not (options[name].isascii() and options[name].isdecimal() and low <= int(options[name]) <= high):
            raise StudyError(f"--engine-option {name}={options[name]}: expected a whole number from {low} to {high:,}")
    for name, (form, example) in _FORMS.items():
        value, (default, meaning) = options[name], OPTIONS[name]
        if value != default and not (re.fullmatch(form, value, re.ASCII) and len(value) <= MAX_LENGTH):
            raise StudyError(f"--engine-option {name}={value}: expected {meaning}: {example}")
    return options
