"""The exported folder is complete, verified, and overwrites only an earlier export."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random

import pytest
import torch
from safetensors.torch import load_file

from explorer.costs.analytic import count_cost
from explorer.errors import ExportError
from explorer.export import package
from explorer.export.manifest import check_package
from explorer.export.package import export_architecture
from explorer.export.weights import load_weights, weight_bytes
from explorer.networks.build import build_network
from explorer.space.search_space import load_space, parse_space
from tests.export.spaces import HEADER, randomised

BARE = {"architecture.json", "provenance.json", "README.md", "manifest.json"}
QUICK = ("yaml", "python", "safetensors")  # the formats that need no tracing
ALL = BARE | {"architecture.yaml", "model.py", "model.safetensors"}
NORM = "stages.0.0.branch.1.running_var"
HOSTILE = 'study "x"\'\'\'"""\nimport os  # <img src=x> `|` [a](b) \u202e \\ ![i](http://x)'


@pytest.fixture(scope="module")
def architecture():
    space = load_space("preact_variants.yaml")
    return space.architecture(space.named({"order": "preact_bottleneck", "attn": "se(r=4)", "depth": "2"}))


@pytest.fixture(scope="module")
def weights(architecture):
    return randomised(architecture).state_dict()


@pytest.fixture
def folder(architecture, tmp_path):
    """Return a quick export without the code."""
    return export_architecture(architecture, tmp_path / "net", formats=("yaml", "safetensors")).directory


@pytest.fixture(scope="module")
def whole(architecture, weights, tmp_path_factory):
    """An export in the quick formats with hostile provenance, which tests only read."""
    target = tmp_path_factory.mktemp("export") / "net"
    provenance = {"study": HOSTILE, "accuracy": {"validation": 0.5}, "environment": {HOSTILE: "cpu"}}
    return export_architecture(
        architecture, target, state_dict=weights, formats=QUICK, provenance=provenance, accuracy=0.5
    )


def test_files_are_written_and_checked(whole, architecture, weights):
    """Every file exists and is in the manifest, the logits are identical, and the weights are the given ones."""
    assert set(whole.files) == ALL == {path.name for path in whole.directory.iterdir()}
    assert whole.max_abs_diff == {"python": 0.0}
    found = check_package(whole.directory)
    assert found.architecture == architecture and set(found.files) == ALL - {"manifest.json"}
    assert found.provenance["study"] == HOSTILE and found.max_abs_diff == {"python": 0.0}
    assert (found.trained, found.accuracy, found.costs) == (True, 0.5, count_cost(architecture).to_dict())
    kept = load_file(whole.directory / "model.safetensors")
    assert kept.keys() == weights.keys() and all(torch.equal(kept[key], weights[key]) for key in weights)


def test_user_text_is_only_in_the_card_and_the_provenance(whole):
    """Provenance with quotes and newlines is not in code or spec, and in the card it is one escaped line."""
    for name in ("model.py", "architecture.yaml", "architecture.json", "manifest.json"):
        assert "import os" not in (whole.directory / name).read_text(), name
    card = (whole.directory / "README.md").read_text()
    [line] = [line for line in card.splitlines() if line.startswith("| study |")]
    assert "&lt;img" in line and r"\`\|\`" in line and r"\!\[i\]" in line and r"\u202e" in line
    assert "<" not in card.replace("&lt;", "") and "\u202e" not in card
    assert "Not trained" not in card


def test_without_weights_the_card_says_untrained(folder):
    """Without weights the network has initial values, and the card says that it is not trained."""
    assert "**Not trained**" in (folder / "README.md").read_text()
    assert {path.name for path in folder.iterdir()} == ALL - {"model.py"}


def test_files_of_other_formats_are_left_out(architecture, tmp_path):
    """Without formats there are only architecture.json, card and manifest; an unknown format gives a suggestion."""
    bare = export_architecture(architecture, tmp_path / "bare", formats=())
    assert set(bare.files) == BARE
    check_package(bare.directory)
    with pytest.raises(ExportError, match=r"unknown export format 'pyton'.*did you mean 'python'"):
        export_architecture(architecture, tmp_path / "other", formats=("pyton",))
    assert not (tmp_path / "other").exists()


def test_changed_files_are_detected(folder):
    """None of three hundred files with a flipped bit, cut or extended passes the check, and the original does."""
    draw = random.Random(0)
    names = sorted(path.name for path in folder.iterdir())
    for number in range(300):
        path = folder / names[number % len(names)]
        data = path.read_bytes()
        changed = bytearray(data)
        place = draw.randrange(len(data))
        if number % 3 == 0:
            changed[place] ^= 1 << draw.randrange(8)
        elif number % 3 == 1:
            del changed[place:]
        else:
            changed[place:place] = b"0"
        if path.name == "manifest.json" and equal_json(changed, data):
            continue
        path.write_bytes(changed)
        with pytest.raises(ExportError):
            check_package(folder)
        path.write_bytes(data)
    check_package(folder)


def equal_json(changed: bytes, data: bytes) -> bool:
    """Return whether a changed manifest has the same content (one blank more, or no final newline)."""
    try:
        return json.loads(changed) == json.loads(data)
    except ValueError:
        return False


@pytest.mark.parametrize("name", ["model.safetensors", "manifest.json", "architecture.json"])
def test_missing_and_linked_files_are_detected(folder, name):
    """A missing file is named, and a link to the same content is rejected without being followed."""
    path = folder / name
    aside = folder.parent / "aside"
    path.rename(aside)
    with pytest.raises(ExportError, match=f"{name} is missing"):
        check_package(folder)
    path.symlink_to(aside)
    with pytest.raises(ExportError, match=f"{name} cannot be read as a plain file"):
        check_package(folder)


@pytest.mark.parametrize("name", ["../aside", "/etc/hostname", "a/b", "..", ".hidden", "", "a\0b"])
def test_a_manifest_cannot_refer_outside_its_folder(folder, name):
    """A listed name that is not a plain file name is rejected before any file is opened."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"][name] = "0" * 64
    path.write_text(json.dumps(manifest))
    with pytest.raises(ExportError, match="is not a file of the folder"):
        check_package(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"accuracy": "high"}, "accuracy: expected a number or null, found 'high'"),
        ({"costs": [1]}, "costs: expected counts by name"),
        ({"costs": {"macs": 1.5}}, "costs: expected counts by name"),
        ({"features": "ab"}, "features: expected a list of stages"),
        ({"trained": 1}, "trained: expected true or false, found '1'"),
        ({"provenance": [1]}, "provenance: expected a mapping"),
        ({"max_abs_diff": {"onnx": True}}, "max_abs_diff: expected numbers by format"),
        ({"max_abs_diff": {"onnx": float("nan")}}, "'onnx' must be a finite number, found nan"),
    ],
)
def test_wrong_types_in_the_provenance_are_named(folder, change, message):
    """A value of another type, with a matching hash, gives one line with its name and the expected type."""
    path = folder / "provenance.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["provenance.json"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ExportError, match=rf"provenance.json is damaged \({message}"):
        check_package(folder)


@pytest.mark.parametrize("name", ["architecture.json", "model.safetensors", "manifest.json"])
def test_irregular_files_in_a_folder_are_not_read(folder, name):
    """A pipe in place of a file and a file of 1 TiB are rejected at once in one line."""
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ExportError, match=f"{name} cannot be read as a plain file: it is a pipe"):
        check_package(folder)
    (folder / name).unlink()
    with open(folder / name, "wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(ExportError, match=f"{name} cannot be read as a plain file: it has 1,099,511,627,776 bytes"):
        check_package(folder)


@pytest.mark.parametrize("kind", ["pipe", "device", "sparse", "long", "shrunk"])
def test_irregular_weight_files_are_not_read(architecture, tmp_path, kind):
    """A weights file that is a pipe, a device or larger than the network's weights is rejected at once in one line."""
    path, message = tmp_path / "weights.safetensors", "it has [0-9,]+ bytes, at most .* of another network"
    if kind == "pipe":
        os.mkfifo(path)
        message = "it is a pipe, expected a regular file"
    elif kind == "device":
        path.symlink_to("/dev/zero")
        message = "it is a device, expected a regular file"
    else:
        data = weight_bytes(build_network(architecture).state_dict())
        path.write_bytes(data)
        os.truncate(path, {"sparse": 1 << 40, "long": 16 * len(data), "shrunk": len(data) - 1}[kind])
        message = "not a safetensors file" if kind == "shrunk" else message
    with pytest.raises(ExportError, match=message) as caught:
        load_weights(architecture, path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b"[" * 100_000, b'{"format": 2}', b"\xff", b'"' + b"x" * (2 << 20) + b'"']
)
def test_a_damaged_manifest_gives_a_clear_error(folder, data):
    """Any damaged manifest gives an ExportError that names it."""
    (folder / "manifest.json").write_bytes(data)
    with pytest.raises(ExportError, match=r"manifest\.json"):
        check_package(folder)


def test_an_earlier_export_is_replaced(folder, architecture, weights):
    """A second export to the same folder replaces the weights, leaves no other files, and ignores __pycache__."""
    (folder / "__pycache__").mkdir()
    before = check_package(folder).files
    export_architecture(architecture, folder, state_dict=weights, formats=("yaml", "safetensors"))
    after = check_package(folder).files
    assert before["architecture.yaml"] == after["architecture.yaml"]
    assert before["model.safetensors"] != after["model.safetensors"]
    assert [path.name for path in folder.parent.iterdir()] == ["net"]


def tree(root):
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(root.rglob("*"))}


@pytest.mark.parametrize(
    "kind", ["foreign folder", "foreign file in an export", "changed export", "file", "link", "working folder"]
)
def test_only_an_export_is_overwritten(kind, folder, architecture, tmp_path, monkeypatch):
    """A target that is not an unchanged export is rejected by name, and no byte changes."""
    target = folder
    if kind == "foreign folder":
        target = tmp_path / "thesis"
        target.mkdir()
        (target / "chapter.tex").write_text("x")
    elif kind == "foreign file in an export":
        (folder / "notes.txt").write_text("x")
    elif kind == "changed export":
        (folder / "architecture.yaml").write_text("mine now")
    elif kind == "file":
        target = folder / "README.md"
    elif kind == "link":
        target = tmp_path / "link"
        target.symlink_to(folder)
    else:
        target = tmp_path / "here"
        target.mkdir()
        monkeypatch.chdir(target)
    before = tree(tmp_path)
    with pytest.raises(ExportError, match=str(target)):
        export_architecture(architecture, target, formats=())
    assert tree(tmp_path) == before


def test_unwritable_targets_give_a_clear_error(architecture, tmp_path):
    """A parent that is a file, or a name that is too long or contains NUL, gives an ExportError."""
    (tmp_path / "file").write_text("")
    for name in ("file/net", "n" * 300, "a\0b"):
        with pytest.raises(ExportError):
            export_architecture(architecture, tmp_path / name, formats=())


def test_a_failed_check_leaves_nothing(architecture, tmp_path, monkeypatch):
    """If the code's logits differ from the network's, an earlier export stays, and the error gives the difference."""
    earlier = export_architecture(architecture, tmp_path / "net", formats=()).directory
    before = tree(tmp_path)
    monkeypatch.setattr(
        package, "own_outputs", lambda network, shape: {batch: [torch.full((batch, 10), 1e3)] for batch in (1, 2, 7)}
    )
    with pytest.raises(ExportError, match=r"model\.py: its outputs differ from the network's by 1?[0-9]"):
        export_architecture(architecture, earlier, formats=QUICK)
    assert tree(tmp_path) == before


def test_code_that_fails_is_reported(architecture, tmp_path, monkeypatch):
    """An error in the new process is reported in one line."""
    written = package.write_code(architecture)
    broken = written._replace(text=written.text.replace("nn.Conv2d(3, 16, 3", "nn.Conv2d(3, 15, 3"))
    monkeypatch.setattr(package, "write_code", lambda architecture, features: broken)
    with pytest.raises(ExportError, match=r"fails in a fresh process: .*size mismatch"):
        export_architecture(architecture, tmp_path / "net", formats=QUICK)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda w: w.pop("stem.0.weight"), "the weights lack 'stem.0.weight'"),
        (lambda w: w.update({"stem.0.wait": w["stem.0.weight"]}), "hold 'stem.0.wait'.*did you mean 'stem.0.weight'"),
        (
            lambda w: w.update({"stem.0.weight": torch.zeros(16, 3, 5, 5)}),
            r"\(16, 3, 5, 5\), this network's is .*\(16, 3, 3, 3\)",
        ),
        (lambda w: w.update({"stem.0.weight": w["stem.0.weight"].half()}), "torch.float16"),
        (lambda w: w.update({"stem.0.weight": w["stem.0.weight"] * float("nan")}), "not finite"),
        (lambda w: w.update({NORM: w[NORM].index_fill(0, torch.tensor([1]), -1e-3)}), f"'{NORM}' has negative values"),
        (lambda w: w.update({NORM: w[NORM].index_fill(0, torch.tensor([1]), math.inf)}), f"'{NORM}' has .*not finite"),
    ],
)
def test_weights_of_another_network_are_rejected(architecture, weights, tmp_path, spoil, message):
    """Missing, extra, misshapen, mistyped and non-finite weights each give a line that names the key."""
    spoilt = dict(weights)
    spoil(spoilt)
    with pytest.raises(ExportError, match=message):
        export_architecture(architecture, tmp_path / "net", state_dict=spoilt)
    assert list(tmp_path.iterdir()) == []


def test_overflowing_outputs_fail_the_comparison(architecture, weights, tmp_path):
    """If outputs overflow, nothing is exported and one line names the formats that need no comparison, which can be
    written."""
    huge = {key: value * 1e30 if key.endswith(".weight") else value for key, value in weights.items()}
    with pytest.raises(ExportError, match=r"own outputs are not finite.* only the formats yaml and safetensors"):
        export_architecture(architecture, tmp_path / "net", state_dict=huge, formats=QUICK)
    assert list(tmp_path.iterdir()) == []
    export_architecture(architecture, tmp_path / "net", state_dict=huge, formats=("yaml", "safetensors"))


def test_provenance_must_be_json(architecture, tmp_path):
    """A provenance that is not valid JSON is rejected by name."""
    for value in ({1, 2}, float("nan")):
        with pytest.raises(ExportError, match="provenance cannot be written as JSON"):
            export_architecture(architecture, tmp_path / "net", provenance={"x": value}, formats=())


def test_old_files_of_killed_exports_are_removed(architecture, tmp_path):
    """An export removes what a killed export left more than an hour ago, and keeps newer files."""
    for name, age in ((".writing-1-net", 7200), (".writing-2-net", 60)):
        (tmp_path / name).mkdir()
        stamp = (tmp_path / name).stat().st_mtime - age
        os.utime(tmp_path / name, (stamp, stamp))
    export_architecture(architecture, tmp_path / "net", formats=())
    assert {path.name for path in tmp_path.iterdir()} == {".writing-2-net", "net"}


def test_code_and_weights_can_be_exported_alone(tmp_path):
    """Formats are independent: code and weights are written without the others and agree."""
    text = "stem: conv3x3(4) bn relu\nstages: {blocks: 1, width: 4}\nblock: conv3x3 bn +\nhead: gap fc\n"
    done = export_architecture(parse_space(HEADER + text).architecture(0), tmp_path / "net", formats=("python",))
    assert set(done.files) == BARE | {"model.py"}
    assert done.max_abs_diff["python"] == 0.0
