"""``explorer worker --print-kubernetes`` prints a Job that Kubernetes accepts."""

from __future__ import annotations

import json

import jsonschema
import pytest
from ruamel.yaml import YAML

from explorer.cli.running import worker
from explorer.study.launchers.arguments import NOT_SENT
from explorer.study.settings import SearchSettings
from tests.command_line import run

NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"}
QUANTITY = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|[KMGT]i?)?$"}


def closed(required: str, **properties) -> dict:
    """Return the schema of an object with these properties and no others, of which ``required`` must be there."""
    return {
        "type": "object",
        "required": required.split(),
        "properties": properties,
        "additionalProperties": False,
    }


TEXT, NUMBER, FLAG = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
SECRET = closed("secretKeyRef", secretKeyRef=closed("name key", name=NAME, key=TEXT))
# Of the fields that the manifest uses, what the API of batch/v1 demands: names, types, and which are required together.
CONTAINER = closed(
    "name image args env resources",
    name=NAME,
    image=TEXT,
    args={"type": "array", "items": TEXT},
    workingDir=TEXT,
    env={
        "type": "array",
        "items": closed(
            "name valueFrom",
            name=TEXT,
            valueFrom=closed("secretKeyRef", secretKeyRef=closed("name key", name=NAME, key=TEXT)),
        ),
    },
    resources=closed(
        "requests limits",
        requests={"type": "object", "additionalProperties": QUANTITY},
        limits={"type": "object", "additionalProperties": QUANTITY},
    ),
    securityContext={"type": "object"},
    volumeMounts={"type": "array", "items": closed("name mountPath", name=NAME, mountPath=TEXT)},
)
RULE = {
    "oneOf": [
        closed(
            "action onPodConditions",
            action={"enum": ["Ignore", "Count", "FailIndex", "FailJob"]},
            onPodConditions={
                "type": "array",
                "items": closed("type status", type=TEXT, status={"enum": ["True", "False"]}),
            },
        ),
        closed(
            "action onExitCodes",
            action={"enum": ["Ignore", "Count", "FailIndex", "FailJob"]},
            onExitCodes=closed(
                "operator values",
                containerName=NAME,
                operator={"enum": ["In", "NotIn"]},
                values={"type": "array", "items": NUMBER, "minItems": 1},
            ),
        ),
    ]
}
JOB = closed(
    "apiVersion kind metadata spec",
    apiVersion={"const": "batch/v1"},
    kind={"const": "Job"},
    metadata=closed("name", name=NAME, namespace=NAME, labels=TEXTS),
    spec=closed(
        "completionMode completions parallelism backoffLimitPerIndex podFailurePolicy template",
        completionMode={"const": "Indexed"},  # backoffLimitPerIndex and FailIndex need it
        completions=NUMBER,
        parallelism=NUMBER,
        backoffLimitPerIndex=NUMBER,
        podReplacementPolicy={"const": "Failed"},  # the only one beside a podFailurePolicy
        podFailurePolicy=closed("rules", rules={"type": "array", "items": RULE, "maxItems": 20}),
        template=closed(
            "spec",
            metadata=closed("labels", labels=TEXTS),
            spec=closed(
                "containers restartPolicy terminationGracePeriodSeconds",
                restartPolicy={"const": "Never"},  # podFailurePolicy needs it
                terminationGracePeriodSeconds=NUMBER,
                securityContext={"type": "object"},
                containers={"type": "array", "items": CONTAINER, "minItems": 1},
                volumes={
                    "type": "array",
                    "items": closed(
                        "name persistentVolumeClaim",
                        name=NAME,
                        persistentVolumeClaim=closed("claimName", claimName=NAME),
                    ),
                },
            ),
        ),
    ),
)


def printed(capsys, *arguments: str) -> dict:
    """Return the manifest that the command prints."""
    status, out, err = run(capsys, "worker", "--print-kubernetes", *arguments)
    assert (status, err) == (0, ""), err
    return YAML(typ="safe").load(out)


@pytest.mark.parametrize("study", ["preact_variants-digits", "My study, of 2026: Ä", "-", "a" * 200])
def test_the_manifest_is_a_valid_job(capsys, monkeypatch, study):
    """The manifest has the fields that the API of Jobs demands, for every name of a study, and no password."""
    monkeypatch.setenv("EXPLORER_STORAGE", "postgresql://me:canary@host/db")
    found = printed(capsys, "--study", study, "--engine-option", "pods=8", "--engine-option", "gpus=1")
    jsonschema.validate(found, JOB)
    (container,) = found["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["worker", "--study", study] and found["spec"]["completions"] == 8
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1" and "canary" not in json.dumps(found)
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in found["spec"]["template"]["spec"]["volumes"]}


def test_options_of_a_worker_are_passed_on(capsys):
    """The pods run a worker with the options of the command line, which a worker accepts."""
    given = ["--trials", "40", "--workers", "3", "--device", "cuda", "--sampler", "random", "--cover", "2"]
    given += ["--limit", "macs <= 50M", "--trial-time", "2h", "--retry-failed", "--data-dir", "/data"]
    found = printed(capsys, "--study", "one", *given)
    (container,) = found["spec"]["template"]["spec"]["containers"]
    arguments = container["args"][3:]
    with worker.make_context("worker", [*container["args"][1:]]) as context:
        options = context.params
    assert (options["trials"], options["workers"], options["device"], options["cover"]) == (40, 3, "cuda", 2)
    assert (str(options["limits"][0]), options["trial_seconds"]) == ("macs <= 50M", 7200)
    assert options["retry_failed"] and options["data_dir"] == "/data" and "--stopping" not in arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--study is missing"),
        (["--study", "x", "--engine-option", "pod=3"], "did you mean 'pods'?"),
        (["--study", "x", "--engine-option", "pods=0"], "pods=0: expected a whole number from 1 to 100,000"),
        (["--study", "x", "--engine-option", "image=a b"], "image=a b: expected the image"),
        (["--study", "x", "--engine-option", "=3"], "must be KEY=VALUE"),
    ],
)
def test_invalid_options_give_one_line(capsys, arguments, message):
    """An invalid option ends the command with status 2 and one line."""
    status, out, err = run(capsys, "worker", "--print-kubernetes", *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1) and message in err


def test_every_setting_that_is_sent_is_an_option_of_a_worker():
    """A setting is sent to the workers, or left out because they take it from the study."""
    options = {param.name for param in worker.params}
    sent = {each.name for each in SearchSettings.described() if each.flag is not None and not each.in_fingerprint}
    assert sent - set(NOT_SENT) <= options
