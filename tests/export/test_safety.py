"""Exports are safe: no foreign code, no pickle, no path outside the folder, no incomplete files."""

from __future__ import annotations

import ast
import itertools
import json
import os
import random
import re
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file

import explorer
from explorer.errors import ExplorerError, ExportError
from explorer.export.card import model_card
from explorer.export.manifest import check_package
from explorer.export.model_py.code import write_code
from explorer.export.package import export_architecture
from explorer.export.space_file import space_text
from explorer.export.transfer import Subject
from explorer.export.verify.check import check_code
from explorer.export.verify.comparison import Exported, exported_outputs, fixed_input
from explorer.export.weights import load_weights, read_weights, weight_bytes
from explorer.networks.build import build_network
from explorer.space.search_space import load_space, parse_space
from tests.export.spaces import random_architecture, randomised

# EXPLORER_FUZZ_SCALE=20 tries twenty times as many.
RANDOM = 100 * int(os.environ.get("EXPLORER_FUZZ_SCALE", "1"))
PACKAGES = [Path(explorer.__file__).parent, Path(explorer.__file__).parents[1] / "dashboards"]
# The restricted unpickler for CIFAR's own files is the only module that may name pickle.
# ``ray_task`` reads a function of the caller's, which Ray has sent to the caller's own cluster.
ALLOWED = {
    "pickle": {"explorer/data/formats/pickled.py", "explorer/study/workers/ray_task.py"},
    **{name: {"explorer/extensions/files.py"} for name in ("exec", "compile")},
}
BANNED_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
BANNED_CALLS = {"eval", "exec", "compile", "__import__"}
TINY = "input: 3x8x8\nclasses: 5\nstem: conv3x3(4)\nstages: {blocks: 1, width: 4}\nblock: conv3x3 bn +\nhead: gap fc\n"


@pytest.mark.slow
def test_a_hundred_random_architectures(tmp_path, fresh):
    """The code of 100 random networks is of the allowed syntax alone, and run in another process it gives each
    network's own logits to the last bit."""
    architectures = [random_architecture(seed) for seed in range(RANDOM)]
    assert len({architecture.digest for architecture in architectures}) >= RANDOM * 0.99
    folders, expected = [], []
    for number, architecture in enumerate(architectures):
        network, code = randomised(architecture, seed=number), write_code(architecture)
        check_code(code)
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "model.py").write_text(code.text)
        (folder / "model.safetensors").write_bytes(weight_bytes(network.state_dict()))
        folders.append(Exported(folder, architecture.input, ["python"]))
        with torch.inference_mode():
            expected.append(network(fixed_input(architecture.input, 2)))
    outputs = exported_outputs(fresh, folders, batches=[2])
    for architecture, of, logits in zip(architectures, outputs, expected):
        assert torch.equal(of["python"][2][0], logits), architecture.to_json()
        assert logits.std() > 0


INJECTED = [
    *("../evil", "../../etc/passwd", "/etc/passwd", "a/../../b", "~root", "C:\\x", "con", ".", "..", "-rf", "--help"),
    *(
        "a\nimport os\n",
        'x"""\nimport os\n"""',
        "x'''\nimport os\n'''",
        "x\\",
        "\\N{BULLET}",
        "\\x41",
        "{x}",
        "%s",
        "$HOME",
    ),
    *(
        "__import__('os').system('id')",
        "x; import os",
        "x)\nimport os",
        "`id`",
        "$(id)",
        "x | import os",
        "# x",
        "*/",
        "-->",
    ),
    *(
        "<script>alert(1)</script>",
        "<img src=x onerror=y>",
        "[a](javascript:b)",
        "![i](http://x)",
        "| a | b |",
        "```\nx\n```",
        "http://x.org www.x.org me@x.org",
    ),
    *(
        "\u202eevil",
        "\u2028x",
        "\u0085x",
        "a\u200bb",
        "e\u0301",
        "😀",
        "\u0410dmin",
        "\ufeffx",
        "\x1b[31mred",
        "\x07",
        "a\tb",
    ),
    *("x" * 190, "class", "Network", "self", "None", "torch"),
]


def test_fifty_injected_names_do_not_reach_the_code():
    """Any space name or provenance leaves code and spec unchanged, and is one escaped line in the card."""
    assert len(INJECTED) >= 50
    plain = parse_space(TINY).architecture(0)
    code, spec = write_code(plain), space_text(plain)
    check_code(code)
    for name in INJECTED:
        try:
            architecture = parse_space(f"name: {json.dumps(name)}\n{TINY}").architecture(0)
        except ExplorerError:  # not printable, so the language rejects it
            architecture = plain
        assert write_code(architecture) == code and space_text(architecture) == spec, name
        card = model_card(Subject(architecture), ["python"], spec, {"study": name, name: {name: name}}, {})
        lines = card.split("## Provenance\n\n")[1].split("\n\n")[0].split("\n")
        assert len(lines) == 4 and all(line.startswith("|") for line in lines), name
        assert not set("<`\u202e\x1b\x07") & set("".join(lines).replace("\\`", "")), name
        assert not re.search("://|www[.]|@", "".join(lines)), name


def names_of(call: ast.Call) -> str:
    return ast.unparse(call.func)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_no_module_unpickles_or_evaluates_text(package):
    """No module evaluates text or reads a pickle, except the restricted unpickler of CIFAR's files, Ray's tasks, and
    the user's own extensions."""
    faults = []
    for path in sorted(package.rglob("*.py")):
        short = str(path.relative_to(package.parent))
        for node in ast.walk(ast.parse(path.read_text())):
            found = set()
            if isinstance(node, ast.Import):
                found = {alias.name.split(".")[0] for alias in node.names} & BANNED_MODULES
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found = {(node.module or "").split(".")[0]} & BANNED_MODULES
            elif isinstance(node, ast.Call):
                name = names_of(node)
                if name in BANNED_CALLS or name in ("yaml.load", "yaml.unsafe_load", "torch.jit.load"):
                    found = {name}
                keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                if name == "torch.load" and keywords.get("weights_only") != "True":
                    found = {name}
            faults += [f"{short}:{node.lineno}: {name}" for name in found if short not in ALLOWED.get(name, ())]
    assert faults == []


@pytest.fixture(scope="module")
def architecture():
    space = load_space("preact_variants.yaml")
    return space.architecture(space.named({"order": "full_preact", "attn@stage2": "se(r=4)"}))


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Return the bytes with a flipped bit, a part removed, repeated or overwritten, or truncated."""
    place, length = draw.randrange(len(data)), draw.randint(1, 64)
    kind = draw.randrange(5)
    if kind == 0:
        return data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :]
    if kind == 1:
        return data[:place]
    if kind == 2:
        return data[:place] + data[place + length :]
    if kind == 3:
        return data[:place] + data[place : place + length] + data[place:]
    return data[:place] + draw.randbytes(length) + data[place + length :]


def test_three_hundred_damaged_weights_and_manifests_are_rejected(architecture, tmp_path):
    """None of 300 damaged files passes the check, whichever file is damaged."""
    folder = export_architecture(architecture, tmp_path / "net", formats=["yaml", "safetensors"]).directory
    draw = random.Random(1)
    accepted = []
    for number in range(300):
        path = folder / ("model.safetensors", "manifest.json", "provenance.json")[number % 3]
        data = path.read_bytes()
        changed = damaged(data, draw)
        if changed == data:
            continue
        path.write_bytes(changed)
        try:
            found = check_package(folder)
            if path.name != "manifest.json" or found.files != check_files(data):
                accepted.append(number)
        except ExportError:
            pass
        path.write_bytes(data)
    check_package(folder)
    assert accepted == []


def check_files(manifest: bytes) -> dict[str, str]:
    return json.loads(manifest)["files"]


def header(text: str, body: bytes = b"") -> bytes:
    return len(text).to_bytes(8, "little") + text.encode() + body


ENTRY = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a safetensors file, or cut short"),
        (b"\x80\x04\x95", "cut short"),
        (b"\x80\x04\x95" * 9, "a PyTorch pickle file, not a safetensors file"),
        ((1 << 63).to_bytes(8, "little"), "cut short"),
        (header("{}" + " " * (1 << 20)), "1,048,578 bytes, at most 1,048,576 are read"),
        (header("[" * 100_000), "not a safetensors file"),
        (header(f'{{"a":{ENTRY},"a":{ENTRY}}}', b"\0\0\0\0"), "the key 'a' occurs twice in one object"),
        (header('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', b"\0\0\0\0"), "not a safetensors file"),
        (header('{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', b"\0" * 8), "not a safetensors file"),
        (
            header('{"a":{"dtype":"F32","shape":[99999999999],"data_offsets":[0,4]}}', b"\0" * 4),
            "not a safetensors file",
        ),
    ],
)
def test_crafted_weight_files_are_rejected(data, message, tmp_path):
    """Overlong, nested, duplicate, inconsistent and foreign files each give one line, and a correct file is read."""
    path = tmp_path / "weights.safetensors"
    path.write_bytes(data)
    with pytest.raises(ExportError, match=message) as caught:
        read_weights(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    path.write_bytes(header(f'{{"a":{ENTRY}}}', b"\0\0\0\0"))
    assert read_weights(path)["a"].item() == 0.0


def test_weights_are_read_back_from_their_file(architecture, tmp_path):
    """``load_weights`` of a path returns the network with exactly those values, and rejects a missing tensor."""
    network = randomised(architecture)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(weight_bytes(network.state_dict()))
    again = load_weights(architecture, path)
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in again.state_dict().items())
    save_file({k: v for k, v in network.state_dict().items() if k != "stem.0.weight"}, path)
    with pytest.raises(ExportError, match=r"lack 'stem\.0\.weight'"):
        load_weights(architecture, path)
    with pytest.raises(ExportError, match="cannot be read"):
        load_weights(architecture, tmp_path / "none.safetensors")


def test_a_header_too_long_to_read_is_not_written():
    """Writing rejects a header that reading would reject."""
    with pytest.raises(ExportError, match="more than the 1,048,576"):
        weight_bytes({"x" * (1 << 20): torch.zeros(1)})
    assert len(save({"x": torch.zeros(1)})) < 200


FILE_EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")


def killed_at(event: int, folder: Path, export: Callable[[], object]) -> bool:
    """Run ``export`` in a forked process that is killed before its ``event``-th operation on files in ``folder``.

    Returns:
        Whether it was killed; False if it does fewer operations.
    """
    child = os.fork()
    if child == 0:
        left = itertools.count(event, -1)

        def audit(name: str, args: tuple) -> None:
            # The names that rmtree removes are relative to an open folder.
            if name in FILE_EVENTS and (name != "open" or str(args[0]).startswith(str(folder))) and next(left) == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(audit)
            export()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.slow
@pytest.mark.parametrize("replaces", [False, True])
def test_a_killed_export_leaves_no_incomplete_folder(tmp_path, replaces):
    """After a kill at any file operation the folder is absent, old or new, always complete, and the next export cleans
    up."""
    target, earlier = tmp_path / "net", tmp_path / ".earlier-net"
    small = parse_space(TINY).architecture(0)
    old, new = (build_network(small, seed=seed).state_dict() for seed in range(2))

    def export(state: dict[str, torch.Tensor]) -> None:
        export_architecture(small, target, state_dict=state, formats=["yaml", "safetensors"])

    before, names, found = "old" if replaces else "none", {weight_bytes(old): "old", weight_bytes(new): "new"}, []
    for event in itertools.count():
        if target.exists():
            shutil.rmtree(target)
        if replaces:
            export(old)
        if not killed_at(event, tmp_path, lambda: export(new)):
            break
        place = target if target.exists() else earlier  # its name between the two renames of a replacement
        if place.exists():
            check_package(place)
        found.append(names[(place / "model.safetensors").read_bytes()] if place.exists() else "none")
    first = found.index("new")
    assert first > 5 and set(found[:first]) == {before} and set(found[first:]) == {"new"}, found
    export(old)
    check_package(target)
    assert [path.name for path in tmp_path.iterdir()] == ["net"]
