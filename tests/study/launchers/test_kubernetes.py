"""``explorer worker --print-kubernetes`` prints a Job that Kubernetes accepts."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest
from ruamel.yaml import YAML

import explorer
from explorer.cli.options import IMPORTED
from explorer.cli.running import worker
from explorer.study.launchers.arguments import NOT_SENT
from explorer.study.settings import SearchSettings
from tests.command_line import run

NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"}
DOTTED = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"}
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
SECRET = closed("secretKeyRef", secretKeyRef=closed("name key", name=DOTTED, key=TEXT))
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
            valueFrom=SECRET,
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
                        persistentVolumeClaim=closed("claimName", claimName=DOTTED),
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
        (["--study", "x", "--engine-option", "=3"], "must be KEY=VALUE, as in partition=gpu, found '=3'"),
        (["--study", "x", "--engine-option", "memory=banana"], "memory=banana: expected memory of each pod: 4Gi"),
        (["--study", "x", "--engine-option", "memory=4GB"], "memory=4GB: expected"),
        (["--study", "x", "--engine-option", "memory=0"], "memory=0: expected"),
        (["--study", "x", "--engine-option", "cpu=two"], "cpu=two: expected"),
        (["--study", "x", "--engine-option", "cpu=1Gi"], "cpu=1Gi: expected"),
        (["--study", "x", "--engine-option", "secret=Bad_Name"], "secret=Bad_Name: expected"),
        (["--study", "x", "--engine-option", "secret=a..b"], "secret=a..b: expected"),
        (["--study", "x", "--engine-option", f"secret={'a.' * 127}a"], "a: expected"),
        (["--study", "x", "--engine-option", "claim=a/b"], "claim=a/b: expected"),
        (["--study", "x", "--engine-option", "namespace=UPPER"], "namespace=UPPER: expected"),
        (["--study", "x", "--engine-option", "namespace=a.b"], "namespace=a.b: expected"),
        (["--study", "x", "--engine-option", "key=a/b"], "key=a/b: expected"),
        (["--study", "x", "--engine-option", "key=.."], "key=..: expected"),
        (["--study", "x", "--engine-option", "image=host/Explorer"], "image=host/Explorer: expected"),
        (["--study", "x", "--engine", "nope"], "unknown engine 'nope'"),
        (["--study", "x", "--engine", "slurm"], "--engine slurm starts workers itself"),
        (["--study", "x", "--cpus-per-trial", "4"], "settings of a cluster"),
    ],
)
def test_invalid_options_give_one_line(capsys, arguments, message):
    """An invalid option ends the command with status 2 and one line."""
    status, out, err = run(capsys, "worker", "--print-kubernetes", *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1) and message in err


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[
            ("image", each)
            for each in ("explorer", "me/explorer:1.2", "reg.io:5000/a/b_c/d:v1", f"a@sha256:{'0' * 64}")
        ],
        *[("memory", each) for each in ("4Gi", "1.5Gi", "500M", "4000000000")],
        *[("cpu", each) for each in ("2", "0.5", "500m")],
        *[("secret", "a.b-c"), ("key", "URL_of.it-1"), ("claim", "x"), ("namespace", "team-a")],
    ],
)
def test_valid_values_of_options_are_kept(capsys, option, value):
    """A value that Kubernetes accepts is in the manifest as it was given."""
    found = printed(capsys, "--study", "one", "--engine-option", f"{option}={value}")
    jsonschema.validate(found, JOB)
    assert f'"{value}"' in json.dumps(found)


def test_every_option_of_a_worker_is_in_the_manifest(capsys, tmp_path):
    """Each option of the command is an argument of the pods, except those that the manifest itself uses."""
    (tmp_path / "imp.py").write_text("")
    explorer.register("tracker", "of_pods", lambda target: None)
    given = {
        **{"data_dir": "/d", "device": "cuda", "activation_checkpointing": "on", "trials": "9", "seconds": "1.5s"},
        **{"until_stable": "5", "repeats": "3", "trial_seconds": "90s", "trial_memory": "8G", "sampler": "random"},
        **{"cover": "1", "stopping": "none", "scores": "snip", "retry_failed": None, "record_gradients": None},
        **{"limits": "macs <= 50M", "engine": "ray", "engine_address": "head:6379", "cpus_per_trial": "4"},
        **{"track": "of_pods=/r", "workers": "2", "import_files": str(tmp_path / "imp.py")},
    }
    own = {"study", "engine_options", "print_kubernetes", "as_json", "storage"}
    options = {param.name: param.opts[0] for param in worker.params}
    assert set(given) - {"import_files"} == set(options) - own - {"import_files"}
    options["import_files"] = "--import"
    words = [word for name, value in given.items() for word in (options[name], value) if word is not None]
    (container,) = printed(capsys, "--study", "one", *words)["spec"]["template"]["spec"]["containers"]
    passed, typed = (
        worker.make_context("worker", each) for each in (container["args"][1:], ["--study", "one", *words])
    )
    assert passed.params == typed.params and passed.meta[IMPORTED] == typed.meta[IMPORTED]


@pytest.mark.parametrize("study", ["x$(EXPLORER_STORAGE)", "a$$b$", "$$(X)"])
def test_kubernetes_replaces_nothing_in_the_arguments(capsys, study):
    """In arguments Kubernetes replaces $(NAME) by a variable, and $$ by $: the worker gets the name of the study."""
    (container,) = printed(capsys, "--study", study)["spec"]["template"]["spec"]["containers"]
    replaced = re.sub(r"\$(\$|\((\w+)\))", lambda found: "$" if found[1] == "$" else "REPLACED", container["args"][2])
    assert replaced == study


def test_a_password_among_the_arguments_is_refused(capsys):
    """The manifest has no password: an argument that has one is named and refused, and not shown."""
    explorer.register("tracker", "of_pods", lambda target: None)
    given = ("worker", "--print-kubernetes", "--study", "a", "--track", "of_pods=http://user:pwcanary@h")
    status, out, err = run(capsys, *given)
    assert (status, out, err.count("\n")) == (2, "", 1) and "--track" in err and "pwcanary" not in err


def test_a_typed_storage_is_not_dropped_silently(capsys):
    """A storage of the command line is not in the manifest, and the command says where the pods find it."""
    given = ("worker", "--print-kubernetes", "--study", "a", "--storage", "postgresql://me:canary@host/db")
    status, out, err = run(capsys, *given)
    assert status == 0 and "canary" not in out + err.replace("EXPLORER_STORAGE", "")
    assert "--storage is not in the manifest: the pods take it from the Secret" in err


def test_every_setting_that_is_sent_is_an_option_of_a_worker():
    """A setting is sent to the workers, or left out because they take it from the study."""
    options = {param.name for param in worker.params}
    sent = {each.name for each in SearchSettings.described() if each.flag is not None and not each.in_fingerprint}
    assert sent - set(NOT_SENT) <= options
